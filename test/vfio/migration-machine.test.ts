import { describe, expect, it } from 'vitest';
import { runWhole } from '../../src/schedule/step.ts';
import { DRIVER_ARCS, sessionOn } from '../../src/vfio/driver-arcs.ts';
import { MigrationMachine } from '../../src/vfio/migration-machine.ts';
import { codeOf } from '../core/builds.ts';
import { FakeDriver, type FakeOptions } from './fake-driver.ts';
import { PUBLISHED_PATHS } from './published.ts';

const RUNNING = 2;

/** A machine in state `at`, its driver's record empty. */
function machineAt(at: number, options: FakeOptions = {}): { machine: MigrationMachine; fake: FakeDriver } {
  const fake = new FakeDriver(options);
  const machine = new MigrationMachine(fake.driver);
  machine.set(at);
  fake.calls.length = 0;
  fake.armed = true;
  return { machine, fake };
}

function hooksOf(from: number, path: readonly number[]): string[] {
  return path.map((to, i) => DRIVER_ARCS.find((arc) => arc.from === (path[i - 1] ?? from) && arc.to === to)!.hook);
}

const ALLOWED = PUBLISHED_PATHS.filter(({ path }) => path !== undefined);

describe('migration machine', () => {
  it('performs the arcs of the path, in their order, and returns a stream where the last one opens it', () => {
    const met = ALLOWED.map(({ flags, from, to }) => {
      const { machine, fake } = machineAt(from, { flags });
      const stream = machine.set(to);
      return { calls: fake.calls, state: machine.state, opens: stream !== undefined };
    });
    expect(met).toEqual(
      ALLOWED.map(({ from, to, path, opens }) => ({ calls: hooksOf(from, path!), state: to, opens })),
    );
  });

  it('refuses the rest with nothing performed', () => {
    for (const { flags, from, to } of PUBLISHED_PATHS.filter(({ path }) => path === undefined)) {
      const { machine, fake } = machineAt(from, { flags });
      expect([codeOf(() => machine.set(to)), machine.state, fake.calls]).toEqual(['EINVAL', from, []]);
    }
    for (const to of [0, 8, 9, 0xabcd, 2 ** 32 - 1]) {
      const { machine, fake } = machineAt(RUNNING);
      expect([codeOf(() => machine.set(to)), machine.state, fake.calls]).toEqual(['EINVAL', RUNNING, []]);
    }
  });

  it('stays in the last state reached where step k of a path fails, with its errno, and can go back to RUNNING', () => {
    const codes = ['EIO', 'EBUSY', 'ENOMEM', 'EINVAL'] as const;
    let cases = 0;
    for (const { flags, from, to, path } of ALLOWED) {
      for (let k = 0; k < path!.length; k++) {
        const code = codes[cases++ % codes.length];
        const { machine, fake } = machineAt(from, { flags, failAt: k, code });
        const before = machine.session;
        const reached = [from, ...path!][k];
        expect([codeOf(() => machine.set(to)), machine.state]).toEqual([code, reached]);
        expect(fake.calls).toEqual(hooksOf(from, path!).slice(0, k));
        const ended = [from, ...path!.slice(0, k)].some(
          (state, i, all) => i > 0 && sessionOn({ from: all[i - 1] as 1, to: state as 1 }) === 'ends',
        );
        expect(machine.session).toBe(ended ? undefined : before);
        expect(before?.enabled).toBe(before && !ended);
        machine.set(RUNNING);
        expect([machine.state, machine.session]).toEqual([RUNNING, undefined]);
      }
    }
    expect(cases).toBe(ALLOWED.reduce((sum, { path }) => sum + path!.length, 0));
    expect(cases).toBe(18 + 36 + 31 + 77);
  });

  it('is in ERROR where the driver says so, and leaves it by reset only', () => {
    for (const { flags, from, to, path } of ALLOWED) {
      for (let k = 0; k < path!.length; k++) {
        const { machine, fake } = machineAt(from, { flags, failAt: k, breaks: true });
        const before = machine.session;
        expect([codeOf(() => machine.set(to)), machine.state]).toEqual(['EIO', 0]);
        expect([machine.session, before?.enabled ?? false]).toEqual([undefined, false]);
        fake.calls.length = 0;
        expect([1, 2, 3, 4, 5, 6, 7, 8].map((state) => codeOf(() => machine.set(state)))).toEqual(
          Array(8).fill('EINVAL'),
        );
        expect([machine.set(0), machine.state, fake.calls]).toEqual([undefined, 0, []]);
        machine.reset();
        expect([machine.state, fake.calls]).toEqual([RUNNING, ['reset']]);
      }
    }
  });

  it('resets to RUNNING from every state, and ends the session; a reset that fails changes nothing', () => {
    for (const state of [1, 2, 3, 4, 5, 6, 7]) {
      const { machine, fake } = machineAt(state);
      const { session } = machine;
      fake.resetFails = true;
      expect([codeOf(() => machine.reset()), machine.state, machine.session]).toEqual(['EIO', state, session]);
      expect(session?.enabled).toBe(session && true);
      fake.resetFails = false;
      machine.reset();
      expect([machine.state, machine.session, session?.enabled ?? false]).toEqual([RUNNING, undefined, false]);
    }
  });

  it('has one session at most, which goes on through the saving states', () => {
    const { machine } = machineAt(RUNNING);
    const stream = machine.set(6)!;
    for (const to of [7, 6, 7, 3]) {
      expect([machine.set(to), machine.session === stream, stream.enabled]).toEqual([undefined, true, true]);
    }
    expect(machine.set(1)).toBeUndefined();
    expect([machine.session, stream.enabled]).toEqual([undefined, false]);
    const second = machine.set(3)!;
    expect([second === stream, second.enabled, stream.enabled]).toEqual([false, true, false]);
  });

  it('takes only a driver that could be registered', () => {
    for (const flags of [0, 2, 4, 6, 8, -1]) {
      expect(() => new MigrationMachine(new FakeDriver({ flags }).driver)).toThrow(/flags.*EINVAL/);
    }
    const without = (flags: number, hook: string) => () => {
      const { driver } = new FakeDriver({ flags });
      (driver as unknown as Record<string, unknown>)[hook] = undefined;
      return new MigrationMachine(driver);
    };
    for (const hook of ['stopToStopCopy', 'stopToResuming', 'runningToPreCopy', 'runningP2pToPreCopyP2p']) {
      expect(without(7, hook)).toThrow(new RegExp(`no ${hook}\\(\\).*EINVAL`));
    }
    for (const hook of ['runningToPreCopy', 'runningP2pToPreCopyP2p', 'stopCopyToStop']) without(1, hook)();
    expect(without(3, 'runningP2pToPreCopyP2p')).not.toThrow();
  });

  it('needs no method for an arc that needs nothing done, and blames a driver without the stream', () => {
    const stream = { read: () => 0 };
    const machine = new MigrationMachine({
      flags: 7,
      stopToStopCopy: () => stream,
      stopToResuming: () => stream as never,
      runningToPreCopy: () => stream,
      runningP2pToPreCopyP2p: () => stream,
      dataSize: () => 5n,
      reset: () => undefined,
    });
    expect([machine.set(6)?.direction, machine.set(1), machine.dataSize]).toEqual(['read', undefined, 5n]);
    expect(() => machine.set(4)).toThrow('stopToResuming() returned no stream to write');
    expect(machine.state).toBe(1);
  });
});

describe('migration machine, step by step', () => {
  it('yields one step per arc and those of the driver', () => {
    const { machine } = machineAt(RUNNING, { steps: true });
    const steps = machine.setSteps(3);
    const seen: string[] = [];
    let next = steps.next();
    for (; !next.done; next = steps.next()) seen.push(`${next.value.what} @ ${machine.state}`);
    expect(seen).toEqual([
      'RUNNING -> RUNNING_P2P @ 2',
      'inside runningToRunningP2p @ 2',
      'RUNNING_P2P -> STOP @ 5',
      'inside runningP2pToStop @ 5',
      'STOP -> STOP_COPY @ 1',
      'inside stopToStopCopy @ 1',
    ]);
    expect([next.value, machine.state]).toEqual([machine.session, 3]);
  });

  it('has a second request wait for the first', () => {
    const { machine } = machineAt(RUNNING);
    const first = machine.setSteps(1);
    const second = machine.setSteps(4);
    first.next();
    const waits = second.next();
    expect([waits.value, (waits.value as { ready(): boolean }).ready()]).toMatchObject([
      { what: 'state mutex' },
      false,
    ]);
    runWhole(first);
    expect((waits.value as { ready(): boolean }).ready()).toBe(true);
    runWhole(second);
    expect(machine.state).toBe(4);
  });

  it('puts a reset off until the request under way is over', () => {
    const { machine, fake } = machineAt(RUNNING);
    const steps = machine.setSteps(3);
    steps.next();
    machine.reset();
    expect(fake.calls).toEqual([]);
    const stream = runWhole(steps);
    expect(fake.calls).toEqual(['runningToRunningP2p', 'runningP2pToStop', 'stopToStopCopy', 'reset']);
    expect([machine.state, stream?.enabled]).toEqual([RUNNING, false]);
  });

  it('is free again after a request that was given up', () => {
    const { machine } = machineAt(RUNNING);
    const steps = machine.setSteps(3);
    steps.next();
    steps.next();
    steps.return(undefined);
    machine.set(1);
    expect(machine.state).toBe(1);
  });
});
