import { describe, expect, it } from 'vitest';
import { READ, WRITE } from '../../src/iommu/access.ts';
import type { FormatName } from '../../src/iommu/formats.ts';
import { QUIRKS, quirksOf, type QuirkName } from '../../src/iommu/quirks.ts';
import { PLACES, type Place } from '../core/builds.ts';
import type { AttachOptions } from '../../src/iommu/attach-options.ts';
import type { IommuOptions } from '../../src/iommu/iommu-options.ts';
import { dirtyRuns, machine } from './one-leaf.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

type Pages = number[][];

/** A machine without a mapping, with the quirk or without any. */
function make(place: Place, quirk: QuirkName | null, hardware: IommuOptions = {}, kind: AttachOptions = {}) {
  const quirks = quirk ? [quirk] : 'strict';
  return machine(place, { format: 'amdv1', dirtyTracking: true, quirks }, hardware, kind);
}

/** A leaf that is written before each of two reads. */
function writtenTwice(made: ReturnType<typeof make>, length: number): Pages[] {
  made.domain.map({ iova: 0, pa: 0, length, access: READ | WRITE });
  return [1, 2].map(() => {
    made.device.access(length / 2, 1, WRITE);
    return dirtyRuns(made, length);
  });
}

const ATS: AttachOptions = { ats: { sets: 1, ways: 4 } };

/** What each quirk does, as runs of pages that reads report; `null` is strict. */
const WITNESSES: Record<QuirkName, (place: Place, quirk: QuirkName | null) => Pages[]> = {
  'skip-flush-after-clear': (place, quirk) => writtenTwice(make(place, quirk), 4 * KIB),
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
  'flush-other-domain': (place, quirk) => writtenTwice(make(place, quirk), 4 * KIB),
  'flush-leaf-only': (place, quirk) => {
    const made = make(place, quirk, { walkCache: { sets: 1, ways: 4 } });
    const { domain, device } = made;
    const map = (iova: number) => domain.map({ iova, pa: iova, length: 4 * KIB, access: READ | WRITE });
    // Keeps the tables above, so that the one that is freed is the next to be taken.
    map(4 * MIB);
    map(0);
    device.access(0, 1, READ);
    domain.unmap(0, 4 * KIB);
    map(2 * MIB);
    // Nothing is mapped there, and it must not land in what is mapped 2 MiB further on.
    device.access(0, 1, WRITE);
    return [dirtyRuns(made, 4 * MIB)];
  },
  'flush-smaller-than-leaf': (place, quirk) => writtenTwice(make(place, quirk, { invalidation: 'vendor' }), 2 * MIB),
  'skip-device-flush': (place, quirk) => writtenTwice(make(place, quirk, {}, ATS), 4 * KIB),
  'flush-devices-first': (place, quirk) => {
    const made = make(place, quirk, {}, ATS);
    const { core, domain, device } = made;
    domain.map({ iova: 0, pa: 0, length: 4 * KIB, access: READ | WRITE });
    const write = () => device.access(0, 1, WRITE);
    write();
    const into = core.bitmap({ length: 4 * KIB });
    const steps = domain.readAndClearDirtySteps({ iova: 0, length: 4 * KIB, into });
    for (let next = steps.next(); !next.done; next = steps.next()) if (next.value.what === 'invalidate') write();
    const first = [...into.pageRuns()].map(({ page, pages }) => [page, pages]);
    write();
    return [first, dirtyRuns(made, 4 * KIB)];
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
  'flush-other-domain': [[[0, 1]], [[0, 1]]],
  'flush-leaf-only': [[]],
  'flush-smaller-than-leaf': [[[0, 512]], [[0, 512]]],
  'skip-device-flush': [[[0, 1]], [[0, 1]]],
  'flush-devices-first': [[[0, 1]], [[0, 1]]],
};

const QUIRKY: Record<QuirkName, Pages[]> = {
  'skip-flush-after-clear': [[[0, 1]], []],
  'unaligned-query-start': [[]],
  'clear-whole-leaf': [[[0, 256]], []],
  'clear-one-replica': [[[0, 8]], [[0, 8]]],
  'split-forgets-dirty': [[]],
  'enable-without-flush': [[]],
  'flush-other-domain': [[[0, 1]], []],
  'flush-leaf-only': [[[512, 1]]],
  'flush-smaller-than-leaf': [[[0, 512]], []],
  'skip-device-flush': [[[0, 1]], []],
  'flush-devices-first': [[[0, 1]], []],
};

describe.each(PLACES)('quirks: $name', (place) => {
  it.each(QUIRKS)('$name: $what', ({ name }) => {
    expect(WITNESSES[name](place, null)).toEqual(STRICT[name]);
    expect(WITNESSES[name](place, name)).toEqual(QUIRKY[name]);
  });

  it('T6 after a split, a flush smaller than the leaf before loses what is written through that', () => {
    const read = (quirk: QuirkName | null, partBytes: number) => {
      const made = make(place, quirk, { invalidation: 'vendor' });
      made.domain.map({ iova: 0, pa: 0, length: 2 * MIB, access: READ | WRITE });
      made.device.access(0, 1, WRITE);
      made.domain.split(0, 2 * MIB, partBytes);
      const first = dirtyRuns(made, 2 * MIB);
      made.device.access(5 * 4 * KIB, 1, WRITE);
      return [first, dirtyRuns(made, 2 * MIB)];
    };
    expect(read(null, 4 * KIB)).toEqual([[[0, 512]], [[5, 1]]]);
    expect(read('flush-smaller-than-leaf', 4 * KIB)).toEqual([[[0, 512]], []]);
    expect(read(null, 512 * KIB)).toEqual([[[0, 512]], [[0, 128]]]);
    expect(read('flush-smaller-than-leaf', 512 * KIB)).toEqual([[[0, 512]], []]);
  });

  it('a flush smaller than the leaf loses nothing where a command finds every leaf that it touches', () => {
    const made = make(place, 'flush-smaller-than-leaf');
    expect(writtenTwice(made, 2 * MIB)).toEqual([[[0, 512]], [[0, 512]]]);
  });

  it.each(['skip-device-flush', 'flush-devices-first'] as const)(
    '%s loses nothing without devices with caches',
    (quirk) => {
      expect(writtenTwice(make(place, quirk), 4 * KIB)).toEqual([[[0, 1]], [[0, 1]]]);
    },
  );

  it('a flush of another domain leaves what is unmapped within reach', () => {
    const reaches = (quirk: QuirkName | null) => {
      const { domain, device } = make(place, quirk);
      domain.map({ iova: 0, pa: 0, length: 4 * KIB, access: READ | WRITE });
      device.access(0, 1, WRITE);
      domain.unmap(0, 4 * KIB);
      return device.access(0, 1, WRITE);
    };
    expect([reaches(null), reaches('flush-other-domain')]).toEqual([-1, 1]);
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
