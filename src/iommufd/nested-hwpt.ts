import { IommuError } from '../errno/error.ts';
import type { FaultQueue } from './fault-queue.ts';
import type { PagingHwpt } from './hwpt.ts';
import type { NestedDomain } from './nested-data.ts';
import type { IommufdObject } from './object-table.ts';

/** What a device may be attached to. */
export type Hwpt = PagingHwpt | NestedHwpt;

/** A guest's page table on top of a nest parent: an HWPT_NESTED object. */
export class NestedHwpt implements IommufdObject {
  readonly kind = 'hwpt-nested';
  readonly id: number;
  users = 1;
  readonly auto = false;
  readonly parent: PagingHwpt;
  readonly domain: NestedDomain;
  fault: FaultQueue | undefined;

  constructor(id: number, parent: PagingHwpt, domain: NestedDomain) {
    this.id = id;
    this.parent = parent;
    this.domain = domain;
    parent.users++;
  }

  destroy(): void {
    this.parent.users--;
    if (this.fault) this.fault.users--;
  }
}

/** EOPNOTSUPP: this model translates in one stage, so a nested HWPT takes no device. */
export function refuseNested(op: string, hwpt: NestedHwpt): never {
  const message = `HWPT ${hwpt.id} is nested; no device can be attached to it: this model has one stage of translation`;
  throw new IommuError('EOPNOTSUPP', op, message);
}
