import { PAGE_SIZE, type FrameRun } from '../address-space/address-space.ts';
import { IommuError } from '../errno/error.ts';
import { hex } from '../wasm/address.ts';
import type { Mapping } from './mapping.ts';
import type { Type1State } from './state.ts';

const WRITE = 2;

/**
 * Pins all of a mapping and accounts for what drivers have not pinned already. EFAULT: a page is missing, or read-only where WRITE is asked
 * for; ENOMEM: more than may be locked, if no page up to there is missing. Nothing is pinned where it throws.
 */
export function pinFrames(state: Type1State, mapping: Mapping, op: string): FrameRun[] {
  const { vaddr, size, access } = mapping;
  const write = (access & WRITE) !== 0;
  state.mayFail(op, 'pin', `pinning ${hex(vaddr)}`);
  const more = mapping.pages - mapping.pins.size;
  if (more > state.lockable) checkUpToLimit(state, mapping, op, write);
  const frames = state.space.pin(vaddr, size, write);
  if (!frames) throw missing(mapping, size, op, write);
  state.lock(op, more);
  return joined(frames);
}

/** Pages are pinned in order: a missing one before the limit is what is found first. */
function checkUpToLimit(state: Type1State, mapping: Mapping, op: string, write: boolean): void {
  let room = state.lockable;
  let pages = 0;
  while (room >= 0) if (!mapping.pins.has(pages++)) room--;
  const length = BigInt(pages) * PAGE_SIZE;
  const frames = state.space.pin(mapping.vaddr, length, write);
  if (!frames) throw missing(mapping, length, op, write);
  state.space.unpin(frames);
  state.lock(op, mapping.pages - mapping.pins.size);
}

function missing({ vaddr }: Mapping, length: bigint, op: string, write: boolean): IommuError {
  const what = write ? 'a page is missing or read-only' : 'a page is missing';
  return new IommuError('EFAULT', op, `vaddr is ${hex(vaddr)}: ${what} in the ${length} bytes from there on`);
}

/** Neighbouring runs as one, so that a leaf can be as large as the frames allow. */
function joined(frames: readonly FrameRun[]): FrameRun[] {
  const runs: FrameRun[] = [];
  for (const run of frames) {
    const before = runs.at(-1);
    if (before && before.pa + before.length === run.pa) {
      runs[runs.length - 1] = { pa: before.pa, length: before.length + run.length };
    } else runs.push(run);
  }
  return runs;
}
