import { READ, WRITE, open, type Core, type Domain } from 'wasm-iommu';
import type { Area, Bench, Case } from '../case.ts';
import { duel, gather, type Duel } from '../duel.ts';
import { NOT_BUILT, loadNative, type Native } from '../native.ts';
import { Random } from '../random.ts';

const PAGE = 4096;
const MIB = 2 ** 20;
const LENGTH = 64 * 1024 * MIB;
const PAGES = LENGTH / PAGE;
const TABLE_BYTES = PAGES * 8;
/** Calls of 256 pages, each to a table of its own that holds something else besides, and so stays. */
const CALLS = 256;
const CALL_PAGES = 256;
const CALL_STRETCH = 2 * MIB;
const SHARES = [0, 1, 10, 50, 100];
const CORE_MIB = 192;

function makeDomain(core: Core): Domain {
  const iommu = core.iommu({ iotlb: { sets: 1, ways: 1 }, requests: 1, events: 1 });
  return iommu.domain({ format: 'amdv1', dirtyTracking: true, leafSizes: [PAGE] });
}

/** Page tables of whoever maps: both halves of a step, so that one puts back what the other does. */
interface Tables {
  map(iova: number, pages: number): unknown;
  unmap(iova: number, pages: number): unknown;
}

function ofCore(domain: Domain): Tables {
  return {
    map: (iova, pages) => domain.map({ iova, pa: iova, length: pages * PAGE, access: READ | WRITE }),
    unmap: (iova, pages) => domain.unmap(iova, pages * PAGE),
  };
}

function ofNative(native: Native, form: 'Plain' | 'Best'): Tables {
  const arena = new Uint8Array(new WebAssembly.Memory({ initial: 160 * 16, maximum: 160 * 16 }).buffer);
  native.openTables(arena);
  const check = (done: number, pages: number) => {
    if (done !== pages) throw new Error(`C did ${done} of ${pages} pages`);
  };
  return {
    map: (iova, pages) => check(native[`map${form}`](arena, iova, pages, iova), pages),
    unmap: (iova, pages) => check(native[`unmap${form}`](arena, iova, pages), pages),
  };
}

/** `map` and `unmap` over `calls` stretches as two claims, in each of which the other puts things back, untimed. */
function mapAndUnmap(
  sides: Readonly<Record<string, Tables>>,
  label: string,
  work: Pick<Case, 'unit' | 'work' | 'bytes'>,
  calls: number,
  pages: number,
): Duel[] {
  const maps: Record<string, Pick<Case, 'run' | 'before'>> = {};
  const unmaps: typeof maps = {};
  for (const [side, tables] of Object.entries(sides)) {
    let mapped = false;
    const each = (step: Tables['map'], after: boolean) => () => {
      for (let i = 0; i < calls; i++) step(i * CALL_STRETCH, pages);
      mapped = after;
      return calls;
    };
    const map = each(tables.map, true);
    const unmap = each(tables.unmap, false);
    maps[side] = { before: () => void (mapped && unmap()), run: map };
    unmaps[side] = { before: () => void (mapped || map()), run: unmap };
  }
  return [duel(`map ${label}`, work, maps), duel(`unmap ${label}`, work, unmaps)];
}

function mapping(native: Native, core: Core): Duel[] {
  const makeSides = () => ({
    'C, plain': ofNative(native, 'Plain'),
    'C, best': ofNative(native, 'Best'),
    core: ofCore(makeDomain(core)),
  });
  const beside = makeSides();
  for (const tables of Object.values(beside)) {
    for (let i = 0; i < CALLS; i++) tables.map(i * CALL_STRETCH + MIB, 1);
  }
  const perCall = { unit: 'call', work: CALLS, bytes: CALLS * CALL_PAGES * 8 };
  return [
    ...mapAndUnmap(makeSides(), '64 GiB by 4K', { unit: 'page', work: PAGES, bytes: TABLE_BYTES }, 1, PAGES),
    ...mapAndUnmap(beside, '256 x 4K in one call', perCall, CALLS, CALL_PAGES),
  ];
}

/** A domain with all of it mapped, and where C finds its tables. */
function mapAll(core: Core, memory: WebAssembly.Memory) {
  const domain = makeDomain(core);
  domain.map({ iova: 0, pa: 0, length: LENGTH, access: READ | WRITE });
  const [{ table, level }] = domain.walk(0);
  return { domain, bytes: new Uint8Array(memory.buffer), root: table, top: level };
}

type Mapped = ReturnType<typeof mapAll>;

/** All sides read the core's own tables. */
function dirtyReads(native: Native, core: Core, { domain, bytes, root, top }: Mapped): Duel[] {
  const into = core.bitmap({ length: LENGTH });
  const written = core.bitmap({ length: LENGTH });
  domain.clearDirty();
  return SHARES.map((share) => {
    const pattern = new Uint32Array(PAGES / 32);
    if (share === 100) pattern.fill(0xffffffff);
    else for (const page of new Random(31).list((PAGES * share) / 100, PAGES)) pattern[page >>> 5] |= 1 << (page & 31);
    const before = () => {
      written.words().set(pattern);
      native.setDirty(bytes, root, top, LENGTH, written.words());
      into.clear();
    };
    const inC = (read: Native['readDirtyPlain']) => ({
      before,
      run: () => read(bytes, root, top, LENGTH, into.words()),
    });
    const sides = {
      'C, plain': inC(native.readDirtyPlain),
      'C, atomic': inC(native.readDirtyAtomic),
      'C, best': inC(native.readDirtyBest),
      core: { before, run: () => (domain.readAndClearDirty({ iova: 0, length: LENGTH, into }), 1) },
    };
    before();
    const wanted = written.count();
    for (const [side, { run }] of Object.entries(sides)) {
      before();
      run();
      if (into.count() !== wanted) throw new Error(`${side} finds ${into.count()} dirty pages of ${wanted}`);
    }
    const shared = { unit: 'page', work: PAGES, bytes: TABLE_BYTES };
    return duel(`read and clear dirty, 64 GiB by 4K, ${share} %`, shared, sides);
  });
}

function translations(native: Native, { domain, bytes, root, top }: Mapped): Duel {
  const list = Float64Array.from(new Random(32).list(65536, PAGES), (page) => page * PAGE + 64);
  const ours = () => {
    let sum = 0;
    for (const iova of list) sum += domain.translate(iova)!.pa as number;
    return sum;
  };
  const inC = () => native.translate(bytes, root, top, list);
  if (inC() !== ours()) throw new Error(`C translates to a sum of ${inC()}, the core of ${ours()}`);
  return duel(
    'translate one by one, random over 64 GiB',
    { unit: 'address', work: list.length },
    { 'C, best': { run: inC }, core: { run: ours } },
  );
}

async function openNativePagetable(): Promise<Bench> {
  const native = loadNative();
  if (!native) return { cases: [], claims: [], absent: NOT_BUILT };
  const memory = new WebAssembly.Memory({ initial: CORE_MIB * 16, maximum: CORE_MIB * 16 });
  const mapped = await open({ memory });
  const tables = mapAll(mapped, memory);
  return gather([
    ...mapping(native, await open({ memory: `${CORE_MIB}MiB` })),
    ...dirtyReads(native, mapped, tables),
    translations(native, tables),
  ]);
}

/** Page tables of AMD v1 against C: tables of its own to map and unmap, the core's own to read. */
export const nativePagetable: Area = {
  name: 'native-pagetable',
  about: 'AMD v1, 64 GiB by 4K: map, unmap, read-and-clear and translate, against C of several forms',
  open: openNativePagetable,
};
