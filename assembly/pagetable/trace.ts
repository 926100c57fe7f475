import {
  CORE_TRANSFER,
  DOMAIN_ROOT,
  DOMAIN_TOP,
  DONE,
  ERANGE,
  MAIL1,
  TRACE_BYTES,
  TRACE_ENTRY,
  TRACE_INDEX,
  TRACE_LEVEL,
  TRACE_TABLE,
} from '../layout';
import { fail, post } from '../memory/mailbox';
import { inRange } from './domain';
import { Format } from './format';
import { covers, indexAt } from './walk';

/**
 * Writes each entry that a walk to `iova` reads to the transfer buffer, root first (TRACE_*); MAIL1 counts them. -ERANGE:
 * beyond the input range.
 */
export function traceWalk<F extends Format>(f: F, core: usize, domain: usize, iova: u64): i32 {
  if (!inRange(domain, iova, iova)) return fail(ERANGE);
  let out = core + load<u32>(core, CORE_TRANSFER);
  let table = load<u32>(domain, DOMAIN_ROOT);
  let count: u64 = 0;
  const reached = covers<F>(f, domain, iova);
  for (let level = load<u32>(domain, DOMAIN_TOP); reached; --level) {
    const index = indexAt<F>(f, domain, level, iova);
    const entry = load<u64>(core + table + (index << 3));
    store<u32>(out, level, TRACE_LEVEL);
    store<u32>(out, index, TRACE_INDEX);
    store<u32>(out, table, TRACE_TABLE);
    store<u64>(out, entry, TRACE_ENTRY);
    out += TRACE_BYTES;
    ++count;
    if (level == 0 || !f.isPresent(entry) || !f.isTable(entry)) break;
    table = f.tableOffset(entry);
  }
  post(core, MAIL1, count);
  return DONE;
}
