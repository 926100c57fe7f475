import * as layout from '../../assembly/layout.ts';
import { IommuError } from '../errno/error.ts';
import { checkAddress, hex, type Address } from '../wasm/address.ts';
import type { Instance } from '../wasm/instance.ts';
import type { Domain, Translation, WalkStep } from './domain.ts';
import { decodeEntry, type DecodedEntry } from './entries/decode.ts';
import type { FaultPolicy } from './fault-policy.ts';
import { findFormat, type FormatInfo, type FormatName, type GranuleName } from './formats.ts';
import { addressOf } from './input-ranges.ts';
import { asidOf, nameNested, vmidOf } from './identity.ts';
import { invalidateForm, invalidateRange, type InvalidateOptions } from './invalidation.ts';
import { tableEntry } from './table-entry.ts';

/** Stage 1 as a guest has set it up: Arm over Arm of any granule, x86_64 over vtdss or amdv1. */
export interface NestedOptions {
  readonly format: FormatName;
  /** Default 4K. */
  readonly granule?: GranuleName;
  /** Guest-physical address of its root table. */
  readonly root: Address;
  /** Bits of an input address. Default: as the format has them. */
  readonly inputBits?: number;
  /** Whether input addresses are sign-extended. Default: as the format has them. */
  readonly signed?: boolean;
  /** Whether hardware keeps the dirty state of the guest's own leaves (CD.HD, or the like). Default false. */
  readonly dirtyTracking?: boolean;
  /** 1 to 65,535 (Arm) or 2^20 - 1. Default: one that no other domain of the parent's VMID has. */
  readonly asid?: number;
  /** What requests that stage 1 refuses get; for stage 2 the parent says. */
  readonly faults?: FaultPolicy;
}

/** A step of a nested walk: an entry of stage 1, and the walk of stage 2 to where it lies. */
export interface NestedWalkStep {
  readonly level: number;
  readonly index: number;
  /** Guest-physical address of the entry. */
  readonly ipa: Address;
  /** The entries of stage 2 on the way there. */
  readonly under: readonly WalkStep[];
  /** Where that leads; undefined where stage 2 refuses, and then there is no entry. */
  readonly pa: Address | undefined;
  readonly entry: bigint | undefined;
}

/** A nested walk: the entries of stage 1, and of stage 2 for what the last one leads to. */
export interface NestedWalk {
  readonly steps: readonly NestedWalkStep[];
  /** Where stage 1 leads, undefined where it refuses. */
  readonly ipa: Address | undefined;
  readonly under: readonly WalkStep[];
}

/** A domain of two stages: the tables of stage 1 are a guest's, in the IOMMU's RAM, and each access to them goes through stage 2. */
export class NestedDomain {
  readonly handle: number;
  readonly format: FormatInfo;
  /** Stage 2. */
  readonly parent: Domain;
  readonly root: Address;
  readonly #core: Instance;
  readonly #iommuSlot: number;

  /** @internal */
  constructor(core: Instance, iommuSlot: number, parent: Domain, options: NestedOptions) {
    const op = 'iommu.nested';
    this.format = findFormat(op, options.format, options.granule);
    this.root = checkAddress(op, 'root', options.root);
    const { inputBits = this.format.inputBits, signed = this.format.signed } = options;
    if (core.load32(iommuSlot + layout.IOMMU_RAM) === 0) {
      throw new IommuError('EINVAL', op, 'the IOMMU was made without ram, so there is no memory for tables of a guest');
    }
    const flags = (options.dirtyTracking ? layout.CREATE_TRACKED : 0) | (signed ? layout.CREATE_SIGNED : 0);
    core.store64(layout.MAIL0, this.root);
    const under = parent.handleIn(core, op);
    this.handle = core.check(core.raw.domainNest(core.base, under, this.format.id, inputBits, flags), op, (errno) =>
      errno === layout.EINVAL
        ? `${this.format.name} with ${inputBits} bits, root ${hex(this.root)}, over ${parent.format.name}: armv8-s1 goes over armv8-s2, x86_64 over vtdss or amdv1, ${this.format.name} has ${this.format.inputWidths}, and a root is aligned to its size`
        : undefined,
    );
    this.parent = parent;
    this.#core = core;
    this.#iommuSlot = iommuSlot;
    try {
      nameNested(core, this.handle, this.format, parent.vmid, options);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** That of its parent. */
  get vmid(): number {
    return vmidOf(this.#core, this.handle);
  }

  get asid(): number {
    return asidOf(this.#core, this.handle);
  }

  /** Invalidates what stage 1 maps [iova, iova + length) to, for this ASID. See `domain.invalidate`. */
  invalidate(iova: Address, length: Address, options: InvalidateOptions = {}): void {
    invalidateRange(this.#core, this.handle, this.format, iova, length, options);
  }

  /** One command for the ASID: all but global leaves. */
  invalidateAsid(): void {
    invalidateForm(this.#core, this.handle, 'nested.invalidateAsid', layout.FORM_ASID);
  }

  /** Every entry of both stages that a walk to `iova` reads, without IOTLB and without any effect. ERANGE: not an input address. */
  walk(iova: Address): NestedWalk {
    const { level: top, bits, granuleBits } = this.#geometry();
    const at = BigInt(checkAddress('nested.walk', 'iova', iova));
    this.#checkInput(at);
    const steps: NestedWalkStep[] = [];
    let table = BigInt(this.root);
    for (let level = top; ; level--) {
      const shift = BigInt(granuleBits + level * bits);
      const index = Number((at >> shift) & (level === top ? this.#rootMask() : (1n << BigInt(bits)) - 1n));
      const step = this.#step(level, index, addressOf(table + BigInt(index) * 8n));
      steps.push(step);
      const entry = step.entry === undefined ? undefined : this.#decode(step.entry, level);
      if (!entry?.present) return { steps, ipa: undefined, under: [] };
      if (entry.kind === 'leaf') {
        const ipa = addressOf(entry.address + (at & (entry.size! - 1n)));
        return { steps, ipa, under: this.#takes(ipa) ? this.parent.walk(ipa) : [] };
      }
      table = entry.address;
    }
  }

  /** Where `iova` leads through both stages, without IOTLB and without any effect; undefined where either refuses. ERANGE. */
  translate(iova: Address): Translation | undefined {
    const { steps, ipa } = this.walk(iova);
    const under = ipa === undefined || !this.#takes(ipa) ? undefined : this.parent.translate(ipa);
    if (!under) return undefined;
    const last = steps.at(-1)!;
    const leaf = this.#decode(last.entry!, last.level);
    const rights = steps.reduce(
      (access, { entry, level }) => access & this.#rights(entry!, level),
      layout.ACCESS_READ | layout.ACCESS_WRITE,
    );
    return {
      pa: under.pa,
      leafSize: Math.min(Number(leaf.size), under.leafSize),
      access: rights & under.access,
      dirty: under.dirty,
    };
  }

  /** Its handle for a call into `core`. EBADF: it lies in another core. @internal */
  handleIn(core: Instance, op: string): number {
    return core.owned(this.#core, this.handle, op);
  }

  /** EBUSY: a device is attached. */
  close(): void {
    this.#core.check(this.#core.raw.domainDestroy(this.#core.base, this.handle), 'nested.close');
  }

  /** Whether stage 2 has that input address at all. */
  #takes(ipa: Address): boolean {
    return this.parent.inputRanges.some(({ first, last }) => ipa >= first && ipa <= last);
  }

  #checkInput(iova: bigint): void {
    const slot = this.#core.slot(this.handle, 'nested.walk');
    const mask = this.#core.loadBig(slot + layout.DOMAIN_MASK);
    if (BigInt.asUintN(64, iova + this.#core.loadBig(slot + layout.DOMAIN_BIAS)) <= mask) return;
    const bits = mask.toString(2).length;
    const message = `iova is ${hex(iova)}; an input address of stage 1 has ${bits} bits, or as many that sign-extend to 64`;
    throw new IommuError('ERANGE', 'nested.walk', message);
  }

  #step(level: number, index: number, ipa: Address): NestedWalkStep {
    const taken = this.#takes(ipa);
    const under = taken ? this.parent.walk(ipa) : [];
    const pa = taken ? this.parent.translate(ipa)?.pa : undefined;
    return {
      level,
      index,
      ipa,
      under,
      pa,
      entry: pa === undefined ? undefined : tableEntry(this.#core, this.#iommuSlot, pa),
    };
  }

  #decode(entry: bigint, level: number): DecodedEntry {
    const { name, granule } = this.format;
    return decodeEntry(name, entry, { level, ...(granule ? { granule } : {}) });
  }

  #rights(entry: bigint, level: number): number {
    const { read, write } = this.#decode(entry, level);
    return (read ? layout.ACCESS_READ : 0) | (write ? layout.ACCESS_WRITE : 0);
  }

  #geometry() {
    const granuleBits = Math.log2(this.format.leafSizes[0]);
    const slot = this.#core.slot(this.handle, 'nested.walk');
    return { level: this.#core.load32(slot + layout.DOMAIN_TOP), granuleBits, bits: granuleBits - 3 };
  }

  #rootMask(): bigint {
    const slot = this.#core.slot(this.handle, 'nested.walk');
    return BigInt(this.#core.load32(slot + layout.DOMAIN_ROOT_ENTRIES)) - 1n;
  }
}
