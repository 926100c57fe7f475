import * as layout from '../../assembly/layout.ts';
import type { Bitmap } from '../bitmap/bitmap.ts';
import { IommuError } from '../errno/error.ts';
import type { InFlight } from '../schedule/in-flight.ts';
import { runWhole, type Steps } from '../schedule/step.ts';
import { checkAddress, hex, lastOf, type Address } from '../wasm/address.ts';
import type { Instance } from '../wasm/instance.ts';
import { checkAccess } from './access.ts';
import { dirtyReadSteps, type ReadOrder } from './dirty-read.ts';
import {
  createFlags,
  explainShape,
  shapeOf,
  sizeMask,
  type DomainOptions,
  type DomainShape,
} from './domain-options.ts';
import type { FormatInfo } from './formats.ts';
import { mergeSteps, splitSteps, type Resize } from './resize.ts';

/** A mapping to make. All of `iova`, `pa` and `length` are multiples of the smallest leaf size that may be used. */
export interface MapOptions {
  readonly iova: Address;
  /** Output address. */
  readonly pa: Address;
  /** Bytes. */
  readonly length: Address;
  /** READ, WRITE or both. */
  readonly access: number;
  /** Leaf sizes for this mapping, bytes. Default: those of the domain. */
  readonly leafSizes?: readonly number[];
}

/** Input addresses, both inclusive. */
export interface InputRange {
  readonly first: Address;
  readonly last: Address;
}

/** Where an address leads. */
export interface Translation {
  readonly pa: Address;
  readonly leafSize: number;
  readonly access: number;
  readonly dirty: boolean;
}

/** One entry that a walk reads. */
export interface WalkStep {
  /** 0 is the level of the smallest leaves. */
  readonly level: number;
  readonly index: number;
  /** Where the table lies in the core. */
  readonly table: number;
  readonly entry: bigint;
}

/** A read of the dirty state. */
export interface ReadDirtyOptions {
  readonly iova: Address;
  readonly length: Address;
  /** Takes the report; [iova, iova + length) must be whole pages of it and lie inside. */
  readonly into: Bitmap;
  /** Default true. False leaves the dirty state, for ranges about to be unmapped. */
  readonly clear?: boolean;
  /** Default `safe`; see ReadOrder. */
  readonly order?: ReadOrder;
}

function addressOf(value: bigint): Address {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}

function inputRanges({ inputBits, signed, first, last }: DomainShape): InputRange[] {
  const end = 1n << BigInt(inputBits);
  const half = end >> 1n;
  const whole = signed
    ? [[0n, half - 1n] as const, [2n ** 64n - half, 2n ** 64n - 1n] as const]
    : [[0n, end - 1n] as const];
  return whole
    .map(([from, to]) => [from > BigInt(first) ? from : BigInt(first), to < BigInt(last) ? to : BigInt(last)] as const)
    .filter(([from, to]) => from <= to)
    .map(([from, to]) => ({ first: addressOf(from), last: addressOf(to) }));
}

/** A translation domain: page tables in one format, and the dirty state that hardware keeps in them. */
export class Domain {
  readonly handle: number;
  readonly format: FormatInfo;
  /** The input addresses, both ends inclusive: one range, or for sign-extended addresses a lower and an upper one. */
  readonly inputRanges: readonly InputRange[];
  readonly #core: Instance;
  readonly #inFlight: InFlight;
  #entriesRead = 0;

  /** @internal */
  constructor(core: Instance, inFlight: InFlight, iommu: number, options: DomainOptions) {
    const op = 'iommu.domain';
    const shape = shapeOf(op, options);
    this.format = shape.format;
    core.store64(layout.MAIL0, shape.sizes);
    core.store64(layout.MAIL1, shape.outputBits);
    core.store64(layout.MAIL2, shape.first);
    core.store64(layout.MAIL3, shape.last);
    const status = core.raw.domainCreate(core.base, iommu, shape.format.id, shape.inputBits, createFlags(shape));
    this.handle = core.check(status, op, (errno) => (errno === layout.EINVAL ? explainShape(shape) : undefined));
    this.#core = core;
    this.#inFlight = inFlight;
    this.inputRanges = inputRanges(shape);
  }

  /**
   * Maps [iova, iova + length) to `pa` on, with the largest leaves that fit. EINVAL: not aligned, no access; ERANGE: beyond
   * the input or output addresses; EADDRINUSE: something is mapped there; ENOMEM. Nothing is changed where it throws.
   */
  map(options: MapOptions): void {
    const op = 'domain.map';
    const core = this.#core;
    const iova = checkAddress(op, 'iova', options.iova);
    const last = lastOf(op, iova, checkAddress(op, 'length', options.length));
    const pa = checkAddress(op, 'pa', options.pa);
    const access = checkAccess(op, 'access', options.access);
    const own = core.loadBig(core.slot(this.handle, op) + layout.DOMAIN_SIZES);
    const sizes = options.leafSizes ? sizeMask(op, this.format, options.leafSizes) : own;
    if (sizes & ~own) {
      throw new IommuError('EINVAL', op, `leafSizes holds sizes that the domain was not made for; it has ${hex(own)}`);
    }
    const explain = (errno: number) => this.#explainMap(errno, options, sizes);
    core.store64(layout.MAIL0, iova);
    core.store64(layout.MAIL1, last);
    core.store64(layout.MAIL2, pa);
    core.store64(layout.MAIL3, sizes);
    core.store64(layout.MAIL4, iova);
    while (
      core.check(core.raw.domainCheckMap(core.base, this.handle, access, core.budget), op, explain) === layout.MORE
    );
    core.store64(layout.MAIL0, iova);
    let status: number;
    do status = core.raw.domainMap(core.base, this.handle, access, core.budget);
    while (status === layout.MORE);
    if (status >= 0) return;
    const end = core.loadAddress(layout.MAIL0);
    try {
      core.check(status, op, explain);
    } finally {
      // Last: what the message says is needed counts what is mapped so far.
      if (BigInt(end) > BigInt(iova)) this.#unmapTo(op, iova, BigInt(end) - 1n);
    }
  }

  /**
   * Unmaps [iova, iova + length) up to the first hole and invalidates it; returns the bytes unmapped, more than `length` where
   * the last leaf reaches further. EINVAL: `iova` lies inside a leaf, and nothing is changed.
   */
  unmap(iova: Address, length: Address): Address {
    const op = 'domain.unmap';
    const last = lastOf(op, checkAddress(op, 'iova', iova), checkAddress(op, 'length', length));
    const end = this.#unmapTo(op, iova, last);
    const bytes = BigInt.asUintN(64, BigInt(end) - BigInt(iova));
    if (bytes > 0n) this.invalidate(iova, bytes);
    return bytes <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(bytes) : bytes;
  }

  /** Where `iova` leads, without IOTLB and without any effect; undefined where nothing is mapped. ERANGE. */
  translate(iova: Address): Translation | undefined {
    const op = 'domain.translate';
    const core = this.#core;
    core.store64(layout.MAIL0, checkAddress(op, 'iova', iova));
    const status = core.raw.domainTranslate(core.base, this.handle);
    if (status === -layout.ENOENT) return undefined;
    core.check(status, op, (errno) => this.#explainRange(errno, iova));
    const flags = core.load32(layout.MAIL2);
    return {
      pa: core.loadAddress(layout.MAIL0),
      leafSize: 2 ** core.load32(layout.MAIL1),
      access: flags & (layout.ACCESS_READ | layout.ACCESS_WRITE),
      dirty: (flags & layout.IOTLB_DIRTY) !== 0,
    };
  }

  /**
   * Marks in `into` what was written in [iova, iova + length) since it was last cleared, at the granularity of the leaves, and
   * clears it. A leaf that lies only partly inside is reported clipped and stays dirty. Unmapped addresses are clean.
   * EINVAL, ERANGE: the range does not fit `into`; EOPNOTSUPP: a domain made without dirtyTracking.
   */
  readAndClearDirty(options: ReadDirtyOptions): void {
    runWhole(this.readAndClearDirtySteps(options));
  }

  /** `readAndClearDirty`, step by step. */
  *readAndClearDirtySteps(options: ReadDirtyOptions): Steps<void> {
    const op = 'domain.readAndClearDirty';
    const first = checkAddress(op, 'iova', options.iova);
    const last = lastOf(op, first, checkAddress(op, 'length', options.length));
    const { into, clear = true, order = 'safe' } = options;
    const read = { core: this.#core, domain: this.handle, inFlight: this.#inFlight, first, last, into, clear, order };
    this.#entriesRead += yield* dirtyReadSteps(read);
  }

  /**
   * Switches dirty tracking. Switching on leaves everything clean: the hardware's updates are switched on, what was cached
   * without them is invalidated, that completes, then the dirty state is cleared. EOPNOTSUPP.
   */
  setDirtyTracking(enable: boolean): void {
    runWhole(this.setDirtyTrackingSteps(enable));
  }

  /** `setDirtyTracking`, step by step. What lands before its return may go unreported afterwards. */
  *setDirtyTrackingSteps(enable: boolean): Steps<void> {
    const core = this.#core;
    yield { what: enable ? 'enable' : 'disable' };
    const status = core.raw.domainTrack(core.base, this.handle, enable ? 1 : 0);
    core.check(status, 'domain.setDirtyTracking', (errno) =>
      errno === layout.EOPNOTSUPP ? 'the domain was made without dirtyTracking' : undefined,
    );
    yield { what: 'invalidate' };
    this.invalidate(0, 2n ** 64n);
    const mark = this.#inFlight.now();
    yield { what: 'complete', ready: () => this.#inFlight.landedBefore(mark) };
    if (enable) yield* this.#clearDirtySteps();
  }

  /** Forgets the dirty state of the whole domain. EOPNOTSUPP. */
  clearDirty(): void {
    runWhole(this.#clearDirtySteps());
  }

  *#clearDirtySteps(): Steps<void> {
    const all = { core: this.#core, domain: this.handle, inFlight: this.#inFlight, clear: true } as const;
    for (const range of this.inputRanges) {
      this.#entriesRead += yield* dirtyReadSteps({ ...all, ...range, order: 'safe' });
    }
  }

  /** Marks the leaf that maps `iova` dirty, as a write would. ENOENT, ERANGE; EINVAL: not made for tracking, or read-only. */
  setDirty(iova: Address): void {
    const op = 'domain.setDirty';
    this.#core.store64(layout.MAIL0, checkAddress(op, 'iova', iova));
    this.#core.check(this.#core.raw.domainSetDirty(this.#core.base, this.handle), op, (errno) => {
      if (errno === layout.ENOENT) return `nothing is mapped at ${hex(iova)}`;
      if (errno === layout.EINVAL) return `the leaf at ${hex(iova)} is read-only, or not made for tracking`;
      return this.#explainRange(errno, iova);
    });
  }

  /**
   * Splits the leaves of [iova, iova + length) that are larger than `leafSize`, and invalidates them; each child inherits the
   * dirty state. A leaf that reaches beyond is split whole. EINVAL, ENOENT (a hole), ENOMEM: with nothing changed.
   */
  split(iova: Address, length: Address, leafSize: number): void {
    runWhole(this.splitSteps(iova, length, leafSize));
  }

  /** `split`, step by step: entries change directly, then one invalidation, then its completion. */
  *splitSteps(iova: Address, length: Address, leafSize: number): Steps<void> {
    const { first, last } = yield* splitSteps(this.#resize('domain.split', iova, length, leafSize));
    yield* this.#flushSteps(first, BigInt(last) - BigInt(first) + 1n);
  }

  /**
   * Merges [iova, iova + length), whole blocks of `leafSize`, into leaves of that size that are dirty if any part was, and
   * invalidates them. Larger leaves stay. EINVAL: a block that is not one leaf in all but size; nothing is changed.
   */
  merge(iova: Address, length: Address, leafSize: number): void {
    runWhole(this.mergeSteps(iova, length, leafSize));
  }

  /** `merge`, step by step. */
  *mergeSteps(iova: Address, length: Address, leafSize: number): Steps<void> {
    yield* mergeSteps(this.#resize('domain.merge', iova, length, leafSize));
    yield* this.#flushSteps(iova, length);
  }

  *#flushSteps(iova: Address, length: Address): Steps<void> {
    yield { what: 'invalidate' };
    this.invalidate(iova, length);
    const mark = this.#inFlight.now();
    yield { what: 'complete', ready: () => this.#inFlight.landedBefore(mark) };
  }

  #resize(op: string, iova: Address, length: Address, leafSize: number): Resize {
    const first = checkAddress(op, 'iova', iova);
    const last = lastOf(op, first, checkAddress(op, 'length', length));
    sizeMask(op, this.format, [leafSize]);
    return { core: this.#core, domain: this.handle, first, last, shift: Math.log2(leafSize) };
  }

  /** The entries that a walk to `iova` reads, root first, without IOTLB and without any effect. ERANGE. */
  walk(iova: Address): WalkStep[] {
    const op = 'domain.walk';
    const core = this.#core;
    core.store64(layout.MAIL0, checkAddress(op, 'iova', iova));
    core.check(core.raw.domainTrace(core.base, this.handle), op, (errno) => this.#explainRange(errno, iova));
    return Array.from({ length: core.load64(layout.MAIL1) }, (_, i) => {
      const at = core.transfer + i * layout.TRACE_BYTES;
      return {
        level: core.load32(at + layout.TRACE_LEVEL),
        index: core.load32(at + layout.TRACE_INDEX),
        table: core.load32(at + layout.TRACE_TABLE),
        entry: core.loadBig(at + layout.TRACE_ENTRY),
      };
    });
  }

  /** One invalidation command for [iova, iova + length): leaves that overlap it leave the IOTLB. */
  invalidate(iova: Address, length: Address): void {
    const op = 'domain.invalidate';
    const core = this.#core;
    const first = checkAddress(op, 'iova', iova);
    // All of 64 bits is 2^64 bytes long, one more than an Address can say.
    const whole = first === 0 && length === 2n ** 64n;
    const last = whole ? 2n ** 64n - 1n : lastOf(op, first, checkAddress(op, 'length', length));
    core.store64(layout.MAIL0, first);
    core.store64(layout.MAIL1, last);
    core.check(core.raw.domainInvalidate(core.base, this.handle), op);
  }

  /** Page-table entries that reads of the dirty state have looked at. */
  get entriesRead(): number {
    return this.#entriesRead;
  }

  /** Tables, the root included, and their bytes; bytes mapped. */
  get usage(): { readonly tables: number; readonly tableBytes: number; readonly mappedBytes: Address } {
    const slot = this.#core.slot(this.handle, 'domain.usage');
    return {
      tables: this.#core.load32(slot + layout.DOMAIN_TABLES),
      tableBytes: this.#core.load64(slot + layout.DOMAIN_TABLE_BYTES),
      mappedBytes: this.#core.loadAddress(slot + layout.DOMAIN_MAPPED),
    };
  }

  /** Its handle for a call into `core`. EBADF: it lies in another core. @internal */
  handleIn(core: Instance, op: string): number {
    return core.owned(this.#core, this.handle, op);
  }

  /** Frees the tables. EBUSY: a device is attached. */
  close(): void {
    this.#core.check(this.#core.raw.domainDestroy(this.#core.base, this.handle), 'domain.close');
  }

  #unmapTo(op: string, first: Address, last: Address): Address {
    const core = this.#core;
    core.store64(layout.MAIL0, first);
    core.store64(layout.MAIL1, last);
    let status: number;
    do status = core.raw.domainUnmap(core.base, this.handle, core.budget);
    while (status === layout.MORE);
    core.check(status, op, (errno) =>
      errno === layout.EINVAL
        ? `${hex(first)} lies inside a leaf; start where it starts`
        : this.#explainRange(errno, last),
    );
    return core.loadAddress(layout.MAIL0);
  }

  #rangesInWords(): string {
    return this.inputRanges.map(({ first, last }) => `${hex(first)} .. ${hex(last)}`).join(' and ');
  }

  #explainRange(errno: number, address: Address): string | undefined {
    if (errno !== layout.ERANGE) return undefined;
    return `${hex(address)} is not within the domain's input addresses, ${this.#rangesInWords()}`;
  }

  #explainMap(errno: number, options: MapOptions, sizes: bigint): string | undefined {
    const what = `iova ${hex(options.iova)}, pa ${hex(options.pa)}, length ${hex(options.length)}`;
    switch (errno) {
      case layout.EINVAL:
        return `${what}: all must be multiples of the smallest leaf, ${hex(sizes & -sizes)}`;
      case layout.ERANGE:
        return `${what}: beyond the input addresses, ${this.#rangesInWords()}, or the format's output addresses`;
      case layout.EADDRINUSE:
        return `${what}: something is mapped there already; unmap it first`;
      default:
        return undefined;
    }
  }
}
