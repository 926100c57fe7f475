import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runs } from '../runs.ts';
import { GuestMappings } from '../../src/workload/guest-mappings.ts';
import { mapped, migrationsOf, windowsOf, PAGE } from './mapped.ts';

const RAM_PAGES = 600;
const IOVA_PAGES = 3;
/** Where the devices' IOVA spaces begin: across a table's border, and away from RAM's addresses. */
const BASE = 0x3fff_fa000;

const draft = fc.record({
  dt: fc.nat(100),
  device: fc.nat(1),
  kind: fc.constantFrom('map', 'map', 'unmap', 'wblob', 'wblob', 'rblob'),
  page: fc.nat(IOVA_PAGES - 1),
  pages: fc.integer({ min: 1, max: 4 }),
  to: fc.oneof(fc.nat(3), fc.nat(RAM_PAGES - 4)),
  access: fc.constantFrom('r', 'w', 'rw', 'rw'),
  offset: fc.nat(PAGE - 1),
  length: fc.oneof(fc.nat(64), fc.nat(3 * PAGE)),
});

const RIGHTS = { r: 1, w: 2, rw: 3 };

/** Lines of the drafts that fit what is mapped. */
function linesOf(drafts: readonly (typeof draft extends fc.Arbitrary<infer D> ? D : never)[]): string[] {
  const mappings = new GuestMappings();
  const lines: string[] = [];
  let us = 0;
  for (const { dt, device, kind, page, pages, to, access, offset, length } of drafts) {
    const iova = BASE + page * PAGE;
    const bytes = pages * PAGE;
    us += dt;
    if (kind === 'map') {
      if (!mappings.map(device, { iova, gpa: to * PAGE, length: bytes, access: RIGHTS[access] })) continue;
      lines.push(`${us},d${device},map,${iova},${bytes},${to * PAGE},${access}`);
    } else if (kind === 'unmap') {
      const all = mappings.of(device);
      if (all.length === 0) continue;
      const { iova: at, length: has } = all[page % all.length];
      const part = Math.min(has, bytes);
      mappings.unmap(device, at, part);
      lines.push(`${us},d${device},unmap,${at},${part}`);
    } else lines.push(`${us},d${device},${kind},${iova + offset},${length}`);
  }
  return lines;
}

const traces = fc.array(draft, { maxLength: 80, size: 'max' }).map(linesOf);
const SOUND = ['device', 'device:mlx5', 'iommu:amdv1', 'iommu:vtdss', 'iommu:armv8-s2', 'type1'];
const EXACT = SOUND.slice(0, 5);

describe('whatever a guest maps, unmaps and has written', () => {
  it('in windows, nothing is missed, and pages of 4K are told apart alike', async () => {
    await fc.assert(
      fc.asyncProperty(traces, fc.constantFrom('4K', '64K'), async (lines, pageSize) => {
        const options = { trackers: SOUND, leaf: ['4K', '2M'], pageSize };
        const rows = await windowsOf(await mapped(lines, RAM_PAGES), options);
        const lost = rows.filter((row) => row.missedPages + row.stalePages > 0).map((row) => row.tracker);
        const exact = rows.filter(
          (row) => row.leaf === '4K' || (pageSize === '4K' && row.tracker.startsWith('device')),
        );
        const over = exact.filter((row) => row.overReportedPages > 0).map((row) => row.tracker);
        expect([lost, over]).toEqual([[], []]);
      }),
      { numRuns: runs(60) },
    );
  });

  it('in migrations, nothing gets stale, and device logs and page tables send the same', async () => {
    await fc.assert(
      fc.asyncProperty(traces, async (lines) => {
        const options = { trackers: EXACT, leaf: ['4K'], linkBitsPerSecond: 10e9, downtimeLimitNs: 0 };
        const rows = await migrationsOf(await mapped(lines, RAM_PAGES), options);
        const seen = rows.map((row) => [row.missedPages, row.stalePages, row.rounds]);
        expect(seen).toEqual(EXACT.map(() => [0, 0, rows[0].rounds]));
      }),
      { numRuns: runs(60) },
    );
  });
});
