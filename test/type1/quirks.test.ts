import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { TYPE1_QUIRKS } from '../../src/type1/quirks.ts';
import type { Type1Options } from '../../src/type1/type1-options.ts';
import { codeOf } from '../core/builds.ts';
import { codeOfResult, unmapRequest } from './doors.ts';
import {
  BITMAP,
  BITMAP_BYTES,
  MISSING,
  PAGE,
  RAM,
  READ_ONLY_ARGS,
  RW,
  backed,
  bitsAt,
  range,
  rig,
  type Rig,
} from './rig.ts';

const TOP = 2n ** 64n;
const [START, GET] = [1, 4];
const [GET_DIRTY, ALL] = [1, 2];
const UNMAP = 0x3b72;

/** What a scenario shows in each profile. */
function both<T>(scenario: (quirks: 'strict' | 'linux-6.12') => T): { strict: T; linux: T } {
  return { strict: scenario('strict'), linux: scenario('linux-6.12') };
}

/** A container with an emulated group, and a device of it that unpins nothing on its own. */
function opened(options: Partial<Type1Options>, type = 3) {
  const its = rig(options);
  const group = its.container.attach({ emulated: true });
  its.container.setIommu(type);
  const map = (iova: bigint, pages: number) =>
    its.container.mapDma({ flags: RW, iova, vaddr: RAM + (iova % 2n ** 20n), size: BigInt(pages) * PAGE });
  const device = group.openDevice({ dmaUnmap: () => undefined });
  const write = (page: number) => device.dmaRw(BigInt(page) * PAGE, new Uint8Array(1), true);
  return { ...its, group, device, map, write };
}

/** GET_BITMAP of `pages` pages from 0 on; the errno, or the bits. */
function get({ container, space }: Rig, pages: number, data = BITMAP, keep = false): string | number[] {
  const bytes = 8 * Math.ceil(pages / 64);
  if (!keep) space.write(data, new Uint8Array(bytes));
  const bitmap = { pgsize: PAGE, size: BigInt(bytes), data };
  const code = codeOf(() => container.dirtyPages({ flags: GET, iova: 0n, size: BigInt(pages) * PAGE, bitmap }));
  return code === 'none' ? bitsAt(space, data, bytes) : code;
}

describe('type1 quirks', () => {
  it('stale bits after a read', () => {
    const shown = both((quirks) => {
      const its = opened({ quirks });
      its.map(60n * PAGE, 10);
      its.container.dirtyPages({ flags: START });
      for (const page of range(60, 70)) its.write(page);
      return [get(its, 192), get(its, 192)];
    });
    // Bits 60 .. 69 were shifted by 60, of which bits 10 .. 63 of the first word survive.
    expect(shown).toEqual({ strict: [range(60, 70), []], linux: [range(60, 70), range(120, 128)] });
  });

  it('fault while a bitmap is copied out', () => {
    const shown = both((quirks) => {
      const its = opened({ quirks });
      its.map(0n, 4);
      its.map(96n * PAGE, 4);
      its.container.dirtyPages({ flags: START });
      its.write(1);
      its.write(96);
      // The second word of the bitmap is missing.
      const code = get(its, 128, BITMAP + BITMAP_BYTES - 8n, true);
      return [code, get(its, 128)];
    });
    // The second mapping begins at bit 32 of its word: its fault is in reading that word, after the shift.
    expect(shown).toEqual({ strict: ['EFAULT', [1, 96]], linux: ['EFAULT', []] });
  });

  it('words of the user bitmap', () => {
    const shown = both((quirks) => {
      const its = opened({ quirks });
      its.map(0n, 4);
      its.map(80n * PAGE, 4);
      its.container.dirtyPages({ flags: START });
      its.write(2);
      its.write(81);
      its.space.write(BITMAP, Uint8Array.from([0x80, ...Array(7).fill(0), 1, ...Array(14).fill(0), 0x80]));
      return get(its, 192, BITMAP, true);
    });
    expect(shown).toEqual({ strict: [2, 7, 64, 81, 191], linux: [2, 64, 81, 191] });
  });

  it('top of the address space', () => {
    const at = TOP - 4n * PAGE;
    const scenario = (options: Partial<Type1Options>) => {
      const its = opened(options);
      const { container, device } = its;
      const top = { flags: RW, iova: at, vaddr: RAM, size: 4n * PAGE };
      container.mapDma(top);
      const again = codeOf(() => container.mapDma(top));
      container.dirtyPages({ flags: START });
      const pin = codeOf(() => device.pinPages(at, 1, RW));
      if (pin === 'none') device.unpinPages(at, 1);
      const bitmap = { pgsize: PAGE, size: 8n, data: BITMAP };
      const code = codeOf(() => container.dirtyPages({ flags: GET, iova: at, size: 4n * PAGE, bitmap }));
      const bits = bitsAt(its.space, BITMAP, 8);
      const size = container.unmapDma({ iova: at, size: 4n * PAGE }).size;
      const alone = container.unmapDma({ flags: ALL }).size;
      its.map(0n, 1);
      const together = container.unmapDma({ flags: ALL }).size;
      return { again, pin, code, bits, sizes: [size, alone, together].map((bytes) => bytes / PAGE) };
    };
    expect({
      ...both((quirks) => scenario({ quirks })),
      next: scenario({ quirks: 'linux-6.12', uapi: 'next' }),
    }).toEqual({
      strict: { again: 'EEXIST', pin: 'none', code: 'none', bits: [0], sizes: [4n, 0n, 1n] },
      linux: { again: 'none', pin: 'EINVAL', code: 'EINVAL', bits: [], sizes: [0n, 0n, 9n] },
      next: { again: 'EEXIST', pin: 'none', code: 'none', bits: [0], sizes: [4n, 0n, 1n] },
    });
  });

  it('fault in the middle of an unmap', () => {
    const shown = both((quirks) => {
      const its = opened({ quirks });
      its.container.attach(backed(its));
      its.map(0n, 4);
      its.map(96n * PAGE, 4);
      its.container.dirtyPages({ flags: START });
      const bitmap = { pgsize: PAGE, size: 16n, data: BITMAP + BITMAP_BYTES - 8n };
      const request = { flags: GET_DIRTY, iova: 0n, size: 128n * PAGE, bitmap };
      const code = codeOf(() => its.container.unmapDma(request));
      return [code, its.container.lockedPages, its.container.getInfo().dmaAvail];
    });
    expect(shown).toEqual({ strict: ['EFAULT', 8, 65533], linux: ['EFAULT', 4, 65534] });
  });

  it('device that does not unpin', () => {
    const shown = both((quirks) => {
      const its = opened({ quirks });
      its.map(0n, 4);
      its.map(8n * PAGE, 4);
      let told = 0;
      its.group.openDevice({ dmaUnmap: () => told++ }).pinPages(8n * PAGE, 1, RW);
      const code = codeOf(() => its.container.unmapDma({ flags: ALL }));
      const left = its.container.getInfo().dmaAvail;
      its.device.unpinPages(8n * PAGE, 1);
      return [code, told, left, its.container.unmapDma({ flags: ALL }).size / PAGE];
    });
    expect(shown).toEqual({ strict: ['EBUSY', 11, 65533, 8n], linux: ['EBUSY', 11, 65534, 4n] });
  });

  it('unmap from inside a mapping, version 1', () => {
    const shown = both((quirks) => {
      const its = opened({ quirks }, 1);
      its.map(0n, 4);
      its.map(8n * PAGE, 4);
      let size = -1n;
      const code = codeOf(() => (size = its.container.unmapDma({ iova: PAGE, size: 64n * PAGE }).size));
      return [
        code,
        size,
        its.container.getInfo().dmaAvail,
        its.container.unmapDma({ iova: 0n, size: PAGE }).size / PAGE,
      ];
    });
    expect(shown).toEqual({ strict: ['EINVAL', -1n, 65533, 4n], linux: ['none', 0n, 65533, 4n] });
  });

  it('unmap with a read-only request', () => {
    const shown = both((quirks) => {
      const its = opened({ quirks });
      its.map(0n, 4);
      its.space.mprotect({ va: READ_ONLY_ARGS, length: PAGE, writable: true });
      its.space.write(READ_ONLY_ARGS, unmapRequest({ iova: 0n, size: 4n * PAGE }));
      its.space.mprotect({ va: READ_ONLY_ARGS, length: PAGE, writable: false });
      const code = codeOfResult(its.container.ioctl(UNMAP, READ_ONLY_ARGS));
      return [code, its.container.getInfo().dmaAvail];
    });
    expect(shown).toEqual({ strict: ['EFAULT', 65534], linux: ['EFAULT', 65535] });
  });

  it('bits of a failed pin', () => {
    const shown = both((quirks) => {
      const its = opened({ quirks });
      its.map(0n, 4);
      its.container.dirtyPages({ flags: START });
      const code = codeOf(() => its.device.pinPages(2n * PAGE, 3, RW));
      return [code, its.space.pinnedBytes, get(its, 64)];
    });
    expect(shown).toEqual({ strict: ['EINVAL', 0n, []], linux: ['EINVAL', 0n, [2, 3]] });
  });

  it('DMA before the first pin', () => {
    const shown = both((quirks) => {
      const its = opened({ quirks });
      const group = its.container.attach(backed(its));
      const device = group.openDevice({ dmaUnmap: () => undefined });
      its.map(0n, 4);
      its.container.dirtyPages({ flags: START });
      device.requester!.access(PAGE, 1, 2);
      device.pinPages(0n, 1, RW);
      return [get(its, 64), get(its, 64)];
    });
    expect(shown).toEqual({ strict: [[0, 1, 2, 3], [0]], linux: [[0], [0]] });
  });

  it('unpinning what is not pinned', () => {
    const shown = both((quirks) => {
      const its = opened({ quirks });
      its.map(0n, 4);
      its.device.pinPages(0n, 1, RW);
      its.device.pinPages(2n * PAGE, 1, RW);
      const code = codeOf(() => its.device.unpinPages(0n, 8));
      return [code, its.space.pinnedBytes];
    });
    expect(shown).toEqual({ strict: ['EINVAL', 2n * PAGE], linux: ['none', 0n] });
  });

  it('page size 0', () => {
    const shown = both((quirks) => {
      const its = opened({ quirks });
      its.map(0n, 4);
      its.container.dirtyPages({ flags: START });
      const bitmap = { pgsize: 0n, size: 8n, data: MISSING };
      const request = { iova: 0n, size: 4n * PAGE, bitmap };
      return [
        codeOf(() => its.container.dirtyPages({ flags: GET, ...request })),
        codeOf(() => its.container.unmapDma({ flags: GET_DIRTY, ...request })),
      ];
    });
    expect(shown).toEqual({ strict: ['EINVAL', 'EINVAL'], linux: ['EINVAL', 'EINVAL'] });
  });

  it('are all shown here, once', () => {
    const text = readFileSync(new URL(import.meta.url), 'utf8');
    const missing = TYPE1_QUIRKS.filter(({ test }) => !text.includes(`it('${test}'`)).map(({ name }) => name);
    const names = TYPE1_QUIRKS.map(({ name }) => name);
    expect([missing, new Set(names).size]).toEqual([[], names.length]);
  });
});
