import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

type Bytes = Uint8Array | Uint32Array | Float64Array;

/** The yardstick: our own C over typed arrays, bench/native/*.c. Each works on the memory itself and returns a number. */
export interface Native {
  /** Nanoseconds that the thread has run. */
  threadTime(): number;
  markPages(bits: Uint32Array, pages: Uint32Array): number;
  markRangesMemset(bits: Uint32Array, ranges: Uint32Array): number;
  markRangesLoop(bits: Uint32Array, ranges: Uint32Array): number;
  findRuns(bits: Uint32Array, out: Uint32Array): number;
  countBits(bits: Uint32Array): number;
  orAndClear(into: Uint32Array, from: Uint32Array): number;
  copyPages(to: Bytes, from: Bytes, pages: Uint32Array): number;
  comparePages(a: Uint8Array, b: Uint8Array): number;
  zeroPages(pages: Uint8Array): number;
  checksum(bytes: Uint8Array): number;
  deltaPages(pages: Uint8Array, last: Uint8Array, out: Uint8Array): number;
  openTables(arena: Uint8Array): number;
  mapPlain(arena: Uint8Array, iova: number, pages: number, pa: number): number;
  mapBest(arena: Uint8Array, iova: number, pages: number, pa: number): number;
  unmapPlain(arena: Uint8Array, iova: number, pages: number): number;
  unmapBest(arena: Uint8Array, iova: number, pages: number): number;
  readDirtyPlain(memory: Uint8Array, root: number, top: number, length: number, bits: Uint32Array): number;
  readDirtyAtomic(memory: Uint8Array, root: number, top: number, length: number, bits: Uint32Array): number;
  readDirtyBest(memory: Uint8Array, root: number, top: number, length: number, bits: Uint32Array): number;
  setDirty(memory: Uint8Array, root: number, top: number, length: number, bits: Uint32Array): number;
  translate(memory: Uint8Array, root: number, top: number, iovas: Float64Array): number;
  runRequests(memory: Uint8Array, roots: Float64Array, requests: Uint32Array, count: number): number;
  flushIotlb(): number;
}

const PLACE = fileURLToPath(
  new URL('bench/native/build/yardstick.node', import.meta.resolve('wasm-iommu/package.json')),
);

/** Why an area that needs the yardstick has nothing to measure. */
export const NOT_BUILT =
  'the native yardstick is not built; npm run bench:native builds it where there is a C compiler';

/** The yardstick, where it has been built. Throws what Node says of one that does not load. */
export function loadNative(): Native | undefined {
  return existsSync(PLACE) ? (createRequire(import.meta.url)(PLACE) as Native) : undefined;
}
