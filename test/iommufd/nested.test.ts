import { describe, expect, it } from 'vitest';
import type { BindOptions, NestingKind } from '../../src/iommufd/bind-options.ts';
import { codeOf } from '../core/builds.ts';
import { BUFFER, ID, furnish, rig, behind } from './rig.ts';

/** A device with nested translation of a kind, and a nest parent for it. */
function world(nesting: NestingKind, uapi: '6.12' | 'next' = '6.12', more: Partial<BindOptions> = {}) {
  const made = rig({ uapi });
  const { fd } = made;
  const { outIoasId } = fd.ioasAlloc();
  const device = fd.bind(behind(made, { capabilities: { nesting }, ...more }));
  const parent = fd.hwptAlloc({ flags: 1, devId: device.devId, ptId: outIoasId }).outHwptId;
  const nest = (dataType: number, dataUptr: Uint8Array) =>
    fd.hwptAlloc({ devId: device.devId, ptId: parent, dataType, dataLen: dataUptr.length, dataUptr }).outHwptId;
  return { ...made, device, parent, nest };
}

const words = (...list: bigint[]) => new Uint8Array(new BigUint64Array(list).buffer);

describe('nested HWPTs', () => {
  it('take the stream table entry that a guest may set', () => {
    const { nest } = world('smmuv3', 'next', { domain: { format: 'armv8-s2' } });
    const [valid, abort, bypass, s1, s2] = [1n, 0n, 4n << 1n, 5n << 1n, 6n << 1n];
    const code = (...ste: bigint[]) => codeOf(() => nest(2, words(...ste)));
    expect([code(valid | abort, 0n), code(valid | bypass, 0n), code(valid | s1, 0xffn)]).toEqual([
      'none',
      'none',
      'none',
    ]);
    // Not valid: whatever else is in it does not count.
    expect(code(s2, 2n ** 63n)).toBe('none');
    expect(code(valid | s1 | 0xf_ffff_ffff_ffc0n | (31n << 59n), (1n << 28n) | (1n << 27n))).toBe('none');
    const bad = [
      code(valid | s2, 0n),
      code(valid | s1 | (1n << 52n), 0n),
      code(valid | s1, 1n << 8n),
      code(valid | s1, 2n << 28n),
    ];
    expect(bad).toEqual(['EIO', 'EIO', 'EIO', 'EIO']);
    expect([code(valid), code(valid, 0n, 1n), code(valid, 0n, 0n)]).toEqual(['EINVAL', 'E2BIG', 'none']);
    const old = world('smmuv3', '6.12', { domain: { format: 'armv8-s2' } });
    expect(codeOf(() => old.nest(2, words(valid, 0n)))).toBe('EOPNOTSUPP');
  });

  it('of an SMMU are invalidated elsewhere', () => {
    const { nest, fd } = world('smmuv3', 'next', { domain: { format: 'armv8-s2' } });
    expect(invalidate(() => fd.hwptInvalidate({ hwptId: nest(2, words(0n, 0n)) }))).toBe('EOPNOTSUPP');
  });

  it("of iommufd's selftest have an IOTLB of four entries", () => {
    const { nest, fd } = world('selftest');
    const hwptId = nest(0xdead, Uint8Array.of(7, 0, 0, 0));
    const run = (...pairs: [flags: number, id: number][]) => {
      const dataUptr = new Uint8Array(new Uint32Array(pairs.flat()).buffer);
      let done: unknown;
      const code = invalidate(() => {
        const args = { hwptId, dataUptr, dataType: 0xdeadbeef, entryLen: 8, entryNum: pairs.length };
        done = fd.hwptInvalidate(args).entryNum;
      });
      return code === 'none' ? done : code;
    };
    expect([run([0, 0], [0, 3]), run([1, 0]), run([2, 0]), run([0, 4])]).toEqual([2, 1, 'EOPNOTSUPP', 'EINVAL']);
    expect(codeOf(() => nest(1, words(0n, 0n, 0n)))).toBe('EOPNOTSUPP');
  });

  it('stand on a nest parent of the same IOMMU, and take no device', () => {
    const { nest, fd, device, core, parent } = world('vtd-s1');
    const hwptId = nest(1, words(1n, 0n, 48n));
    expect([codeOf(() => device.attach(hwptId)), codeOf(() => fd.destroy({ id: parent }))]).toEqual([
      'EOPNOTSUPP',
      'EBUSY',
    ]);
    const iommu = core.iommu();
    const other = fd.bind({ iommu, requesterId: 1, domain: { format: 'vtdss' }, capabilities: { nesting: 'vtd-s1' } });
    const dataUptr = words(0n, 0n, 0n);
    expect(codeOf(() => fd.hwptAlloc({ devId: other.devId, ptId: parent, dataType: 1, dataLen: 24, dataUptr }))).toBe(
      'EINVAL',
    );
    device.attach(parent);
    expect(codeOf(() => device.replace(hwptId))).toBe('EOPNOTSUPP');
    expect(device.hwptId).toBe(parent);
    fd.destroy({ id: hwptId });
    device.detach();
    fd.destroy({ id: parent });
  });
});

function invalidate(run: () => unknown): string {
  try {
    run();
    return 'none';
  } catch (error) {
    return (error as { code: string }).code;
  }
}

describe('GET_HW_INFO', () => {
  it('copies what fits and clears what is left', () => {
    const made = rig();
    furnish(made);
    const hwInfo = { type: 1, data: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) };
    const { devId } = made.fd.bind(behind(made, { requesterId: 5, hwInfo }));
    const read = (dataLen: number) => {
      made.space.write(BUFFER, new Uint8Array(6000).fill(0xee));
      const { dataLen: length, outDataType } = made.fd.getHwInfo({ devId, dataLen, dataUptr: BUFFER });
      const found = new Uint8Array(6000);
      made.space.read(BUFFER, found);
      return {
        length,
        outDataType,
        head: [...found.subarray(0, 10)],
        kept: found.findIndex((byte, i) => i > 8 && byte === 0xee),
      };
    };
    const known = { length: 8, outDataType: 1 };
    expect(read(3)).toEqual({ ...known, head: [1, 2, 3, ...Array(7).fill(0xee)], kept: 9 });
    expect(read(5000)).toEqual({ ...known, head: [1, 2, 3, 4, 5, 6, 7, 8, 0, 0], kept: 5000 });
    expect(made.fd.getHwInfo({ devId: ID.device })).toMatchObject({ dataLen: 0, outDataType: 0 });
  });
});
