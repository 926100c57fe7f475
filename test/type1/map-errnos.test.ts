import { describe, expect, it } from 'vitest';
import type { MapDmaOptions, UnmapDmaOptions } from '../../src/type1/container.ts';
import { doorsOf } from './doors.ts';
import { MISSING, PAGE, RAM, READ, READ_ONLY, RW, backed } from './rig.ts';
import {
  ALL,
  BITS,
  GET_DIRTY,
  GOOD,
  MAPPED,
  TOP,
  TYPE1,
  VADDR,
  each,
  emulated,
  invalidate,
  prepared,
  start,
  type Case,
} from './errno-cases.ts';

// In the kernel's order: each case breaks one rule, and as many later ones as it can.
const MAPS: Case<MapDmaOptions>[] = [
  { name: 'an unknown flag', code: 'EINVAL', call: { ...MAPPED, flags: 8 | RW } },
  { name: 'no access', code: 'EINVAL', call: { ...MAPPED, flags: 0 } },
  { name: 'access with VADDR', code: 'EINVAL', call: { ...MAPPED, flags: READ | 4 } },
  { name: 'size 0', code: 'EINVAL', call: { ...MAPPED, size: 0n } },
  { name: 'size 0 at an address that is not aligned', code: 'EINVAL', call: { ...MAPPED, iova: 1n, size: 0n } },
  { name: 'iova not aligned', code: 'EINVAL', call: { ...MAPPED, iova: 0x10_0800n } },
  { name: 'vaddr not aligned', code: 'EINVAL', call: { ...MAPPED, vaddr: RAM + 8n } },
  { name: 'size not aligned', code: 'EINVAL', call: { ...MAPPED, size: 100n } },
  {
    name: 'a page that the domain lacks',
    code: 'EINVAL',
    call: { ...MAPPED, iova: PAGE, size: 2n ** 16n },
    options: {},
    before: (its) => {
      its.container.unmapDma({ flags: ALL });
      its.container.attach(backed(its, 2, { domain: { format: 'vtdss', leafSizes: [2 ** 21] } }));
    },
  },
  { name: 'iova wraps', code: 'EINVAL', next: 'EOVERFLOW', call: { ...MAPPED, iova: TOP - PAGE, size: 2n * PAGE } },
  { name: 'vaddr wraps', code: 'EINVAL', next: 'EOVERFLOW', call: { ...MAPPED, vaddr: TOP - PAGE, size: 2n * PAGE } },
  {
    name: 'iova wraps, and is not aligned, and has no access',
    code: 'EINVAL',
    next: 'EOVERFLOW',
    call: { flags: 0, iova: TOP - 1n, size: 2n * PAGE },
  },
  { name: 'VADDR of nothing', code: 'ENOENT', call: { ...GOOD, flags: 4 } },
  { name: 'VADDR of a valid mapping', code: 'EINVAL', call: { ...MAPPED, flags: 4 } },
  { name: 'VADDR of a part', code: 'EINVAL', before: invalidate, call: { ...MAPPED, flags: 4, size: PAGE } },
  { name: 'VADDR', code: 'none', before: invalidate, call: { ...MAPPED, flags: 4, vaddr: RAM + PAGE } },
  {
    name: 'an overlap, with no mapping left, where nothing is valid',
    code: 'EEXIST',
    options: { dmaEntryLimit: 1 },
    call: { ...MAPPED, iova: MAPPED.iova + 15n * PAGE, size: 2n ** 60n },
  },
  { name: 'no mapping left', code: 'ENOSPC', options: { dmaEntryLimit: 1 }, call: { ...GOOD, iova: 2n ** 57n } },
  { name: 'beyond the aperture', code: 'EINVAL', call: { ...GOOD, iova: 2n ** 57n, vaddr: MISSING } },
  {
    name: 'a reserved region',
    code: 'EINVAL',
    before: (its) =>
      its.container.attach(backed(its, 2, { reservedRegions: [{ first: 0xfee00000, last: 0xfeefffff }] })),
    call: { ...GOOD, iova: 0xfeeff000n, size: 2n * PAGE },
  },
  {
    name: 'an allocation that fails',
    code: 'ENOMEM',
    options: { fail: () => 'ENOMEM' },
    call: { ...GOOD, vaddr: MISSING },
  },
  { name: 'a missing page', code: 'EFAULT', call: { ...GOOD, vaddr: MISSING } },
  { name: 'a read-only page', code: 'EFAULT', call: { ...GOOD, vaddr: READ_ONLY } },
  { name: 'a read-only page, to be read', code: 'none', call: { ...GOOD, flags: READ, vaddr: READ_ONLY } },
  {
    name: 'more than may be locked',
    code: 'ENOMEM',
    options: { lockedPagesLimit: 20 },
    call: { ...GOOD, flags: READ, vaddr: MISSING - 5n * PAGE, size: 6n * PAGE },
  },
  {
    name: 'a missing page before the limit',
    code: 'EFAULT',
    options: { lockedPagesLimit: 20 },
    call: { ...GOOD, flags: READ, vaddr: MISSING - 4n * PAGE, size: 6n * PAGE },
  },
  { name: 'up to the limit', code: 'none', options: { lockedPagesLimit: 17 }, call: GOOD },
  {
    name: 'too large to be tracked, while tracking',
    code: 'EINVAL',
    before: (its) => {
      start(its);
      its.space.mmap({ va: 2n ** 44n, length: 2n ** 43n });
    },
    call: { ...GOOD, iova: 2n ** 44n, vaddr: 2n ** 44n, size: 2n ** 43n },
  },
  {
    name: 'tracked, as large as can be',
    code: 'none',
    before: (its) => {
      start(its);
      its.space.mmap({ va: 2n ** 44n, length: 2n ** 43n });
    },
    call: { ...GOOD, iova: 2n ** 44n, vaddr: 2n ** 44n, size: 2n ** 43n - PAGE },
  },
  { name: 'a good request', code: 'none', call: GOOD },
];

const UNMAPS: Case<UnmapDmaOptions>[] = [
  { name: 'an unknown flag', code: 'EINVAL', call: { flags: 8, iova: 1n } },
  { name: 'GET_DIRTY_BITMAP with ALL', code: 'EINVAL', before: start, call: { flags: GET_DIRTY | ALL, bitmap: BITS } },
  {
    name: 'GET_DIRTY_BITMAP with VADDR and an emulated group',
    code: 'EINVAL',
    before: emulated,
    call: { flags: GET_DIRTY | VADDR, bitmap: BITS },
  },
  {
    name: 'a bitmap that wraps',
    code: 'EINVAL',
    before: start,
    call: { ...MAPPED, flags: GET_DIRTY, bitmap: { ...BITS, data: TOP - 4n } },
  },
  {
    name: 'a bitmap that is too small',
    code: 'EINVAL',
    before: start,
    call: { ...MAPPED, flags: GET_DIRTY, bitmap: { ...BITS, size: 7n } },
  },
  { name: 'VADDR with an emulated group', code: 'EBUSY', before: emulated, call: { flags: VADDR, iova: 1n, size: 1n } },
  { name: 'iova not aligned', code: 'EINVAL', call: { iova: 8n, size: PAGE } },
  { name: 'ALL with an iova', code: 'EINVAL', call: { flags: ALL, iova: MAPPED.iova } },
  { name: 'ALL with a size', code: 'EINVAL', call: { flags: ALL, size: PAGE } },
  { name: 'size 0', code: 'EINVAL', call: { iova: MAPPED.iova } },
  { name: 'size not aligned', code: 'EINVAL', call: { iova: MAPPED.iova, size: 100n } },
  { name: 'a wrap', code: 'EINVAL', next: 'EOVERFLOW', call: { iova: TOP - PAGE, size: 2n * PAGE } },
  {
    name: 'a wrap of a size that is not aligned',
    code: 'EINVAL',
    call: { iova: TOP - PAGE, size: 2n * PAGE + 1n },
  },
  { name: 'a bitmap without tracking', code: 'EINVAL', call: { ...MAPPED, flags: GET_DIRTY, bitmap: BITS } },
  {
    name: 'another page size',
    code: 'EINVAL',
    before: start,
    call: { ...MAPPED, flags: GET_DIRTY, bitmap: { ...BITS, pgsize: 8192n } },
  },
  { name: 'a begin inside a mapping', code: 'EINVAL', call: { iova: MAPPED.iova + PAGE, size: 15n * PAGE } },
  { name: 'an end inside a mapping', code: 'EINVAL', call: { iova: MAPPED.iova, size: 15n * PAGE } },
  {
    name: 'VADDR twice',
    code: 'EINVAL',
    before: invalidate,
    call: { flags: VADDR, iova: MAPPED.iova, size: MAPPED.size },
  },
  { name: 'nothing mapped', code: 'none', call: { iova: 0n, size: PAGE } },
  {
    name: 'a bitmap that cannot be written',
    code: 'EFAULT',
    before: start,
    call: { ...MAPPED, flags: GET_DIRTY, bitmap: { ...BITS, data: MISSING } },
  },
  {
    name: 'all of it, with its bits',
    code: 'none',
    before: start,
    call: { ...MAPPED, flags: GET_DIRTY, bitmap: BITS },
  },
  { name: 'ALL', code: 'none', call: { flags: ALL } },
  { name: 'ALL with VADDR', code: 'none', call: { flags: ALL | VADDR } },
  { name: 'version 1: more than a mapping', code: 'none', type: TYPE1, call: { iova: 0n, size: 2n ** 30n } },
  {
    name: 'version 1: the first page of a mapping',
    code: 'none',
    type: TYPE1,
    call: { iova: MAPPED.iova, size: PAGE },
  },
];

describe('type1 MAP_DMA and UNMAP_DMA: errnos in the kernel’s order, through both doors', () => {
  it.each(each(MAPS))('MAP_DMA ($uapi): $name is $wanted', ({ uapi, wanted, ...one }) => {
    const codes = [0, 1].map((door) => {
      const its = prepared(one, uapi);
      return doorsOf(its.space)[door].mapDma(its.container, one.call);
    });
    expect(codes).toEqual([wanted, wanted]);
  });

  it.each(each(UNMAPS))('UNMAP_DMA ($uapi): $name is $wanted', ({ uapi, wanted, ...one }) => {
    const [a, b] = [0, 1].map((door) => {
      const its = prepared(one, uapi);
      const result = doorsOf(its.space)[door].unmapDma(its.container, one.call);
      return { ...result, mapped: BigInt(its.container.lockedPages) };
    });
    expect([a.code, b]).toEqual([wanted, a]);
  });
});
