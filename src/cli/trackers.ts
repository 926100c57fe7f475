import { QEMU_TRACKERS } from '../tracker/qemu.ts';
import { TRACKERS } from '../tracker/registry.ts';
import { suffixesOf, type Suffix } from '../tracker/resize-strategy.ts';
import { formatLeaf } from '../units/quantity.ts';
import { UsageError } from '../units/usage-error.ts';
import { textOf, type Command } from './command.ts';
import { textTable } from './text-table.ts';

function trackersAsText(): string {
  return TRACKERS.map(({ name, claims, about, claim, leafSizes, format }) =>
    [
      `${name}  (claims: ${claims})`,
      `    ${about}`,
      `    ${claim}`,
      ...(leafSizes ? [`    leaves: ${leafSizes.map(formatLeaf).join(', ')}`] : []),
      ...(format ? [`    suffixes: ${suffixesOf(format).map(written).join(', ')}`] : []),
      '',
    ].join('\n'),
  ).join('\n');
}

function written({ name }: Suffix): string {
  return `+${name}`;
}

/** Every suffix once, in the order of the formats that have it. */
function suffixesAsText(): string {
  const all = TRACKERS.flatMap(({ format }) => (format ? suffixesOf(format) : []));
  const each = [...new Map(all.map((suffix) => [suffix.name, suffix])).values()];
  return [
    'Suffixes make the leaves of an iommu: tracker smaller while devices go on, which gives the precision of 4 KiB under the',
    'leaf that --leaf names: +split=eager or +split=lazy, and any of the others (iommu:armv8-s1+bbm+split=eager+merge).',
    'Without a policy the first one of the format holds.',
    '',
    textTable(each.map((suffix) => [`    ${written(suffix)}`, suffix.about])),
  ].join('\n');
}

/** QEMU's trackers, which are one of the others by a rule. */
function qemuAsText(): string {
  return [
    'qemu:CONTAINER  (compared where it is named only; qemu alone is qemu:amdv1)',
    "    what QEMU uses for a set of devices (`compare --devices 3xlog,1xnolog`): the devices' own logs (tracker device) if",
    '    every one of them has one, else what the container offers for all of them',
    textTable(QEMU_TRACKERS.map(({ name, about }) => [`    ${name}`, about])),
    '',
  ].join('\n');
}

function asText(): string {
  return `${trackersAsText()}\n${qemuAsText()}\n${suffixesAsText()}`;
}

function asJson(): string {
  const list = TRACKERS.map(({ name, claims, about, claim, leafSizes, format }) => ({
    name,
    claims,
    about,
    claim,
    leafSizes: leafSizes ?? [],
    suffixes: format ? suffixesOf(format).map(written) : [],
  }));
  const byName = QEMU_TRACKERS.map(({ name, about, leafSizes }) => ({
    name,
    claims: 'sound' as const,
    about: `what QEMU uses where the container is ${about}`,
    claim: 'sound: as the tracker that it comes down to',
    leafSizes: leafSizes ?? [],
    suffixes: [],
  }));
  return `${JSON.stringify([...list, ...byName], null, 2)}\n`;
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
