import * as layout from '../../assembly/layout.ts';
import { IommuError } from '../errno/error.ts';
import { checkAddress, hex, type Address } from '../wasm/address.ts';
import type { FaultPolicy } from './fault-policy.ts';
import { findFormat, type FormatInfo, type FormatName, type GranuleName } from './formats.ts';
import { quirksOf, type QuirkName, type Quirks } from './quirks.ts';
import { checkUpdatePolicy, conflictCode, type ConflictOutcome, type UpdatePolicy } from './update-policy.ts';

/** What a domain is made with. */
export interface DomainOptions {
  readonly format: FormatName;
  /** Default 4K. */
  readonly granule?: GranuleName;
  /** Made for dirty tracking, and tracking from the start. Default false. */
  readonly dirtyTracking?: boolean;
  /** Bits of an input address. Default: as the format has them (`FORMATS`). */
  readonly inputBits?: number;
  /** Whether input addresses are sign-extended. Default: as the format has them; only x86_64 has the choice. */
  readonly signed?: boolean;
  /** Bits of an output address. Default: as the format has them. */
  readonly outputBits?: number;
  /** Input addresses that may be mapped, both inclusive. Default: all. */
  readonly aperture?: { readonly first: Address; readonly last: Address };
  /** Leaf sizes that `map` may use, bytes. Default: all that the format has, those of `contiguousSizes` only if asked for. */
  readonly leafSizes?: readonly number[];
  /** Lets `map` use the sizes that are a hint on a run of smaller leaves. Default false, as mainline Linux. */
  readonly contiguous?: boolean;
  /** How leaves change size while devices use them. Default: the format's own rule, see UpdatePolicy. */
  readonly update?: UpdatePolicy;
  /** What hardware does where an update was `wrong`. Default `any`. */
  readonly conflict?: ConflictOutcome;
  /** Mistakes to make, by profile or by name (`QUIRKS`). Default strict: none. */
  readonly quirks?: Quirks | readonly QuirkName[];
  /** 1 to 65,535. Default: one that no other domain of the IOMMU has; with that of another, they share what is cached. */
  readonly vmid?: number;
  /** Of stage 1 formats, 0 to 65,535 (Arm) or 2^20 - 1. Default: one that no other domain of that VMID has. */
  readonly asid?: number;
  /** What requests that fault get. Default: an abort, recorded. */
  readonly faults?: FaultPolicy;
}

/** Linux keeps away from AMD leaves of 512 GiB because of a hardware bug (drivers/iommu/generic_pt/fmt/amdv1.h). */
const AVOIDED_BY_LINUX = 2 ** 39;

/** Formats whose dirty state Linux 6.12 can read; the others preset it or have no operation for it. */
const TRACKED_BY_LINUX: readonly FormatName[] = ['amdv1', 'vtdss', 'armv8-s1'];

/** The widths and sizes that options ask for, worked out. */
export interface DomainShape {
  readonly format: FormatInfo;
  readonly inputBits: number;
  readonly signed: boolean;
  readonly outputBits: number;
  /** Bit n = leaves of 2^n bytes. */
  readonly sizes: bigint;
  /** Whether sizes that are too large for the input addresses are left out instead of refused. */
  readonly fitting: boolean;
  readonly first: Address;
  readonly last: Address;
  readonly tracked: boolean;
  readonly update: UpdatePolicy;
  /** CONFLICT_*. */
  readonly conflict: number;
  readonly quirks: ReadonlySet<QuirkName>;
}

/** Leaf sizes as a mask, bit n = 2^n bytes. EINVAL: a size that the format lacks, or none. */
export function sizeMask(op: string, format: FormatInfo, sizes: readonly number[]): bigint {
  let mask = 0n;
  for (const size of sizes) {
    if (!format.leafSizes.includes(size) && !format.contiguousSizes.includes(size)) {
      const has = [...format.leafSizes, ...format.contiguousSizes].sort((a, b) => a - b).join(', ');
      throw new IommuError('EINVAL', op, `leafSizes holds ${size}; ${format.name} has leaves of ${has} bytes`);
    }
    mask |= BigInt(size);
  }
  if (mask === 0n) throw new IommuError('EINVAL', op, 'leafSizes is empty; name at least one size');
  return mask;
}

function bitsOf(op: string, name: string, value: number): number {
  if (Number.isInteger(value) && value >= 1 && value <= 64) return value;
  throw new IommuError('EINVAL', op, `${name} is ${value}; it must be an integer from 1 to 64`);
}

function defaultSizes(format: FormatInfo, options: DomainOptions, outputBits: number): readonly number[] {
  const { contiguous = false, quirks = 'strict' } = options;
  const sizes = contiguous ? [...format.leafSizes, ...format.contiguousSizes] : format.leafSizes;
  // Leaves of 4 TiB come with output addresses of 52 bits.
  const wide = sizes.filter((size) => format.granule !== '64K' || size < 2 ** 42 || outputBits === 52);
  return format.name === 'amdv1' && quirks === 'linux-6.12' ? wide.filter((size) => size !== AVOIDED_BY_LINUX) : wide;
}

/** Works the options out. EINVAL: what no format has; EOPNOTSUPP: tracking that the profile lacks, and LPA2. */
export function shapeOf(op: string, options: DomainOptions): DomainShape {
  const format = findFormat(op, options.format, options.granule);
  const inputBits = bitsOf(op, 'inputBits', options.inputBits ?? format.inputBits);
  const outputBits = bitsOf(op, 'outputBits', options.outputBits ?? format.outputBits[0]);
  const tracked = options.dirtyTracking ?? false;
  if ((outputBits === 52 || inputBits > 48) && format.granule !== undefined && format.granule !== '64K') {
    const message = `addresses of more than 48 bits with the ${format.granule} granule are LPA2, which this model lacks`;
    throw new IommuError('EOPNOTSUPP', op, `${message}; the 64K granule has 52 bits`);
  }
  if (!format.outputBits.includes(outputBits)) {
    const has = format.outputBits.join(' or ');
    throw new IommuError('EINVAL', op, `outputBits is ${outputBits}; ${format.name} has ${has}`);
  }
  if (tracked && options.quirks === 'linux-6.12' && !TRACKED_BY_LINUX.includes(format.name)) {
    throw new IommuError('EOPNOTSUPP', op, `Linux 6.12 has no dirty tracking for ${format.name}`);
  }
  const sizes = sizeMask(op, format, options.leafSizes ?? defaultSizes(format, options, outputBits));
  const first = checkAddress(op, 'aperture.first', options.aperture?.first ?? 0);
  const last = checkAddress(op, 'aperture.last', options.aperture?.last ?? 2n ** 64n - 1n);
  if (first > last)
    throw new IommuError('EINVAL', op, `aperture is ${hex(first)} .. ${hex(last)}: it ends before it begins`);
  const signed = options.signed ?? format.signed;
  const fitting = options.leafSizes === undefined;
  const update = checkUpdatePolicy(op, format, options.update);
  const conflict = conflictCode(op, update, options.conflict);
  const quirks = quirksOf(op, format.name, options.quirks ?? 'strict');
  return { format, inputBits, signed, outputBits, sizes, fitting, first, last, tracked, update, conflict, quirks };
}

/** The flags of the core's domainCreate. */
export function createFlags(shape: DomainShape): number {
  return (
    (shape.tracked ? layout.CREATE_TRACKED : 0) |
    (shape.signed ? layout.CREATE_SIGNED : 0) |
    (shape.fitting ? layout.CREATE_FITTING : 0)
  );
}

/** Why the core refuses a shape. */
export function explainShape(shape: DomainShape): string {
  const { format, inputBits, signed } = shape;
  const kind = signed ? 'sign-extended' : 'unsigned';
  return `inputBits ${inputBits} (${kind}) with these leaf sizes; ${format.name} has ${format.inputWidths}, and no leaf larger than its root reaches`;
}
