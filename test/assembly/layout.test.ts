import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import * as layout from '../../assembly/layout.ts';
import { ERRNO } from '../../src/errno/errno.ts';
import type { CoreExports } from '../../src/wasm/exports.ts';
import { Site, PLACES, WASM } from '../core/builds.ts';

const TEXT = readFileSync(new URL('../../assembly/layout.ts', import.meta.url), 'utf8');
/** Bytes of CACHE_*: sets, ways, base. */
const CACHE = 12;
const VALUES = Object.entries(layout) as [string, number][];

/** The constants whose name starts with `prefix`, by value. */
function offsets(prefix: string, but: RegExp): [string, number][] {
  return VALUES.filter(([name]) => name.startsWith(prefix) && !but.test(name)).sort((a, b) => a[1] - b[1]);
}

describe('layout.ts', () => {
  it('holds nothing but `export const NAME = <integer expression>;` and comments', () => {
    const code = TEXT.split('\n').map((line) => line.replace(/\s*\/\/.*$/, ''));
    const strange = code.filter(
      (line) => line && !/^export const [A-Z][A-Z0-9_]* = [-+*|&<>()\s0-9xa-fA-F]+;$/.test(line),
    );
    expect(strange).toEqual([]);
    expect(VALUES.every(([, value]) => Number.isInteger(value))).toBe(true);
  });

  it('has another version wherever a constant has changed: a snapshot of the one must not be read as the other', () => {
    const constants = VALUES.filter(([name]) => name !== 'VERSION').sort();
    const digest = createHash('sha256').update(JSON.stringify(constants)).digest('hex').slice(0, 16);
    expect({ version: layout.VERSION, digest }).toEqual({ version: 4, digest: '626711aa4aaf058a' });
  });

  // Each structure's fields, the bytes that it has, and the names that are no fields of it.
  it.each<[string, number, RegExp, Record<string, number>]>([
    ['CORE_', 128, /^$/, { CORE_FREE_LISTS: 36 }],
    ['SLOT_', 16, /BYTES|DIRECTORY|ISSUED/, {}],
    ['BITMAP_', 40, /^$/, { BITMAP_START: 8 }],
    ['LOG_', 128, /RANGE_|MAX/, { LOG_MARKED: 8 }],
    ['LOG_RANGE_', layout.LOG_RANGE_BYTES, /BYTES/, { LOG_RANGE_START: 8, LOG_RANGE_LAST: 8 }],
    [
      'IOTLB_',
      layout.IOTLB_ENTRY_BYTES,
      /BYTES|BITS|SHIFT|DIRTY/,
      { IOTLB_KEY: 8, IOTLB_TAG: 8, IOTLB_OUTPUT: 8, IOTLB_IPA: 8 },
    ],
    ['CACHE_', layout.IOMMU_RING - layout.IOMMU_IOTLB, /^$/, {}],
    ['EVENT_', layout.EVENT_BYTES, /BYTES/, { EVENT_IOVA: 8, EVENT_IPA: 8 }],
    ['WAIT_', layout.WAIT_BYTES, /BYTES|FREE|PENDING|RETRY|END|UNRECORDED/, { WAIT_IOVA: 8 }],
    [
      'OUTCOME_',
      layout.OUTCOME_BYTES,
      /BYTES/,
      Object.fromEntries(
        VALUES.filter(([name]) => /^OUTCOME_(?!.*(MOST|NEXT|BYTES))/.test(name)).map(([name]) => [name, 8]),
      ),
    ],
    ['REQUEST_', layout.REQUEST_BYTES, /BYTES|SHIFT/, { REQUEST_IOVA: 8 }],
    ['EXTENT_', layout.EXTENT_BYTES, /BYTES/, { EXTENT_ADDRESS: 8 }],
    [
      'DEVICE_',
      layout.SLOT_ISSUED,
      /ATS|PRI|EAGER|PCIE/,
      { DEVICE_FAULT_IOVA: 8, DEVICE_FAULT_IPA: 8, DEVICE_ATC: CACHE, DEVICE_ATC_TAG: 8 },
    ],
    [
      'IOMMU_',
      layout.SLOT_ISSUED,
      /^$/,
      Object.fromEntries(
        VALUES.filter(([name]) => /HITS|MISSES|INVALIDATIONS|EVICTIONS|READS|UPDATES|SIZES/.test(name))
          .map(([name]) => [name, 8])
          .concat([
            ['IOMMU_IOTLB', CACHE],
            ['IOMMU_WALKS', CACHE],
            ['IOMMU_PASSING', layout.IOTLB_ENTRY_BYTES],
            ['IOMMU_FAULT_IPA', 8],
            ['IOMMU_CONFLICTS', 8],
          ]),
      ),
    ],
    [
      'DOMAIN_',
      layout.SLOT_ISSUED,
      /TRACKABLE|TRACKING|GLOBALS|SHARED|NESTS/,
      {
        DOMAIN_TAG: 8,
        DOMAIN_ROOT_IPA: 8,
        DOMAIN_BIAS: 8,
        DOMAIN_FIRST: 8,
        DOMAIN_LAST: 8,
        DOMAIN_MASK: 8,
        DOMAIN_SIZES: 8,
        DOMAIN_SIZES_USED: 8,
        DOMAIN_OUTPUT_LAST: 8,
        DOMAIN_TABLE_BYTES: 8,
        DOMAIN_MAPPED: 8,
      },
    ],
  ])('%s fields do not overlap and are aligned', (prefix, size, but, widths) => {
    const fields = offsets(prefix, but);
    expect(fields.length).toBeGreaterThan(1);
    let end = 0;
    for (const [name, offset] of fields) {
      const width = widths[name] ?? 4;
      expect([name, offset >= end, offset % (width === 8 ? 8 : 4)]).toEqual([name, true, 0]);
      end = offset + width;
    }
    expect(end).toBeLessThanOrEqual(size);
  });

  it('has the fields of every kind of object behind those of its slot', () => {
    const first = ['BITMAP_', 'LOG_', 'IOMMU_', 'DOMAIN_', 'DEVICE_'].map(
      (prefix) => offsets(prefix, /RANGE_|TRACK|MAX|ATS|PRI|EAGER|PCIE/)[0][1],
    );
    expect(first).toEqual([16, 16, 16, 16, 16]);
    expect(layout.SLOT_ISSUED + 4).toBe(layout.SLOT_BYTES);
  });

  it('leaves room between the regions', () => {
    expect(layout.CORE_FREE_LISTS + 4 * (layout.MAX_ORDER + 1)).toBeLessThanOrEqual(layout.MAILBOX);
    expect(layout.MAIL7 + 8).toBeLessThanOrEqual(layout.SLOT_DIRECTORY);
    expect(layout.SLOT_DIRECTORY + (4 * layout.MAX_SLOTS) / layout.SLOTS_PER_BLOCK).toBeLessThanOrEqual(
      layout.CHUNK_TABLE,
    );
    expect(layout.CHUNK_TABLE + 4 * layout.MAX_CHUNKS).toBeLessThanOrEqual(layout.HEADER_BYTES);
    expect(layout.LOG_MAX_RANGES * 16).toBeLessThanOrEqual(layout.TRANSFER_BYTES);
    const pages = layout.ACCESS_MAX_BYTES / 4096 + 1;
    expect(pages * layout.EXTENT_BYTES).toBeLessThanOrEqual(layout.TRANSFER_BYTES);
    expect(layout.CRC32C_TABLES_BYTES).toBe(layout.STATE_RUNS);
    expect(layout.STATE_RUNS + layout.CHANGED_RUNS_BYTES).toBe(layout.STATE_TRIAL);
    expect(layout.STATE_TRIAL + layout.STATE_PAGE_BYTES).toBe(layout.STATE_ROOM_BYTES);
  });

  it('numbers errnos as Linux and src/errno do', () => {
    const errnos = VALUES.filter(([name]) => name in ERRNO);
    expect(Object.fromEntries(errnos)).toEqual(
      Object.fromEntries(errnos.map(([name]) => [name, ERRNO[name as 'EINVAL']])),
    );
    expect(errnos.length).toBeGreaterThan(10);
  });
});

describe('the exports', () => {
  it('are those that src/wasm/exports.ts declares, with as many arguments, in both builds', () => {
    const source = readFileSync(new URL('../../src/wasm/exports.ts', import.meta.url), 'utf8');
    const declared = new Map<string, number>();
    for (const [, name, list] of source.matchAll(/^ {2}(\w+)\(([^)]*)\): number;$/gm)) {
      declared.set(name, list.split(',').filter((argument) => argument.trim()).length);
    }
    for (const wasm of Object.values(WASM)) {
      const module = new WebAssembly.Module(wasm);
      const names = WebAssembly.Module.exports(module).filter(({ kind }) => kind === 'function');
      expect(names.map(({ name }) => name).sort()).toEqual([...declared.keys()].sort());
    }
    const { raw } = new Site(PLACES[0], 1).instance();
    const counts = [...declared.keys()].map((name) => [
      name,
      (raw[name as keyof CoreExports] as { length: number }).length,
    ]);
    expect(counts).toEqual([...declared]);
  });
});
