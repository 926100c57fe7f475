// A program for /dev/iommu as one writes it against the kernel: requests as structs in the memory of the process, ioctls by
// number, errnos. It runs twice, on an iommufd that is strict and on one that does what Linux 6.12 does.
//
//   node examples/iommufd.mjs
import { WRITE, open } from 'wasm-iommu';
import { PlainAddressSpace } from 'wasm-iommu/address-space';
import { Iommufd } from 'wasm-iommu/iommufd';
import * as uapi from 'wasm-iommu/uapi';

const PAGE = 4096n;
const RAM = 0x7f00_0000_0000n; // guest memory in this process: 16 MiB
const RAM_BYTES = 16n << 20n;
const ARGS = 0x7fff_0000_0000n; // a page for requests, and one for the bitmap
const BITMAP = ARGS + PAGE;

for (const quirks of ['strict', 'linux-6.12']) {
  console.log(`quirks: ${quirks}`);
  const core = await open({ memory: '8MiB' });
  const memory = new PlainAddressSpace();
  memory.mmap({ va: RAM, length: RAM_BYTES });
  memory.mmap({ va: ARGS, length: 2n * PAGE });
  const fd = new Iommufd(core, { addressSpace: memory, quirks });
  run(core, memory, fd);
  fd.close();
  core.close();
}

function run(core, memory, fd) {
  /** ioctl(2) with a struct that lies at ARGS: what the kernel has written back, or -errno. */
  const ioctl = (request, struct, fields) => {
    const bytes = new Uint8Array(struct.size);
    struct.encode({ size: struct.size, ...fields }, bytes);
    memory.write(ARGS, bytes);
    const status = fd.ioctl(request, ARGS);
    memory.read(ARGS, bytes);
    return status < 0 ? status : struct.decode(bytes);
  };

  const { outIoasId } = ioctl(uapi.IOMMU_IOAS_ALLOC, uapi.IommuIoasAlloc, {});
  const map = {
    flags: uapi.IOMMU_IOAS_MAP_READABLE | uapi.IOMMU_IOAS_MAP_WRITEABLE | uapi.IOMMU_IOAS_MAP_FIXED_IOVA,
    ioasId: outIoasId,
    userVa: RAM,
    length: RAM_BYTES / 2n,
    iova: 0,
  };
  ioctl(uapi.IOMMU_IOAS_MAP, uapi.IommuIoasMap, map);
  const upper = { userVa: RAM + RAM_BYTES / 2n, iova: RAM_BYTES / 2n };
  ioctl(uapi.IOMMU_IOAS_MAP, uapi.IommuIoasMap, { ...map, ...upper });

  // VFIO's part: the device is bound, and attached to an HWPT that can track.
  const nic = fd.bind({ iommu: core.iommu(), requesterId: 0x18, domain: { format: 'amdv1', leafSizes: [4096] } });
  const { outHwptId: hwptId } = ioctl(uapi.IOMMU_HWPT_ALLOC, uapi.IommuHwptAlloc, {
    flags: uapi.IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
    devId: nic.devId,
    ptId: outIoasId,
  });
  nic.attach(hwptId);
  const enable = { flags: uapi.IOMMU_HWPT_DIRTY_TRACKING_ENABLE, hwptId };
  ioctl(uapi.IOMMU_HWPT_SET_DIRTY_TRACKING, uapi.IommuHwptSetDirtyTracking, enable);

  /** GET_DIRTY_BITMAP: the dirty pages, or the errno. */
  const dirtyPages = (iova, length, flags = 0) => {
    const bits = new Uint8Array(Number(length / PAGE / 8n));
    memory.write(BITMAP, bits);
    const query = { hwptId, flags, iova, length, pageSize: PAGE, data: BITMAP };
    const status = ioctl(uapi.IOMMU_HWPT_GET_DIRTY_BITMAP, uapi.IommuHwptGetDirtyBitmap, query);
    if (typeof status === 'number') return `errno ${-status}`;
    memory.read(BITMAP, bits);
    const pages = [...bits.keys()].flatMap((i) =>
      [0, 1, 2, 3, 4, 5, 6, 7].filter((k) => bits[i] & (1 << k)).map((k) => 8 * i + k),
    );
    return pages.length > 0 ? `pages ${pages.join(', ')}` : 'nothing';
  };

  nic.requester.access(0x3ff0, 0x20, WRITE); // crosses from page 3 into page 4
  nic.requester.access(0x10_0000, 1, WRITE);
  console.log(`  looked at:      ${dirtyPages(0n, RAM_BYTES, uapi.IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR)}`);
  console.log(`  read, cleared:  ${dirtyPages(0n, RAM_BYTES)}`);
  console.log(`  read again:     ${dirtyPages(0n, RAM_BYTES)}`);

  // Half of the memory goes while the device writes on. A query that still covers all of it meets a hole.
  nic.requester.access(0x5000, 1, WRITE);
  const half = { ioasId: outIoasId, iova: RAM_BYTES / 2n, length: RAM_BYTES / 2n };
  const { length } = ioctl(uapi.IOMMU_IOAS_UNMAP, uapi.IommuIoasUnmap, half);
  console.log(`  unmapped:       0x${length.toString(16)} bytes`);
  console.log(`  over the hole:  ${dirtyPages(0n, RAM_BYTES)}`);
  console.log(`  what is mapped: ${dirtyPages(0n, RAM_BYTES / 2n)}`);
  if (nic.requester.access(0xc0_0000, 1, WRITE) < 0)
    console.log(`  DMA behind it:  ${nic.requester.fault.reason} fault`);

  // What the kernel refuses is refused here, by the same number: an IOVA within a page, one in use, a part of an area, an
  // HWPT with a device on it.
  const unaligned = ioctl(uapi.IOMMU_IOAS_MAP, uapi.IommuIoasMap, { ...map, iova: 0x800 });
  const twice = ioctl(uapi.IOMMU_IOAS_MAP, uapi.IommuIoasMap, map);
  const part = ioctl(uapi.IOMMU_IOAS_UNMAP, uapi.IommuIoasUnmap, { ioasId: outIoasId, iova: 0, length: PAGE });
  const busy = ioctl(uapi.IOMMU_DESTROY, uapi.IommuDestroy, { id: hwptId });
  console.log(`  refused:        ${[unaligned, twice, part, busy].map((status) => `errno ${-status}`).join(', ')}`);
}
