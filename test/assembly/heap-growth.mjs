// Prints as JSON by how many bytes 20,000 calls of each kind change the heap.
import { READ, WRITE, open } from '../../dist/src/index.js';

const CHUNKS = 50;
const CALLS = 20_000;
/** The smallest object of all, one per call, is 240 KB. */
const FLAT = 50_000;

/**
 * By how much the heap changes in a chunk, the median over a million calls; what was collected meanwhile counts as well. A
 * million calls before that are for the compiler.
 */
function growth(call) {
  const run = () => {
    for (let i = 0; i < CALLS; i++) call(i);
  };
  for (let i = 0; i < CHUNKS; i++) run();
  const grown = [];
  for (let chunk = 0; chunk < CHUNKS; chunk++) {
    const before = process.memoryUsage().heapUsed;
    run();
    grown.push(Math.abs(process.memoryUsage().heapUsed - before));
  }
  return grown.sort((a, b) => a - b)[CHUNKS / 2];
}

const core = await open({ memory: '8MiB' });
const bitmap = core.bitmap({ length: 2 ** 30 });
const iommu = core.iommu();
const domain = iommu.domain({ format: 'amdv1', dirtyTracking: true });
domain.map({ iova: 0, pa: 2 ** 30, length: 2 ** 21, access: READ | WRITE });
const device = iommu.attach(0, domain);
const before = core.usage.usedBytes;
const page = (i) => (i * 7919) & 0x3ffff;
let kept;
let sum = 0;
const grown = {
  'mark by page': growth((i) => bitmap.markPages(page(i), 1)),
  'mark by address': growth((i) => bitmap.mark(page(i) * 4096, 4096)),
  has: growth((i) => (sum += bitmap.has(page(i) * 4096) ? 1 : 0)),
  access: growth((i) => (sum += device.access((i & 0xff) * 64, 64, WRITE))),
  post: growth((i) => device.post((i & 0xff) * 64, 64, READ)),
  'access and post': growth((i) => {
    sum += device.access((i & 0xff) * 64, 64, WRITE);
    device.post((i & 0xff) * 64, 64, READ);
  }),
  'an object': growth((i) => (kept = { i })),
};
if (!(sum > CALLS && kept)) throw new Error('the calls did nothing');
console.log(JSON.stringify({ flat: FLAT, grown, usedBytes: [before, core.usage.usedBytes] }));
