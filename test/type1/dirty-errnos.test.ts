import { describe, expect, it } from 'vitest';
import type { DirtyPagesOptions } from '../../src/type1/container.ts';
import { doorsOf } from './doors.ts';
import { BITMAP, MISSING, PAGE, READ_ONLY, RW } from './rig.ts';
import { ASK, BITS, MAPPED, START, STOP, TOP, TYPE1, each, prepared, start, type Case } from './errno-cases.ts';

// In the kernel's order: each case breaks one rule, and as many later ones as it can.
const DIRTIES: Case<DirtyPagesOptions>[] = [
  { name: 'version 1, wrong in all else', code: 'EACCES', type: TYPE1, call: { flags: 8 } },
  { name: 'version 1', code: 'EACCES', type: TYPE1, call: { flags: START } },
  { name: 'no flag', code: 'EINVAL', call: {} },
  { name: 'an unknown flag', code: 'EINVAL', call: { flags: 8 } },
  { name: 'two flags', code: 'EINVAL', call: { flags: START | STOP } },
  { name: 'START', code: 'none', call: { flags: START } },
  { name: 'START twice', code: 'none', before: start, call: { flags: START } },
  { name: 'START without memory', code: 'ENOMEM', options: { fail: () => 'ENOMEM' }, call: { flags: START } },
  {
    name: 'START with a mapping of more than INT_MAX pages',
    code: 'EINVAL',
    before: (its) => {
      its.space.mmap({ va: 2n ** 44n, length: 2n ** 43n });
      its.container.mapDma({ flags: RW, iova: 2n ** 44n, vaddr: 2n ** 44n, size: 2n ** 43n });
    },
    call: { flags: START },
  },
  { name: 'STOP while off', code: 'none', call: { flags: STOP } },
  {
    name: 'a wrap',
    code: 'EINVAL',
    next: 'EOVERFLOW',
    before: start,
    call: { ...ASK, iova: TOP - PAGE, size: 2n * PAGE },
  },
  { name: 'size 0', code: 'EINVAL', before: start, call: { ...ASK, size: 0n } },
  { name: 'size 0 at the top', code: 'EINVAL', before: start, call: { ...ASK, iova: TOP - PAGE, size: 0n } },
  {
    name: 'a pointer that wraps',
    code: 'EINVAL',
    before: start,
    call: { ...ASK, bitmap: { ...BITS, data: TOP - 4n } },
  },
  { name: 'a bitmap of 0 bytes', code: 'EINVAL', before: start, call: { ...ASK, bitmap: { ...BITS, size: 0n } } },
  {
    name: 'a bitmap of 7 bytes for 16 pages',
    code: 'EINVAL',
    before: start,
    call: { ...ASK, bitmap: { ...BITS, size: 7n } },
  },
  {
    name: 'a bitmap of 8 bytes for 65 pages',
    code: 'EINVAL',
    before: start,
    call: { ...ASK, iova: 0n, size: 65n * PAGE, bitmap: BITS },
  },
  {
    name: 'a bitmap of more than 256 MiB',
    code: 'EINVAL',
    before: start,
    call: { ...ASK, bitmap: { ...BITS, size: 2n ** 28n + 1n } },
  },
  { name: 'another page size', code: 'EINVAL', before: start, call: { ...ASK, bitmap: { ...BITS, pgsize: 8192n } } },
  { name: 'page size 0', code: 'EINVAL', before: start, call: { ...ASK, bitmap: { ...BITS, pgsize: 0n } } },
  { name: 'iova not aligned', code: 'EINVAL', before: start, call: { ...ASK, iova: MAPPED.iova + 8n } },
  { name: 'size not aligned', code: 'EINVAL', before: start, call: { ...ASK, size: MAPPED.size - 8n } },
  {
    name: 'tracking off, and a bitmap that is not there',
    code: 'EINVAL',
    call: { ...ASK, bitmap: { ...BITS, data: MISSING } },
  },
  {
    name: 'a begin inside a mapping',
    code: 'EINVAL',
    before: start,
    call: { ...ASK, iova: MAPPED.iova + PAGE, bitmap: { ...BITS, data: MISSING } },
  },
  { name: 'an end inside a mapping', code: 'EINVAL', before: start, call: { ...ASK, size: PAGE } },
  {
    name: 'no mapping at all',
    code: 'none',
    before: start,
    call: { ...ASK, iova: 0n, size: 64n * PAGE, bitmap: { ...BITS, data: MISSING } },
  },
  {
    name: 'holes around a mapping',
    code: 'none',
    before: start,
    call: { ...ASK, iova: MAPPED.iova - PAGE, size: 64n * PAGE },
  },
  { name: 'a bitmap of 256 MiB', code: 'none', before: start, call: { ...ASK, bitmap: { ...BITS, size: 2n ** 28n } } },
  {
    name: 'a bitmap that cannot be written',
    code: 'EFAULT',
    before: start,
    call: { ...ASK, bitmap: { ...BITS, data: READ_ONLY } },
  },
  {
    name: 'a bitmap that is not there',
    code: 'EFAULT',
    before: start,
    call: { ...ASK, bitmap: { ...BITS, data: MISSING } },
  },
  { name: 'a good request', code: 'none', before: start, call: ASK },
];

describe('type1 DIRTY_PAGES: errnos in the kernel’s order, through both doors', () => {
  it.each(each(DIRTIES))('DIRTY_PAGES ($uapi): $name is $wanted', ({ uapi, wanted, ...one }) => {
    const results = [0, 1].map((door) => {
      const its = prepared(one, uapi);
      const code = doorsOf(its.space)[door].dirtyPages(its.container, one.call);
      const bits = new Uint8Array(16);
      its.space.read(BITMAP, bits);
      return [code, ...bits];
    });
    expect([results[0][0], results[1]]).toEqual([wanted, results[0]]);
  });
});
