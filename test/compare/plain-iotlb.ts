import type { RoundResult } from '../../src/compare/result.ts';
import { phaseSpan } from '../../src/workload/phase-span.ts';
import { FIRST_READ_OP, type Recording } from '../../src/workload/recording.ts';

const SETS = 64;
const WAYS = 8;

/** A set-associative LRU cache of page numbers, as plainly as it can be written: a Map per set, in order of use. */
class PlainLru {
  readonly #sets = Array.from({ length: SETS }, () => new Map<number, true>());
  hits = 0;
  misses = 0;

  touch(page: number): void {
    const set = this.#sets[page % SETS];
    if (set.delete(page)) this.hits++;
    else {
      this.misses++;
      if (set.size === WAYS) set.delete(set.keys().next().value!);
    }
    set.set(page, true);
  }

  drop(first: number, last: number): void {
    for (const set of this.#sets) for (const page of set.keys()) if (page >= first && page <= last) set.delete(page);
  }
}

/**
 * The IOTLB counters of a migration with 4K leaves that begins with `phase`, whose pre-copy rounds (all of `rounds` but the
 * last) end within one turn of it: each 4 KiB page of each event is a look-up, and each read that found something dirty
 * is one invalidation from the first to the last page that it cleared.
 */
export async function plainIotlb(recording: Recording, phase: string, rounds: readonly RoundResult[]) {
  const { startNs, endNs } = phaseSpan(recording, phase);
  const ends: number[] = [];
  for (const round of rounds.slice(0, -1)) ends.push((ends.at(-1) ?? startNs) + round.durationNs);
  const lru = new PlainLru();
  let dirty = new Set<number>();
  let invalidations = 0;
  const read = () => {
    if (dirty.size > 0) {
      lru.drop(Math.min(...dirty), Math.max(...dirty));
      invalidations++;
    }
    dirty = new Set();
  };
  for await (const segment of recording.segments({ fromNs: startNs, toNs: endNs })) {
    if (segment.kind === 'cpu') continue;
    for (let i = 0; i < segment.count && ends.length > 0; i++) {
      while (ends.length > 0 && segment.timeNs[i] > ends[0]) {
        ends.shift();
        read();
      }
      if (ends.length === 0 || segment.length[i] === 0) continue;
      const last = Math.floor((segment.address[i] + segment.length[i] - 1) / 4096);
      for (let page = Math.floor(segment.address[i] / 4096); page <= last; page++) {
        lru.touch(page);
        if (segment.op[i] < FIRST_READ_OP) dirty.add(page);
      }
    }
  }
  return { hits: lru.hits, misses: lru.misses, invalidations };
}
