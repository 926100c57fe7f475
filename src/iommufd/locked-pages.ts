import { IommuError } from '../errno/error.ts';

/** Accounting of pinned memory against RLIMIT_MEMLOCK. */
export class LockedPages {
  readonly #limit: bigint;
  readonly #pageSize: bigint;
  #bytes = 0n;

  /** @param limit Pages; undefined: no limit. EINVAL: not a count. */
  constructor(limit: number | undefined, pageSize: bigint) {
    if (limit !== undefined && !(Number.isSafeInteger(limit) && limit >= 0)) {
      throw new IommuError(
        'EINVAL',
        'iommufd',
        `lockedPagesLimit is ${limit}; it must be a number of pages, 0 or more`,
      );
    }
    this.#pageSize = pageSize;
    this.#limit = limit === undefined ? 1n << 64n : BigInt(limit) * pageSize;
  }

  /** Bytes pinned. */
  get bytes(): bigint {
    return this.#bytes;
  }

  /** ENOMEM: beyond the limit; then nothing is added. */
  add(op: string, bytes: bigint): void {
    if (this.#bytes + bytes > this.#limit) {
      const pages = (this.#bytes + bytes) / this.#pageSize;
      const message = `${pages} pinned pages are more than the limit of ${this.#limit / this.#pageSize}`;
      throw new IommuError('ENOMEM', op, message);
    }
    this.#bytes += bytes;
  }

  subtract(bytes: bigint): void {
    this.#bytes -= bytes;
  }
}
