import { describe, expect, it } from 'vitest';
import { codeOf } from '../core/builds.ts';
import { request } from './doors.ts';
import { ARGS, BITMAP, BITMAP_BYTES, PAGE, RAM, RW, backed, rig } from './rig.ts';

const GET_INFO = 0x3b70;
const FILL = 0xee;

/** The bytes that an ioctl with this argsz leaves behind, and its result. */
function infoBytes(its: ReturnType<typeof rig>, argsz: number, length = 256): { result: number; bytes: Uint8Array } {
  const bytes = new Uint8Array(length).fill(FILL);
  bytes.set(request([32, argsz]));
  its.space.write(ARGS, bytes);
  const result = its.container.ioctl(GET_INFO, ARGS);
  its.space.read(ARGS, bytes);
  return { result, bytes };
}

describe('type1 GET_INFO', () => {
  it('gives page sizes, and no ranges where only emulated groups are', () => {
    const its = rig();
    its.container.attach({ emulated: true });
    its.container.setIommu(3);
    expect(its.container.getInfo()).toEqual({
      flags: 3,
      iovaPgsizes: 2n ** 64n - 4096n,
      migration: { flags: 0, pgsizeBitmap: 4096n, maxDirtyBitmapSize: 2n ** 28n },
      dmaAvail: 65535,
    });
    const { result, bytes } = infoBytes(its, 24 + 48);
    expect([result, ...new Uint32Array(bytes.buffer, 0, 4)]).toEqual([0, 72, 3, 0xfffff000, 0xffffffff]);
    expect([...new Uint32Array(bytes.buffer, 16, 14)]).toEqual([
      // cap_offset, pad
      24,
      0,
      // MIGRATION: id 2 and version 1, next, flags, padding, pgsize_bitmap, max_dirty_bitmap_size
      0x10002,
      56,
      0,
      0,
      4096,
      0,
      2 ** 28,
      0,
      // DMA_AVAIL: id 3 and version 1, the last; avail, padding
      0x10003,
      0,
      65535,
      0,
    ]);
    expect(bytes.subarray(72).every((byte) => byte === FILL)).toBe(true);
  });

  it('gives the chain with ranges, at its offsets', () => {
    const its = rig();
    its.container.attach(backed(its, 1, { reservedRegions: [{ first: 0xfee00000, last: 0xfeefffff }] }));
    its.container.setIommu(3);
    its.container.mapDma({ flags: RW, iova: 0n, vaddr: RAM, size: PAGE });
    const last = BigInt(its.iommu.domain({ format: 'vtdss' }).inputRanges[0].last);
    expect(its.container.getInfo()).toEqual({
      flags: 3,
      iovaPgsizes: (2n ** 12n) | (2n ** 21n) | (2n ** 30n),
      migration: { flags: 0, pgsizeBitmap: 4096n, maxDirtyBitmapSize: 2n ** 28n },
      dmaAvail: 65534,
      iovaRanges: [
        { start: 0n, end: 0xfedfffffn },
        { start: 0xfef00000n, end: last },
      ],
    });
    const { result, bytes } = infoBytes(its, 256);
    const words = new Uint32Array(bytes.buffer);
    const longs = new BigUint64Array(bytes.buffer);
    expect([result, words[0], words[1], longs[1], words[4]]).toEqual([0, 256, 3, 0x40201000n, 24]);
    expect([words[7], words[15]]).toEqual([56, 72]);
    expect([words[18], words[19], words[20], words[21]]).toEqual([0x10001, 0, 2, 0]);
    expect([...longs.subarray(11, 15)]).toEqual([0n, 0xfedfffffn, 0xfef00000n, last]);
    expect(bytes.subarray(120).every((byte) => byte === FILL)).toBe(true);
  });

  it('says how much it needs, and writes no more than it was given', () => {
    const its = rig();
    its.container.attach(backed(its));
    its.container.setIommu(3);
    const need = 24 + 32 + 16 + 16 + 16;
    const shown = [15, 16, 20, 24, need - 1, need].map((argsz) => {
      const { result, bytes } = infoBytes(its, argsz);
      const words = new Uint32Array(bytes.buffer);
      let touched = bytes.length;
      while (bytes[touched - 1] === FILL) touched--;
      return [result, words[0], argsz >= 20 ? words[4] : -1, touched];
    });
    expect(shown).toEqual([
      [-22, 15, -1, 4],
      [0, need, -1, 16],
      [0, need, 0, 20],
      [0, need, 0, 24],
      [0, need, 0, 24],
      [0, need, 24, need],
    ]);
  });

  it('is EFAULT where the chain does not fit into memory', () => {
    const its = rig();
    its.container.attach(backed(its));
    its.container.setIommu(3);
    const at = BITMAP + BITMAP_BYTES - 24n;
    its.space.write(at, request([32, 24]));
    const small = its.container.ioctl(GET_INFO, at);
    its.space.write(at, request([32, 200]));
    expect([small, its.container.ioctl(GET_INFO, at)]).toEqual([0, -14]);
  });

  it('has the page sizes that all domains have, and what all can reach', () => {
    const its = rig();
    const { container } = its;
    const seen: unknown[] = [];
    const look = () => {
      const { iovaPgsizes, iovaRanges = [] } = container.getInfo();
      const spans = iovaRanges.map(({ start, end }) => `${start.toString(16)}-${end.toString(16)}`);
      seen.push([iovaPgsizes.toString(16), ...spans]);
    };
    const aperture = { first: 0x1000_0000, last: 0xffff_ffff };
    const large = container.attach(
      backed(its, 1, { domain: { format: 'vtdss', leafSizes: [2 ** 21, 2 ** 30], inputBits: 39 } }),
    );
    container.setIommu(3);
    look();
    const near = container.attach(
      backed(its, 2, { domain: { format: 'amdv1', leafSizes: [4096, 2 ** 21], aperture } }),
    );
    look();
    large.detach();
    look();
    expect(codeOf(() => container.attach(backed(its, 4, { domain: { format: 'vtdss', leafSizes: [2 ** 30] } })))).toBe(
      'EINVAL',
    );
    near.detach();
    // Pages of 2 KiB count as the 4 KiB that memory is pinned by.
    container.attach(backed(its, 3, { domain: { format: 'mock2k', leafSizes: [2048], inputBits: 48 } }));
    container.setIommu(3);
    look();
    expect(seen).toEqual([
      ['40200000', '0-7fffffffff'],
      ['200000', '10000000-ffffffff'],
      ['201000', '10000000-ffffffff'],
      ['1000', '0-ffffffffffff'],
    ]);
  });
});
