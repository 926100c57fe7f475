import { READ, WRITE, open } from 'wasm-iommu';
import type { Area, Bench } from '../case.ts';
import { duel, gather, type Duel } from '../duel.ts';
import { NOT_BUILT, loadNative, type Native } from '../native.ts';
import { Random } from '../random.ts';

const PAGE = 4096;
const PAGES = 2 ** 24;
const LENGTH = PAGES * PAGE;
const CORE_MIB = 192;
const REQUESTS = 65536;
/** Lists in turn, so that what one has touched is gone from the caches when it comes again. */
const LISTS = 16;
const IOTLB = { sets: 4096, ways: 1 };
const HOT_PAGES = 2048;

async function setUp() {
  const memory = new WebAssembly.Memory({ initial: CORE_MIB * 16, maximum: CORE_MIB * 16 });
  const core = await open({ memory });
  const iommu = core.iommu({ iotlb: IOTLB, requests: REQUESTS });
  const domain = iommu.domain({ format: 'amdv1', dirtyTracking: true, leafSizes: [PAGE] });
  domain.map({ iova: 0, pa: 0, length: LENGTH, access: READ | WRITE });
  const device = iommu.attach(0, domain);
  const [{ table, level }] = domain.walk(0);
  return { iommu, device, bytes: new Uint8Array(memory.buffer), roots: Float64Array.of(table, level) };
}

type Parts = Awaited<ReturnType<typeof setUp>>;

/** Requests as C takes them: 16 bytes each, of stream 0. */
function requestsOf(addresses: Float64Array): Uint32Array {
  const words = new Uint32Array(4 * addresses.length);
  addresses.forEach((iova, i) => words.set([iova >>> 0, Math.floor(iova / 2 ** 32), 64, WRITE << 24], 4 * i));
  return words;
}

/** Writes of 64 bytes to the pages that `pick` gives; both sides work on the same tables, each with an IOTLB of its own. */
function batch(label: string, native: Native, { iommu, device, bytes, roots }: Parts, pick: () => number): Duel {
  const addresses = Array.from({ length: LISTS }, () => Float64Array.from({ length: REQUESTS }, () => pick() * PAGE));
  const requests = addresses.map(requestsOf);
  let mine = 0;
  let theirs = 0;
  const check = (faults: number) => {
    if (faults >= 1) throw new Error(`${faults} requests faulted; all of them are mapped`);
    return 1;
  };
  return duel(
    `DMA batch, ${label}`,
    { unit: 'request', work: REQUESTS },
    {
      'C, best': {
        run: () => check(native.runRequests(bytes, roots, requests[theirs++ % LISTS], REQUESTS)),
      },
      core: {
        before: () => {
          for (const iova of addresses[mine++ % LISTS]) device.post(iova, 64, WRITE);
        },
        run: () => check(iommu.run()),
      },
    },
  );
}

async function openNativeDma(): Promise<Bench> {
  const native = loadNative();
  if (!native) return { cases: [], claims: [], absent: NOT_BUILT };
  const parts = await setUp();
  const random = new Random(41);
  const below = (pages: number) => () => random.below(pages);
  const hot = () => random.below(random.below(10) === 0 ? 65536 : HOT_PAGES);
  native.flushIotlb();
  return gather([
    batch('64 Ki pages', native, parts, below(65536)),
    batch('2 Mi pages', native, parts, below(2 ** 21)),
    batch('90 % in 2048 pages', native, parts, hot),
    batch('random over 64 GiB by 4K', native, parts, below(PAGES)),
  ]);
}

/** DMA batches against C: the same tables, requests in memory already, 4096 IOTLB entries each. */
export const nativeDma: Area = {
  name: 'native-dma',
  about:
    'DMA writes through an IOTLB of 4096 entries and AMD v1 tables of 64 GiB by 4K, against C over the same tables',
  open: openNativeDma,
};
