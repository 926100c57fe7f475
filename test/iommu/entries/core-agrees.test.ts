import { describe, expect, it } from 'vitest';
import * as layout from '../../../assembly/layout.ts';
import type { Domain } from '../../../src/iommu/domain.ts';
import type { DomainOptions } from '../../../src/iommu/domain-options.ts';
import { decodeEntry, type DecodedEntry } from '../../../src/iommu/entries/decode.ts';
import { encodeEntry } from '../../../src/iommu/entries/encode.ts';
import { FORMATS, type FormatInfo } from '../../../src/iommu/formats.ts';
import { hex } from '../../../src/wasm/address.ts';
import type { Instance } from '../../../src/wasm/instance.ts';
import { PLACES, siteAt } from '../../core/builds.ts';

const READ = 1;
const WRITE = 2;

/** What a test knows of a format by itself: log2 of granule and of a table's entries, and the widest addresses. */
interface Known {
  readonly granule: number;
  readonly tableBits: number;
  readonly inputBits: number;
  readonly outputBits: number;
  /** Whether a write-only mapping can be read too. */
  readonly writeMeansRead: boolean;
  /** Whether a leaf is accessed from the start. */
  readonly accessed: boolean;
  /** The dirty state of a writable leaf that is not tracked, and of one that is; undefined: it has none. */
  readonly untracked: boolean | undefined;
  readonly tracked: boolean;
  /** Whether a dirty update makes the leaf accessed. */
  readonly dirtyAccesses: boolean;
}

const X86 = { granule: 12, tableBits: 9, inputBits: 57, outputBits: 52 };
const PLAIN = { writeMeansRead: false, accessed: false, untracked: false, tracked: false };
const PRESET = { writeMeansRead: true, accessed: true, untracked: true, tracked: false, dirtyAccesses: true };
const S1 = { writeMeansRead: true, accessed: true, untracked: undefined, tracked: true, dirtyAccesses: false };
const S2 = { ...S1, writeMeansRead: false, tracked: false };
const ARM_4K = { granule: 12, tableBits: 9, inputBits: 48, outputBits: 48 };
const ARM_16K = { granule: 14, tableBits: 11, inputBits: 48, outputBits: 48 };
const ARM_64K = { granule: 16, tableBits: 13, inputBits: 52, outputBits: 52 };

const KNOWN: Readonly<Record<string, Known>> = {
  amdv1: { ...X86, inputBits: 64, ...PLAIN, dirtyAccesses: false },
  vtdss: { ...X86, ...PLAIN, dirtyAccesses: true },
  x86_64: { ...X86, ...PRESET },
  'armv8-s1 4K': { ...ARM_4K, ...S1 },
  'armv8-s1 16K': { ...ARM_16K, ...S1 },
  'armv8-s1 64K': { ...ARM_64K, ...S1 },
  'armv8-s2 4K': { ...ARM_4K, ...S2 },
  'armv8-s2 16K': { ...ARM_16K, ...S2 },
  'armv8-s2 64K': { ...ARM_64K, ...S2 },
  riscv: { ...X86, outputBits: 56, ...PRESET },
  mock2k: { ...X86, granule: 11, inputBits: 48, ...PLAIN, dirtyAccesses: false },
};

function titleOf({ name, granule }: FormatInfo): string {
  return granule ? `${name} ${granule}` : name;
}

interface Found {
  readonly offset: number;
  readonly value: bigint;
  readonly level: number;
}

/** Walks the tables in the core's memory by hand, entry by entry as `decodeEntry` reads them. */
function walkTo(instance: Instance, domain: Domain, known: Known, iova: bigint): Found[] {
  const { name, granule } = domain.format;
  const slot = instance.slot(domain.handle, 'test');
  let table = instance.load32(slot + layout.DOMAIN_ROOT);
  const path: Found[] = [];
  for (let level = instance.load32(slot + layout.DOMAIN_TOP); level >= 0; level--) {
    const isRoot = path.length === 0;
    const whole = iova >> BigInt(known.granule + level * known.tableBits);
    // A root has as many entries as its domain needs, which may be more than another table has.
    const index = isRoot ? whole : BigInt.asUintN(known.tableBits, whole);
    const offset = table + 8 * Number(index);
    const value = instance.loadBig(offset);
    path.push({ offset, value, level });
    const entry = decodeEntry(name, value, { level, granule });
    if (entry.kind !== 'table') break;
    table = Number(entry.address);
  }
  return path;
}

interface Mapped {
  readonly size: bigint;
  readonly pa: bigint;
  readonly access: number;
  readonly accessed: boolean;
  readonly dirty: boolean | undefined;
}

function describeEntry({ kind, size, address, read, write, accessed, dirty, reserved, ignored }: DecodedEntry): string {
  const set = { read, write, accessed, dirty };
  return `${kind} ${size} ${hex(address)} ${JSON.stringify(set)} ${hex(reserved)} ${hex(ignored)}`;
}

/** How the entry at `found` differs from what was mapped; empty where it does not. */
function differences(domain: Domain, known: Known, found: Found, mapped: Mapped, index: number): string[] {
  const { name, granule } = domain.format;
  const { level, value } = found;
  const { size, pa, access, accessed, dirty } = mapped;
  const write = (access & WRITE) !== 0;
  const read = (access & READ) !== 0 || known.writeMeansRead;
  const place = { level, granule, outputBits: known.outputBits };
  const decoded = decodeEntry(name, value, place);
  const wanted = { ...decoded, kind: 'leaf', size, address: pa, read, write, accessed, dirty: dirty ?? false } as const;
  const stride = name.startsWith('arm') ? 1n << BigInt(known.granule + level * known.tableBits) : 0n;
  const address = pa + stride * BigInt(index);
  const made = encodeEntry(name, { ...place, address, size, read, write, accessed, dirty });
  const texts = [
    [describeEntry(decoded), describeEntry({ ...wanted, reserved: 0n, ignored: 0n })],
    [hex(made), hex(value)],
  ];
  return texts.filter(([a, b]) => a !== b).map(([a, b]) => `${hex(pa)} + ${index}: ${a}, not ${b}`);
}

/** The tables on the way: what `encodeEntry` makes of each must be the same bits. */
function tableDifferences(domain: Domain, known: Known, tables: readonly Found[]): string[] {
  const { name, granule } = domain.format;
  return tables.flatMap(({ value, level }) => {
    const place = { level, granule, outputBits: known.outputBits };
    const { kind, address, reserved, ignored } = decodeEntry(name, value, place);
    const made = encodeEntry(name, { kind: 'table', address, ...place });
    const right = kind === 'table' && made === value && reserved === 0n && ignored === 0n;
    return right ? [] : [`table of level ${level}: ${hex(made)}, not ${hex(value)}`];
  });
}

/** What the leaf of `size` with `access` looks like in the core, held against what it should be. */
function check(
  instance: Instance,
  domain: Domain,
  known: Known,
  size: number,
  access: number,
  tracked: boolean,
): string[] {
  const bytes = BigInt(size);
  const limit = 1n << BigInt(known.outputBits);
  const pa = ((0xa5a5_a5a5_a5a5_a5a5n % limit) / bytes) * bytes;
  const iova = bytes * 2n < 1n << BigInt(known.inputBits - 1) ? bytes : 0n;
  domain.map({ iova, pa, length: bytes, access });
  const path = walkTo(instance, domain, known, iova);
  const leaf = path.at(-1)!;
  const entries = Number(bytes >> BigInt(known.granule + leaf.level * known.tableBits));
  const writable = (access & WRITE) !== 0;
  const fresh = tracked ? known.tracked : known.untracked;
  const mapped = { size: bytes, pa, access, accessed: known.accessed, dirty: writable ? fresh : undefined };
  const wrong = tableDifferences(domain, known, path.slice(0, -1));
  for (let i = 0; i < entries; i++) {
    const offset = leaf.offset + 8 * i;
    wrong.push(...differences(domain, known, { ...leaf, offset, value: instance.loadBig(offset) }, mapped, i));
  }
  if (tracked && writable) {
    domain.setDirty(iova);
    const value = instance.loadBig(leaf.offset);
    const dirty = { ...mapped, dirty: true, accessed: known.accessed || known.dirtyAccesses };
    wrong.push(...differences(domain, known, { ...leaf, value }, dirty, 0));
  }
  domain.unmap(iova, bytes);
  return wrong;
}

const EACH = FORMATS.flatMap((format) =>
  [false, true].flatMap((tracked) =>
    PLACES.slice(0, 3).map((place) => {
      const title = `${titleOf(format)}, ${tracked ? '' : 'not '}tracked, ${place.name}`;
      return [title, { format, tracked, place }] as const;
    }),
  ),
);

describe('the entries that the core makes', () => {
  it.each(EACH)('%s: every leaf size with every access is read as what was mapped', (_title, each) => {
    const { format, tracked, place } = each;
    const known = KNOWN[titleOf(format)];
    const { core, instance } = siteAt(place, 16).core();
    const iommu = core.iommu();
    const sizes = [...format.leafSizes, ...format.contiguousSizes];
    const wrong = sizes.flatMap((size) => {
      const options: DomainOptions = {
        ...{ format: format.name, dirtyTracking: tracked, leafSizes: [size] },
        ...{ inputBits: known.inputBits, outputBits: known.outputBits },
        ...(format.granule && { granule: format.granule }),
      };
      const domain = iommu.domain(options);
      const found = [READ, WRITE, READ | WRITE].flatMap((access) =>
        check(instance, domain, known, size, access, tracked),
      );
      domain.close();
      return found.map((text) => `${size}: ${text}`);
    });
    expect(wrong).toEqual([]);
  });
});
