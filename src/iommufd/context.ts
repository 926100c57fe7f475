import { PAGE_SIZE, type AddressSpace } from '../address-space/address-space.ts';
import type { Core } from '../core/core.ts';
import { IommuError } from '../errno/error.ts';
import { mayFail, type Fail, type FailPoint } from '../errno/fail-point.ts';
import type { Quirks } from '../iommu/quirks.ts';
import type { FaultQueue } from './fault-queue.ts';
import type { Ioas } from './ioas.ts';
import { LockedPages } from './locked-pages.ts';
import { ObjectTable } from './object-table.ts';

/** The uAPI that is offered: that of Linux 6.12, or with what came later. */
export type UapiLevel = '6.12' | 'next';

/** What an iommufd is opened with. */
export interface IommufdOptions {
  /** The memory of the process that has it open. */
  readonly addressSpace: AddressSpace;
  /** Default strict. */
  readonly quirks?: Quirks;
  /** Default 6.12. */
  readonly uapi?: UapiLevel;
  /**
   * The node that was opened. Behind that of VFIO, memory is accounted by process (OPTION_RLIMIT_MODE). Default
   * /dev/iommu.
   */
  readonly node?: '/dev/iommu' | '/dev/vfio/vfio';
  /** PAGE_SIZE of the host: 4096, 16384 or 65536. Default 4096. Domains with larger smallest leaves fit no IOAS. */
  readonly pageSize?: number;
  /** Most pages that may be pinned (RLIMIT_MEMLOCK). Default: no limit. */
  readonly lockedPagesLimit?: number;
  /** Whether the process has CAP_SYS_RESOURCE, which OPTION asks for. Default true. */
  readonly capSysResource?: boolean;
  /** Fault injection. */
  readonly fail?: Fail;
}

function pageSizeOf(size: number = Number(PAGE_SIZE)): bigint {
  if (size === 4096 || size === 16384 || size === 65536) return BigInt(size);
  throw new IommuError('EINVAL', 'iommufd', `pageSize is ${size}; it must be 4096, 16384 or 65536`);
}

/** What all objects of one open iommufd share. */
export class Context {
  readonly core: Core;
  readonly space: AddressSpace;
  readonly quirks: Quirks;
  readonly uapi: UapiLevel;
  readonly pageSize: bigint;
  readonly capSysResource: boolean;
  readonly objects = new ObjectTable();
  /** Open fault queues by their descriptors. */
  readonly files = new Map<number, FaultQueue>();
  readonly lockedPages: LockedPages;
  /** The IOAS behind the VFIO container ioctls. */
  compatIoas: Ioas | undefined;
  /** OPTION_RLIMIT_MODE: accounting by process instead of by user. There is one of each here. */
  rlimitByProcess: boolean;
  #descriptors = 3;
  readonly #fail: Fail | undefined;

  constructor(core: Core, options: IommufdOptions) {
    this.core = core;
    this.space = options.addressSpace;
    this.quirks = options.quirks ?? 'strict';
    this.uapi = options.uapi ?? '6.12';
    this.rlimitByProcess = options.node === '/dev/vfio/vfio';
    this.capSysResource = options.capSysResource ?? true;
    this.pageSize = pageSizeOf(options.pageSize);
    this.lockedPages = new LockedPages(options.lockedPagesLimit, this.pageSize);
    this.#fail = options.fail;
  }

  get strict(): boolean {
    return this.quirks === 'strict';
  }

  get next(): boolean {
    return this.uapi === 'next';
  }

  /** A number for a file descriptor, of no process here: from 3 on, each once. */
  takeDescriptor(): number {
    return this.#descriptors++;
  }

  /** A place at which the operation may be made to fail. */
  mayFail(op: string, what: FailPoint, of: string): void {
    mayFail(this.#fail, op, what, of);
  }
}
