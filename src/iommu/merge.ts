import * as layout from '../../assembly/layout.ts';
import type { Steps } from '../schedule/step.ts';
import { hex, type Address } from '../wasm/address.ts';
import { flushSteps, NOTHING, reclaim } from './flush.ts';
import type { Resize } from './split.ts';

const OP = 'domain.merge';

function explain({ first, last, shift }: Resize): (errno: number) => string | undefined {
  const range = `${hex(first)} .. ${hex(last)}`;
  return (errno) => {
    switch (errno) {
      case layout.EINVAL:
        return `${range} is not leaves of 2^${shift} bytes in all but size: they need that alignment, no hole, equal rights, and addresses that follow each other`;
      case layout.ERANGE:
        return `${range} is not within the domain's input addresses`;
      default:
        return undefined;
    }
  };
}

/** One call that does `how` from `at` on; where it stopped, whether it is done, and what it changed. */
function mergeSome(resize: Resize, at: Address, how: number, most: number) {
  const { core, domain, shift, last } = resize;
  core.store64(layout.MAIL0, at);
  core.store64(layout.MAIL1, last);
  core.store64(layout.MAIL2, NOTHING);
  core.store64(layout.MAIL3, 0);
  const status = core.check(core.raw.domainMerge(core.base, domain, shift, how, most), OP, explain(resize));
  return {
    next: core.loadAddress(layout.MAIL0),
    done: status === layout.DONE,
    first: core.loadAddress(layout.MAIL2),
    last: core.loadAddress(layout.MAIL3),
  };
}

function checkMerge(resize: Resize): void {
  const { core } = resize;
  for (let at = resize.first, done = false; !done;) {
    ({ next: at, done } = mergeSome(resize, at, layout.MERGE_CHECK, core.budget));
  }
  core.check(core.raw.domainBeginMerge(core.base, resize.domain), OP);
}

/** A block at a time: broken, invalidated, made anew. */
function* mergeByBlock(resize: Resize): Steps<void> {
  for (let at = resize.first, done = false; !done;) {
    yield { what: 'break' };
    const broken = mergeSome(resize, at, layout.MERGE_BREAK, 1);
    if (broken.first <= broken.last) {
      yield* flushSteps(resize, broken.first, broken.last);
      yield { what: 'make' };
      mergeSome({ ...resize, first: broken.first, last: broken.last }, broken.first, layout.MERGE_MAKE, 1);
    }
    ({ next: at, done } = broken);
  }
}

/** Looks at the tables that were replaced for the last time, step by step. */
function* foldSteps({ core, domain }: Resize): Steps<void> {
  for (let status: number = layout.MORE; status === layout.MORE;) {
    yield { what: 'fold' };
    status = core.check(core.raw.domainFold(core.base, domain, core.budget), OP);
  }
}

/** As many blocks at a time as there is room to remember what they replace: swapped, invalidated, folded. */
function* mergeBySwap(resize: Resize, how: number): Steps<void> {
  const { core } = resize;
  for (let at = resize.first, done = false; !done;) {
    let first: Address = NOTHING;
    let last: Address = 0;
    for (let progress = true; progress && !done;) {
      yield { what: 'merge' };
      const swapped = mergeSome(resize, at, how, core.budget);
      progress = swapped.next !== at;
      if (swapped.first < first) first = swapped.first;
      if (swapped.last > last) last = swapped.last;
      ({ next: at, done } = swapped);
    }
    if (first > last) continue;
    yield* flushSteps(resize, first, last);
    yield* foldSteps(resize);
    if (how === layout.MERGE_MARK) yield* flushSteps(resize, first, last);
  }
}

/** Merges whole blocks into leaves of 2^shift bytes, as the update policy says. Errors come before any change. */
export function* mergeSteps(resize: Resize): Steps<void> {
  try {
    checkMerge(resize);
    if (resize.update === 'bbm') yield* mergeByBlock(resize);
    else yield* mergeBySwap(resize, resize.update === 'nt' ? layout.MERGE_MARK : layout.MERGE_SWAP);
  } finally {
    reclaim(resize);
  }
}
