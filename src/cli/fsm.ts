import { UsageError } from '../units/usage-error.ts';
import { hasState, STATE_NAMES, STATES, type DeviceState } from '../vfio/device-state.ts';
import { driverArcs, sessionOn, type DriverArc } from '../vfio/driver-arcs.ts';
import { stepTowards } from '../vfio/next-state.ts';
import { statePath } from '../vfio/state-path.ts';
import { textOf, type Command } from './command.ts';
import { fsmDot, fsmMermaid, type FsmPath } from './fsm-graph.ts';
import { textTable } from './text-table.ts';

type OptionName = 'flags' | 'format';

const FLAGS: Readonly<Record<string, number>> = { 'stop-copy': 1, p2p: 2, 'pre-copy': 4 };
const FLAG_NAMES = Object.keys(FLAGS);

function parseFlags(text: string): number {
  if (/^\d+$/.test(text)) {
    const flags = Number(text);
    if (flags <= 7 && flags & 1) return flags;
    throw new UsageError(
      `--flags: ${text}; as a number it is 1, 3, 5 or 7: STOP_COPY 1, which is mandatory, P2P 2, PRE_COPY 4`,
    );
  }
  const words = text.split(',').map((word) => word.trim().toLowerCase().replaceAll('_', '-'));
  for (const word of words) {
    if (!FLAG_NAMES.includes(word))
      throw new UsageError(`--flags: there is no '${word}'; there are ${FLAG_NAMES.join(', ')}`);
  }
  const flags = words.reduce((sum, word) => sum | FLAGS[word], 0);
  if (flags & 1) return flags;
  throw new UsageError(`--flags: '${text}' has no stop-copy, which every device that migrates has`);
}

function parseState(text: string, what: string): DeviceState {
  const name = text.trim().toUpperCase().replaceAll('-', '_');
  const state = STATES.find((each) => STATE_NAMES[each] === name || String(each) === name);
  if (state !== undefined) return state;
  throw new UsageError(
    `${what}: there is no state '${text}'; there are ${STATE_NAMES.map((each, i) => `${each} ${i}`).join(', ')}`,
  );
}

function pathOf(from: DeviceState, to: DeviceState, flags: number): FsmPath {
  const arcs = driverArcs(flags);
  let at = from;
  const passed = statePath(from, to, flags).map((next) => {
    const arc = arcs.find((each) => each.from === at && each.to === next)!;
    at = next;
    return arc;
  });
  return { from, to, arcs: passed };
}

function flagNames(flags: number): string[] {
  return FLAG_NAMES.filter((name) => flags & FLAGS[name]).map((name) => name.toUpperCase().replaceAll('-', '_'));
}

function arcName({ from, to }: DriverArc): string {
  return `${STATE_NAMES[from]} -> ${STATE_NAMES[to]}`;
}

const STREAM = { opens: 'a data stream begins', stays: 'the data stream goes on', ends: 'the data stream ends' };

function arcRows(arcs: readonly DriverArc[], number: boolean): string {
  return textTable(
    arcs.map((arc, i) => {
      const session = sessionOn(arc);
      return [`  ${number ? `${i + 1}. ` : ''}${arcName(arc)}`, arc.what, session ? STREAM[session] : ''];
    }),
  );
}

function nextTable(flags: number): string {
  const states = STATES.filter((state) => hasState(flags, state));
  const cell = (from: DeviceState, to: DeviceState) => {
    const next = stepTowards(from, to, flags);
    return next === undefined ? 'EINVAL' : next === from ? '.' : STATE_NAMES[next];
  };
  return textTable([
    ['  from \\ to', ...states.map((to) => STATE_NAMES[to])],
    ...states.map((from) => [`  ${STATE_NAMES[from]}`, ...states.map((to) => cell(from, to))]),
  ]);
}

function pathText({ from, to, arcs }: FsmPath): string {
  const way = `${STATE_NAMES[from]} to ${STATE_NAMES[to]}`;
  if (arcs.length === 0) return `${way}: nothing to do\n`;
  const opens = sessionOn(arcs[arcs.length - 1]) === 'opens';
  const end = opens ? 'The request returns the new data stream.' : 'The request returns no new data stream.';
  return `${way}: ${arcs.length} ${arcs.length === 1 ? 'arc' : 'arcs'}\n${arcRows(arcs, true)}${end}\n`;
}

function fsmText(flags: number, path: FsmPath | undefined): string {
  const head = `Flags: ${flagNames(flags).join(' + ')} (${flags})\n\n`;
  if (path) return `${head}${pathText(path)}`;
  return [
    head,
    'The next state on the way; . is there, and nothing to do:\n',
    nextTable(flags),
    '\nThe arcs that the driver performs:\n',
    arcRows(driverArcs(flags), false),
    '\nFrom ERROR, which the driver enters where it cannot do otherwise, only a reset leads on, to RUNNING.\n',
  ].join('');
}

function fsmJson(flags: number, path: FsmPath | undefined): string {
  const states = STATES.filter((state) => hasState(flags, state));
  const pairs = states.flatMap((from) => states.map((to) => ({ from, to, next: stepTowards(from, to, flags) })));
  const names = ({ from, to }: { from: DeviceState; to: DeviceState }) => ({
    from: STATE_NAMES[from],
    to: STATE_NAMES[to],
  });
  const arcJson = (arc: DriverArc) => ({
    ...names(arc),
    hook: arc.hook,
    what: arc.what,
    stream: sessionOn(arc) ?? 'none',
  });
  const result = {
    flags,
    flagNames: flagNames(flags),
    states: states.map((state) => ({ name: STATE_NAMES[state], number: state })),
    next: pairs.flatMap((pair) => (pair.next === undefined ? [] : [{ ...names(pair), next: STATE_NAMES[pair.next] }])),
    refused: pairs.filter(({ next }) => next === undefined).map(names),
    arcs: driverArcs(flags).map(arcJson),
    ...(path && { path: { ...names(path), arcs: path.arcs.map(arcJson) } }),
  };
  return `${JSON.stringify(result, null, 2)}\n`;
}

const WRITERS: Readonly<Record<string, (flags: number, path: FsmPath | undefined) => string>> = {
  text: fsmText,
  json: fsmJson,
  dot: (flags, path) => fsmDot(driverArcs(flags), path),
  mermaid: (flags, path) => fsmMermaid(driverArcs(flags), path),
};

/** `wasm-iommu fsm`: the migration state machine of a VFIO device. */
export const FSM: Command<OptionName> = {
  name: 'fsm',
  summary: 'show the migration state machine of a VFIO device, or the way between two states',
  operands: '[FROM TO]',
  maxOperands: 2,
  about:
    'Shows the states through which a VFIO device migrates (MIG_DEVICE_STATE): for each state that it is in and each that it ' +
    'is asked for the one that comes next, and the arcs that its driver performs, with what becomes of the data stream. A ' +
    'request may lead over several arcs; with FROM and TO it shows those. If one fails, the device stays in the last state ' +
    `reached. States are ${STATE_NAMES.slice(1).join(', ')}; small letters, - for _ and numbers do as well.`,
  options: {
    flags: {
      value: 'LIST',
      help:
        'what the device can do: stop-copy (always), p2p (a state without peer-to-peer DMA of its own), pre-copy (state ' +
        'ahead of time), separated by commas; or their sum 1, 3, 5, 7. Default: all',
    },
    format: {
      value: 'text|json|dot|mermaid',
      help: 'default text; dot and mermaid draw it, the way between FROM and TO in bold',
    },
  },
  examples: [
    ['wasm-iommu fsm', 'the machine of a device that can do everything'],
    ['wasm-iommu fsm running stop-copy', 'how such a device is stopped and saved: over RUNNING_P2P and STOP'],
    ['wasm-iommu fsm pre-copy stop-copy --flags stop-copy,pre-copy', 'one step, without P2P'],
    ['wasm-iommu fsm running stop --format dot | dot -Tsvg', 'drawn by Graphviz'],
  ],
  async run(values, [from, to]) {
    const format = textOf(values.format) ?? 'text';
    const formats = Object.keys(WRITERS);
    if (!formats.includes(format)) throw new UsageError(`--format: '${format}'; it is ${formats.join(', ')}`);
    const write = WRITERS[format];
    const flags = parseFlags(textOf(values.flags) ?? '7');
    if (from === undefined) return write(flags, undefined);
    if (to === undefined) throw new UsageError(`TO is missing: the state to which a device in ${from} is to go`);
    return write(flags, pathOf(parseState(from, 'FROM'), parseState(to, 'TO'), flags));
  },
};
