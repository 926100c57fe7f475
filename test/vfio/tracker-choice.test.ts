import { describe, expect, it } from 'vitest';
import { chooseTracker } from '../../src/vfio/tracker-choice.ts';

const SETS = [[], [1], [0], [1, 1], [1, 0], [0, 1], [0, 0], [1, 1, 1], [1, 0, 1], [0, 0, 1]];
const [ALL, NOT_ALL] = [SETS.filter((set) => !set.includes(0)), SETS.filter((set) => set.includes(0))];
const of = (set: readonly number[]) => set.map((log) => ({ dmaLogging: log === 1 }));

describe("QEMU's choice of a dirty tracker", () => {
  /** The table: whether all devices log, whether the container tracks, what is used. */
  it.each([
    ['all', true, 'devices'],
    ['all', false, 'devices'],
    ['not all', true, 'container'],
    ['not all', false, 'none'],
  ] as const)('with %s devices that log and a container that tracks: %s, is %s', (which, containerTracks, source) => {
    for (const set of which === 'all' ? ALL : NOT_ALL) {
      expect([set, chooseTracker({ devices: of(set), containerTracks }).source]).toEqual([set, source]);
    }
  });

  it('leaves the logs alone where they are switched off', () => {
    for (const set of SETS) {
      for (const [containerTracks, source] of [
        [true, 'container'],
        [false, 'none'],
      ] as const) {
        const choice = chooseTracker({ devices: of(set), containerTracks, deviceLogging: false });
        expect([choice.source, choice.why]).toEqual([source, expect.stringContaining('switched off')]);
      }
    }
  });

  it('says why', () => {
    expect(chooseTracker({ devices: of([1, 0, 1]), containerTracks: false }).why).toBe(
      'of 3 devices 1 has no log of DMA, and the container does not track: all of RAM counts as dirty',
    );
    expect(chooseTracker({ devices: of([0, 0]), containerTracks: true }).why).toBe(
      'of 2 devices 2 have no log of DMA, so that the container tracks for all',
    );
    expect(chooseTracker({ devices: of([1, 1]), containerTracks: true }).why).toBe(
      'all of 2 devices log their own DMA',
    );
  });
});
