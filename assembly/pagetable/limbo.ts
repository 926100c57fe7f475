// Tables that are not part of the tree: those that nothing leads to any more but what hardware has cached (limbo), until the
// invalidation has completed, and those held ready for a split (reserve). Both are lists linked through the table's first word;
// its low bits are 0, so that a walk that still gets there finds nothing present.

import {
  DOMAIN_LIMBO,
  DOMAIN_MERGED,
  DOMAIN_MERGED_COUNT,
  DOMAIN_RESERVE,
  DOMAIN_RESERVED,
  DONE,
  ENOMEM,
  MORE,
} from '../layout';
import { give, take } from '../memory/blocks';
import { fail } from '../memory/mailbox';
import { Format } from './format';

function push(core: usize, list: usize, table: u32): void {
  store<u64>(core + table, load<u32>(list));
  store<u32>(list, table);
}

/** Takes the first table off the list at `list`, its link wiped; 0 where it is empty. */
function pop(core: usize, list: usize): u32 {
  const table = load<u32>(list);
  if (!table) return 0;
  store<u32>(list, load<u32>(core + table));
  store<u64>(core + table, 0);
  return table;
}

/** Puts an empty table aside: a cached walk may still lead to it. */
export function retire(core: usize, domain: usize, table: u32): void {
  push(core, domain + DOMAIN_LIMBO, table);
}

/** Takes as many tables into the reserve as the word at `countAt` says, which counts down. DONE, MORE, -ENOMEM. */
export function reserveTables<F extends Format>(f: F, core: usize, domain: usize, countAt: usize, budget: u32): i32 {
  for (let left = load<u64>(countAt); left; --budget) {
    if (!budget) return MORE;
    const table = take(core, 8 << f.tableBits());
    if (!table) return fail(ENOMEM);
    push(core, domain + DOMAIN_RESERVE, table);
    store<u32>(domain, load<u32>(domain, DOMAIN_RESERVED) + 1, DOMAIN_RESERVED);
    store<u64>(countAt, --left);
  }
  return DONE;
}

/** An empty table from the reserve, or 0. */
export function takeReserved(core: usize, domain: usize): u32 {
  const table = pop(core, domain + DOMAIN_RESERVE);
  if (table) store<u32>(domain, load<u32>(domain, DOMAIN_RESERVED) - 1, DOMAIN_RESERVED);
  return table;
}

/** Frees limbo, reserve and the list of merged tables, which must be empty, at most `budget` tables at a time. DONE or MORE. */
export function reclaim(core: usize, domain: usize, budget: u32): i32 {
  for (; budget; --budget) {
    let table = pop(core, domain + DOMAIN_LIMBO);
    if (!table) table = takeReserved(core, domain);
    if (!table) {
      const merged = load<u32>(domain, DOMAIN_MERGED);
      if (merged && !load<u32>(domain, DOMAIN_MERGED_COUNT)) {
        store<u32>(domain, 0, DOMAIN_MERGED);
        give(core, merged);
      }
      return DONE;
    }
    give(core, table);
  }
  return MORE;
}
