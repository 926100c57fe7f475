import { UsageError } from '../units/usage-error.ts';
import { textOf, type Command } from './command.ts';
import { costModelOf } from './cost-file.ts';
import { textTable } from './text-table.ts';

/** `wasm-iommu cost`: the cost model with its sources. */
export const COST: Command<'cost' | 'format'> = {
  name: 'cost',
  summary: 'print the cost model: every price with its unit and source',
  operands: '',
  maxOperands: 0,
  about:
    'Prints the prices by which `compare` models what tracking costs. They are modelled, never measured by the comparison; each ' +
    'says where it comes from. A JSON file with other prices, for example {"iotlbMiss": 250} or {"iotlbMiss": {"value": ' +
    '250, "source": "my measurement"}}, is given with --cost, here to look at and to `compare` to use.',
  options: {
    cost: { value: 'FILE', help: 'JSON with prices that replace those of the model' },
    format: { value: 'text|json', help: 'default text' },
  },
  examples: [],
  async run(values) {
    const format = textOf(values.format) ?? 'text';
    if (format !== 'text' && format !== 'json') throw new UsageError(`--format: '${format}'; it is text or json`);
    const model = await costModelOf(textOf(values.cost));
    if (format === 'json') return `${JSON.stringify(model.toResult(), null, 2)}\n`;
    const rows = model.parameters().map(({ name, value, unit, meaning }) => [name, String(value), unit, meaning]);
    const sources = model.parameters().map(({ name, source }) => [name, source]);
    return `${textTable([['price', 'value', 'unit', 'for'], ...rows])}\n${textTable([['price', 'source'], ...sources])}`;
  },
};
