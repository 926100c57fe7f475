import { TRACKERS } from '../tracker/registry.ts';
import { formatLeaf } from '../units/quantity.ts';
import { UsageError } from '../units/usage-error.ts';
import { textOf, type Command } from './command.ts';

function asText(): string {
  return TRACKERS.map(({ name, claims, about, claim, leafSizes }) =>
    [
      `${name}  (claims: ${claims})`,
      `    ${about}`,
      `    ${claim}`,
      ...(leafSizes ? [`    leaves: ${leafSizes.map(formatLeaf).join(', ')}`] : []),
      '',
    ].join('\n'),
  ).join('\n');
}

function asJson(): string {
  const list = TRACKERS.map(({ name, claims, about, claim, leafSizes }) => ({
    name,
    claims,
    about,
    claim,
    leafSizes: leafSizes ?? [],
  }));
  return `${JSON.stringify(list, null, 2)}\n`;
}

/** `wasm-iommu trackers`: what there is to compare. */
export const TRACKERS_COMMAND: Command<'format'> = {
  name: 'trackers',
  summary: 'list the trackers with what each one claims',
  operands: '',
  maxOperands: 0,
  about: 'Lists the trackers that `compare` knows: where each gets its dirty information from, and what it claims.',
  options: { format: { value: 'text|json', help: 'default text' } },
  examples: [],
  async run(values) {
    const format = textOf(values.format) ?? 'text';
    if (format !== 'text' && format !== 'json') throw new UsageError(`--format: '${format}'; it is text or json`);
    return format === 'json' ? asJson() : asText();
  },
};
