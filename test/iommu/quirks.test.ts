import { describe, expect, it } from 'vitest';
import { READ, WRITE } from '../../src/iommu/access.ts';
import type { FormatName } from '../../src/iommu/formats.ts';
import { QUIRKS, quirksOf, type QuirkName } from '../../src/iommu/quirks.ts';
import { PLACES, type Place } from '../core/builds.ts';
import { dirtyRuns, machine } from './one-leaf.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

type Pages = number[][];

/** A machine without a mapping, with the quirk or without any. */
function make(place: Place, quirk: QuirkName | null, format: FormatName = 'amdv1', dirtyTracking = true) {
  return machine(place, { format, dirtyTracking, quirks: quirk ? [quirk] : 'strict' });
}

/** What each quirk does, as runs of pages that reads report; `null` is strict. */
const WITNESSES: Record<QuirkName, (place: Place, quirk: QuirkName | null) => Pages[]> = {
  'skip-flush-after-clear': (place, quirk) => {
    const made = make(place, quirk);
    made.domain.map({ iova: 0, pa: 0, length: 4 * KIB, access: READ | WRITE });
    const write = () => made.device.access(0, 1, WRITE);
    write();
    const first = dirtyRuns(made, 4 * KIB);
    write();
    return [first, dirtyRuns(made, 4 * KIB)];
  },
  'unaligned-query-start': (place, quirk) => {
    const made = make(place, quirk);
    const { core, domain, device } = made;
    domain.map({ iova: 0, pa: 0, length: 2 * MIB, access: READ | WRITE, leafSizes: [2 * MIB] });
    domain.map({ iova: 2 * MIB, pa: 2 * MIB, length: 2 * MIB, access: READ | WRITE, leafSizes: [4 * KIB] });
    device.access(2 * MIB, 4 * KIB, WRITE);
    const into = core.bitmap({ start: MIB, length: 3 * MIB });
    domain.readAndClearDirty({ iova: MIB, length: 3 * MIB, into });
    return [[...into.pageRuns()].map(({ page, pages }) => [page, pages])];
  },
  'clear-whole-leaf': (place, quirk) => {
    const made = make(place, quirk);
    made.domain.map({ iova: 0, pa: 0, length: 2 * MIB, access: READ | WRITE });
    made.device.access(MIB, 1, WRITE);
    return [dirtyRuns(made, MIB), dirtyRuns(made, 2 * MIB)];
  },
  'clear-one-replica': (place, quirk) => {
    const made = make(place, quirk);
    made.domain.map({ iova: 0, pa: 0, length: 32 * KIB, access: READ | WRITE });
    // Hardware makes one replica of its choice dirty: here that of the address.
    made.device.access(20 * KIB, 1, WRITE);
    return [dirtyRuns(made, 32 * KIB), dirtyRuns(made, 32 * KIB)];
  },
  'split-forgets-dirty': (place, quirk) => {
    const made = make(place, quirk);
    made.domain.map({ iova: 0, pa: 0, length: 2 * MIB, access: READ | WRITE });
    made.device.access(5 * 4 * KIB, 1, WRITE);
    made.domain.split(0, 2 * MIB, 4 * KIB);
    return [dirtyRuns(made, 2 * MIB)];
  },
  'enable-without-flush': (place, quirk) => {
    const made = make(place, quirk);
    made.domain.setDirtyTracking(false);
    made.domain.map({ iova: 0, pa: 0, length: 4 * KIB, access: READ | WRITE });
    made.device.access(0, 1, WRITE);
    made.domain.setDirtyTracking(true);
    made.device.access(0, 1, WRITE);
    return [dirtyRuns(made, 4 * KIB)];
  },
};

/** What was written, in the same terms: a report may hold more, and must not hold less. */
const STRICT: Record<QuirkName, Pages[]> = {
  'skip-flush-after-clear': [[[0, 1]], [[0, 1]]],
  'unaligned-query-start': [[[256, 1]]],
  'clear-whole-leaf': [[[0, 256]], [[0, 512]]],
  'clear-one-replica': [[[0, 8]], []],
  'split-forgets-dirty': [[[0, 512]]],
  'enable-without-flush': [[[0, 1]]],
};

const QUIRKY: Record<QuirkName, Pages[]> = {
  'skip-flush-after-clear': [[[0, 1]], []],
  'unaligned-query-start': [[]],
  'clear-whole-leaf': [[[0, 256]], []],
  'clear-one-replica': [[[0, 8]], [[0, 8]]],
  'split-forgets-dirty': [[]],
  'enable-without-flush': [[]],
};

describe.each(PLACES)('quirks: $name', (place) => {
  it.each(QUIRKS)('$name: $what', ({ name }) => {
    expect(WITNESSES[name](place, null)).toEqual(STRICT[name]);
    expect(WITNESSES[name](place, name)).toEqual(QUIRKY[name]);
  });
});

describe('profiles', () => {
  it('strict has none, linux-6.12 those of its driver for the format', () => {
    const linux = (format: FormatName) => [...quirksOf('op', format, 'linux-6.12')];
    expect([...quirksOf('op', 'amdv1', 'strict')]).toEqual([]);
    expect(linux('amdv1')).toEqual(['unaligned-query-start', 'clear-whole-leaf']);
    expect(linux('vtdss')).toEqual(['unaligned-query-start', 'clear-whole-leaf']);
    expect(linux('armv8-s1')).toEqual(['skip-flush-after-clear', 'unaligned-query-start', 'clear-whole-leaf']);
    expect(linux('riscv')).toEqual([]);
  });

  it('refuses a name that is none', () => {
    expect(() => quirksOf('op', 'amdv1', ['no-such' as QuirkName])).toThrow(
      /quirks holds 'no-such'; it must be 'strict', 'linux-6.12' or a list of skip-flush-after-clear/,
    );
  });
});
