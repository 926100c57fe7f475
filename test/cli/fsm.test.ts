import { describe, expect, it } from 'vitest';
import { helpOf, parse } from '../../src/cli/command.ts';
import { FSM } from '../../src/cli/fsm.ts';
import { FLAG_SETS, NEXT_STATES, PUBLISHED_PATHS } from '../vfio/published.ts';
import { cli } from './run-cli.ts';

/** What the command prints, run in this process. */
async function printed(...args: string[]): Promise<string> {
  const { values, operands } = parse(FSM, args);
  return FSM.run(values, operands);
}

const NAMES = 'ERROR STOP RUNNING STOP_COPY RESUMING RUNNING_P2P PRE_COPY PRE_COPY_P2P'.split(' ');

interface FsmJson {
  readonly flags: number;
  readonly flagNames: readonly string[];
  readonly states: readonly { name: string; number: number }[];
  readonly next: readonly { from: string; to: string; next: string }[];
  readonly refused: readonly { from: string; to: string }[];
  readonly arcs: readonly { from: string; to: string; hook: string; what: string; stream: string }[];
  readonly path?: { from: string; to: string; arcs: FsmJson['arcs'] };
}

async function json(...args: string[]): Promise<FsmJson> {
  return JSON.parse(await printed(...args, '--format', 'json')) as FsmJson;
}

describe('fsm', () => {
  it('prints the table of next states and the arcs of the driver', async () => {
    expect(await printed('--flags', 'stop-copy')).toBe(
      [
        'Flags: STOP_COPY (1)',
        '',
        'The next state on the way; . is there, and nothing to do:',
        '  from \\ to  STOP  RUNNING  STOP_COPY  RESUMING',
        '  STOP       .     RUNNING  STOP_COPY  RESUMING',
        '  RUNNING    STOP  .        STOP       STOP',
        '  STOP_COPY  STOP  STOP     .          STOP',
        '  RESUMING   STOP  STOP     STOP       .',
        '',
        'The arcs that the driver performs:',
        '  STOP -> RUNNING    let it run',
        '  STOP -> STOP_COPY  offer the whole state                   a data stream begins',
        '  STOP -> RESUMING   take a state in                         a data stream begins',
        '  RUNNING -> STOP    finish all DMA, freeze',
        '  STOP_COPY -> STOP  withdraw the state offered              the data stream ends',
        '  RESUMING -> STOP   check the state taken in, and adopt it  the data stream ends',
        '',
        'From ERROR, which the driver enters where it cannot do otherwise, only a reset leads on, to RUNNING.',
        '',
      ].join('\n'),
    );
  });

  it('prints the way between two states, whether a stream is returned, and where there is nothing to do', async () => {
    expect(await printed('running', 'stop-copy')).toBe(
      [
        'Flags: STOP_COPY + P2P + PRE_COPY (7)',
        '',
        'RUNNING to STOP_COPY: 3 arcs',
        '  1. RUNNING -> RUNNING_P2P  begin no more peer-to-peer DMA, finish what is under way',
        '  2. RUNNING_P2P -> STOP     finish all DMA, freeze',
        '  3. STOP -> STOP_COPY       offer the whole state                                     a data stream begins',
        'The request returns the new data stream.',
        '',
      ].join('\n'),
    );
    expect(await printed('PRE_COPY', '3', '--flags', 'pre-copy,stop-copy')).toMatch(
      /STOP_COPY \+ PRE_COPY \(5\)\n\nPRE_COPY to STOP_COPY: 1 arc\n.*the data stream goes on\n.*returns no new data stream/,
    );
    expect(await printed('2', 'running')).toMatch(/RUNNING to RUNNING: nothing to do\n$/);
  });

  it.each(FLAG_SETS)('gives as JSON the published tables and paths with flags %i', async (flags) => {
    const found = await json('--flags', String(flags));
    const states = Object.keys(NEXT_STATES[flags]).map(Number);
    expect([found.flags, found.states.map(({ number }) => number)]).toEqual([flags, states]);
    const cells = states.flatMap((from) =>
      NEXT_STATES[flags][from]
        .split(' ')
        .flatMap((next, to) =>
          states.includes(to)
            ? [{ from: NAMES[from], to: NAMES[to], next: next === 'x' ? undefined : NAMES[Number(next)] }]
            : [],
        ),
    );
    expect(found.next).toEqual(cells.filter(({ next }) => next));
    expect(found.refused).toEqual(cells.filter(({ next }) => !next).map(({ from, to }) => ({ from, to })));
    for (const { from, to, path, opens } of PUBLISHED_PATHS.filter((each) => each.flags === flags && each.path)) {
      const { path: way } = await json(String(from), String(to), '--flags', String(flags));
      expect(way!.arcs.map((arc) => arc.to)).toEqual(path!.map((state) => NAMES[state]));
      expect(way!.arcs.at(-1)?.stream === 'opens').toBe(opens);
    }
  });

  it('draws every arc, for Graphviz and for Mermaid, and the way in bold', async () => {
    const { arcs } = await json();
    const dot = await printed('running', 'stop_copy', '--format', 'dot');
    expect([...dot.matchAll(/^ {2}(\w+) -> (\w+) /gm)].map(([, from, to]) => ({ from, to }))).toEqual([
      ...arcs.map(({ from, to }) => ({ from, to })),
      { from: 'ERROR', to: 'RUNNING' },
    ]);
    expect(dot.match(/ -> .*penwidth=3/g)).toHaveLength(3);
    expect(dot).toMatch(/^digraph migration \{\n[^]*\n\}\n$/);
    expect(dot).toContain('STOP -> STOP_COPY [label="3. stream begins", penwidth=3];');
    const mermaid = await printed('running', 'stop_copy', '--format', 'mermaid');
    expect([...mermaid.matchAll(/^ {2}(\w+) --> (\w+)/gm)].map(([, from, to]) => ({ from, to }))).toEqual([
      ...arcs.map(({ from, to }) => ({ from, to })),
      { from: 'ERROR', to: 'RUNNING' },
    ]);
    expect(mermaid).toMatch(/^stateDiagram-v2\n {2}\[\*\] --> RUNNING\n/);
    expect(mermaid).toContain('  class RUNNING, RUNNING_P2P, STOP, STOP_COPY path\n');
    expect(await printed('--format', 'dot')).not.toContain('penwidth');
    expect(await printed('--format', 'mermaid')).not.toContain('class');
  });

  it('says what does not fit', async () => {
    const cases: [string[], RegExp][] = [
      [['--format', 'svg'], /--format: 'svg'; it is text, json, dot, mermaid/],
      [['--format', 'toString'], /it is text, json, dot, mermaid/],
      [['--flags', '2'], /--flags: 2; as a number it is 1, 3, 5 or 7/],
      [['--flags', '9'], /--flags: 9/],
      [['--flags', 'p2p'], /'p2p' has no stop-copy/],
      [['--flags', 'stop-copy,fast'], /there is no 'fast'; there are stop-copy, p2p, pre-copy/],
      [['--flags', 'constructor'], /there is no 'constructor'/],
      [['running'], /TO is missing: the state to which a device in running is to go/],
      [['running', 'walking'], /TO: there is no state 'walking'; there are ERROR 0, STOP 1/],
      [['9', 'stop'], /FROM: there is no state '9'/],
      [['stop', 'pre-copy', '--flags', '3'], /to is 6 \(PRE_COPY\), which the device does not have.*EINVAL/],
      [['stop-copy', 'pre-copy'], /STOP_COPY to PRE_COPY is refused; go to STOP first \(EINVAL\)/],
      [['error', 'running'], /only a reset leads out of it/],
      [['running', 'error'], /to is 0 \(ERROR\)/],
    ];
    for (const [args, message] of cases) await expect(printed(...args)).rejects.toThrow(message);
  });

  it('teaches with --help, and ends with 2 where something does not fit', () => {
    expect(helpOf(FSM)).toMatch(/Usage: wasm-iommu fsm \[options\] \[FROM TO\]/);
    const { code, out, err } = cli('fsm', 'stop-copy', 'pre-copy');
    expect([code, out]).toEqual([2, '']);
    expect(err).toMatch(/^wasm-iommu fsm: .*refused.*\nTry 'wasm-iommu fsm --help'\.\n$/);
    expect(cli('fsm', '--flags', '2').code).toBe(2);
    expect(cli('fsm', 'running', 'stop').out).toMatch(/RUNNING to STOP: 2 arcs/);
  });
});
