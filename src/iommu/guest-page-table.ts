import { IommuError } from '../errno/error.ts';
import { checkAddress, hex, lastOf, type Address } from '../wasm/address.ts';
import { checkAccess, READ, WRITE } from './access.ts';
import { decodeEntry } from './entries/decode.ts';
import { encodeEntry } from './entries/encode.ts';
import { findFormat, type FormatInfo, type FormatName, type GranuleName } from './formats.ts';

/** Memory of a guest as the guest sees it: by guest-physical address. False where there is none. */
export interface GuestMemory {
  read(gpa: bigint, into: Uint8Array): boolean;
  write(gpa: bigint, from: Uint8Array): boolean;
}

/** A guest's own page table. */
export interface GuestPageTableOptions {
  readonly format: FormatName;
  /** Default 4K. */
  readonly granule?: GranuleName;
  /** Bits of an input address. Default: as the format has them. */
  readonly inputBits?: number;
  readonly memory: GuestMemory;
  /** Where its tables lie: as many as fit `length` bytes from `gpa` on, which is a multiple of the granule. */
  readonly tables: { readonly gpa: Address; readonly length: Address };
  /** Leaves that hardware can track, for a domain with `dirtyTracking`. Default false. */
  readonly dirtyTracking?: boolean;
}

/** A mapping that the guest makes. */
export interface GuestMapOptions {
  readonly iova: Address;
  readonly gpa: Address;
  /** Bytes. */
  readonly length: Address;
  /** READ, WRITE or both. */
  readonly access: number;
  /** Bytes per leaf, natural sizes of the format. Default: the smallest. */
  readonly leafSize?: number;
}

/**
 * The page table that a guest's IOMMU driver keeps in guest memory, written entry by entry as the specifications have them. It knows
 * nothing of a core; hardware finds it where a nested domain's `root` says. Invalidating is up to the guest (`nested.invalidate`).
 */
export class GuestPageTable {
  readonly format: FormatInfo;
  /** Guest-physical address of the root table. */
  readonly root: Address;
  readonly #memory: GuestMemory;
  readonly #tracked: boolean;
  readonly #granuleBits: number;
  readonly #top: number;
  readonly #inputLast: bigint;
  readonly #end: bigint;
  #next: bigint;

  /** EINVAL: a format that is none, or tables that are not aligned; ENOSPC: no room for the root. */
  constructor(options: GuestPageTableOptions) {
    const op = 'guestPageTable';
    this.format = findFormat(op, options.format, options.granule);
    this.#granuleBits = Math.log2(this.format.leafSizes[0]);
    this.#memory = options.memory;
    this.#tracked = options.dirtyTracking ?? false;
    const inputBits = options.inputBits ?? this.format.inputBits;
    const bits = this.#granuleBits - 3;
    this.#top = Math.max(0, Math.ceil((inputBits - this.#granuleBits) / bits) - 1);
    this.#inputLast = (1n << BigInt(inputBits)) - 1n;
    this.#next = BigInt(checkAddress(op, 'tables.gpa', options.tables.gpa));
    this.#end = this.#next + BigInt(checkAddress(op, 'tables.length', options.tables.length));
    if (this.#next % this.#tableBytes !== 0n) {
      throw new IommuError(
        'EINVAL',
        op,
        `tables.gpa is ${hex(this.#next)}; it must be a multiple of ${this.#tableBytes}`,
      );
    }
    this.root = this.#take(op);
  }

  /** Levels of a walk. */
  get levels(): number {
    return this.#top + 1;
  }

  /** Maps [iova, iova + length) to `gpa` on. EINVAL: not aligned; EADDRINUSE: something is there; ENOSPC: no room for a table. */
  map(options: GuestMapOptions): void {
    const op = 'guestPageTable.map';
    const size = BigInt(options.leafSize ?? this.format.leafSizes[0]);
    const access = checkAccess(op, 'access', options.access);
    const iova = BigInt(checkAddress(op, 'iova', options.iova));
    const gpa = BigInt(checkAddress(op, 'gpa', options.gpa));
    const last = BigInt(lastOf(op, iova, checkAddress(op, 'length', options.length)));
    if (
      last > this.#inputLast ||
      (iova | gpa | (last + 1n)) % size !== 0n ||
      !this.format.leafSizes.includes(Number(size))
    ) {
      const what = `iova ${hex(iova)}, gpa ${hex(gpa)}, length ${hex(options.length)}`;
      throw new IommuError(
        'EINVAL',
        op,
        `${what}: all must be multiples of the leaf size ${size}, one of the format's`,
      );
    }
    const level = this.#levelOf(size);
    for (let at = iova; at <= last; at += size) {
      const slot = this.#slot(op, at, level);
      if (this.#load(slot) !== 0n)
        throw new IommuError('EADDRINUSE', op, `${hex(at)} is mapped already; unmap it first`);
      this.#store(slot, this.#leaf(gpa + (at - iova), Number(size), level, access));
    }
  }

  /** Unmaps what is mapped in [iova, iova + length): whole leaves; empty tables stay. EINVAL: a leaf that reaches beyond. */
  unmap(iova: Address, length: Address): void {
    const op = 'guestPageTable.unmap';
    const first = BigInt(checkAddress(op, 'iova', iova));
    const last = BigInt(lastOf(op, first, checkAddress(op, 'length', length)));
    for (let at = first; at <= last;) {
      const { slot, level, present } = this.#find(at);
      const size = 1n << BigInt(this.#shift(level));
      const start = at & ~(size - 1n);
      if (present && (start < first || start + size - 1n > last)) {
        throw new IommuError('EINVAL', op, `the leaf at ${hex(start)} has ${size} bytes and reaches beyond the range`);
      }
      if (present) this.#store(slot, 0n);
      at = start + size;
    }
  }

  /** Where the guest's table leads `iova`, undefined where nothing is mapped. */
  translate(iova: Address): Address | undefined {
    const at = BigInt(iova);
    if (at > this.#inputLast) return undefined;
    const { slot, level, present } = this.#find(at);
    if (!present) return undefined;
    const { address } = this.#decode(this.#load(slot), level);
    const gpa = address + (at & ((1n << BigInt(this.#shift(level))) - 1n));
    return gpa <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(gpa) : gpa;
  }

  get #tableBytes(): bigint {
    return 1n << BigInt(this.#granuleBits);
  }

  #shift(level: number): number {
    return this.#granuleBits + level * (this.#granuleBits - 3);
  }

  #levelOf(size: bigint): number {
    return (size.toString(2).length - 1 - this.#granuleBits) / (this.#granuleBits - 3);
  }

  /** A table of zeros. */
  #take(op: string): bigint {
    const table = this.#next;
    if (table + this.#tableBytes > this.#end) {
      throw new IommuError('ENOSPC', op, `tables.length leaves no room for another table of ${this.#tableBytes} bytes`);
    }
    this.#next += this.#tableBytes;
    this.#write(table, new Uint8Array(Number(this.#tableBytes)));
    return table;
  }

  #entryAt(table: bigint, iova: bigint, level: number): bigint {
    const mask = level === this.#top ? this.#inputLast : (1n << BigInt(this.#shift(level + 1))) - 1n;
    return table + ((iova & mask) >> BigInt(this.#shift(level))) * 8n;
  }

  /** Address of the entry of `level` for `iova`; tables on the way are made. */
  #slot(op: string, iova: bigint, level: number): bigint {
    let table = BigInt(this.root);
    for (let at = this.#top; at > level; at--) {
      const slot = this.#entryAt(table, iova, at);
      const entry = this.#load(slot);
      if (entry === 0n) {
        table = this.#take(op);
        this.#store(slot, this.#table(table, at));
        continue;
      }
      const { kind, address } = this.#decode(entry, at);
      if (kind !== 'table')
        throw new IommuError('EADDRINUSE', op, `${hex(iova)} is mapped by a larger leaf; unmap it first`);
      table = address;
    }
    return this.#entryAt(table, iova, level);
  }

  /** The entry that ends the way to `iova`. */
  #find(iova: bigint): { readonly slot: bigint; readonly level: number; readonly present: boolean } {
    let table = BigInt(this.root);
    for (let level = this.#top; ; level--) {
      const slot = this.#entryAt(table, iova, level);
      const entry = this.#decode(this.#load(slot), level);
      if (entry.kind !== 'table') return { slot, level, present: entry.present };
      table = entry.address;
    }
  }

  #place(level: number) {
    return { level, ...(this.format.granule ? { granule: this.format.granule } : {}) };
  }

  #decode(entry: bigint, level: number) {
    return decodeEntry(this.format.name, entry, this.#place(level));
  }

  #leaf(address: bigint, size: number, level: number, access: number): bigint {
    const rights = { read: (access & READ) !== 0, write: (access & WRITE) !== 0 };
    const state = this.#tracked ? { dirty: false } : {};
    return encodeEntry(this.format.name, { address, size, ...this.#place(level), ...rights, ...state });
  }

  #table(address: bigint, level: number): bigint {
    return encodeEntry(this.format.name, { kind: 'table', address, ...this.#place(level) });
  }

  #load(gpa: bigint): bigint {
    const bytes = new Uint8Array(8);
    if (!this.#memory.read(gpa, bytes))
      throw new IommuError('EFAULT', 'guestPageTable', `there is no memory at ${hex(gpa)}`);
    return new DataView(bytes.buffer).getBigUint64(0, true);
  }

  #store(gpa: bigint, entry: bigint): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, entry, true);
    this.#write(gpa, bytes);
  }

  #write(gpa: bigint, bytes: Uint8Array): void {
    if (!this.#memory.write(gpa, bytes))
      throw new IommuError('EFAULT', 'guestPageTable', `there is no memory at ${hex(gpa)}`);
  }
}
