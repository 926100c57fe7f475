import type { AddressSpace } from '../address-space/address-space.ts';
import { IommuError } from '../errno/error.ts';
import { readArgsz, readStruct, resultOf } from '../uapi/envelope.ts';
import {
  VFIO_CHECK_EXTENSION,
  VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
  VFIO_GET_API_VERSION,
  VFIO_IOMMU_DIRTY_PAGES,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_TYPE1_INFO_MINSZ,
  VFIO_IOMMU_UNMAP_DMA,
  VFIO_SET_IOMMU,
  VfioBitmap,
  VfioIommuType1DirtyBitmap,
  VfioIommuType1DirtyBitmapGet,
  VfioIommuType1DmaMap,
  VfioIommuType1DmaUnmap,
  VfioIommuType1Info,
} from '../uapi/type1.ts';
import { writeUser, type UserPointer } from '../uapi/user-pointer.ts';
import { hex } from '../wasm/address.ts';
import { dirtyPages, requireVersion2 } from './dirty-pages.ts';
import { capabilityChain, infoOf } from './info.ts';
import { mapDma } from './map-dma.ts';
import type { Type1State } from './state.ts';
import { unmapDma } from './unmap-dma.ts';

/** What the ioctls need of a container beside its state. */
interface DoorHome {
  getApiVersion(): number;
  checkExtension(extension: number): number;
  setIommu(type: number): void;
}

/** The ioctls of a container, over the same operations as its methods (vfio_fops_unl_ioctl, vfio_iommu_type1_ioctl). */
export class Type1Door {
  readonly #home: DoorHome;
  readonly #space: AddressSpace;
  readonly #live: (op: string) => Type1State;

  constructor(home: DoorHome, space: AddressSpace, live: (op: string) => Type1State) {
    this.#home = home;
    this.#space = space;
    this.#live = live;
  }

  ioctl(request: number, arg: UserPointer | number): number {
    return resultOf(() => {
      switch (request) {
        case VFIO_GET_API_VERSION:
          return this.#home.getApiVersion();
        case VFIO_CHECK_EXTENSION:
          return this.#home.checkExtension(valueOf(request, arg));
        case VFIO_SET_IOMMU:
          return this.#home.setIommu(valueOf(request, arg));
        default:
          return this.#driver(request, typeof arg === 'number' ? BigInt(arg) : arg);
      }
    });
  }

  #driver(request: number, arg: UserPointer): void {
    const op = `ioctl ${hex(request >>> 0)}`;
    const state = this.#live(op);
    switch (request) {
      case VFIO_IOMMU_GET_INFO:
        return this.#getInfo(state, op, arg);
      case VFIO_IOMMU_MAP_DMA:
        return mapDma(state, op, VfioIommuType1DmaMap.decode(this.#read(VfioIommuType1DmaMap, arg, op)));
      case VFIO_IOMMU_UNMAP_DMA:
        return this.#unmapDma(state, op, arg);
      case VFIO_IOMMU_DIRTY_PAGES:
        return this.#dirtyPages(state, op, arg);
      default:
        throw new IommuError('ENOTTY', op, 'type1 has no such ioctl');
    }
  }

  #getInfo(state: Type1State, op: string, arg: UserPointer): void {
    const { size } = VfioIommuType1Info;
    const { argsz } = VfioIommuType1Info.decode(this.#read(VfioIommuType1Info, arg, op, VFIO_IOMMU_TYPE1_INFO_MINSZ));
    const info = infoOf(state, op);
    const chain = capabilityChain(info);
    const need = size + chain.length;
    const fits = argsz >= need;
    if (fits) this.#write(arg, size, chain, op);
    const bytes = new Uint8Array(size);
    const { flags, iovaPgsizes } = info;
    VfioIommuType1Info.encode(
      { argsz: fits ? argsz : need, flags, iovaPgsizes, capOffset: fits ? size : 0, pad: 0 },
      bytes,
    );
    this.#write(arg, 0, bytes.subarray(0, Math.min(argsz, size)), op);
  }

  #unmapDma(state: Type1State, op: string, arg: UserPointer): void {
    const bytes = this.#read(VfioIommuType1DmaUnmap, arg, op);
    const request = VfioIommuType1DmaUnmap.decode(bytes);
    const bitmap = () => {
      const behind = VfioIommuType1DmaUnmap.size;
      const need = behind + VfioBitmap.size;
      if (request.argsz < need) {
        const flag = `GET_DIRTY_BITMAP ${VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP}`;
        throw new IommuError('EINVAL', op, `argsz is ${request.argsz}; with ${flag} it must be at least ${need}`);
      }
      return readStruct(this.#space, VfioBitmap, arg, op, behind);
    };
    // Writing back what was read changes nothing, and says whether the size can be written.
    const size = unmapDma(state, op, request, { bitmap, checkReply: () => this.#write(arg, 0, bytes, op) });
    VfioIommuType1DmaUnmap.encode({ size }, bytes);
    this.#write(arg, 0, bytes, op);
  }

  #dirtyPages(state: Type1State, op: string, arg: UserPointer): void {
    requireVersion2(state, op);
    const { argsz, flags } = VfioIommuType1DirtyBitmap.decode(this.#read(VfioIommuType1DirtyBitmap, arg, op));
    dirtyPages(state, op, flags, () => {
      const behind = VfioIommuType1DirtyBitmap.size;
      const need = behind + VfioIommuType1DirtyBitmapGet.size;
      if (argsz < need) {
        throw new IommuError('EINVAL', op, `argsz is ${argsz}; with GET_BITMAP it must be at least ${need}`);
      }
      return readStruct(this.#space, VfioIommuType1DirtyBitmapGet, arg, op, behind);
    });
  }

  #read(struct: { name: string; size: number }, arg: UserPointer, op: string, minSize = struct.size): Uint8Array {
    return readArgsz(this.#space, struct, arg, op, minSize);
  }

  #write(arg: UserPointer, offset: number, bytes: Uint8Array, op: string): void {
    if (writeUser(this.#space, arg, offset, bytes)) return;
    throw new IommuError('EFAULT', op, `${bytes.length} bytes of the reply cannot be written`);
  }
}

/** The third argument of an ioctl that takes a value: an unsigned long. */
function valueOf(request: number, arg: UserPointer | number): number {
  if (arg instanceof Uint8Array) {
    throw new IommuError('EINVAL', `ioctl ${hex(request)}`, 'arg is bytes; it must be the value itself');
  }
  return Number(arg);
}
