import * as layout from '../../assembly/layout.ts';
import { IommuError } from '../errno/error.ts';
import type { Address } from '../wasm/address.ts';
import type { Instance } from '../wasm/instance.ts';

/** A page that a device has asked for (PCIe PRI). */
export interface PageRequest {
  /** Its index, for `iommu.answerPageRequest`. */
  readonly index: number;
  readonly requesterId: number;
  readonly pasid?: number;
  /** What is left of the request. */
  readonly iova: Address;
  /** Bytes. */
  readonly length: number;
  /** READ, WRITE or both. */
  readonly access: number;
}

/** The requests behind the IOMMU with handle `iommu`, whose slot is at core offset `slot`, that wait for an answer; queues are QUEUE_*. */
export class Waiting {
  readonly #core: Instance;
  readonly #iommu: number;
  readonly #slot: number;

  constructor(core: Instance, iommu: number, slot: number) {
    this.#core = core;
    this.#iommu = iommu;
    this.#slot = slot;
  }

  #at(queue: number, index: number): number {
    const core = this.#core;
    const base = core.load32(this.#slot + layout.IOMMU_WAITING);
    const skipped = queue === layout.QUEUE_STALLS ? 0 : core.load32(base + layout.OUTCOME_STALLS_MOST);
    return base + layout.OUTCOME_BYTES + (skipped + index) * layout.WAIT_BYTES;
  }

  /** Whether the request at `index` waits no longer. */
  answered(queue: number, index: number): boolean {
    return this.#core.load32(this.#at(queue, index) + layout.WAIT_STATE) !== layout.WAIT_PENDING;
  }

  /** Takes the answer of the request at `index`: whether to try again. */
  takeAnswer(queue: number, index: number): boolean {
    const core = this.#core;
    const status = core.raw.iommuTakeAnswer(core.base, this.#iommu, queue, index);
    return core.check(status, 'device.dmaSteps') === layout.ANSWER_RETRY;
  }

  /**
   * The page requests that have no answer yet. The queue is a ring: from where the next one is looked for, so in the order of
   * arrival as long as none waits while others go around.
   */
  pageRequests(): PageRequest[] {
    const core = this.#core;
    const outcomes = core.load32(this.#slot + layout.IOMMU_WAITING);
    const most = core.load32(outcomes + layout.OUTCOME_PAGES_MOST);
    const next = core.load32(outcomes + layout.OUTCOME_PAGES_NEXT);
    const found: PageRequest[] = [];
    for (let i = 0; i < most; i++) {
      const index = (next + i) % most;
      const at = this.#at(layout.QUEUE_PAGES, index);
      if (core.load32(at + layout.WAIT_STATE) !== layout.WAIT_PENDING) continue;
      const device = core.slotAt(core.load32(at + layout.WAIT_STREAM));
      const pasid = core.load32(device + layout.DEVICE_PASID);
      found.push({
        index,
        requesterId: core.load32(device + layout.DEVICE_REQUESTER),
        ...(pasid === layout.NO_PASID ? {} : { pasid }),
        iova: core.loadAddress(at + layout.WAIT_IOVA),
        length: core.load32(at + layout.WAIT_LENGTH),
        access: core.load32(at + layout.WAIT_ACCESS) & (layout.ACCESS_READ | layout.ACCESS_WRITE),
      });
    }
    return found;
  }
}

const STALL_ANSWERS = { retry: layout.ANSWER_RETRY, abort: layout.ANSWER_END, terminate: layout.ANSWER_IGNORE };
const PAGE_ANSWERS = { success: layout.ANSWER_RETRY, failure: layout.ANSWER_END };

/** How software answers a stalled request (CMD_RESUME). */
export type StallAnswer = keyof typeof STALL_ANSWERS;
/** How software answers a page request. */
export type PageAnswer = keyof typeof PAGE_ANSWERS;

/** The core's ANSWER_* for an answer to a request of `queue`. EINVAL: none. */
export function answerCode(op: string, queue: number, answer: string): number {
  const answers: Record<string, number> = queue === layout.QUEUE_STALLS ? STALL_ANSWERS : PAGE_ANSWERS;
  if (Object.hasOwn(answers, answer)) return answers[answer];
  throw new IommuError('EINVAL', op, `the answer is '${answer}'; there are ${Object.keys(answers).join(', ')}`);
}
