import type { IommufdObject } from './object-table.ts';

/**
 * A queue of I/O page faults, as FAULT_QUEUE_ALLOC makes it: an object that HWPTs refer to. This model delivers no
 * faults to it.
 */
export class FaultQueue implements IommufdObject {
  readonly kind = 'fault';
  readonly id: number;
  users = 1;

  constructor(id: number) {
    this.id = id;
  }

  destroy(): void {}
}
