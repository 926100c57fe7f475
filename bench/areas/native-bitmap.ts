import { open, type Bitmap, type Core } from 'wasm-iommu';
import type { Area, Bench } from '../case.ts';
import { duel, gather, type Duel } from '../duel.ts';
import { NOT_BUILT, loadNative, type Native } from '../native.ts';
import { Random } from '../random.ts';

const PAGE = 4096;
/** The bitmap of 1 TiB: 32 MiB, far beyond the second-level cache. */
const LARGE = 2 ** 28;
/** 16 KiB, within the first-level cache. */
const SMALL = 2 ** 17;

function bitmapOf(core: Core, pages: number): Bitmap {
  return core.bitmap({ length: pages * PAGE });
}

function marks(core: Core, native: Native, pages: number, count: number, label: string): Duel {
  const ours = bitmapOf(core, pages);
  const list = new Random(21).list(count, pages);
  return duel(
    `mark random pages, ${label} bitmap`,
    { unit: 'page', work: count },
    {
      'C, best': { run: () => native.markPages(ours.words(), list) },
      core: { run: () => (ours.markList(list), count) },
    },
  );
}

function ranges(into: Bitmap, native: Native, pages: number, count: number): Duel {
  const list = new Random(22).list(count, LARGE - 2 * pages);
  const lengths = new Random(23).list(count, pages);
  // Half to one and a half times as long: no two alike, none word by word.
  const pairs = Uint32Array.from({ length: 2 * count }, (_, i) =>
    i % 2 ? (pages >> 1) + lengths[i >> 1] + 1 : list[i >> 1],
  );
  return duel(
    `mark ranges of ${pages} pages`,
    { unit: 'range', work: count, bytes: (count * pages) / 8 },
    {
      'C, memset': { run: () => native.markRangesMemset(into.words(), pairs) },
      'C, word loop': { run: () => native.markRangesLoop(into.words(), pairs) },
      core: { run: () => (into.markRanges(pairs), count) },
    },
  );
}

function scan(native: Native, label: string, bitmap: Bitmap): Duel {
  const out = new Uint32Array(8192);
  const ours = () => {
    let found = 0;
    for (let page = 0; page < bitmap.pages; page = bitmap.nextPage) found += bitmap.pageRunsInto(out, page);
    return found;
  };
  const wanted = native.findRuns(bitmap.words(), out);
  if (wanted !== ours()) throw new Error(`C finds ${wanted} runs, the core ${ours()}`);
  return duel(
    `find runs in 32 MiB, ${label}`,
    { unit: 'page', work: LARGE, bytes: LARGE / 8 },
    { 'C, best': { run: () => native.findRuns(bitmap.words(), out) }, core: { run: ours } },
  );
}

function patterns(core: Core) {
  const sparse = bitmapOf(core, LARGE);
  sparse.markList(new Random(24).list(LARGE / 1000, LARGE));
  const clusters = bitmapOf(core, LARGE);
  for (const first of new Random(25).list((0.05 * LARGE) / 64, LARGE - 64)) clusters.markPages(first, 64);
  const scattered = bitmapOf(core, LARGE);
  const random = new Random(26);
  for (let i = 0; i < 13; i++) scattered.markList(random.list((0.05 * LARGE) / 13, LARGE));
  const half = bitmapOf(core, LARGE);
  const words = half.words();
  for (let i = 0; i < words.length; i++) words[i] = random.below(2 ** 32);
  return { sparse, clusters, scattered, half };
}

function merge(core: Core, native: Native, pattern: Bitmap): Duel {
  const from = bitmapOf(core, LARGE);
  const into = bitmapOf(core, LARGE);
  const before = () => from.words().set(pattern.words());
  return duel(
    'OR and clear 32 MiB',
    { unit: 'page', work: LARGE, bytes: (4 * LARGE) / 8 },
    {
      'C, best': { before, run: () => native.orAndClear(into.words(), from.words()) },
      core: { before, run: () => from.readAndClear({ into }) },
    },
  );
}

async function openNativeBitmap(): Promise<Bench> {
  const native = loadNative();
  if (!native) return { cases: [], claims: [], absent: NOT_BUILT };
  const core = await open({ memory: '320MiB' });
  const { sparse, clusters, scattered, half } = patterns(core);
  const target = bitmapOf(core, LARGE);
  const duels = [
    marks(core, native, SMALL, 16384, '16 KiB'),
    marks(core, native, LARGE, 2 ** 20, '32 MiB'),
    ranges(target, native, 40, 65536),
    ranges(target, native, 512, 65536),
    ranges(target, native, 65536, 1024),
    scan(native, '0.1 % at random', sparse),
    scan(native, '5 % in runs of 64', clusters),
    scan(native, '5 % at random', scattered),
    scan(native, '50 % at random', half),
    duel(
      'count 32 MiB',
      { unit: 'page', work: LARGE, bytes: LARGE / 8 },
      {
        'C, best': { run: () => native.countBits(scattered.words()) },
        core: { run: () => scattered.count() },
      },
    ),
    merge(core, native, scattered),
  ];
  return gather(duels);
}

/** The bitmap against C over the same memory in the same process. */
export const nativeBitmap: Area = {
  name: 'native-bitmap',
  about: 'bitmaps of 16 KiB and 32 MiB: marking, runs, counting, merging, against C over the same memory',
  open: openNativeBitmap,
};
