import { describe, expect, it } from 'vitest';
import { IommuGroup } from '../../src/iommufd/iommu-group.ts';
import { Iommufd } from '../../src/iommufd/iommufd.ts';
import { codeOf } from '../core/builds.ts';
import { FIXED, ID, MIB, PAGE, RAM, RW, VTD_S1, behind, furnish, rig, type Rig } from './rig.ts';

const MAPPED = { flags: RW | FIXED, userVa: RAM, length: 16n * PAGE, iova: MIB };
const reach = (device: { requester: { access(iova: bigint, length: number, access: number): number } }) =>
  device.requester.access(MIB, 1, 1) >= 0;
const exists = ({ fd }: Rig, id: number) => codeOf(() => fd.destroy({ id })) !== 'ENOENT';

describe('binding a device', () => {
  it('asks for coherent DMA, isolated interrupts and a group that is not owned, in this order', () => {
    const made = rig();
    const { fd, core, space } = made;
    const other = new Iommufd(core, { addressSpace: space });
    const group = new IommuGroup();
    const first = other.bind(behind(made, { group }));
    const bind = (more: object) => codeOf(() => fd.bind(behind(made, more)));
    expect(bind({ cacheCoherent: false, isolatedMsi: false, group })).toBe('EINVAL');
    expect(bind({ isolatedMsi: false, group })).toBe('EPERM');
    expect(bind({ group })).toBe('EBUSY');
    first.unbind();
    expect(bind({ group })).toBe('none');
    expect(codeOf(() => first.attach(1))).toBe('ENODEV');
  });

  it('refuses options that make no sense', () => {
    const made = rig();
    const bind = (more: object) => codeOf(() => made.fd.bind(behind(made, more)));
    expect(bind({ capabilities: { pasidBits: 21 } })).toBe('EINVAL');
    expect(bind({ reservedRegions: [{ first: 2, last: 1 }] })).toBe('EINVAL');
    expect(bind({ requesterId: 0x10000 })).toBe('EINVAL');
    expect(made.core.usage.usedBytes).toBe(rigBytes());
  });

  it('leaves its DMA without a place to go until it is attached', () => {
    const made = rig();
    const device = furnish(made);
    expect(reach(device)).toBe(false);
    device.attach(ID.ioas);
    expect(reach(device)).toBe(true);
    device.detach();
    expect([reach(device), device.requester.fault?.reason]).toEqual([false, 'translation']);
  });
});

function rigBytes(): number {
  return rig().core.usage.usedBytes;
}

describe('attaching a device', () => {
  it('takes an IOAS or an HWPT, and nothing else', () => {
    const made = rig();
    const device = furnish(made);
    const codes = [99, ID.fault, ID.device, ID.access, ID.nested].map((id) => codeOf(() => device.attach(id)));
    expect(codes).toEqual(['ENOENT', 'EINVAL', 'EINVAL', 'EINVAL', 'EOPNOTSUPP']);
    expect([device.attach(ID.hwpt), device.hwptId]).toEqual([ID.hwpt, ID.hwpt]);
    expect(codeOf(() => device.attach(ID.hwpt))).toBe('EINVAL');
    expect(codeOf(() => device.attach(ID.ioas))).toBe('EINVAL');
    device.detach();
    expect(codeOf(() => device.detach())).toBe('EINVAL');
  });

  it('makes an HWPT for an IOAS, shares it, and frees it with the last device', () => {
    const made = rig();
    const { fd } = made;
    const [a, b] = [furnish(made), fd.bind(behind(made, { requesterId: 2 }))];
    const auto = a.attach(ID.ioas);
    expect(auto).not.toBe(ID.hwpt);
    expect(b.attach(ID.ioas)).toBe(auto);
    expect(codeOf(() => fd.hwptSetDirtyTracking({ flags: 1, hwptId: auto }))).toBe('EOPNOTSUPP');
    expect(codeOf(() => fd.destroy({ id: auto }))).toBe('EBUSY');
    a.detach();
    expect(exists(made, auto)).toBe(true);
    b.detach();
    expect(exists(made, auto)).toBe(false);
  });

  it('makes another where the IOMMU differs', () => {
    const made = rig();
    const a = furnish(made);
    const second = made.core.iommu();
    const b = made.fd.bind(behind(made, { iommu: second, requesterId: 2, domain: { format: 'amdv1' } }));
    const ids = [a.attach(ID.ioas), b.attach(ID.ioas)];
    expect(ids[0]).not.toBe(ids[1]);
    expect([reach(a), reach(b)]).toEqual([true, true]);
    expect(codeOf(() => b.replace(ID.hwpt))).toBe('EINVAL');
    expect([b.hwptId, reach(b)]).toEqual([ids[1], true]);
  });

  it('refuses a tracking HWPT to a device without tracking', () => {
    const made = rig();
    furnish(made);
    const dull = made.fd.bind(behind(made, { requesterId: 3, capabilities: { dirtyTracking: false } }));
    expect(codeOf(() => dull.attach(ID.hwpt))).toBe('EINVAL');
    expect(codeOf(() => dull.attach(ID.ioas))).toBe('none');
  });

  it('reserves what the device cannot use, for as long as it is attached', () => {
    const made = rig();
    const { fd } = made;
    furnish(made);
    const msi = { first: 0xfee0_0000n, last: 0xfeef_ffffn };
    const device = fd.bind(behind(made, { requesterId: 2, reservedRegions: [msi] }));
    const ranges = () => {
      const allowedIovas = new Uint8Array(64);
      const { numIovas } = fd.ioasIovaRanges({ ioasId: ID.ioas, numIovas: 4, allowedIovas });
      return [...new BigUint64Array(allowedIovas.buffer)].slice(0, 2 * numIovas);
    };
    const map = (iova: bigint) => codeOf(() => fd.ioasMap({ ...MAPPED, ioasId: ID.ioas, iova }));
    expect(ranges()).toEqual([0n, 2n ** 48n - 1n]);
    device.attach(ID.ioas);
    expect(ranges()).toEqual([0n, msi.first - 1n, msi.last + 1n, 2n ** 48n - 1n]);
    expect(map(msi.last - 0xfffn)).toBe('EINVAL');
    device.detach();
    expect(ranges()).toEqual([0n, 2n ** 48n - 1n]);
    expect(map(msi.last - 0xfffn)).toBe('none');
    expect(codeOf(() => device.attach(ID.ioas))).toBe('EADDRINUSE');
    expect(codeOf(() => device.attach(ID.other))).toBe('none');
    expect(codeOf(() => device.replace(ID.ioas))).toBe('EADDRINUSE');
    expect(ranges()).toEqual([0n, 2n ** 48n - 1n]);
  });

  it('reserves what lies outside the aperture, and refuses where something is there', () => {
    const made = rig();
    const { fd } = made;
    furnish(made);
    const domain = { format: 'vtdss' as const, aperture: { first: 0x10000, last: MIB - 1n } };
    const device = fd.bind(behind(made, { requesterId: 2, domain }));
    const alloc = (ptId: number) => codeOf(() => fd.hwptAlloc({ devId: device.devId, ptId }));
    expect(alloc(ID.ioas)).toBe('EADDRINUSE');
    expect(alloc(ID.other)).toBe('none');
    const [first] = [new Uint8Array(16)].map((allowedIovas) => {
      fd.ioasIovaRanges({ ioasId: ID.other, numIovas: 1, allowedIovas });
      return new BigUint64Array(allowedIovas.buffer);
    });
    expect([...first]).toEqual([0x10000n, MIB - 1n]);
  });

  it('raises the alignment of an IOAS, or refuses', () => {
    const made = rig();
    const { fd } = made;
    const { outIoasId: ioasId } = fd.ioasAlloc();
    const half = fd.bind(behind(made, { domain: { format: 'mock2k' } }));
    const map = (iova: bigint, length: bigint) => fd.ioasMap({ flags: RW | FIXED, ioasId, userVa: RAM, length, iova });
    const alignment = () => {
      const allowedIovas = new Uint8Array(160);
      return fd.ioasIovaRanges({ ioasId, numIovas: 10, allowedIovas }).outIovaAlignment;
    };
    map(0n, 1n);
    expect([alignment(), codeOf(() => half.attach(ioasId))]).toEqual([1n, 'EADDRINUSE']);
    fd.ioasUnmap({ ioasId, iova: 0, length: 1 });
    map(2048n, 2048n);
    half.attach(ioasId);
    expect(alignment()).toBe(2048n);
    expect(codeOf(() => fd.bind(behind(made, { requesterId: 2 })).attach(ioasId))).toBe('EADDRINUSE');
    expect(codeOf(() => fd.option({ optionId: 1, objectId: ioasId }))).toBe('EINVAL');
    half.detach();
    expect(alignment()).toBe(1n);
    const big = fd.bind(behind(made, { requesterId: 3, domain: { format: 'armv8-s1', granule: '64K' } }));
    expect(codeOf(() => big.attach(ioasId))).toBe('EINVAL');
  });

  it('takes leaves of 64 KiB on a host with such pages', () => {
    const made = rig({ pageSize: 65536 });
    const { fd } = made;
    const { outIoasId: ioasId } = fd.ioasAlloc();
    const device = fd.bind(behind(made, { domain: { format: 'armv8-s1', granule: '64K' } }));
    device.attach(ioasId);
    const map = { flags: RW, ioasId, userVa: RAM };
    expect(codeOf(() => fd.ioasMap({ ...map, length: PAGE }))).toBe('EINVAL');
    expect(fd.ioasMap({ ...map, length: 65536 }).iova).toBe(65536n);
    expect(device.requester.access(65536, 65536, 3)).toBe(1);
  });

  it('attaches a group to one HWPT, and replaces it as a whole', () => {
    const made = rig();
    const { fd } = made;
    const group = new IommuGroup();
    const a = furnish(made, { group });
    const b = fd.bind(behind(made, { requesterId: 2, group }));
    a.attach(ID.ioas);
    expect(codeOf(() => b.attach(ID.hwpt))).toBe('EINVAL');
    expect(codeOf(() => b.replace(ID.hwpt))).toBe('EINVAL');
    expect(b.attach(ID.ioas)).toBe(a.hwptId);
    const auto = a.hwptId!;
    expect(a.replace(ID.hwpt)).toBe(ID.hwpt);
    expect([a.hwptId, b.hwptId, exists(made, auto)]).toEqual([ID.hwpt, ID.hwpt, false]);
    expect(a.replace(ID.hwpt)).toBe(ID.hwpt);
    expect(codeOf(() => fd.destroy({ id: ID.hwpt }))).toBe('EBUSY');
    a.detach();
    expect(codeOf(() => fd.destroy({ id: ID.hwpt }))).toBe('EBUSY');
    expect([a.hwptId, b.hwptId, reach(a), reach(b)]).toEqual([undefined, ID.hwpt, false, true]);
    expect(b.replace(ID.other)).not.toBe(ID.hwpt);
    expect(reach(b)).toBe(false);
    b.unbind();
    expect(codeOf(() => fd.destroy({ id: ID.hwpt }))).toBe('none');
  });

  it('keeps the old attachment where a replacement fails', () => {
    const made = rig();
    const { fd } = made;
    const device = furnish(made);
    const auto = device.attach(ID.ioas);
    const bad = fd.ioasAlloc().outIoasId;
    fd.ioasMap({ ...MAPPED, ioasId: bad, userVa: 0n });
    const used = made.core.usage.usedBytes;
    expect(codeOf(() => device.replace(bad))).toBe('EFAULT');
    expect([device.hwptId, reach(device), made.core.usage.usedBytes]).toEqual([auto, true, used]);
  });
});

describe('PASIDs', () => {
  function world() {
    const made = rig({ uapi: 'next' });
    const device = furnish(made, { capabilities: { pasidBits: 8, nesting: 'vtd-s1' } });
    const flagged = [1, 2].map(() => made.fd.hwptAlloc({ flags: 8, devId: device.devId, ptId: ID.ioas }).outHwptId);
    return { made, device, flagged };
  }

  it('come after 6.12, and within the range of the device', () => {
    const old = furnish(rig(), { capabilities: { pasidBits: 8, nesting: 'vtd-s1' } });
    expect(codeOf(() => old.attachPasid(1, ID.hwpt))).toBe('ENOTTY');
    const { device, flagged } = world();
    expect([0, 256, 1.5].map((pasid) => codeOf(() => device.attachPasid(pasid, flagged[0])))).toEqual(
      Array.from({ length: 3 }, () => 'EINVAL'),
    );
  });

  it('need an HWPT that is made for them, and a device that is on one', () => {
    const { device, flagged } = world();
    expect(codeOf(() => device.attachPasid(1, ID.hwpt))).toBe('EINVAL');
    expect(codeOf(() => device.attachPasid(1, ID.ioas))).toBe('EINVAL');
    device.attach(ID.hwpt);
    expect(codeOf(() => device.attachPasid(1, flagged[0]))).toBe('EINVAL');
    device.replace(flagged[0]);
    device.attachPasid(1, flagged[1]);
    expect(codeOf(() => device.attachPasid(1, flagged[1]))).toBe('EINVAL');
    expect(codeOf(() => device.replace(ID.hwpt))).toBe('EINVAL');
    expect(device.hwptId).toBe(flagged[0]);
  });

  it('have DMA of their own', () => {
    const { made, device, flagged } = world();
    const other = made.fd.hwptAlloc({ flags: 8, devId: device.devId, ptId: ID.other }).outHwptId;
    device.attachPasid(7, flagged[0]);
    expect([device.pasidRequester(7)!.access(MIB, 1, 1), reach(device)]).toEqual([1, false]);
    device.replacePasid(7, other);
    expect(device.pasidRequester(7)!.access(MIB, 1, 1)).toBe(-1);
    expect(codeOf(() => made.fd.destroy({ id: flagged[0] }))).toBe('none');
    expect(codeOf(() => made.fd.destroy({ id: other }))).toBe('EBUSY');
    device.detachPasid(7);
    expect([device.pasidRequester(7), codeOf(() => device.detachPasid(7))]).toEqual([undefined, 'EINVAL']);
    expect(codeOf(() => made.fd.destroy({ id: other }))).toBe('none');
  });
});

describe('an HWPT without its fault queue', () => {
  it('leaves nothing behind', () => {
    const made = rig({ uapi: 'next' });
    const device = furnish(made);
    const used = made.core.usage.usedBytes;
    const args = { flags: 4, devId: device.devId, faultId: 99 };
    expect(codeOf(() => made.fd.hwptAlloc({ ...args, ptId: ID.ioas }))).toBe('ENOENT');
    expect(codeOf(() => made.fd.hwptAlloc({ ...args, ptId: ID.parent, ...VTD_S1 }))).toBe('ENOENT');
    made.fd.destroy({ id: ID.nested });
    expect([made.core.usage.usedBytes, codeOf(() => made.fd.destroy({ id: ID.parent }))]).toEqual([used, 'none']);
  });
});

describe('closing', () => {
  it('gives back pins, tables and groups, and refuses what comes after', () => {
    const made = rig({ uapi: 'next' });
    const { fd, core, space } = made;
    const before = core.usage.usedBytes;
    const group = new IommuGroup();
    const device = furnish(made, { group, capabilities: { pasidBits: 8, nesting: 'vtd-s1' } });
    const { outHwptId } = fd.hwptAlloc({ flags: 8, devId: device.devId, ptId: ID.ioas });
    device.attach(outHwptId);
    device.attachPasid(1, outHwptId);
    fd.createAccess({ pinsPages: true }).attach(ID.ioas);
    fd.close();
    expect([space.pinnedBytes, core.usage.usedBytes, group.owner]).toEqual([0n, before, undefined]);
    expect(codeOf(() => fd.ioasAlloc())).toBe('EBADF');
    expect(codeOf(() => fd.ioctl(0x3b81, new Uint8Array(12)))).toBe('EBADF');
  });
});
