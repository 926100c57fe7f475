import { IommuError } from '../errno/error.ts';
import { READ, WRITE } from '../iommu/access.ts';
import type { Iommu } from '../iommu/iommu.ts';
import type { PageRequest } from '../iommu/waiting.ts';
import { resultOf } from '../uapi/envelope.ts';
import {
  IOMMU_PGFAULT_FLAGS_LAST_PAGE,
  IOMMU_PGFAULT_FLAGS_PASID_VALID,
  IOMMU_PGFAULT_PERM_READ,
  IOMMU_PGFAULT_PERM_WRITE,
  IOMMUFD_PAGE_RESP_INVALID,
  IOMMUFD_PAGE_RESP_SUCCESS,
  IommuHwptPageResponse,
  IommuHwptPgfault,
} from '../uapi/iommufd.ts';
import type { StructInput, StructOf } from '../uapi/struct.ts';
import { readUser, writeUser, type UserPointer } from '../uapi/user-pointer.ts';
import type { Context } from './context.ts';
import type { Device } from './device.ts';
import { NO_PASID } from './iommu-group.ts';
import type { IommufdObject } from './object-table.ts';

/** A page fault as the queue gives it. */
export type PageFault = StructOf<typeof IommuHwptPgfault>;
/** An answer to one. */
export type PageResponse = StructInput<typeof IommuHwptPageResponse>;

/** A request of a device that waits. */
interface Asked {
  readonly iommu: Iommu;
  readonly device: Device;
  readonly pasid: number;
  readonly request: PageRequest;
}

/** Tells a request from others, as long as it waits. */
function keyOf({ iommu, request }: Asked): string {
  const { index, requesterId, pasid, iova, length, access } = request;
  return [iommu.handle, index, requesterId, pasid ?? '', iova, length, access].join(' ');
}

/** What the requests of a device with a PASID bear: devices with one requester id cannot be told apart. */
function sourceOf({
  requesterId,
  pasid = NO_PASID,
}: {
  readonly requesterId: number;
  readonly pasid?: number;
}): string {
  return `${requesterId} ${pasid}`;
}

/**
 * A queue of I/O page faults, as FAULT_QUEUE_ALLOC makes it, and the file behind its descriptor
 * (drivers/iommu/iommufd/fault.c): it gives what devices ask for (PCIe PRI) that are attached to HWPTs with this queue,
 * and takes the answers. Each request is a group of its own, its number the index among those that wait. Requests of devices whose HWPT has no queue stay with `iommu.pageRequests()`; those that have one
 * should be answered here alone.
 */
export class FaultQueue implements IommufdObject {
  readonly kind = 'fault';
  readonly id: number;
  /** The file's number. */
  readonly descriptor: number;
  /** The table's, and the file's. */
  users = 2;
  readonly #context: Context;
  /** What was given out and has no answer yet, by cookie. */
  readonly #given = new Map<number, Asked>();
  /** Keys of what was lost on its way to the user. */
  readonly #lost = new Set<string>();
  #open = true;

  /** @internal */
  constructor(context: Context, id: number, descriptor: number) {
    this.#context = context;
    this.id = id;
    this.descriptor = descriptor;
  }

  /** Whether a read would give something (EPOLLIN). */
  get ready(): boolean {
    return this.#open && this.#pending().length > 0;
  }

  /** Takes the faults that wait to be read, `most` at most (default all). EBADF: closed. */
  read(most = Infinity): PageFault[] {
    this.#live('faultQueue.read');
    return this.#pending()
      .slice(0, most)
      .map((asked) => faultOf(asked, this.#give(asked)));
  }

  /**
   * read(2) of `count` bytes: structs iommu_hwpt_pgfault to `into`. Returns their bytes, 0 where none waits, or -errno:
   * ESPIPE where `count` is no whole structs, EFAULT.
   */
  readBytes(into: UserPointer, count: number): number {
    return resultOf(() => {
      const op = 'faultQueue.read';
      this.#live(op);
      checkCount(op, count, IommuHwptPgfault);
      let done = 0;
      let failed = false;
      for (const asked of this.#pending()) {
        if (done === count || (failed && this.#context.strict)) break;
        const bytes = new Uint8Array(IommuHwptPgfault.size);
        IommuHwptPgfault.encode(faultOf(asked, this.#freeCookie()), bytes);
        if (writeUser(this.#context.space, into, done, bytes)) {
          this.#give(asked);
          done += bytes.length;
        } else {
          failed = true;
          if (!this.#context.strict) this.#lost.add(keyOf(asked));
        }
      }
      if (done > 0 || !failed) return done;
      throw new IommuError('EFAULT', op, `${count} bytes of faults cannot be written`);
    });
  }

  /**
   * Answers faults: with SUCCESS the device asks again for the translation, with INVALID it gives up. Returns how many
   * were answered. EINVAL: no such code, or no fault that waits has the cookie; strict: none is answered then;
   * linux-6.12: those before it are, and it is an error only where there are none. EBADF: closed.
   */
  write(responses: readonly PageResponse[]): number {
    const op = 'faultQueue.write';
    this.#live(op);
    return this.#answer(
      op,
      responses.map((response) => IommuHwptPageResponse.of(response, op)),
    );
  }

  /**
   * write(2) of `count` bytes: structs iommu_hwpt_page_response. Returns the bytes taken, or -errno: ESPIPE where `count`
   * is no whole structs, EFAULT, EINVAL.
   */
  writeBytes(from: UserPointer, count: number): number {
    return resultOf(() => {
      const op = 'faultQueue.write';
      this.#live(op);
      checkCount(op, count, IommuHwptPageResponse);
      const { size } = IommuHwptPageResponse;
      const responses: StructOf<typeof IommuHwptPageResponse>[] = [];
      let whole = true;
      for (let at = 0; whole && at < count; at += size) {
        const bytes = new Uint8Array(size);
        whole = readUser(this.#context.space, from, at, bytes);
        if (whole) responses.push(IommuHwptPageResponse.decode(bytes));
      }
      if (!whole && this.#context.strict) throw new IommuError('EFAULT', op, `${count} bytes cannot be read`);
      const done = this.#answer(op, responses) * size;
      // Linux 6.12 returns how much could not be copied, as if that had been taken.
      return whole || done > 0 ? done : size;
    });
  }

  #answer(op: string, responses: readonly StructOf<typeof IommuHwptPageResponse>[]): number {
    this.#prune();
    const wrong = this.#firstWrong(responses);
    if (wrong >= 0 && (this.#context.strict || wrong === 0)) {
      const { cookie, code } = responses[wrong];
      const right = 'code must be SUCCESS, 0, or INVALID, 1, and the cookie that of a fault without an answer';
      throw new IommuError('EINVAL', op, `response ${wrong} has cookie ${cookie} and code ${code}; ${right}`);
    }
    const taken = wrong < 0 ? responses : responses.slice(0, wrong);
    for (const { cookie, code } of taken) {
      const { iommu, request } = this.#given.get(cookie)!;
      this.#given.delete(cookie);
      iommu.answerPageRequest(request.index, code === IOMMUFD_PAGE_RESP_SUCCESS ? 'success' : 'failure');
    }
    return taken.length;
  }

  /** Index of the first response that cannot be taken; -1: none. */
  #firstWrong(responses: readonly StructOf<typeof IommuHwptPageResponse>[]): number {
    const seen = new Set<number>();
    return responses.findIndex(({ cookie, code }) => {
      const known = this.#given.has(cookie) && !seen.has(cookie);
      seen.add(cookie);
      return !known || (code !== IOMMUFD_PAGE_RESP_SUCCESS && code !== IOMMUFD_PAGE_RESP_INVALID);
    });
  }

  /**
   * Answers all that a device waits for with INVALID, as it leaves the HWPT (iommufd_auto_response_faults). @internal
   */
  giveUp(device: Device, pasid: number): void {
    const { iommu, requesterId } = device.endpoint;
    const own = sourceOf({ requesterId, pasid });
    for (const request of iommu.pageRequests()) {
      if (sourceOf(request) !== own || this.#lost.has(keyOf({ iommu, device, pasid, request }))) continue;
      iommu.answerPageRequest(request.index, 'failure');
    }
    this.#prune();
  }

  /** Closes the file: the object may be destroyed then. EBADF: closed already. */
  close(): void {
    this.#live('faultQueue.close');
    this.#open = false;
    this.users--;
    this.#context.files.delete(this.descriptor);
  }

  /** @internal */
  destroy(): void {}

  /** What waits and was not given out. */
  #pending(): Asked[] {
    const waiting = this.#prune();
    for (const asked of this.#given.values()) waiting.delete(keyOf(asked));
    for (const key of this.#lost) waiting.delete(key);
    return [...waiting.values()];
  }

  /** Forgets what waits no longer; returns by key what does: of devices with one requester id, for the first one. */
  #prune(): Map<string, Asked> {
    const waiting = new Map<string, Asked>();
    for (const [iommu, devices] of this.#devices()) {
      for (const request of iommu.pageRequests()) {
        const device = devices.get(sourceOf(request));
        const asked = device && { iommu, device, pasid: request.pasid ?? NO_PASID, request };
        if (asked) waiting.set(keyOf(asked), asked);
      }
    }
    for (const [cookie, asked] of this.#given) if (!waiting.has(keyOf(asked))) this.#given.delete(cookie);
    for (const key of this.#lost) if (!waiting.has(key)) this.#lost.delete(key);
    return waiting;
  }

  /** Devices that are attached to HWPTs with this queue, by IOMMU and `sourceOf`. */
  #devices(): Map<Iommu, Map<string, Device>> {
    const found = new Map<Iommu, Map<string, Device>>();
    for (const object of this.#context.objects) {
      if (object.kind !== 'device') continue;
      const device = object as Device;
      const { iommu, requesterId } = device.endpoint;
      for (const [pasid, { hwpt, devices }] of device.group.attachments) {
        if (hwpt.fault !== this || !devices.has(device)) continue;
        const source = sourceOf({ requesterId, pasid });
        const known = found.get(iommu) ?? new Map<string, Device>();
        if (!known.has(source)) known.set(source, device);
        found.set(iommu, known);
      }
    }
    return found;
  }

  #give(asked: Asked): number {
    const cookie = this.#freeCookie();
    this.#given.set(cookie, asked);
    return cookie;
  }

  #freeCookie(): number {
    let cookie = 1;
    while (this.#given.has(cookie)) cookie++;
    return cookie;
  }

  #live(op: string): void {
    if (!this.#open) throw new IommuError('EBADF', op, `descriptor ${this.descriptor} was closed`);
  }
}

function checkCount(op: string, count: number, struct: { readonly name: string; readonly size: number }): void {
  if (Number.isInteger(count) && count >= 0 && count % struct.size === 0) return;
  throw new IommuError('ESPIPE', op, `count is ${count}; it must be a multiple of ${struct.size}, of ${struct.name}`);
}

function faultOf({ device, pasid, request }: Asked, cookie: number): PageFault {
  const named = pasid === NO_PASID ? 0 : IOMMU_PGFAULT_FLAGS_PASID_VALID;
  const { index, iova, access } = request;
  return {
    flags: named | IOMMU_PGFAULT_FLAGS_LAST_PAGE,
    devId: device.id,
    pasid,
    grpid: index,
    perm: (access & READ ? IOMMU_PGFAULT_PERM_READ : 0) | (access & WRITE ? IOMMU_PGFAULT_PERM_WRITE : 0),
    __reserved: 0,
    addr: BigInt(iova) & -4096n,
    length: 0,
    cookie,
  };
}
