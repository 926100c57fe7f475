import { describe, expect, it } from 'vitest';
import { ClassicRounds } from '../../src/migration/classic-rounds.ts';
import { LocalState, STATE_PAGE_BYTES } from '../../src/migration/local-state.ts';
import { MigratedDevices, type StateSize } from '../../src/migration/migrated-devices.ts';
import { Oracle } from '../../src/oracle/oracle.ts';
import { FIRST_READ_OP } from '../../src/workload/recording.ts';
import { VfioDevice } from '../../src/vfio/device.ts';
import { DeviceState } from '../../src/vfio/device-state.ts';
import { PLACES, Site, codeOf } from '../core/builds.ts';
import { busyGuest } from '../vfio/migrating.ts';
import { drive, write, type Event } from './drive.ts';
import { BEHAVIOURS, FakeTracker } from './fake-tracker.ts';
import { plainBitmap } from './plain-bitmap.ts';

const PAGE = 4096;
const [HEAD, TAIL] = [56, 376];
const RAM_PAGES = 10;
const { PRE_COPY, PRE_COPY_P2P, RESUMING, RUNNING, STOP_COPY } = DeviceState;
/** At this rate a byte takes a nanosecond. */
const BYTE_PER_NS = 8e9;

/** A device reads one byte of RAM. */
function read(timeNs: number, address: number, length = 1): Event {
  return { timeNs, op: FIRST_READ_OP, address, length };
}

interface Options {
  readonly sizes?: readonly StateSize[];
  readonly limit: number;
  readonly events?: readonly Event[];
  readonly capNs?: number;
}

const TWO_PAGES: StateSize = { device: 0, bytes: 2 * PAGE, preCopy: true };

function run({ sizes = [TWO_PAGES], limit, events = [], capNs = 1e6 }: Options) {
  const devices = new MigratedDevices(sizes);
  const rounds = new ClassicRounds({
    tracker: new FakeTracker(BEHAVIOURS.exact),
    oracle: new Oracle(RAM_PAGES),
    newBitmap: () => plainBitmap(RAM_PAGES),
    ramBytes: RAM_PAGES * PAGE,
    linkBitsPerSecond: BYTE_PER_NS,
    downtimeLimitNs: limit,
    capNs,
    devices,
  });
  drive(rounds, { ramBytes: RAM_PAGES * PAGE, events, cpu: [], endNs: 1e7 });
  return { result: rounds.result(), state: devices.result };
}

const FIRST = HEAD + 2 * STATE_PAGE_BYTES;

describe('the state of a device in rounds', () => {
  it('is sent with RAM first, then what changed, and its end once the device is stopped', () => {
    const events = [read(100, PAGE + 7)];
    const fits = run({ events, limit: STATE_PAGE_BYTES + TAIL });
    expect(fits.state).toEqual({
      devices: 1,
      bytes: 2 * PAGE,
      preCopyBytes: FIRST,
      stopCopyLength: STATE_PAGE_BYTES + TAIL,
      stopCopyBytes: STATE_PAGE_BYTES + TAIL,
      rounds: [FIRST, STATE_PAGE_BYTES + TAIL],
    });
    expect(fits.result.rounds.map(({ pages, bytes, durationNs }) => [pages, bytes, durationNs])).toEqual([
      [10, 10 * PAGE + FIRST, 10 * PAGE + FIRST],
      [0, STATE_PAGE_BYTES + TAIL, STATE_PAGE_BYTES + TAIL],
    ]);
    expect([fits.result.reason, fits.result.downtimeNs]).toEqual(['converged', STATE_PAGE_BYTES + TAIL]);
    const tighter = run({ events, limit: STATE_PAGE_BYTES + TAIL - 1 });
    expect([tighter.state.rounds, tighter.result.reason]).toEqual([[FIRST, STATE_PAGE_BYTES, TAIL], 'converged']);
  });

  it('takes of the downtime limit what the device says that it would send', () => {
    const events = [write(50, 3), write(60, 4), read(100, 0)];
    const need = 2 * PAGE + STATE_PAGE_BYTES + TAIL;
    const enough = run({ events, limit: need });
    expect([enough.result.rounds.length, enough.result.downtimeNs]).toEqual([2, need]);
    expect(enough.result.why).toMatch(
      /2 pages .* remained, and the downtime limit of .* fits 2 beside 4.4 KiB of device/,
    );
    const short = run({ events, limit: need - 1 });
    expect(short.result.rounds.map(({ bytes }) => bytes)).toEqual([
      10 * PAGE + FIRST,
      2 * PAGE + STATE_PAGE_BYTES,
      TAIL,
    ]);
  });

  it('that cannot be sent ahead is all in the downtime, and ends a migration that it can never fit', () => {
    const whole = FIRST + TAIL;
    const sizes = [{ ...TWO_PAGES, preCopy: false }];
    const late = run({ sizes, limit: whole });
    expect([late.result.reason, late.state.rounds]).toEqual(['converged', [0, whole]]);
    const never = run({ sizes, limit: whole - 1, events: [write(10, 1), write(20, 2), write(30, 3)] });
    expect([never.result.reason, never.state.rounds]).toEqual(['notConverging', [0, 0, whole]]);
    expect(never.result.why).toMatch(
      /^After 2 pre-copy rounds 0 pages .* does not fit 8.48 KiB of device state, of which/,
    );
    expect(never.state.preCopyBytes).toBe(0);
  });

  it('is forced out at the cap with everything in it', () => {
    const events = Array.from({ length: 200 }, (_, i) => [write(i * 500, i % 9), read(i * 500, i * PAGE)]).flat();
    const { result, state } = run({ events, limit: 500, capNs: 120_000 });
    expect([result.reason, state.rounds.length]).toEqual(['notConverging', result.rounds.length]);
    expect(result.rounds.map(({ pages, bytes }) => bytes - pages * PAGE)).toEqual(state.rounds);
    expect(result.totalBytes).toBe(
      result.rounds.reduce((sum, { pages }) => sum + pages * PAGE, 0) + state.preCopyBytes + state.stopCopyBytes,
    );
    expect(state.stopCopyBytes).toBe(state.stopCopyLength);
  });

  it('is no part of a guest that is copied at once, but for the downtime', () => {
    const { result, state } = run({ limit: 10 * PAGE + FIRST + TAIL });
    expect([result.rounds.length, result.downtimeNs, state.rounds]).toEqual([
      1,
      10 * PAGE + FIRST + TAIL,
      [FIRST + TAIL],
    ]);
    expect(run({ limit: 10 * PAGE + FIRST + TAIL - 1 }).result.rounds.length).toBe(2);
  });

  it('changes with what its own device reads, at the same address modulo its size', () => {
    const sizes = [
      { device: 0, bytes: 4 * PAGE, preCopy: true },
      { device: 1, bytes: PAGE, preCopy: true },
    ];
    const limit = { sizes, limit: 30_000 };
    const changed = (event: Event) =>
      (run({ ...limit, events: [event] }).state.rounds.at(-1)! - 2 * TAIL) / STATE_PAGE_BYTES;
    expect(
      [
        read(1, 0),
        read(1, PAGE - 1, 2),
        read(1, 5 * PAGE, PAGE),
        read(1, 3 * PAGE, 2 * PAGE),
        read(1, 0, 10 * PAGE),
      ].map(changed),
    ).toEqual([1, 2, 1, 2, 4]);
    expect([write(1, 0), read(1, 0, 0)].map(changed)).toEqual([0, 0]);
  });
});

describe('a state of which only the size counts', () => {
  it('tells what a device with contents tells', () => {
    const [real] = busyGuest(new Site(PLACES[0], 2).core().core, 7).vfio;
    const sized = new VfioDevice({ migration: new LocalState(2 * PAGE, true) });
    const both = [real, sized];
    const told = () => both.map((vfio) => vfio.migDataSize().stopCopyLength);
    const [first, second] = told();
    expect([first, first]).toEqual([second, BigInt(FIRST + TAIL)]);
    const streams = both.map((vfio) => vfio.setMigDeviceState({ deviceState: PRE_COPY }).stream!);
    expect(streams[0].precopyInfo()).toEqual(streams[1].precopyInfo());
    for (const stream of streams) {
      const drain = () => {
        while (stream.read(new Uint8Array(1000)));
      };
      expect(codeOf(drain)).toBe('ENOMSG');
    }
    expect([streams[0].precopyInfo(), ...told()]).toEqual([streams[1].precopyInfo(), BigInt(TAIL), BigInt(TAIL)]);
    for (const vfio of both) {
      vfio.setMigDeviceState({ deviceState: PRE_COPY_P2P });
      vfio.setMigDeviceState({ deviceState: STOP_COPY });
    }
    const rest = streams.map((stream) => stream.read(new Uint8Array(1000)));
    expect([rest, ...streams.map((stream) => stream.read(new Uint8Array(9)))]).toEqual([[TAIL, TAIL], 0, 0]);
    for (const vfio of both) vfio.setMigDeviceState({ deviceState: RUNNING });
    expect(told()).toEqual([first, first]);
  });

  it('is read in pieces of any size, and cannot be resumed', () => {
    for (const piece of [1, 7, 4096, 1 << 20]) {
      const state = new LocalState(3 * PAGE, false);
      const vfio = new VfioDevice({ migration: state });
      const stream = vfio.setMigDeviceState({ deviceState: STOP_COPY }).stream!;
      let bytes = 0;
      for (let count = stream.read(new Uint8Array(piece)); count > 0; count = stream.read(new Uint8Array(piece))) {
        bytes += count;
      }
      expect(bytes).toBe(HEAD + 3 * STATE_PAGE_BYTES + TAIL);
      expect(codeOf(() => vfio.setMigDeviceState({ deviceState: RESUMING }))).toBe('EOPNOTSUPP');
    }
  });
});
