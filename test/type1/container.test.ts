import { describe, expect, it } from 'vitest';
import { codeOf } from '../core/builds.ts';
import { codeOfResult, dirtyRequest, doorsOf, mapRequest, request, unmapRequest } from './doors.ts';
import { ARGS, MISSING, PAGE, READ_ONLY_ARGS, backed, rig } from './rig.ts';
import {
  ALL,
  ASK,
  BITS,
  DIRTY,
  GET_DIRTY,
  GET_INFO,
  GOOD,
  MAP,
  MAPPED,
  START,
  TYPE1V2,
  UNMAP,
  prepared,
  start,
} from './errno-cases.ts';

describe('type1 containers', () => {
  it('refuses everything but the version and extensions before an IOMMU type is set', () => {
    const its = rig();
    const { container, space } = its;
    const before = [container.ioctl(0x3b64, 0), ...doorsOf(space).map((door) => door.checkExtension(container, 3))];
    const ioctls = [GET_INFO, MAP, UNMAP, DIRTY, 0x3b99, 0].map((number) => container.ioctl(number, MISSING));
    const methods = [
      () => container.getInfo(),
      () => container.mapDma(GOOD),
      () => container.unmapDma({ flags: ALL }),
      () => container.dirtyPages({ flags: START }),
    ].map(codeOf);
    expect([before, ioctls, methods]).toEqual([
      [0, 1, 1],
      [-22, -22, -22, -22, -22, -22],
      ['EINVAL', 'EINVAL', 'EINVAL', 'EINVAL'],
    ]);
  });

  it('sets an IOMMU type once, with a group', () => {
    const its = rig();
    for (const door of doorsOf(its.space)) {
      const { container } = rig();
      expect(door.setIommu(container, TYPE1V2)).toBe('EINVAL');
      const group = container.attach({ emulated: true });
      expect([0, 2, 4, 5, 7, 99].map((type) => door.setIommu(container, type))).toEqual(Array(6).fill('ENODEV'));
      expect([9, 10].map((type) => door.setIommu(container, type))).toEqual(['EINVAL', 'EINVAL']);
      expect(door.setIommu(container, 6)).toBe('none');
      expect(door.setIommu(container, TYPE1V2)).toBe('EINVAL');
      group.detach();
      expect(codeOf(() => container.getInfo())).toBe('EINVAL');
    }
  });

  it('knows the extensions', () => {
    const its = rig();
    const { container, space } = its;
    const known = () =>
      doorsOf(space).map((door) =>
        [1, 2, 3, 4, 6, 8, 9, 10, 11].filter((n) => door.checkExtension(container, n) === 1),
      );
    const unset = known();
    container.attach(backed(its));
    container.setIommu(TYPE1V2);
    const set = known();
    container.attach({ emulated: true });
    const withEmulated = known();
    container.attach(backed(its, 2, { cacheCoherent: false }));
    expect([unset, set, withEmulated, known()]).toEqual(
      [
        [1, 3, 6, 9, 10],
        [1, 3, 4, 6, 9, 10],
        [1, 3, 4, 6, 9],
        [1, 3, 6, 9],
      ].map((list) => [list, list]),
    );
  });

  it('reads a request before it looks at its size, and knows no other ioctl', () => {
    const its = prepared({ name: '', code: '', call: {} }, '6.12');
    const { container, space } = its;
    const short = (number: number, bytes: Uint8Array) => codeOfResult(container.ioctl(number, bytes));
    const good = mapRequest(GOOD);
    start(its);
    const cut = unmapRequest({ ...MAPPED, flags: GET_DIRTY, bitmap: BITS });
    const ask = dirtyRequest(ASK);
    expect({
      unknown: [0x3b73, 0x3b74, 0x3b76, 0x3b80].map((number) => codeOfResult(container.ioctl(number, ARGS))),
      missing: [GET_INFO, MAP, UNMAP, DIRTY].map((number) => codeOfResult(container.ioctl(number, MISSING))),
      map: [short(MAP, good.subarray(0, 31)), short(MAP, mapRequest(GOOD, 31))],
      unmap: [
        short(UNMAP, cut.subarray(0, 23)),
        short(UNMAP, unmapRequest({ flags: 8 }, 23)),
        short(UNMAP, unmapRequest({ ...MAPPED, flags: GET_DIRTY, bitmap: BITS }, 47)),
        short(UNMAP, cut.subarray(0, 47)),
      ],
      dirty: [
        short(DIRTY, ask.subarray(0, 7)),
        short(DIRTY, dirtyRequest({ flags: START }, 7)),
        short(DIRTY, dirtyRequest(ASK, 47)),
        short(DIRTY, ask.subarray(0, 47)),
      ],
      info: [
        short(GET_INFO, request([32, 16], [32, 0], [32, 0])),
        short(GET_INFO, request([32, 15], [32, 0], [64, 0])),
      ],
      readOnly: codeOfResult(container.ioctl(GET_INFO, READ_ONLY_ARGS)),
      unchanged: [container.lockedPages, space.pinnedBytes],
    }).toEqual({
      unknown: ['ENOTTY', 'ENOTTY', 'ENOTTY', 'ENOTTY'],
      missing: ['EFAULT', 'EFAULT', 'EFAULT', 'EFAULT'],
      map: ['EFAULT', 'EINVAL'],
      unmap: ['EFAULT', 'EINVAL', 'EINVAL', 'EFAULT'],
      dirty: ['EFAULT', 'EINVAL', 'EINVAL', 'EFAULT'],
      info: ['EFAULT', 'EINVAL'],
      readOnly: 'EINVAL',
      unchanged: [16, 16n * PAGE],
    });
  });

  it('says what is wrong', () => {
    const its = prepared({ name: '', code: '', call: {} }, '6.12');
    const { container } = its;
    const errors: [() => unknown, RegExp][] = [
      [
        () => container.mapDma({ ...GOOD, iova: 8n }),
        /type1.mapDma: iova is 0x8; it must be a multiple of 4096 \(EINVAL\)/,
      ],
      [() => container.mapDma({ ...GOOD, flags: -1 }), /flags is -1/],
      [() => container.mapDma(MAPPED), /overlaps the mapping 0x100000 .. 0x10ffff; unmap it first \(EEXIST\)/],
      [() => container.mapDma({ ...GOOD, iova: 2n ** 57n }), /does not lie in a valid range: 0x0 .. /],
      [
        () => container.unmapDma({ iova: MAPPED.iova, size: PAGE }),
        /cuts the mapping 0x100000 .. 0x10ffff; take all of it/,
      ],
      [() => container.dirtyPages({ flags: 3 }), /flags is 0x3; it must be one of START 1, STOP 2, GET_BITMAP 4/],
      [() => container.dirtyPages(ASK), /dirty tracking is off; START it first/],
      [() => container.attach(backed(its, 3, { requesterIds: [] })), /requesterIds is empty/],
      [
        () => container.attach(backed(its, 3, { reservedRegions: [{ first: 2, last: 1 }] })),
        /0x2 .. 0x1: it ends before/,
      ],
      [() => container.attach(backed(its, 3, { reservedRegions: [{ first: -1, last: 1 }] })), /first is -1/],
      [() => rig({ dmaEntryLimit: -1 }), /dmaEntryLimit is -1/],
      [() => rig({ lockedPagesLimit: 1.5 }), /lockedPagesLimit is 1.5/],
    ];
    for (const [call, message] of errors) expect(call).toThrow(message);
  });
});
