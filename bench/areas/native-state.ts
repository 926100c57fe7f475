import type { Area, Bench } from '../case.ts';
import { duel, gather, type Duel } from '../duel.ts';
import { compileKernels, hasSource } from '../kernels.ts';
import { NOT_BUILT, loadNative, type Native } from '../native.ts';
import { Random } from '../random.ts';

const PAGE = 4096;
const MIB = 2 ** 20;
const COMPARED = 64 * MIB;
const COPIED = 32 * MIB;
const STATE = 8 * MIB;
/** Words that differ in a page that becomes a delta. */
const CHANGED = 24;

const SOURCE = `
import { isEqual, isZero } from './assembly/state/page';
import { crc32c, writeTables } from './assembly/state/crc32c';
import { changedRuns, deltaBytes, writeDelta } from './assembly/state/delta';

export function tables(at: usize): void {
  writeTables(at);
}
export function copyPages(to: usize, from: usize, list: usize, end: usize): u32 {
  for (let at = list; at < end; at += 4) {
    const page = load<u32>(at) << 12;
    memory.copy(to + page, from + page, 4096);
  }
  return (end - list) >> 2;
}
export function comparePages(a: usize, b: usize, end: usize): u32 {
  let differ: u32 = 0;
  for (; a < end; a += 4096, b += 4096) differ += isEqual(a, b) ? 0 : 1;
  return differ;
}
export function zeroPages(at: usize, end: usize): u32 {
  let zero: u32 = 0;
  for (; at < end; at += 4096) zero += isZero(at) ? 1 : 0;
  return zero;
}
export function deltaPages(at: usize, last: usize, end: usize, out: usize): u32 {
  const runs = out + 8192;
  let sum: u32 = 0;
  for (; at < end; at += 4096, last += 4096) {
    const bytes = deltaBytes(runs, changedRuns(runs, at, last));
    if (bytes < 4096) writeDelta(out, out + bytes, at, last, runs);
    sum += bytes;
  }
  return sum;
}
export function checksum(tables: usize, at: usize, end: usize): u32 {
  return crc32c(tables, at, end);
}
`;

type Kernels = {
  tables(at: number): void;
  copyPages(to: number, from: number, list: number, end: number): number;
  comparePages(a: number, b: number, endOfA: number): number;
  zeroPages(at: number, end: number): number;
  deltaPages(at: number, last: number, end: number, out: number): number;
  checksum(tables: number, at: number, end: number): number;
};

/** Both sides must come to the same result before they are measured. */
function agree(claim: Duel): Duel {
  const results = claim.contestants.map(({ before, run }) => (before?.(), (run() as number) >>> 0));
  if (results.some((result) => result !== results[0])) throw new Error(`${claim.claim.name}: ${results.join(' and ')}`);
  return claim;
}

/** The memory that both sides work on, handed out from its start. */
class Arena {
  readonly memory = new WebAssembly.Memory({ initial: 256 * 16, maximum: 256 * 16 });
  #next = MIB;

  take(bytes: number): Uint8Array {
    const taken = new Uint8Array(this.memory.buffer, this.#next, bytes);
    this.#next += Math.ceil(bytes / MIB) * MIB;
    return taken;
  }

  words(bytes: number): Uint32Array {
    const { byteOffset, length } = this.take(bytes);
    return new Uint32Array(this.memory.buffer, byteOffset, length / 4);
  }
}

/** First byte and end of a view, as kernels take it. */
function span({ byteOffset, byteLength }: Uint8Array | Uint32Array): [number, number] {
  return [byteOffset, byteOffset + byteLength];
}

function copying(native: Native, ours: Kernels, arena: Arena): Duel {
  const pages = COPIED / PAGE;
  const list = arena.words(4 * pages);
  list.set(new Random(51).distinct(pages, pages));
  const [from, to] = [arena.take(COPIED), arena.take(COPIED)];
  const views = () => {
    for (const page of list) to.set(from.subarray(page * PAGE, (page + 1) * PAGE), page * PAGE);
    return pages;
  };
  return duel(
    'copy 4 KiB pages',
    { unit: 'page', work: pages, bytes: 2 * COPIED },
    {
      'C, best': { run: () => native.copyPages(to, from, list) },
      core: { run: () => ours.copyPages(to.byteOffset, from.byteOffset, ...span(list)) },
      'TypedArray.set': { run: views },
    },
  );
}

function comparing(native: Native, ours: Kernels, arena: Arena): Duel {
  const [a, b] = [arena.take(COMPARED).fill(7), arena.take(COMPARED).fill(7)];
  for (const page of new Random(53).list(COMPARED / PAGE / 100, COMPARED / PAGE)) b[page * PAGE + 1000] = 8;
  return duel(
    'compare 2 x 64 MiB',
    { unit: 'byte', work: COMPARED, bytes: 2 * COMPARED },
    {
      'C, best': { run: () => native.comparePages(a, b) },
      core: { run: () => ours.comparePages(a.byteOffset, b.byteOffset, b.byteOffset) },
    },
  );
}

function zeroTests(native: Native, ours: Kernels, arena: Arena): Duel {
  const pages = arena.take(STATE);
  return duel(
    'zero test',
    { unit: 'byte', work: STATE, bytes: STATE },
    {
      'C, best': { run: () => native.zeroPages(pages) },
      core: { run: () => ours.zeroPages(...span(pages)) },
    },
  );
}

function deltas(native: Native, ours: Kernels, arena: Arena): Duel {
  const [pages, last] = [arena.words(STATE), arena.words(STATE)];
  const [asBytes, lastAsBytes] = [pages, last].map((view) => new Uint8Array(view.buffer, view.byteOffset, STATE));
  // What the core has found lies behind what both write.
  const out = arena.take(3 * PAGE);
  const random = new Random(52);
  for (let i = 0; i < pages.length; i++) pages[i] = random.below(2 ** 32);
  const sent = pages.slice();
  for (let at = 0; at < sent.length; at += PAGE / 4) {
    for (let i = 0; i < CHANGED; i++) sent[at + random.below(PAGE / 4)] ^= 1;
  }
  const before = () => last.set(sent);
  return duel(
    'delta against the last copy',
    { unit: 'byte', work: STATE, bytes: 2 * STATE },
    {
      'C, best': { before, run: () => native.deltaPages(asBytes, lastAsBytes, out) },
      core: { before, run: () => ours.deltaPages(pages.byteOffset, last.byteOffset, span(pages)[1], out.byteOffset) },
    },
  );
}

function checksums(native: Native, ours: Kernels, arena: Arena): Duel {
  const tables = arena.take(MIB).byteOffset;
  ours.tables(tables);
  const bytes = arena.take(STATE);
  bytes.forEach((_, i) => (bytes[i] = i * 7 + (i >>> 8)));
  return duel(
    'CRC32C',
    { unit: 'byte', work: STATE, bytes: STATE },
    {
      'C, best': { run: () => native.checksum(bytes) },
      core: { run: () => ours.checksum(tables, ...span(bytes)) },
    },
  );
}

async function openNativeState(): Promise<Bench> {
  const native = loadNative();
  if (!native) return { cases: [], claims: [], absent: NOT_BUILT };
  if (!hasSource('assembly/state/delta.ts')) {
    return { cases: [], claims: [], absent: 'this core has no copying of state (assembly/state)' };
  }
  const arena = new Arena();
  const ours = await compileKernels<Kernels>(SOURCE, arena.memory);
  const duels = [copying, comparing, zeroTests, deltas, checksums].map((make) => agree(make(native, ours, arena)));
  return gather(duels);
}

/** The kernels that copy a device's state, against C. */
export const nativeState: Area = {
  name: 'native-state',
  about: "copying a device's state: pages copied, compared, tested for zero, deltas, checksums, against C",
  open: openNativeState,
};
