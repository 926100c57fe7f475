import * as layout from '../../assembly/layout.ts';
import type { Bitmap } from '../bitmap/bitmap.ts';
import { IommuError } from '../errno/error.ts';
import type { InFlight } from '../schedule/in-flight.ts';
import { runWhole, type Steps } from '../schedule/step.ts';
import { checkAddress, hex, lastOf, type Address } from '../wasm/address.ts';
import type { Instance } from '../wasm/instance.ts';
import { checkAccess } from './access.ts';
import { asidOf, identify, vmidOf } from './identity.ts';
import { invalidateForm, invalidateRange, type InvalidateOptions } from './invalidation.ts';
import { dirtyReadSteps, type DirtyRead, type ReadOrder } from './dirty-read.ts';
import { createFlags, explainShape, shapeOf, sizeMask, type DomainOptions } from './domain-options.ts';
import { completionSteps, invalidateSteps, type Tables } from './flush.ts';
import type { FormatInfo } from './formats.ts';
import { addressOf, inputRanges, type InputRange } from './input-ranges.ts';
import { mapAtOnce, mapSteps, unmapAtOnce, unmapSteps } from './mapping.ts';
import { mergeSteps } from './merge.ts';
import { quirkFlags, type QuirkName } from './quirks.ts';
import { resizeCounts, type ResizeCounts } from './resize-counts.ts';
import { splitSteps, type Resize } from './split.ts';
import { TableLock } from './table-lock.ts';
import { updateCode, type UpdatePolicy } from './update-policy.ts';

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
  /** Every ASID of the VMID has it, and an invalidation of an ASID leaves it; formats of stage 1 alone. Default false. */
  readonly global?: boolean;
}

/** Where an address leads. */
export interface Translation {
  readonly pa: Address;
  readonly leafSize: number;
  readonly access: number;
  readonly dirty: boolean;
  /** Present and true for a global leaf. */
  readonly global?: true;
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
  /**
   * Splits dirty leaves that are larger than this many bytes on the way, a level at a time, with the invalidation that clearing
   * needs anyway. A leaf for which there is no memory stays. Only where it clears.
   */
  readonly splitTo?: number;
}

/** A translation domain: page tables in one format, and the dirty state that hardware keeps in them. */
export class Domain {
  readonly handle: number;
  readonly format: FormatInfo;
  /** The input addresses, both ends inclusive: one range, or for sign-extended addresses a lower and an upper one. */
  readonly inputRanges: readonly InputRange[];
  readonly update: UpdatePolicy;
  readonly quirks: ReadonlySet<QuirkName>;
  readonly #core: Instance;
  readonly #tables: Tables;
  readonly #lock = new TableLock();
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
    this.update = shape.update;
    this.quirks = shape.quirks;
    core.check(
      core.raw.domainConfigure(
        core.base,
        this.handle,
        updateCode(shape.update),
        shape.conflict,
        quirkFlags(shape.quirks),
      ),
      op,
    );
    this.#core = core;
    this.#tables = { core, domain: this.handle, inFlight, quirks: shape.quirks, unmaps: { pending: 0 } };
    this.inputRanges = inputRanges(shape);
    try {
      identify(core, this.handle, this.format, options);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** The number of the machine by which the IOTLB tells this domain's entries: 16 bits (AMD and VT-d domain id, GSCID). */
  get vmid(): number {
    return vmidOf(this.#core, this.handle);
  }

  /** The number of the address space (PASID tag, PSCID), undefined for formats of stage 2, which have none. */
  get asid(): number | undefined {
    return this.format.stage === 1 ? asidOf(this.#core, this.handle) : undefined;
  }

  /**
   * Maps [iova, iova + length) to `pa` on, with the largest leaves that fit. EINVAL: not aligned, no access; ERANGE: beyond
   * the input or output addresses; EADDRINUSE: something is mapped there; ENOMEM. Nothing is changed where it throws.
   */
  map(options: MapOptions): void {
    if (!this.#lock.free || !mapAtOnce(this.#tables, options)) runWhole(this.mapSteps(options));
  }

  /** `map`, step by step. */
  mapSteps(options: MapOptions): Steps<void> {
    const op = 'domain.map';
    const core = this.#core;
    const first = checkAddress(op, 'iova', options.iova);
    const last = lastOf(op, first, checkAddress(op, 'length', options.length));
    const pa = checkAddress(op, 'pa', options.pa);
    const rights = checkAccess(op, 'access', options.access);
    if (options.global && this.format.stage !== 1) {
      throw new IommuError('EINVAL', op, `global is true; ${this.format.name} has no ASIDs, so no global leaves`);
    }
    const access = options.global ? rights | layout.ACCESS_GLOBAL : rights;
    const own = core.loadBig(core.slot(this.handle, op) + layout.DOMAIN_SIZES);
    const sizes = options.leafSizes ? sizeMask(op, this.format, options.leafSizes) : own;
    if (sizes & ~own) {
      throw new IommuError('EINVAL', op, `leafSizes holds sizes that the domain was not made for; it has ${hex(own)}`);
    }
    const explain = (errno: number) => this.#explainMap(errno, options, sizes);
    return this.#lock.shared(mapSteps({ ...this.#tables, first, last, pa, access, sizes, explain }));
  }

  /**
   * Unmaps [iova, iova + length) up to the first hole and invalidates it; returns the bytes unmapped, more than `length` where
   * the last leaf reaches further. EINVAL: `iova` lies inside a leaf, and nothing is changed.
   */
  unmap(iova: Address, length: Address): Address {
    const bytes = this.#lock.free ? unmapAtOnce(this.#tables, iova, length) : -1;
    return bytes < 0 ? runWhole(this.unmapSteps(iova, length)) : bytes;
  }

  /** `unmap`, step by step: what is unmapped is invalidated, and its tables are freed once that has completed. */
  *unmapSteps(iova: Address, length: Address): Steps<Address> {
    const op = 'domain.unmap';
    const first = checkAddress(op, 'iova', iova);
    const last = lastOf(op, first, checkAddress(op, 'length', length));
    const explain = (errno: number) =>
      errno === layout.EINVAL
        ? `${hex(first)} lies inside a leaf; start where it starts`
        : this.#explainRange(errno, last);
    const end = yield* this.#lock.shared(unmapSteps({ ...this.#tables, first, last, explain }));
    return addressOf(BigInt.asUintN(64, BigInt(end) - BigInt(first)));
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
    const pa = core.loadAddress(layout.MAIL0);
    const leafSize = 2 ** core.load32(layout.MAIL1);
    const access = flags & (layout.ACCESS_READ | layout.ACCESS_WRITE);
    const dirty = (flags & layout.IOTLB_DIRTY) !== 0;
    return flags & layout.ACCESS_GLOBAL
      ? { pa, leafSize, access, dirty, global: true }
      : { pa, leafSize, access, dirty };
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
    const { into, clear = true, splitTo } = options;
    const order = this.#order(options.order);
    if (splitTo !== undefined) sizeMask(op, this.format, [splitTo]);
    const read: DirtyRead = { ...this.#tables, first, last, into, clear, order };
    const splitting = splitTo === undefined ? {} : { split: { shift: Math.log2(splitTo), update: this.update } };
    this.#entriesRead += yield* this.#lock.shared(dirtyReadSteps({ ...read, ...splitting }));
  }

  #order(asked: ReadOrder = 'safe'): ReadOrder {
    return asked === 'safe' && this.quirks.has('skip-flush-after-clear') ? 'no-invalidate' : asked;
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
    if (!enable || !this.quirks.has('enable-without-flush')) {
      yield* invalidateSteps(this.#tables, 0, 2n ** 64n - 1n);
      yield* completionSteps(this.#tables);
    }
    if (enable) yield* this.#clearDirtySteps();
  }

  /** Forgets the dirty state of the whole domain. EOPNOTSUPP. */
  clearDirty(): void {
    runWhole(this.#clearDirtySteps());
  }

  *#clearDirtySteps(): Steps<void> {
    for (const range of this.inputRanges) {
      const read = { ...this.#tables, ...range, clear: true, order: this.#order() };
      this.#entriesRead += yield* this.#lock.shared(dirtyReadSteps(read));
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

  /** `split`, step by step, as the domain's update policy has it. */
  splitSteps(iova: Address, length: Address, leafSize: number): Steps<void> {
    return this.#lock.exclusive(splitSteps(this.#resize('domain.split', iova, length, leafSize)));
  }

  /**
   * Merges [iova, iova + length), whole blocks of `leafSize`, into leaves of that size that are dirty if any part was, and
   * invalidates them. Larger leaves stay. EINVAL: a block that is not one leaf in all but size; nothing is changed.
   */
  merge(iova: Address, length: Address, leafSize: number): void {
    runWhole(this.mergeSteps(iova, length, leafSize));
  }

  /** `merge`, step by step, as the domain's update policy has it. */
  mergeSteps(iova: Address, length: Address, leafSize: number): Steps<void> {
    return this.#lock.exclusive(mergeSteps(this.#resize('domain.merge', iova, length, leafSize)));
  }

  #resize(op: string, iova: Address, length: Address, leafSize: number): Resize {
    const first = checkAddress(op, 'iova', iova);
    const last = lastOf(op, first, checkAddress(op, 'length', length));
    sizeMask(op, this.format, [leafSize]);
    return { ...this.#tables, first, last, shift: Math.log2(leafSize), update: this.update };
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

  /**
   * Invalidates [iova, iova + length): leaves that overlap it leave the IOTLB, global ones too, and tables on the way to them the
   * walk cache; then the caches of devices in this domain. One command, or what the vendor's encoding takes. EINVAL.
   */
  invalidate(iova: Address, length: Address, options: InvalidateOptions = {}): void {
    invalidateRange(this.#core, this.handle, this.format, iova, length, options);
  }

  /** One command for the address space: all but global leaves, and of devices in this domain everything. */
  invalidateAsid(options: { readonly atc?: boolean } = {}): void {
    invalidateForm(this.#core, this.handle, 'domain.invalidateAsid', layout.FORM_ASID, options.atc);
  }

  /** One command for the VMID: all that its domains, and devices in those, have cached. */
  invalidateDomain(options: { readonly atc?: boolean } = {}): void {
    invalidateForm(this.#core, this.handle, 'domain.invalidateDomain', layout.FORM_DOMAIN, options.atc);
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

  /** What has come of changes of leaf sizes since the domain was made. */
  get resizes(): ResizeCounts {
    return resizeCounts(this.#tables);
  }

  /** Its handle for a call into `core`. EBADF: it lies in another core. @internal */
  handleIn(core: Instance, op: string): number {
    return core.owned(this.#core, this.handle, op);
  }

  /** Frees the tables. EBUSY: a device is attached. */
  close(): void {
    this.#core.check(this.#core.raw.domainDestroy(this.#core.base, this.handle), 'domain.close');
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
