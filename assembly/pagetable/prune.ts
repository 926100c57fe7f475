import { DOMAIN_ROOT, DOMAIN_TOP } from '../layout';
import { addLive, give, liveEntries } from '../memory/blocks';
import { countTable, shrinkTop } from './domain';
import { Format } from './format';
import { retire } from './limbo';
import { covers, indexAt } from './walk';

/** Takes out the empty tables below the one at core offset `table` on the way to `iova`; whether that one is empty then. */
function pruneBelow<F extends Format>(
  f: F,
  core: usize,
  domain: usize,
  table: u32,
  level: u32,
  iova: u64,
  frees: bool,
): bool {
  if (level) {
    const at = core + table + (indexAt<F>(f, domain, level, iova) << 3);
    const entry = load<u64>(at);
    if (f.isPresent(entry) && f.isTable(entry)) {
      const child = f.tableOffset(entry);
      if (pruneBelow<F>(f, core, domain, child, level - 1, iova, frees)) {
        store<u64>(at, 0);
        addLive(core, table, -1);
        if (frees) give(core, child);
        else retire(core, domain, child);
        countTable(domain, 8 << f.tableBits(), -1);
      }
    }
  }
  return liveEntries(core, table) == 0;
}

/**
 * Takes out the tables on the way to `iova` that no longer hold anything: `reclaim` frees them, unless nothing can lead to them any
 * more (`frees`). The root stays, or shrinks where it had grown.
 */
export function prune<F extends Format>(f: F, core: usize, domain: usize, iova: u64, frees: bool): void {
  if (covers<F>(f, domain, iova)) {
    pruneBelow<F>(f, core, domain, load<u32>(domain, DOMAIN_ROOT), load<u32>(domain, DOMAIN_TOP), iova, frees);
  }
  shrinkTop<F>(f, core, domain);
}
