import * as layout from '../../assembly/layout.ts';
import type { Steps } from '../schedule/step.ts';
import { hex, type Address } from '../wasm/address.ts';
import { flushSteps, NOTHING, reclaim, reserve, reserveSome, type Tables } from './flush.ts';
import type { UpdatePolicy } from './update-policy.ts';

/** A change of leaf sizes: of the leaves that map [first, last], both inclusive. */
export interface Resize extends Tables {
  readonly first: Address;
  readonly last: Address;
  /** log2 of the leaf size wanted. */
  readonly shift: number;
  readonly update: UpdatePolicy;
}

const OP = 'domain.split';

function explain({ first, last, shift }: Resize): (errno: number) => string | undefined {
  const range = `${hex(first)} .. ${hex(last)}`;
  return (errno) => {
    switch (errno) {
      case layout.EINVAL:
        return `the domain has no leaves of 2^${shift} bytes`;
      case layout.ENOENT:
        return `${range} has a hole; only what is mapped can be split`;
      case layout.ERANGE:
        return `${range} is not within the domain's input addresses`;
      default:
        return undefined;
    }
  };
}

/** Whether all can be split; the range, widened to whole leaves, and the tables that it takes. */
function checkSplit(resize: Resize): { readonly whole: Resize; readonly tables: number } {
  const { core, domain, shift, first, last } = resize;
  core.store64(layout.MAIL0, first);
  core.store64(layout.MAIL1, last);
  core.store64(layout.MAIL2, 0);
  core.store64(layout.MAIL3, first);
  let status: number;
  do status = core.raw.domainCheckSplit(core.base, domain, shift, core.budget);
  while (status === layout.MORE);
  core.check(status, OP, explain(resize));
  const whole = { ...resize, first: core.loadAddress(layout.MAIL3), last: core.loadAddress(layout.MAIL1) };
  return { whole, tables: core.load64(layout.MAIL2) };
}

interface Span {
  readonly first: Address;
  readonly last: Address;
}

/** Does `how` to [first, last], at most `most` leaves at a time, as one step; where it stopped, and what it changed. */
function splitOnce(resize: Resize, { first, last }: Span, how: number, most: number): { next: Address; changed: Span } {
  const { core, domain, shift } = resize;
  let next = first;
  let changed: Span = { first: NOTHING, last: 0 };
  for (let none = false; ;) {
    core.store64(layout.MAIL0, next);
    core.store64(layout.MAIL1, last);
    core.store64(layout.MAIL2, changed.first);
    core.store64(layout.MAIL3, changed.last);
    core.store64(layout.MAIL6, none ? 1 : 0);
    const status = core.check(core.raw.domainSplit(core.base, domain, shift, how, most), OP, explain(resize));
    changed = { first: core.loadAddress(layout.MAIL2), last: core.loadAddress(layout.MAIL3) };
    if (status === layout.DONE) return { next: BigInt(last) + 1n, changed };
    next = core.loadAddress(layout.MAIL0);
    const wanted = core.load64(layout.MAIL6);
    if (wanted === 0 || none) return { next, changed };
    // Without memory for it, what a read has broken or marked goes on as it was.
    none = !reserveSome(resize, wanted);
  }
}

/** Does `how` to all of a span, step by step; what it changed. */
function* splitAll(resize: Resize, span: Span, how: number, what: string): Steps<Span> {
  let first: Address = NOTHING;
  let last: Address = 0;
  for (let at = span.first; at <= span.last;) {
    yield { what };
    const { next, changed } = splitOnce(resize, { first: at, last: span.last }, how, resize.core.budget);
    if (changed.first < first) first = changed.first;
    if (changed.last > last) last = changed.last;
    at = next;
  }
  return { first, last };
}

/** Swaps the parts in, and invalidates the range once. */
function* splitDirect(resize: Resize): Steps<void> {
  const changed = yield* splitAll(resize, resize, layout.SPLIT_SWAP, 'split');
  if (changed.first <= changed.last) yield* flushSteps(resize, changed.first, changed.last);
}

/**
 * Makes the leaf ready (`how`), invalidates it, and puts its parts in its place; a leaf at a time, so that each window is as short as it
 * can be, and level after level.
 */
function* splitByLeaf(resize: Resize, how: number, what: string): Steps<void> {
  for (let at = resize.first; at <= resize.last;) {
    yield { what };
    const { next, changed } = splitOnce(resize, { first: at, last: resize.last }, how, 1);
    if (changed.first > changed.last) {
      at = next;
      continue;
    }
    yield* flushSteps(resize, changed.first, changed.last);
    yield* finishSplit(resize, changed);
    // Its parts may still be too large.
    at = changed.first;
  }
}

/** Puts the parts of what was broken or marked in its place; what was marked may have been cached as it was read. */
export function* finishSplit(resize: Resize, span: Span): Steps<void> {
  const made = yield* splitAll(resize, span, layout.SPLIT_MAKE, 'make');
  if (resize.update === 'nt' && made.first <= made.last) yield* flushSteps(resize, made.first, made.last);
}

/**
 * Splits the leaves larger than 2^shift bytes, as the update policy says; a leaf that reaches beyond the range is split whole. Errors
 * come before any change, and the memory that it takes is held ready.
 */
export function* splitSteps(resize: Resize): Steps<void> {
  const { whole, tables } = checkSplit(resize);
  try {
    // So that no split ends in the middle for want of memory.
    reserve(whole, tables, OP);
    if (whole.update === 'bbm') yield* splitByLeaf(whole, layout.SPLIT_BREAK, 'break');
    else if (whole.update === 'nt') yield* splitByLeaf(whole, layout.SPLIT_MARK, 'mark');
    else yield* splitDirect(whole);
  } finally {
    reclaim(whole);
  }
}
