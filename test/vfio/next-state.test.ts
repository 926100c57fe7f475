import { describe, expect, it } from 'vitest';
import { driverArcs, sessionOn } from '../../src/vfio/driver-arcs.ts';
import { nextState } from '../../src/vfio/next-state.ts';
import { statePath } from '../../src/vfio/state-path.ts';
import { codeOf } from '../core/builds.ts';
import { ABBREVIATIONS, ARCS, FLAG_SETS, NEXT_STATES, PUBLISHED_PATHS } from './published.ts';

/** The next state as a digit, `x` for EINVAL. */
function shown(from: number, to: number, flags: number): string {
  try {
    return String(nextState(from, to, flags));
  } catch (error) {
    expect(error).toMatchObject({ name: 'IommuError', code: 'EINVAL', errno: 22, op: 'nextState' });
    return 'x';
  }
}

const EIGHT = [0, 1, 2, 3, 4, 5, 6, 7];
const NO_STATES = [8, 9, 0xabcd, 2 ** 32 - 1, -1, 1.5, NaN];

describe('next state', () => {
  it.each(EIGHT)('is the published one for every pair with flags %i', (flags) => {
    const rows = EIGHT.map((from) => EIGHT.map((to) => shown(from, to, flags)).join(' '));
    expect(rows).toEqual(EIGHT.map((from) => NEXT_STATES[flags]?.[from] ?? 'x x x x x x x x'));
  });

  it('refuses numbers that are no states, and flags that are none', () => {
    const outside = EIGHT.flatMap((flags) =>
      NO_STATES.flatMap((state) => EIGHT.flatMap((other) => [shown(state, other, flags), shown(other, state, flags)])),
    );
    expect(new Set(outside)).toEqual(new Set(['x']));
    expect(outside).toHaveLength(8 * 7 * 8 * 2);
    expect([8, -1, 1.5, NaN].map((flags) => shown(1, 2, flags))).toEqual(['x', 'x', 'x', 'x']);
  });

  it('says what is wrong and what there is', () => {
    const messages: [() => unknown, RegExp][] = [
      [
        () => nextState(2, 9, 1),
        /to is 9, which the device does not have; there are STOP 1, RUNNING 2, STOP_COPY 3, RES/,
      ],
      [() => nextState(2, 6, 3), /to is 6 \(PRE_COPY\), which the device does not have/],
      [() => nextState(2, 1, 2), /without the flag STOP_COPY there is none/],
      [() => nextState(0, 2, 7), /from is 0 \(ERROR\); only a reset leads out of it/],
      [() => nextState(3, 6, 7), /STOP_COPY to PRE_COPY is refused; go to STOP first/],
      [() => nextState(1, 2, 8), /flags is 8; it must be a sum of STOP_COPY 1, P2P 2 and PRE_COPY 4/],
    ];
    for (const [call, message] of messages) expect(call).toThrow(message);
  });
});

describe('state path', () => {
  it('is the published one for every pair of states that a device has', () => {
    const paths = PUBLISHED_PATHS.map(({ flags, from, to }) => {
      const found: { path?: number[] } = {};
      const code = codeOf(() => (found.path = statePath(from, to, flags)));
      return { flags, from, to, path: code === 'EINVAL' ? undefined : found.path };
    });
    expect(paths).toEqual(PUBLISHED_PATHS.map(({ flags, from, to, path }) => ({ flags, from, to, path })));
    expect(paths).toHaveLength(16 + 25 + 25 + 49);
  });

  it('has as many steps at most, and as many requests of several, as published', () => {
    const figures = FLAG_SETS.map((flags) => {
      const lengths = PUBLISHED_PATHS.filter((each) => each.flags === flags && each.path).map(
        ({ from, to }) => statePath(from, to, flags).length,
      );
      return [Math.max(...lengths), lengths.filter((length) => length > 1).length];
    });
    expect(figures).toEqual([
      [2, 6],
      [3, 12],
      [3, 10],
      [4, 25],
    ]);
  });

  it('refuses ERROR at either end', () => {
    expect([
      codeOf(() => statePath(0, 0, 7)),
      codeOf(() => statePath(0, 2, 7)),
      codeOf(() => statePath(2, 0, 7)),
    ]).toEqual(['EINVAL', 'EINVAL', 'EINVAL']);
  });
});

describe('driver arcs', () => {
  it.each(EIGHT)('are the published ones with flags %i', (flags) => {
    const arcs = driverArcs(flags).map(({ from, to }) => `${ABBREVIATIONS[from]}>${ABBREVIATIONS[to]}`);
    expect(new Set(arcs)).toEqual(new Set(ARCS[flags]?.split(' ') ?? []));
    expect(arcs).toHaveLength(new Set(arcs).size);
  });

  it('have a hook each, named after their states', () => {
    const hooks = [...new Set([...driverArcs(1), ...driverArcs(5), ...driverArcs(7)].map(({ hook }) => hook))];
    expect(hooks).toHaveLength(18);
    const words = ['error', 'stop', 'running', 'stopCopy', 'resuming', 'runningP2p', 'preCopy', 'preCopyP2p'];
    const named = driverArcs(7).map(
      ({ from, to }) => `${words[from]}To${words[to][0].toUpperCase()}${words[to].slice(1)}`,
    );
    expect(driverArcs(7).map(({ hook }) => hook)).toEqual(named);
  });

  it('open a session on four arcs, keep it on four, and end it on four', () => {
    const on = (what: string) =>
      driverArcs(7)
        .concat(driverArcs(5).filter(({ from, to }) => from === 6 && to === 3))
        .filter((arc) => sessionOn(arc) === what)
        .map(({ from, to }) => `${ABBREVIATIONS[from]}>${ABBREVIATIONS[to]}`)
        .sort();
    expect(on('opens')).toEqual(['RP2P>PCP2P', 'RUN>PC', 'STOP>RES', 'STOP>SC']);
    expect(on('stays')).toEqual(['PC>PCP2P', 'PC>SC', 'PCP2P>PC', 'PCP2P>SC']);
    expect(on('ends')).toEqual(['PC>RUN', 'PCP2P>RP2P', 'RES>STOP', 'SC>STOP']);
  });
});
