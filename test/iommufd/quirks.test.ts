import { describe, expect, it } from 'vitest';
import type { IommufdOptions } from '../../src/iommufd/context.ts';
import type { Quirks } from '../../src/iommu/quirks.ts';
import { IOMMUFD_QUIRKS } from '../../src/iommufd/quirks.ts';
import { codeOf } from '../core/builds.ts';
import { BUFFER, BUFFER_BYTES, FIXED, MIB, PAGE, RAM, READABLE, RW, behind, rig, type Rig } from './rig.ts';
import { asking } from './asking.ts';
import { codeOfResult } from './doors.ts';
import { guestRig, KINDS, nest } from './guest-rig.ts';
import { bitsOf, tracked } from './tracked.ts';

type QuirkName = (typeof IOMMUFD_QUIRKS)[number]['test'];

const opened = (quirks: Quirks, more: Partial<IommufdOptions> = {}) => rig({ quirks, ...more });
/** 4 MiB of which none shares a large leaf, and 4 MiB in two leaves of 2 MiB. */
const SMALL = [0n, RAM + PAGE, 4n * MIB] as const;
const LARGE = [8n * MIB, RAM + 8n * MIB, 4n * MIB] as const;

/** What each quirk shows, in a form in which the two sides can be compared. */
const SHOWS: Record<QuirkName, { show: (quirks: Quirks) => unknown; strict: unknown; linux: unknown }> = {
  'hole in a dirty query': {
    show: (quirks) => {
      const { fd, hwptId, write, dirty } = tracked(opened(quirks), [SMALL, [5n * MIB, RAM + 5n * MIB, MIB]]);
      fd.hwptSetDirtyTracking({ flags: 1, hwptId });
      write(PAGE);
      write(5n * MIB);
      const data = new Uint8Array(192);
      const code = codeOf(() => fd.hwptGetDirtyBitmap({ hwptId, iova: 0, length: 6n * MIB, pageSize: PAGE, data }));
      const rest = [dirty({ iova: 0n, length: 4n * MIB }), dirty({ iova: 5n * MIB, length: MIB }).length];
      return { code, bits: bitsOf(data), rest };
    },
    strict: { code: 'EINVAL', bits: [], rest: [[1], 1] },
    linux: { code: 'none', bits: [1], rest: [[], 1] },
  },
  'dirty query without tracking': {
    show: (quirks) => {
      const { fd, hwptId, write } = tracked(opened(quirks), [SMALL]);
      write(0n);
      const data = new Uint8Array(2);
      const code = codeOf(() => fd.hwptGetDirtyBitmap({ hwptId, iova: 0, length: 9n * PAGE, pageSize: PAGE, data }));
      return { code, bits: bitsOf(data) };
    },
    strict: { code: 'EINVAL', bits: [] },
    linux: { code: 'none', bits: [] },
  },
  'driver error in a dirty query': {
    show: (quirks) => {
      let calls = -1;
      const { fd, hwptId, write, dirty } = tracked(
        opened(quirks, { fail: (what) => (what === 'driver' && calls >= 0 && calls++ === 1 ? 'EIO' : undefined) }),
        [SMALL, [4n * MIB, RAM + 5n * MIB, MIB]],
      );
      fd.hwptSetDirtyTracking({ flags: 1, hwptId });
      write(PAGE);
      write(4n * MIB);
      calls = 0;
      const data = new Uint8Array(160);
      const code = codeOf(() => fd.hwptGetDirtyBitmap({ hwptId, iova: 0, length: 5n * MIB, pageSize: PAGE, data }));
      return { code, bits: bitsOf(data), rest: dirty({ iova: 0n, length: 5n * MIB }) };
    },
    strict: { code: 'EIO', bits: [], rest: [1, 1024] },
    linux: { code: 'none', bits: [1], rest: [1024] },
  },
  'dirty bitmap that cannot be written': {
    show: (quirks) => {
      const { fd, hwptId, write, dirty, space } = tracked(opened(quirks), [[0n, RAM + PAGE, 32n * MIB]]);
      fd.hwptSetDirtyTracking({ flags: 1, hwptId });
      write(7n * PAGE);
      write(4096n * PAGE);
      // Bits 0 .. 4095 lie in the last 512 bytes of what is there.
      const data = BUFFER + BUFFER_BYTES - 512n;
      const query = { hwptId, iova: 0, length: 32n * MIB, pageSize: PAGE };
      const code = codeOf(() => fd.hwptGetDirtyBitmap({ ...query, data }));
      const there = new Uint8Array(512);
      space.read(data, there);
      const short = new Uint8Array(512);
      write(9n * PAGE);
      const second = codeOf(() => fd.hwptGetDirtyBitmap({ ...query, data: short }));
      return {
        codes: [code, second],
        bits: bitsOf(there),
        short: bitsOf(short),
        rest: dirty({ iova: 0n, length: 32n * MIB }),
      };
    },
    strict: { codes: ['EFAULT', 'EFAULT'], bits: [], short: [], rest: [7, 9, 4096] },
    linux: { codes: ['none', 'none'], bits: [7], short: [9], rest: [] },
  },
  'tracking switched on twice': {
    show: (quirks) => {
      const { fd, hwptId, write, dirty } = tracked(opened(quirks), [SMALL]);
      fd.hwptSetDirtyTracking({ flags: 1, hwptId });
      write(3n * PAGE);
      fd.hwptSetDirtyTracking({ flags: 1, hwptId });
      return dirty({ iova: 0n, length: 4n * MIB });
    },
    strict: [3],
    linux: [],
  },
  'leaf that reaches beyond a dirty query': {
    show: (quirks) => {
      const { fd, hwptId, write, dirty } = tracked(opened(quirks), [LARGE]);
      fd.hwptSetDirtyTracking({ flags: 1, hwptId });
      write(8n * MIB);
      const first = dirty({ iova: 8n * MIB, length: 8n * PAGE }).slice(0, 8);
      return { first, rest: dirty({ iova: 8n * MIB, length: 2n * MIB }).length };
    },
    strict: { first: [0, 1, 2, 3, 4, 5, 6, 7], rest: 512 },
    linux: { first: [0, 1, 2, 3, 4, 5, 6, 7], rest: 0 },
  },
  'record behind the end of a dirty query': {
    show: (quirks) => {
      const { fd, hwptId, write, space } = tracked(opened(quirks), [LARGE]);
      fd.hwptSetDirtyTracking({ flags: 1, hwptId });
      const query = { hwptId, flags: 1, iova: 8n * MIB, length: 8n * PAGE, pageSize: PAGE };
      write(8n * MIB);
      const within = new Uint8Array(128);
      fd.hwptGetDirtyBitmap({ ...query, data: within });
      // At the end of a page: what is pinned ends there, or a page later where the bitmap is not page-aligned.
      const at = BUFFER + 4096n - 16n;
      fd.hwptGetDirtyBitmap({ ...query, data: at });
      const around = new Uint8Array(96);
      space.read(at - 16n, around);
      fd.hwptGetDirtyBitmap({ ...query, data: BUFFER + BUFFER_BYTES - 16n });
      const end = new Uint8Array(16);
      space.read(BUFFER + BUFFER_BYTES - 16n, end);
      return [within, around, end].map((bytes) => bitsOf(bytes).length);
    },
    strict: [8, 8, 8],
    linux: [512, 512, 128],
  },
  'dirty query that begins inside a leaf': {
    show: (quirks) => {
      // A leaf of 2 MiB, and small ones behind it: 4 MiB in one area.
      const { fd, hwptId, write, dirty } = tracked(opened(quirks), [[8n * MIB, RAM + 8n * MIB, 3n * MIB]]);
      fd.hwptSetDirtyTracking({ flags: 1, hwptId });
      write(8n * MIB);
      write(10n * MIB + 5n * PAGE);
      const bits = dirty({ iova: 9n * MIB, length: 2n * MIB });
      return { count: bits.length, last: bits.at(-1), rest: dirty({ iova: 8n * MIB, length: 3n * MIB }).length };
    },
    strict: { count: 257, last: 261, rest: 512 },
    linux: { count: 512, last: 511, rest: 1 },
  },
  'tracking on an SMMUv3 that is switched off': {
    show: (quirks) => {
      const { fd, hwptId, write } = tracked(opened(quirks), [SMALL], { domain: { format: 'armv8-s1' } });
      const query = { hwptId, iova: 0, length: MIB, pageSize: PAGE };
      fd.hwptSetDirtyTracking({ flags: 1, hwptId });
      fd.hwptSetDirtyTracking({ flags: 0, hwptId });
      write(3n * PAGE);
      const data = new Uint8Array(32);
      const code = codeOf(() => fd.hwptGetDirtyBitmap({ ...query, data }));
      return { code, bits: bitsOf(data) };
    },
    strict: { code: 'EINVAL', bits: [] },
    linux: { code: 'none', bits: [3] },
  },
  'IOMMUs that track': {
    show: (quirks) =>
      (['amdv1', 'vtdss', 'armv8-s1', 'x86_64', 'riscv', 'armv8-s2'] as const).map((format) =>
        codeOf(() => tracked(opened(quirks), [], { domain: { format } })),
      ),
    strict: ['none', 'none', 'none', 'none', 'none', 'none'],
    linux: ['none', 'none', 'none', 'EOPNOTSUPP', 'EOPNOTSUPP', 'EOPNOTSUPP'],
  },
  'tracking HWPT for a PASID of VT-d': {
    show: (quirks) => {
      const rigged = opened(quirks, { uapi: 'next' });
      const { fd } = rigged;
      const { outIoasId: ptId } = fd.ioasAlloc();
      return (['vtdss', 'amdv1'] as const)
        .map((format, i) => {
          const device = fd.bind(
            behind(rigged, { requesterId: i, domain: { format }, capabilities: { pasidBits: 4 } }),
          );
          const { outHwptId } = fd.hwptAlloc({ flags: 8 | 2, devId: device.devId, ptId });
          return codeOf(() => device.attachPasid(3, outHwptId));
        })
        .concat(
          [2, 0].map((parentFlags) => {
            const bind = { capabilities: { pasidBits: 4 } };
            const guest = guestRig(KINDS[0], { fd: { quirks, uapi: 'next' }, bind, parentFlags });
            return codeOf(() => guest.device.attachPasid(3, nest(guest, undefined, { flags: 8 })));
          }),
        );
    },
    strict: ['none', 'none', 'none', 'none'],
    linux: ['EINVAL', 'none', 'EINVAL', 'none'],
  },
  'unmap that meets an area it cannot have': {
    show: (quirks) => {
      const { fd, ioasId, device } = tracked(opened(quirks), [
        [0n, RAM, MIB],
        [2n * MIB, RAM, MIB],
        [4n * MIB, RAM, 2n * MIB],
      ]);
      const code = codeOf(() => fd.ioasUnmap({ ioasId, iova: 0, length: 5n * MIB }));
      const faults = [0n, 2n * MIB, 4n * MIB].map((iova) => device.requester.access(iova, 1, 1));
      const access = fd.createAccess({ pinsPages: true });
      access.attach(ioasId);
      access.pin({ iova: 4n * MIB, length: PAGE });
      const stuck = codeOf(() => fd.ioasUnmap({ ioasId, iova: 0, length: 2n ** 64n - 1n }));
      return { code, faults, stuck, pinned: fd.pinnedBytes / MIB };
    },
    strict: { code: 'ENOENT', faults: [1, 1, 1], stuck: 'EDEADLOCK', pinned: 4n },
    linux: { code: 'ENOENT', faults: [-1, -1, 1], stuck: 'EDEADLOCK', pinned: 2n },
  },
  'VFIO-compatible map without READ and WRITE': {
    show: (quirks) => {
      const { fd, ioasId, device } = tracked(opened(quirks), []);
      fd.vfioIoas({ op: 1, ioasId });
      const code = codeOf(() => fd.vfio.mapDma({ vaddr: RAM, iova: 0, size: MIB }));
      const taken = codeOf(() => fd.ioasMap({ flags: READABLE | FIXED, ioasId, userVa: RAM, length: PAGE }));
      return { code, taken, fault: device.requester.access(0, 1, 1) < 0 };
    },
    strict: { code: 'EINVAL', taken: 'none', fault: false },
    linux: { code: 'none', taken: 'EEXIST', fault: true },
  },
  'page fault that cannot be copied out': {
    show: (quirks) => {
      const { queue, ask, iommu, device } = asking({ quirks });
      for (const page of [0, 1, 2]) ask(page);
      // Room for one: that is read, the next one is not.
      const room = queue.readBytes(new Uint8Array(40), 80);
      const code = codeOfResult(queue.readBytes(new Uint8Array(0), 80));
      const left = queue.read().length;
      device.detach();
      return { room, code, left, stuck: iommu.pageRequests().length };
    },
    strict: { room: 40, code: 'EFAULT', left: 2, stuck: 0 },
    linux: { room: 40, code: 'none', left: 0, stuck: 2 },
  },
  'page responses of which one is wrong': {
    show: (quirks) => {
      const { queue, ask, iommu } = asking({ quirks });
      for (const page of [0, 1]) ask(page);
      queue.read();
      const [good, wrong] = [
        { cookie: 1, code: 1 },
        { cookie: 9, code: 1 },
      ];
      let taken: unknown;
      const second = codeOf(() => (taken = queue.write([good, wrong])));
      return { first: codeOf(() => queue.write([wrong, good])), second, taken, left: iommu.pageRequests().length };
    },
    strict: { first: 'EINVAL', second: 'EINVAL', taken: undefined, left: 2 },
    linux: { first: 'EINVAL', second: 'none', taken: 1, left: 1 },
  },
  'page response that cannot be read': {
    show: (quirks) => {
      const { queue, ask, iommu } = asking({ quirks });
      ask(0);
      queue.read();
      const answer = new Uint8Array(new Uint32Array([1, 1]).buffer);
      const nothing = queue.writeBytes(new Uint8Array(0), 8);
      return [nothing, queue.writeBytes(answer, 16), iommu.pageRequests().length];
    },
    strict: [-14, -14, 1],
    linux: [8, 8, 0],
  },
};

describe('quirks of iommufd', () => {
  it.each(IOMMUFD_QUIRKS.map(({ test }) => test))('%s', (name) => {
    const { show, strict, linux } = SHOWS[name];
    expect(show('strict')).toEqual(strict);
    expect(show('linux-6.12')).toEqual(linux);
  });

  it('leaves a partial unmap without its length', () => {
    const { fd, ioasId, space }: Rig & { ioasId: number } = tracked(rig({ quirks: 'linux-6.12' }), [
      [0n, RAM, MIB],
      [MIB, RAM, MIB],
    ]);
    fd.vfioIoas({ op: 1, ioasId });
    const request = new Uint8Array(new BigUint64Array([24n, 0n, MIB + PAGE]).buffer);
    space.write(BUFFER, request);
    expect(fd.ioctl(0x3b72, BUFFER)).toBe(-2);
    space.read(BUFFER, request);
    // The VFIO-compatible unmap writes the bytes that are gone although it failed.
    expect(new BigUint64Array(request.buffer)[2]).toBe(MIB);
    expect(RW).toBe(6);
  });
});
