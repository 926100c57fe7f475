import { describe, expect, it } from 'vitest';
import type { FailPoint } from '../../src/errno/fail-point.ts';
import { WRITE } from '../../src/iommu/access.ts';
import type { Quirks } from '../../src/iommu/quirks.ts';
import { codeOf } from '../core/builds.ts';
import { BUFFER, FIXED, MIB, PAGE, RAM, RW, behind, rig, type Rig } from './rig.ts';
import { bitsOf } from './tracked.ts';

/** Two IOASes of two areas each, two HWPTs on the first, one on the second, two devices, an access, a nest parent. */
function furnished(quirks: Quirks) {
  // Everything before the operation under test succeeds.
  const fault: { left: number; met: FailPoint[] } = { left: Infinity, met: [] };
  const made = rig({
    quirks,
    uapi: 'next',
    fail: (what) => {
      fault.met.push(what);
      return fault.left-- === 0 ? 'EIO' : undefined;
    },
  });
  const { fd } = made;
  const [first, second, third] = [0, 0, 0].map(() => fd.ioasAlloc().outIoasId);
  const capabilities = { nesting: 'vtd-s1', pasidBits: 4 } as const;
  const [a, b] = [1, 2].map((requesterId) => fd.bind(behind(made, { requesterId, capabilities })));
  const alloc = (ptId: number, flags: number) => fd.hwptAlloc({ flags, devId: a.devId, ptId }).outHwptId;
  const [hwpt, plain, parent, pasids] = [alloc(first, 2), alloc(first, 0), alloc(second, 1), alloc(first, 8)];
  const map = (ioasId: number, iova: bigint, userVa: bigint) =>
    fd.ioasMap({ flags: RW | FIXED, ioasId, userVa, length: MIB, iova });
  map(first, 0n, RAM + PAGE);
  map(first, MIB, RAM + 4n * MIB);
  map(second, 0n, RAM + 8n * MIB);
  map(third, 0n, RAM + 12n * MIB);
  map(third, 2n * MIB, RAM + 16n * MIB);
  a.attach(hwpt);
  fd.hwptSetDirtyTracking({ flags: 1, hwptId: hwpt });
  a.requester.access(0x5000, 1, WRITE);
  const access = fd.createAccess({ pinsPages: true });
  access.attach(second);
  const idle = fd.createAccess({ pinsPages: true });
  const dirty = () => {
    const data = new Uint8Array(64);
    fd.hwptGetDirtyBitmap({ hwptId: hwpt, flags: 1, iova: 0, length: 2n * MIB, pageSize: PAGE, data });
    return bitsOf(data);
  };
  /** What can be seen of it without changing it. */
  const state = () => {
    const allowed = [first, second, third].map((ioasId) => {
      const allowedIovas = new Uint8Array(256);
      const { numIovas, outIovaAlignment } = fd.ioasIovaRanges({ ioasId, numIovas: 16, allowedIovas });
      return [numIovas, outIovaAlignment, ...new BigUint64Array(allowedIovas.buffer)];
    });
    return {
      allowed,
      dirty: dirty(),
      runs: made.space.pinnedRuns.map(({ pa, length, count }) => [pa, length, count]),
      locked: fd.pinnedBytes,
      used: made.core.usage.usedBytes,
      attached: [a.hwptId, b.hwptId, access.ioasId, idle.ioasId, a.pasidRequester(1) === undefined],
      faults: [0n, MIB, 2n * MIB].map((iova) => a.requester.access(iova, 1, 1)),
      ids: Array.from({ length: 16 }, (_, id) => {
        const code = codeOf(() => fd.getHwInfo({ devId: id }));
        const info = codeOf(() => fd.hwptSetDirtyTracking({ flags: 2, hwptId: id }));
        return [code, info];
      }),
    };
  };
  const quiet = <T>(run: () => T): T => {
    const { left } = fault;
    fault.left = Infinity;
    try {
      return run();
    } finally {
      fault.left = left;
    }
  };
  return {
    ...made,
    fault,
    first,
    second,
    third,
    a,
    b,
    hwpt,
    plain,
    parent,
    pasids,
    access,
    idle,
    map,
    state: () => quiet(state),
  };
}

type World = ReturnType<typeof furnished>;

const OPERATIONS: Record<string, (world: World) => unknown> = {
  ioasAlloc: ({ fd }) => fd.ioasAlloc(),
  ioasAllowIovas: ({ fd, third }) => {
    const allowedIovas = new Uint8Array(new BigUint64Array([0n, 99n, 2n ** 20n, 2n ** 21n]).buffer);
    fd.ioasAllowIovas({ ioasId: third, numIovas: 2, allowedIovas });
  },
  ioasMap: ({ map, first }) => map(first, 4n * MIB, RAM + 20n * MIB),
  'ioasMap without a domain': ({ map, third }) => map(third, 4n * MIB, RAM + 20n * MIB),
  ioasCopy: ({ fd, first, third }) =>
    fd.ioasCopy({ flags: RW, srcIoasId: third, dstIoasId: first, length: MIB, srcIova: 0 }),
  'ioasCopy of two areas': ({ fd, first }) =>
    fd.ioasCopy({ flags: RW, srcIoasId: first, dstIoasId: first, length: 2n * MIB, srcIova: 0 }),
  ioasUnmap: ({ fd, first }) => fd.ioasUnmap({ ioasId: first, iova: 0, length: 2n * MIB }),
  hwptAlloc: ({ fd, a, first }) => fd.hwptAlloc({ flags: 2, devId: a.devId, ptId: first }),
  'hwptAlloc on an IOAS without domains': ({ fd, a, third }) => fd.hwptAlloc({ devId: a.devId, ptId: third }),
  'hwptAlloc, nested': ({ fd, a, parent }) =>
    fd.hwptAlloc({ devId: a.devId, ptId: parent, dataType: 1, dataLen: 24, dataUptr: new Uint8Array(24) }),
  'hwptSetDirtyTracking off': ({ fd, hwpt }) => fd.hwptSetDirtyTracking({ hwptId: hwpt }),
  getHwInfo: ({ fd, a }) => fd.getHwInfo({ devId: a.devId, dataLen: 8, dataUptr: BUFFER }),
  faultQueueAlloc: ({ fd }) => fd.faultQueueAlloc(),
  createAccess: ({ fd }) => fd.createAccess(),
  'access attach': ({ idle, third }) => idle.attach(third),
  'access replace': ({ access, third }) => access.replace(third),
  'access pin': ({ access }) => access.pin({ iova: 0, length: MIB }),
  bind: (world) => world.fd.bind(behind(world, { requesterId: 9 })),
  'attach to an IOAS': ({ b, first }) => b.attach(first),
  'attach to an IOAS without domains': ({ b, third }) => b.attach(third),
  'attach to an HWPT': ({ b, hwpt }) => b.attach(hwpt),
  'attach a PASID': ({ b, pasids }) => b.attachPasid(1, pasids),
  'replace by an HWPT': ({ a, plain }) => a.replace(plain),
  'replace by an IOAS without domains': ({ a, third }) => a.replace(third),
  'compatible map': ({ fd, first }) => {
    fd.vfioIoas({ op: 1, ioasId: first });
    fd.vfio.mapDma({ flags: 3, vaddr: RAM + 20n * MIB, iova: 4n * MIB, size: MIB });
  },
};

/** The doings that follow the operation: what is said to be unchanged must also still work. */
function checkClose({ fd, core, space }: Rig): unknown {
  fd.close();
  return [space.pinnedBytes, core.usage.usedBytes];
}

describe.each(['strict', 'linux-6.12'] as const)('fault injection, %s', (quirks) => {
  it.each(Object.entries(OPERATIONS))('%s leaves everything as it was, wherever it fails', (name, operation) => {
    const empty = checkClose(furnished(quirks));
    const clean = furnished(quirks);
    clean.fault.met.length = 0;
    clean.fault.left = Infinity;
    operation(clean);
    const points = clean.fault.met.length;
    expect(checkClose(clean)).toEqual(empty);
    for (let n = 0; n < points; n++) {
      const world = furnished(quirks);
      const before = world.state();
      world.fault.left = n;
      expect([n, codeOf(() => operation(world))]).toEqual([n, 'EIO']);
      world.fault.left = Infinity;
      expect([n, world.state()]).toEqual([n, before]);
      expect(codeOf(() => operation(world))).toBe('none');
      expect(checkClose(world)).toEqual(empty);
    }
    // Only what neither allocates, pins nor calls a driver cannot fail.
    if (!name.startsWith('ioasUnmap')) expect(points).toBeGreaterThan(0);
  });

  it('leaves tracking off where the wipe fails', () => {
    for (let n = 0; n < 3; n++) {
      const world = furnished(quirks);
      const { fd, hwpt, fault, a } = world;
      fd.hwptSetDirtyTracking({ hwptId: hwpt });
      fault.left = n;
      expect(codeOf(() => fd.hwptSetDirtyTracking({ flags: 1, hwptId: hwpt }))).toBe('EIO');
      fault.left = Infinity;
      a.requester.access(0x9000, 1, WRITE);
      const data = new Uint8Array(64);
      const query = { hwptId: hwpt, iova: 0, length: MIB, pageSize: PAGE, data };
      expect([codeOf(() => fd.hwptGetDirtyBitmap(query)), bitsOf(data)]).toEqual([
        quirks === 'strict' ? 'EINVAL' : 'none',
        [],
      ]);
    }
  });

  it('reads no dirty state where the bitmap object cannot be made', () => {
    const { fd, hwpt, fault } = furnished(quirks);
    const data = new Uint8Array(64);
    const query = { hwptId: hwpt, iova: 0, length: MIB, pageSize: PAGE, data };
    fault.left = 0;
    expect([codeOf(() => fd.hwptGetDirtyBitmap(query)), bitsOf(data)]).toEqual(['EIO', []]);
    fd.hwptGetDirtyBitmap(query);
    expect(bitsOf(data)).toEqual([5]);
  });
});

describe('memory of the core', () => {
  it('runs out at any point of a map or an attach without leaving anything behind', () => {
    const made = rig();
    const { fd, core, space } = made;
    const { outIoasId: ioasId } = fd.ioasAlloc();
    const device = fd.bind(behind(made));
    const fill: { close(): void }[] = [];
    while (codeOf(() => fill.push(core.bitmap({ length: 2 ** 27 }))) === 'none');
    const codes = new Set<string>();
    for (let free = 0; free < 12; free++) {
      const before = [core.usage.usedBytes, space.pinnedBytes, fd.pinnedBytes];
      const code = codeOf(() => device.attach(ioasId));
      codes.add(`attach ${code}`);
      if (code === 'none') {
        const attached = [core.usage.usedBytes, space.pinnedBytes, fd.pinnedBytes];
        const args = { flags: RW | FIXED, ioasId, userVa: RAM + PAGE, length: 8n * MIB, iova: 2n ** 30n - 4n * MIB };
        const mapped = codeOf(() => fd.ioasMap(args));
        codes.add(`map ${mapped}`);
        if (mapped === 'none') fd.ioasUnmap({ ioasId, iova: args.iova, length: args.length });
        expect([core.usage.usedBytes, space.pinnedBytes, fd.pinnedBytes]).toEqual(attached);
        device.detach();
      }
      expect([core.usage.usedBytes, space.pinnedBytes, fd.pinnedBytes]).toEqual(before);
      fill.pop()!.close();
    }
    expect([...codes].sort()).toEqual(['attach ENOMEM', 'attach none', 'map ENOMEM', 'map none']);
  });
});
