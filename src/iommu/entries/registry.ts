import { IommuError } from '../../errno/error.ts';
import { AMDV1 } from './amdv1.ts';
import { ARMV8_S1 } from './armv8-s1.ts';
import { ARMV8_S2 } from './armv8-s2.ts';
import type { EntryFormat, Place } from './entry-format.ts';
import { MOCK2K } from './mock2k.ts';
import { RISCV } from './riscv.ts';
import { VTDSS } from './vtdss.ts';
import { X86_64 } from './x86-64.ts';

/** Every format whose entries can be read and made. */
export const ENTRY_FORMATS: readonly EntryFormat[] = [AMDV1, VTDSS, X86_64, ARMV8_S1, ARMV8_S2, RISCV, MOCK2K];

/** The format with this name. EINVAL names what there is. */
export function findEntryFormat(op: string, name: string): EntryFormat {
  const found = ENTRY_FORMATS.find((format) => format.name === name);
  if (found) return found;
  const names = ENTRY_FORMATS.map((format) => format.name).join(', ');
  throw new IommuError('EINVAL', op, `format is '${name}'; there are ${names}`);
}

/** What is said of where an entry lies. */
export interface PlaceOptions {
  /** Level of its table, 0 that of the smallest leaves. Without it, what hangs on the level stays open. */
  readonly level?: number | undefined;
  /** 4K, 16K or 64K, for the Arm formats. Default 4K. */
  readonly granule?: string | undefined;
  /** Bits of an output address, from 32 on: address bits above are reserved. Default: as many as the format can have. */
  readonly outputBits?: number | undefined;
}

const LEAST_OUTPUT_BITS = 32;

function inRange(value: number, least: number, most: number): boolean {
  return Number.isInteger(value) && value >= least && value <= most;
}

/** Where an entry lies, checked. EINVAL names the option, its value and what would be right. */
export function placeOf(op: string, { name, variants }: EntryFormat, options: PlaceOptions): Place {
  const wanted = options.granule;
  const variant = wanted === undefined ? variants[0] : variants.find(({ granule }) => granule === wanted);
  if (!variant) {
    const has = variants.map(({ granule }) => granule).filter((granule) => granule !== null);
    const right = has.length > 0 ? `${name} has ${has.join(', ')}` : `${name} has no choice of granule; leave it out`;
    throw new IommuError('EINVAL', op, `granule is '${wanted}'; ${right}`);
  }
  const { level = null, outputBits = variant.outputBits } = options;
  if (level !== null && !inRange(level, 0, variant.levels - 1)) {
    const which = variant.granule ? `${name} with the ${variant.granule} granule` : name;
    throw new IommuError(
      'EINVAL',
      op,
      `level is ${level}; ${which} has levels 0 (smallest leaves) to ${variant.levels - 1}`,
    );
  }
  if (!inRange(outputBits, LEAST_OUTPUT_BITS, variant.outputBits)) {
    const lpa2 = variant.granule !== null && outputBits > variant.outputBits && outputBits <= 52;
    if (lpa2) {
      const message = `outputBits is ${outputBits}; more than 48 with the ${variant.granule} granule is LPA2`;
      throw new IommuError('EINVAL', op, `${message}, another descriptor format; the 64K granule has 52`);
    }
    const right = `it must be an integer from ${LEAST_OUTPUT_BITS} to ${variant.outputBits}`;
    throw new IommuError('EINVAL', op, `outputBits is ${outputBits}; ${right}`);
  }
  return { variant, level, outputBits };
}
