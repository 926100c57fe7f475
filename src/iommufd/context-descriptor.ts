import { IommuError } from '../errno/error.ts';
import type { GranuleName } from '../iommu/formats.ts';
import { hex } from '../wasm/address.ts';
import type { Stage1 } from './stage1.ts';

/** Bytes of a context descriptor; the model looks at the first two double words. */
export const CD_BYTES = 64n;

/** TG0. */
const GRANULES: readonly (GranuleName | undefined)[] = ['4K', '64K', '16K', undefined];
/** IPS, and what the reserved value stands for. */
const IPS_BITS = [32, 36, 40, 42, 44, 48, 52, 52] as const;
/** The largest T0SZ without small tables (SMMU_IDR3.STT = 0). */
const MOST_T0SZ = 39;
/** A root table is aligned to its size; the walker takes no smaller alignment than this. */
const LEAST_ROOT = 64n;

function field(word: bigint, low: number, bits: number): number {
  return Number((word >> BigInt(low)) & ((1n << BigInt(bits)) - 1n));
}

function flag(word: bigint, bit: number): boolean {
  return field(word, bit, 1) === 1;
}

function lacks(op: string, what: string): never {
  throw new IommuError('EOPNOTSUPP', op, `the guest's context descriptor ${what}, which this model lacks`);
}

/** Why the descriptor is ILLEGAL for an SMMU with all of HTTU, both stall models, and little-endian tables only. */
function illegal(word0: bigint, root: bigint, stallDisabled: boolean): string | undefined {
  const granule = GRANULES[field(word0, 6, 2)];
  const t0sz = field(word0, 0, 6);
  const least = granule === '64K' ? 12 : 16;
  const ipsBits = IPS_BITS[field(word0, 32, 3)];
  const rootBits = granule === '64K' ? ipsBits : Math.min(ipsBits, 48);
  if (flag(word0, 44) && stallDisabled) return 'CD.S is 1 and STE.S1STALLD too';
  if (flag(word0, 14)) return undefined;
  if (!granule) return 'CD.TG0 is 3, which is reserved';
  if (t0sz < least || t0sz > MOST_T0SZ)
    return `CD.T0SZ is ${t0sz}; with ${granule} it must be ${least} to ${MOST_T0SZ}`;
  if (root >> BigInt(rootBits)) return `CD.TTB0 is ${hex(root)}, beyond the ${rootBits} bits of CD.IPS`;
  return flag(word0, 15) ? 'CD.ENDI is 1: tables are little endian' : undefined;
}

/** Bytes of the root table for input addresses of `inputBits` bits. */
function rootBytes(granuleBits: number, inputBits: number): bigint {
  const perLevel = granuleBits - 3;
  const below = Math.ceil((inputBits - granuleBits) / perLevel) - 1;
  return 8n << BigInt(inputBits - granuleBits - below * perLevel);
}

/**
 * What a context descriptor means (SMMUv3, IHI 0070, 5.4 and 5.5), by its first two double words. An ILLEGAL one aborts
 * all requests, as C_BAD_CD does. IPS limits TTB0 alone: what stage 1 leads to beyond it, stage 2 refuses. AFFD and the
 * access flag have no effect, as nothing tracks that, and a leaf with DBM is writable without HD too; PAN, WXN and UWXN are of requests that there are not.
 * EOPNOTSUPP: AArch32 tables, TTB1, TBI0, and a root table below 64 bytes that is not aligned to that.
 */
export function contextDescriptor(op: string, word0: bigint, word1: bigint, stallDisabled: boolean): Stage1 {
  const abort = (why: string): Stage1 => ({ kind: 'abort', why });
  if (!flag(word0, 31)) return abort('CD.V is 0');
  if (!flag(word0, 41)) lacks(op, 'asks for AArch32 or 128-bit tables (AA64 0)');
  const ttb0 = word1 & 0xf_ffff_ffff_fff0n;
  const reason = illegal(word0, ttb0, stallDisabled);
  if (reason) return abort(reason);
  if (!flag(word0, 30)) lacks(op, 'uses TTB1 (EPD1 0)');
  if (flag(word0, 14)) return abort('CD.EPD0 is 1: there are no tables');
  if (flag(word0, 38)) lacks(op, 'ignores the top byte (TBI0)');
  const granule = GRANULES[field(word0, 6, 2)]!;
  const inputBits = 64 - field(word0, 0, 6);
  const root = ttb0 & -rootBytes(granule === '4K' ? 12 : granule === '16K' ? 14 : 16, inputBits);
  if (root % LEAST_ROOT) lacks(op, `has a root table at ${hex(root)}, no multiple of ${LEAST_ROOT}`);
  const asid = field(word0, 48, 16);
  const response = flag(word0, 44) ? 'stall' : flag(word0, 46) ? 'abort' : 'ignore';
  return {
    kind: 'translate',
    options: {
      format: 'armv8-s1',
      granule,
      root,
      inputBits,
      dirtyTracking: flag(word0, 43) && flag(word0, 42),
      // ASID 0 is stage 2's own in this model: such a guest gets another.
      ...(asid === 0 ? {} : { asid }),
      faults: { response, record: flag(word0, 45) || response === 'stall' },
    },
  };
}
