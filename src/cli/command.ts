import { parseArgs } from 'node:util';
import { UsageError } from '../units/usage-error.ts';

/** An option of a command: one entry for parsing and for `--help`. */
export interface Option {
  /** What its value is called in the help; without it the option is a switch. */
  readonly value?: string;
  readonly help: string;
}

/** A command of the command line. */
export interface Command<Name extends string = string> {
  readonly name: string;
  /** One line, for the list of commands. */
  readonly summary: string;
  /** What stands behind the options, for example `[TRACE]`; empty for nothing. */
  readonly operands: string;
  /** How many operands there may be. */
  readonly maxOperands: number;
  readonly about: string;
  readonly options: Readonly<Record<Name, Option>>;
  readonly examples: readonly (readonly [command: string, what: string])[];
  /** Runs it; what it returns goes to standard output. */
  run(values: Values<Name>, operands: readonly string[]): Promise<string>;
}

/** Options as given: the text of those with a value, true for switches. */
export type Values<Name extends string> = { readonly [name in Name]?: string | boolean | undefined };

/** The text of an option with a value, if it was given. */
export function textOf(value: string | boolean | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** Splits arguments into options and operands. UsageError for what the command does not know. */
export function parse(command: Command, args: readonly string[]): { values: Values<string>; operands: string[] } {
  const options: Record<string, { type: 'string' | 'boolean' }> = { help: { type: 'boolean' } };
  for (const [name, option] of Object.entries(command.options)) {
    options[name] = { type: option.value === undefined ? 'boolean' : 'string' };
  }
  let parsed;
  try {
    parsed = parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    // Node's own sentences, without its advice on how to pass a dash.
    throw new UsageError((error as Error).message.split('. To specify')[0]);
  }
  if (parsed.positionals.length > command.maxOperands) {
    throw new UsageError(`unexpected argument '${parsed.positionals[command.maxOperands]}'`);
  }
  return { values: parsed.values as Values<string>, operands: parsed.positionals };
}

function wrap(text: string, indent: number): string {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines[lines.length - 1];
    if (line !== '' && indent + line.length + 1 + word.length > 100) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return lines.join(`\n${' '.repeat(indent)}`);
}

/** What `--help` of a command prints. */
export function helpOf(command: Command): string {
  const rows = Object.entries({ ...command.options, help: { help: 'print this' } as Option }).map(
    ([name, option]) => [`--${name}${option.value === undefined ? '' : ` ${option.value}`}`, option.help] as const,
  );
  const width = Math.max(...rows.map(([left]) => left.length)) + 4;
  const examples = command.examples.map(([line, what]) => `  ${line}\n      ${what}`);
  return [
    `Usage: wasm-iommu ${command.name} [options] ${command.operands}`.trimEnd(),
    '',
    wrap(command.about, 0),
    '',
    'Options:',
    ...rows.map(([left, right]) => `  ${left.padEnd(width - 2)}${wrap(right, width)}`),
    ...(examples.length === 0 ? [] : ['', 'Examples:', ...examples]),
    '',
  ].join('\n');
}
