import { describe, expect, it } from 'vitest';
import { WRITE } from '../../src/iommu/access.ts';
import { WasmAddressSpace } from '../../src/address-space/wasm-address-space.ts';
import { Iommufd } from '../../src/iommufd/iommufd.ts';
import { IOMMUFD_COMMANDS } from '../../src/uapi/iommufd.ts';
import { codeOfResult } from './doors.ts';
import { ARGS, FIXED, ID, MISSING, PAGE, RAM, READ_ONLY, RW, furnish, rig } from './rig.ts';
import { bitsOf, tracked } from './tracked.ts';

/** Bytes of a request, of which the first four are its size. */
function request(...words: number[]): Uint8Array {
  return new Uint8Array(new Uint32Array([4 * (words.length + 1), ...words]).buffer);
}

describe('the binary door', () => {
  it.each(IOMMUFD_COMMANDS.map(({ name, request, minSize }) => ({ name, number: request, minSize })))(
    '$name checks pointer, number and size before anything else',
    ({ number, minSize }) => {
      const made = rig();
      furnish(made);
      const sized = (size: number, length = size) => {
        const bytes = new Uint8Array(Math.max(length, 4));
        new DataView(bytes.buffer).setUint32(0, size, true);
        return codeOfResult(made.fd.ioctl(number, bytes));
      };
      const tail = new Uint8Array(80);
      new DataView(tail.buffer).setUint32(0, 80, true);
      tail[79] = 1;
      const codes = [
        codeOfResult(made.fd.ioctl(number, 0n)),
        codeOfResult(made.fd.ioctl(number, MISSING)),
        codeOfResult(made.fd.ioctl(number | 0x10000, new Uint8Array(80))),
        sized(minSize - 1),
        sized(minSize, minSize - 1),
        codeOfResult(made.fd.ioctl(number, tail)),
      ];
      expect(codes).toEqual(['EFAULT', 'EFAULT', 'ENOTTY', 'EINVAL', 'EFAULT', 'E2BIG']);
    },
  );

  it('has no commands that came later', () => {
    const { fd } = rig();
    const later = [0x3b8f, 0x3b90, 0x3b91, 0x3b92, 0x3b93, 0x3b94, 0x3bff];
    expect(later.map((each) => codeOfResult(fd.ioctl(each, new Uint8Array(96))))).toEqual(later.map(() => 'ENOTTY'));
  });

  it('takes a short HWPT_ALLOC, and writes back as far as it goes', () => {
    const made = rig();
    furnish(made);
    const bytes = request(0, ID.device, ID.ioas, 0, 0);
    expect([codeOfResult(made.fd.ioctl(0x3b89, bytes)), bytes[16]]).toEqual(['none', 9]);
  });

  it('takes back what it made where the id cannot be written', () => {
    const made = rig();
    const { fd, space } = made;
    furnish(made);
    const used = made.core.usage.usedBytes;
    const read = (bytes: Uint8Array) => {
      space.mprotect({ va: READ_ONLY, length: PAGE, writable: true });
      space.write(READ_ONLY, bytes);
      space.mprotect({ va: READ_ONLY, length: PAGE, writable: false });
      return READ_ONLY;
    };
    const calls: [number, Uint8Array][] = [
      [0x3b81, request(0, 0)],
      [0x3b89, request(0, ID.device, ID.ioas, 0, 0)],
      [0x3b8e, request(0, 0, 0)],
    ];
    expect(calls.map(([number, bytes]) => codeOfResult(fd.ioctl(number, read(bytes))))).toEqual(
      calls.map(() => 'EFAULT'),
    );
    expect([made.core.usage.usedBytes, fd.ioasAlloc().outIoasId]).toEqual([used, 9]);
  });

  it('maps, tracks and reports from requests in user memory alone', () => {
    const made = tracked(rig(), []);
    const { fd, space, ioasId, hwptId, device } = made;
    const call = (number: number, bytes: Uint8Array) => {
      space.write(ARGS, bytes);
      return fd.ioctl(number, ARGS);
    };
    const [va, length] = [Number(RAM), 65536];
    expect(call(0x3b85, request(RW | FIXED, ioasId, 0, va + 4096, 0, length, 0, 0, 0))).toBe(0);
    expect(call(0x3b8b, request(1, hwptId, 0))).toBe(0);
    device.requester.access(0x3000, 4097, WRITE);
    const at = Number(ARGS) + 256;
    expect(call(0x3b8c, request(hwptId, 0, 0, 0, 0, length, 0, 4096, 0, at, 0))).toBe(0);
    const found = new Uint8Array(2);
    space.read(BigInt(at), found);
    expect(bitsOf(found)).toEqual([3, 4]);
  });

  it("works on a host's WebAssembly memory", () => {
    const made = rig();
    const memory = new WebAssembly.Memory({ initial: 4, maximum: 4 });
    const space = new WasmAddressSpace({ memory, length: 4 * 65536, va: 0x10000 });
    const fd = new Iommufd(made.core, { addressSpace: space });
    const { device, hwptId, dirty } = tracked({ ...made, fd }, [[0n, 0x10000n, 0x20000n]]);
    fd.hwptSetDirtyTracking({ flags: 1, hwptId });
    expect(device.requester.access(0x5004, 4, WRITE)).toBe(1);
    expect(device.requester.extentAddress(0)).toBe(0x15004);
    expect(dirty({ iova: 0n, length: 0x20000n })).toEqual([5]);
  });

  it('maps with the largest leaves, or with pages only where HUGE_PAGES is 0', () => {
    const { fd, ioasId, hwptId } = tracked(rig(), []);
    const sizeAt = (iova: bigint) => {
      fd.ioasMap({ flags: RW | FIXED, ioasId, userVa: RAM, length: 4 * 2 ** 20, iova });
      const size = fd.domainOf(hwptId).translate(iova)?.leafSize;
      fd.ioasUnmap({ ioasId, iova, length: 4 * 2 ** 20 });
      return size;
    };
    expect(sizeAt(2n ** 30n)).toBe(2 ** 21);
    fd.option({ optionId: 1, objectId: ioasId, val64: 0 });
    expect(sizeAt(2n ** 30n)).toBe(4096);
    fd.option({ optionId: 1, objectId: ioasId, val64: 1 });
    expect([sizeAt(2n ** 30n), sizeAt(2n ** 30n + PAGE)]).toEqual([2 ** 21, 4096]);
  });
});
