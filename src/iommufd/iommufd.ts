import { IommuError } from '../errno/error.ts';
import type { Core } from '../core/core.ts';
import type { Domain } from '../iommu/domain.ts';
import { runWhole, type Steps } from '../schedule/step.ts';
import { handler, iommufdIoctl, type Handler, type IoctlArg } from '../uapi/envelope.ts';
import * as uapi from '../uapi/iommufd.ts';
import type { StructInput } from '../uapi/struct.ts';
import { Access, type AccessOptions } from './access.ts';
import type { BindOptions } from './bind-options.ts';
import { Context, type IommufdOptions } from './context.ts';
import { destroy, faultQueueAlloc, getHwInfo } from './device-commands.ts';
import { Device } from './device.ts';
import type { FaultQueue } from './fault-queue.ts';
import type { PagingHwpt } from './hwpt.ts';
import { hwptAlloc, hwptGetDirtyBitmap, hwptInvalidate, hwptSetDirtyTracking } from './hwpt-commands.ts';
import * as ioas from './ioas-commands.ts';
import type { NestedHwpt, NestedState } from './nested-hwpt.ts';
import { option, vfioIoas } from './option-commands.ts';
import { VfioCompat } from './vfio-compat.ts';

/** What a caller writes for a struct: all but its size and what it only returns. */
type Request<S, Out extends string = never> = Omit<StructInput<S>, 'size' | Out>;

/**
 * An open /dev/iommu, with the commands of include/uapi/linux/iommufd.h. Each method takes the fields of the command's
 * struct, missing ones being 0, u64 as bigint or an exact number, pointers as user addresses or as the bytes
 * themselves; it returns the struct's outputs and throws what the kernel returns, found in the kernel's order. `ioctl`
 * is the same by numbers and bytes.
 */
export class Iommufd {
  /** The VFIO container ioctls, over the IOAS that `vfioIoas` sets. */
  readonly vfio: VfioCompat;
  readonly #context: Context;
  readonly #handlers: ReadonlyMap<number, Handler>;
  #open = true;

  constructor(core: Core, options: IommufdOptions) {
    this.#context = new Context(core, options);
    this.#handlers = handlersOf(this.#context);
    this.vfio = new VfioCompat(this.#context);
  }

  /**
   * ioctl(2): `request` is a number of uapi/iommufd.ts, or a VFIO container's; `arg` the struct, as bytes or by user
   * address (for VFIO_SET_IOMMU and VFIO_CHECK_EXTENSION the value itself, as a bigint). Returns 0 or more, or -errno.
   */
  ioctl(request: number, arg: IoctlArg): number {
    this.#live('ioctl');
    return iommufdIoctl(this.#context.space, this.#handlers, request, arg, (below, pointer) =>
      this.vfio.ioctl(below, pointer),
    );
  }

  /** ENOENT; EBUSY: something uses the object. */
  destroy(args: Request<typeof uapi.IommuDestroy>): void {
    destroy(this.#live('destroy'), uapi.IommuDestroy.of(args, 'destroy'));
  }

  /** EOPNOTSUPP. */
  ioasAlloc(args: Request<typeof uapi.IommuIoasAlloc, 'outIoasId'> = {}): { outIoasId: number } {
    return ioas.ioasAlloc(this.#live('ioasAlloc'), uapi.IommuIoasAlloc.of(args, 'ioasAlloc'));
  }

  /**
   * Writes what is not reserved to `allowedIovas`, as structs iommu_iova_range, `numIovas` at most. EOPNOTSUPP, ENOENT,
   * EFAULT; EMSGSIZE: there are more, and the error's `reply` says how many.
   */
  ioasIovaRanges(args: Request<typeof uapi.IommuIoasIovaRanges, 'outIovaAlignment'>): {
    numIovas: number;
    outIovaAlignment: bigint;
  } {
    return ioas.ioasIovaRanges(this.#live('ioasIovaRanges'), uapi.IommuIoasIovaRanges.of(args, 'ioasIovaRanges'));
  }

  /**
   * EOPNOTSUPP, ENOENT, EFAULT; EINVAL: a range of one byte or less, or two that overlap; EADDRINUSE: reserved IOVAs.
   */
  ioasAllowIovas(args: Request<typeof uapi.IommuIoasAllowIovas>): void {
    ioas.ioasAllowIovas(this.#live('ioasAllowIovas'), uapi.IommuIoasAllowIovas.of(args, 'ioasAllowIovas'));
  }

  /** EOPNOTSUPP, EOVERFLOW, EINVAL, ENOENT, EEXIST, ENOSPC, EFAULT, ENOMEM. */
  ioasMap(args: Request<typeof uapi.IommuIoasMap>): { iova: bigint } {
    return ioas.ioasMap(this.#live('ioasMap'), uapi.IommuIoasMap.of(args, 'ioasMap'));
  }

  /** As `ioasMap`; ENOENT also where the source has a hole; EPERM: WRITEABLE of what was mapped without. */
  ioasCopy(args: Request<typeof uapi.IommuIoasCopy>): { dstIova: bigint } {
    return ioas.ioasCopy(this.#live('ioasCopy'), uapi.IommuIoasCopy.of(args, 'ioasCopy'));
  }

  /** `length` is what was unmapped. ENOENT, EOVERFLOW, EINVAL, EDEADLOCK. */
  ioasUnmap(args: Request<typeof uapi.IommuIoasUnmap>): { length: bigint } {
    return ioas.ioasUnmap(this.#live('ioasUnmap'), uapi.IommuIoasUnmap.of(args, 'ioasUnmap'));
  }

  /** EOPNOTSUPP, EPERM, EBUSY, EINVAL, ENOENT, EADDRINUSE. */
  option(args: Request<typeof uapi.IommuOption>): { val64: bigint } {
    return option(this.#live('option'), uapi.IommuOption.of(args, 'option'));
  }

  /** EOPNOTSUPP, ENODEV, ENOENT. `ioasId` is there after GET. */
  vfioIoas(args: Request<typeof uapi.IommuVfioIoas>): { ioasId: number } | void {
    return vfioIoas(this.#live('vfioIoas'), uapi.IommuVfioIoas.of(args, 'vfioIoas'));
  }

  /** EOPNOTSUPP, EINVAL, ENOENT, EADDRINUSE, EFAULT, ENOMEM; of nested data also E2BIG and EIO. */
  hwptAlloc(args: Request<typeof uapi.IommuHwptAlloc, 'outHwptId'>): { outHwptId: number } {
    return hwptAlloc(this.#live('hwptAlloc'), uapi.IommuHwptAlloc.of(args, 'hwptAlloc'));
  }

  /** EOPNOTSUPP, ENOENT. */
  hwptSetDirtyTracking(args: Request<typeof uapi.IommuHwptSetDirtyTracking>): void {
    runWhole(this.hwptSetDirtyTrackingSteps(args));
  }

  /** `hwptSetDirtyTracking`, step by step. */
  *hwptSetDirtyTrackingSteps(args: Request<typeof uapi.IommuHwptSetDirtyTracking>): Steps<void> {
    const op = 'hwptSetDirtyTracking';
    yield* hwptSetDirtyTracking(this.#live(op), uapi.IommuHwptSetDirtyTracking.of(args, op));
  }

  /** Sets bits at `data`, bit k for page k from `iova` on. EOPNOTSUPP, ENOENT, EINVAL, EOVERFLOW, EFAULT, ENOMEM. */
  hwptGetDirtyBitmap(args: Request<typeof uapi.IommuHwptGetDirtyBitmap>): void {
    runWhole(this.hwptGetDirtyBitmapSteps(args));
  }

  /** `hwptGetDirtyBitmap`, step by step. */
  *hwptGetDirtyBitmapSteps(args: Request<typeof uapi.IommuHwptGetDirtyBitmap>): Steps<void> {
    const op = 'hwptGetDirtyBitmap';
    yield* hwptGetDirtyBitmap(this.#live(op), uapi.IommuHwptGetDirtyBitmap.of(args, op));
  }

  /** `entryNum` is what was done, in an error's `reply` too. EOPNOTSUPP, EINVAL, ENOENT, EFAULT, E2BIG. */
  hwptInvalidate(args: Request<typeof uapi.IommuHwptInvalidate>): { entryNum: number } {
    return hwptInvalidate(this.#live('hwptInvalidate'), uapi.IommuHwptInvalidate.of(args, 'hwptInvalidate'));
  }

  /** EOPNOTSUPP, ENOENT, EFAULT. `outDataType` is read with flag INPUT_TYPE only. */
  getHwInfo(args: Request<typeof uapi.IommuHwInfo, 'outCapabilities'>): {
    dataLen: number;
    outDataType: number;
    outMaxPasidLog2: number;
    outCapabilities: bigint;
  } {
    return getHwInfo(this.#live('getHwInfo'), uapi.IommuHwInfo.of(args, 'getHwInfo'));
  }

  /** The queue is read and answered through `faultFile(outFaultFd)`, and can be destroyed once that is closed. EOPNOTSUPP. */
  faultQueueAlloc(args: Request<typeof uapi.IommuFaultAlloc, 'outFaultId' | 'outFaultFd'> = {}): {
    outFaultId: number;
    outFaultFd: number;
  } {
    return faultQueueAlloc(this.#live('faultQueueAlloc'), uapi.IommuFaultAlloc.of(args, 'faultQueueAlloc'));
  }

  /** Binds a device, as VFIO does for its user. EINVAL, EPERM, EBUSY: see BindOptions; ENOMEM. */
  bind(options: BindOptions): Device {
    const { objects } = this.#live('bind');
    return objects.add(new Device(this.#context, objects.nextId(), options));
  }

  /** An access, as a mediated device's driver makes it. */
  createAccess(options: AccessOptions = {}): Access {
    const { objects } = this.#live('createAccess');
    return objects.add(new Access(this.#context, objects.nextId(), options));
  }

  /** The page tables behind a paging HWPT, to look at; what is mapped in them is the IOAS's business. ENOENT. */
  domainOf(hwptId: number): Domain {
    const op = 'domainOf';
    return this.#live(op).objects.get<PagingHwpt>(op, 'hwptId', hwptId, 'hwpt-paging').domain.domain;
  }

  /** The file behind the descriptor of a fault queue. EBADF: there is none, or it was closed. */
  faultFile(descriptor: number): FaultQueue {
    const op = 'faultFile';
    const file = this.#live(op).files.get(descriptor);
    if (file) return file;
    throw new IommuError('EBADF', op, `descriptor is ${descriptor}; faultQueueAlloc gives those that are open`);
  }

  /** How devices behind a nested HWPT translate; undefined while none is attached. ENOENT. */
  nestedStateOf(hwptId: number): NestedState | undefined {
    const op = 'nestedStateOf';
    return this.#live(op).objects.get<NestedHwpt>(op, 'hwptId', hwptId, 'hwpt-nested').state;
  }

  /** Bytes of user memory that are pinned for it. */
  get pinnedBytes(): bigint {
    return this.#context.lockedPages.bytes;
  }

  /** Closes it: devices are unbound, accesses and fault queues closed, objects freed. Its methods are refused afterwards (EBADF). */
  close(): void {
    const { objects, files } = this.#live('close');
    for (const object of [...objects]) {
      if (object instanceof Device) object.unbind();
      else if (object instanceof Access) object.close();
    }
    for (const file of [...files.values()]) file.close();
    objects.destroyAll('close');
    this.#open = false;
  }

  #live(op: string): Context {
    if (this.#open) return this.#context;
    throw new IommuError('EBADF', op, 'the iommufd was closed');
  }
}

/** All commands of the binary door. */
function handlersOf(context: Context): ReadonlyMap<number, Handler> {
  const undo = (id: number | undefined) => destroy(context, { size: 0, id: id ?? 0 });
  return new Map<number, Handler>([
    [uapi.IOMMU_DESTROY, handler(uapi.IommuDestroy, (cmd) => destroy(context, cmd))],
    [
      uapi.IOMMU_IOAS_ALLOC,
      handler(
        uapi.IommuIoasAlloc,
        (cmd) => ioas.ioasAlloc(context, cmd),
        (out) => undo(out.outIoasId),
      ),
    ],
    [uapi.IOMMU_IOAS_ALLOW_IOVAS, handler(uapi.IommuIoasAllowIovas, (cmd) => ioas.ioasAllowIovas(context, cmd))],
    [uapi.IOMMU_IOAS_COPY, handler(uapi.IommuIoasCopy, (cmd) => ioas.ioasCopy(context, cmd))],
    [uapi.IOMMU_IOAS_IOVA_RANGES, handler(uapi.IommuIoasIovaRanges, (cmd) => ioas.ioasIovaRanges(context, cmd))],
    [uapi.IOMMU_IOAS_MAP, handler(uapi.IommuIoasMap, (cmd) => ioas.ioasMap(context, cmd))],
    [uapi.IOMMU_IOAS_UNMAP, handler(uapi.IommuIoasUnmap, (cmd) => ioas.ioasUnmap(context, cmd))],
    [uapi.IOMMU_OPTION, handler(uapi.IommuOption, (cmd) => option(context, cmd))],
    [uapi.IOMMU_VFIO_IOAS, handler(uapi.IommuVfioIoas, (cmd) => vfioIoas(context, cmd))],
    [
      uapi.IOMMU_HWPT_ALLOC,
      handler(
        uapi.IommuHwptAlloc,
        (cmd) => hwptAlloc(context, cmd),
        (out) => undo(out.outHwptId),
      ),
    ],
    [uapi.IOMMU_GET_HW_INFO, handler(uapi.IommuHwInfo, (cmd) => getHwInfo(context, cmd))],
    [
      uapi.IOMMU_HWPT_SET_DIRTY_TRACKING,
      handler(uapi.IommuHwptSetDirtyTracking, (cmd) => runWhole(hwptSetDirtyTracking(context, cmd))),
    ],
    [
      uapi.IOMMU_HWPT_GET_DIRTY_BITMAP,
      handler(uapi.IommuHwptGetDirtyBitmap, (cmd) => runWhole(hwptGetDirtyBitmap(context, cmd))),
    ],
    [uapi.IOMMU_HWPT_INVALIDATE, handler(uapi.IommuHwptInvalidate, (cmd) => hwptInvalidate(context, cmd))],
    [
      uapi.IOMMU_FAULT_QUEUE_ALLOC,
      handler(
        uapi.IommuFaultAlloc,
        (cmd) => faultQueueAlloc(context, cmd),
        (out) => {
          context.files.get(out.outFaultFd ?? 0)?.close();
          undo(out.outFaultId);
        },
      ),
    ],
  ]);
}
