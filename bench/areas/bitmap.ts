import { open, type Bitmap, type Core } from 'wasm-iommu';
import type { Area, Bench, Case } from '../case.ts';
import { PlainBits } from '../plain-bits.ts';
import { Random } from '../random.ts';

const MIB = 2 ** 20;
/** The dirty bitmap of a guest of 64 GiB by 4 KiB pages: 2 MiB. */
const LENGTH = 64 * 1024 * MIB;
const PAGES = LENGTH / 4096;
const BITMAP_BYTES = PAGES / 8;

function marks(core: Core): Case[] {
  const bitmap = core.bitmap({ length: LENGTH });
  const plain = new PlainBits(PAGES);
  const list = new Random(1).list(16384, PAGES);
  const each = (mark: (page: number) => void) => () => {
    for (const page of list) mark(page);
    return list.length;
  };
  const shared = { unit: 'page', work: list.length };
  return [
    { ...shared, name: 'mark by address, one by one', run: each((page) => bitmap.mark(page * 4096, 4096)) },
    { ...shared, name: 'mark by page, one by one', run: each((page) => bitmap.markPages(page, 1)) },
    { ...shared, name: 'mark a list', run: () => (bitmap.markList(list), list.length) },
    { ...shared, name: 'mark in a plain Uint32Array', run: each((page) => plain.mark(page)) },
  ];
}

function ranges(core: Core, pages: number, count: number): Case {
  const bitmap = core.bitmap({ length: LENGTH });
  const starts = new Random(2).list(count, PAGES - pages);
  const run = () => {
    for (const first of starts) bitmap.markPages(first, pages);
    return count;
  };
  return { name: `mark ranges of ${pages} pages`, unit: 'range', work: count, bytes: (count * pages) / 8, run };
}

function scattered(core: Core, share: number): Bitmap {
  const bitmap = core.bitmap({ length: LENGTH });
  const random = new Random(3);
  for (let left = Math.round(share * PAGES); left > 0; left -= 16384) {
    bitmap.markList(random.list(Math.min(left, 16384), PAGES));
  }
  return bitmap;
}

function clustered(core: Core, share: number): Bitmap {
  const bitmap = core.bitmap({ length: LENGTH });
  for (const first of new Random(4).list((share * PAGES) / 64, PAGES - 64)) bitmap.markPages(first, 64);
  return bitmap;
}

function runs(name: string, bitmap: Bitmap): Case {
  const out = new Uint32Array(8192);
  const run = () => {
    let found = 0;
    for (let page = 0; page < bitmap.pages; page = bitmap.nextPage) found += bitmap.pageRunsInto(out, page);
    return found;
  };
  return { name: `runs, ${name}`, unit: 'page', work: PAGES, bytes: BITMAP_BYTES, run };
}

function lists(name: string, bitmap: Bitmap): Case {
  const out = new Uint32Array(4096);
  const run = () => {
    let found = 0;
    for (let page = 0; page < bitmap.pages; page = bitmap.nextPage) found += bitmap.pagesInto(out, page);
    return found;
  };
  const bytes = BITMAP_BYTES + 4 * bitmap.count();
  return { name: `pages, ${name}`, unit: 'page', work: PAGES, bytes, run };
}

function scans(core: Core): Case[] {
  const sparse = scattered(core, 0.001);
  const scatter = scattered(core, 0.05);
  const half = scattered(core, 0.7);
  const clusters = clustered(core, 0.05);
  const full = core.bitmap({ length: LENGTH });
  full.markPages(0, PAGES);
  const plain = new PlainBits(PAGES);
  plain.words.set(clusters.words());
  const shared = { unit: 'page', work: PAGES, bytes: BITMAP_BYTES };
  const objects = () => {
    let pages = 0;
    for (const run of clusters.pageRuns()) pages += run.pages;
    return pages;
  };
  const plainPages = () => {
    let sum = 0;
    plain.forEach((page) => (sum += page));
    return sum;
  };
  return [
    runs('none marked', core.bitmap({ length: LENGTH })),
    runs('0.1 % at random', sparse),
    runs('5 % at random', scatter),
    runs('5 % in runs of 64', clusters),
    runs('50 % at random', half),
    runs('all marked', full),
    lists('0.1 % at random', sparse),
    lists('5 % at random', scatter),
    lists('5 % in runs of 64', clusters),
    lists('50 % at random', half),
    { ...shared, name: 'runs as objects, 5 % in runs of 64', run: objects },
    { ...shared, name: 'pages of a plain Uint32Array, 5 % in runs of 64', run: plainPages },
    { ...shared, name: 'count, 5 % in runs of 64', run: () => clusters.count() },
    { ...shared, name: 'count a plain Uint32Array, 5 % in runs of 64', run: () => plain.count() },
  ];
}

function merges(core: Core): Case[] {
  const from = clustered(core, 0.05);
  const into = core.bitmap({ length: LENGTH });
  const plainFrom = new PlainBits(PAGES);
  const plainInto = new PlainBits(PAGES);
  plainFrom.words.set(from.words());
  const shared = { unit: 'page', work: PAGES, bytes: 3 * BITMAP_BYTES };
  return [
    { ...shared, name: 'or', run: () => (into.or(from), 1) },
    { ...shared, name: 'or of plain Uint32Arrays', run: () => (plainInto.or(plainFrom), 1) },
  ];
}

function drains(core: Core): Case[] {
  const drain = (name: string, marked: Bitmap, into: Bitmap): Case => {
    const source = core.bitmap({ length: LENGTH, pageSize: marked.pageSize });
    const before = () => {
      source.or(marked);
      into.clear();
    };
    return {
      name: `read and clear, ${name}`,
      unit: 'page',
      work: source.pages,
      before,
      run: () => source.readAndClear({ into }),
    };
  };
  const fine = clustered(core, 0.05);
  const sparse = scattered(core, 0.05);
  const coarse = core.bitmap({ length: LENGTH, pageSize: 2 * MIB });
  for (const page of new Random(5).list(coarse.pages / 20, coarse.pages)) coarse.markPages(page, 1);
  const target = core.bitmap({ length: LENGTH });
  const coarseTarget = core.bitmap({ length: LENGTH, pageSize: 2 * MIB });
  return [
    drain('4K into 4K, 5 % in runs of 64', fine, target),
    drain('4K into 4K, 5 % at random', sparse, target),
    drain('4K into 2M, 5 % in runs of 64', fine, coarseTarget),
    drain('2M into 4K, 5 % at random', coarse, target),
  ];
}

async function openBitmap(): Promise<Bench> {
  const core = await open({ memory: '128MiB' });
  const cases = [
    ...marks(core),
    ranges(core, 40, 1024),
    ranges(core, 512, 1024),
    ranges(core, 65536, 64),
    ...scans(core),
    ...merges(core),
    ...drains(core),
  ];
  const claims = [
    {
      name: 'ways to mark',
      cases: ['mark by page, one by one', 'mark by address, one by one', 'mark a list', 'mark in a plain Uint32Array'],
    },
    {
      name: 'count against plain TypeScript',
      cases: ['count a plain Uint32Array, 5 % in runs of 64', 'count, 5 % in runs of 64'],
    },
    {
      name: 'runs against plain TypeScript',
      cases: [
        'pages of a plain Uint32Array, 5 % in runs of 64',
        'runs as objects, 5 % in runs of 64',
        'runs, 5 % in runs of 64',
        'pages, 5 % in runs of 64',
      ],
    },
    { name: 'or against plain TypeScript', cases: ['or of plain Uint32Arrays', 'or'] },
  ];
  return { cases, claims };
}

/** The dirty bitmap of a guest of 64 GiB. */
export const bitmap: Area = {
  name: 'bitmap',
  about: 'marking, scanning, merging and clearing a dirty bitmap of 16 Mi pages',
  open: openBitmap,
};
