// The operations on one domain, over any format. Arguments and cursors wider than 32 bits lie in the mailbox.

import { runRequests } from '../dma/requests';
import { accessExtents } from '../dma/extents';
import { DONE, EINVAL, MAIL0, MAIL1, MAIL2, MAIL3, MAIL4, MAIL5, MAILBOX } from '../layout';
import { fail, mail, post } from '../memory/mailbox';
import { readDirty } from './dirty';
import { createDomain, freeTables } from './domain';
import { createNested } from './nested-domain';
import { Format } from './format';
import { reserveTables } from './limbo';
import { checkFree, mapLeaves } from './map';
import { foldMerged, mergeLeaves } from './merge';
import { setDirty } from './set-dirty';
import { checkSplit, splitLeaves } from './split';
import { traceWalk } from './trace';
import { translateIova } from './translate';
import { unmapLeaves } from './unmap';

/** What to do; `a`, `b` and `budget` of `operate` are its 32-bit arguments. */
export const enum Op {
  /** a: handle of the IOMMU, b: input bits | flags << 8, budget: format; mailbox: see createDomain. */
  Create,
  Free,
  /** MAIL0: cursor, MAIL1: last. */
  CheckFree,
  /** a: access; MAIL0: cursor, MAIL1: last, MAIL2: output address of the cursor, MAIL3: leaf sizes. */
  Map,
  /** a: 1 where tables are freed at once; MAIL0: cursor, MAIL1: last. */
  Unmap,
  /** MAIL0: iova. */
  Translate,
  /** a: address of the target bitmap's slot or 0, b: flags; MAIL0: cursor, MAIL1 .. 3: see readDirty, MAIL4 .. 5: query. */
  ReadDirty,
  /** MAIL0: iova. */
  SetDirty,
  /** a: log2 of the size; MAIL0: cursor, MAIL1: last, MAIL2: tables needed so far, MAIL3: first. */
  CheckSplit,
  /** a: log2 of the size, b: SPLIT_*; MAIL0: cursor, MAIL1: last, MAIL2 .. 3: see splitLeaves. */
  Split,
  /** a: log2 of the size, b: MERGE_*; MAIL0: cursor, MAIL1: last, MAIL2 .. 3: see mergeLeaves. */
  Merge,
  Fold,
  /** MAIL0: tables to take. */
  Reserve,
  /** MAIL0: iova. */
  Trace,
  /** a: address of the IOMMU's slot, b: handle of the domain. */
  RunRequests,
  /** a: address of the device's slot, b: access; MAIL0: iova, MAIL1: last. */
  Access,
  /** a: handle of the IOMMU, b: input bits | flags << 8, budget: handle of the parent; mailbox: see createNested. */
  CreateNested,
}

export function operate<F extends Format>(f: F, op: Op, core: usize, domain: usize, a: u32, b: u32, budget: u32): i32 {
  const cursorAt: usize = core + MAILBOX;
  switch (op) {
    case Op.Create:
      return createDomain<F>(f, core, budget, a, b & 0xff, b >> 8);
    case Op.Free:
      freeTables<F>(f, core, domain);
      return DONE;
    case Op.CheckFree:
      return checkFree<F>(f, core, domain, cursorAt, mail(core, MAIL1), budget);
    case Op.Map: {
      const from = mail(core, MAIL0);
      const pa = mail(core, MAIL2);
      const status = mapLeaves<F>(f, core, domain, cursorAt, mail(core, MAIL1), pa, a, mail(core, MAIL3), budget);
      post(core, MAIL2, pa + (mail(core, MAIL0) - from));
      return status;
    }
    case Op.Unmap:
      return unmapLeaves<F>(f, core, domain, cursorAt, mail(core, MAIL1), a != 0, budget);
    case Op.Translate:
      return translateIova<F>(f, core, domain, mail(core, MAIL0));
    case Op.ReadDirty:
      return readDirty<F>(f, core, domain, cursorAt, mail(core, MAIL4), mail(core, MAIL5), a, b, budget);
    case Op.SetDirty:
      return setDirty<F>(f, core, domain, mail(core, MAIL0));
    case Op.CheckSplit:
      return checkSplit<F>(f, core, domain, cursorAt, mail(core, MAIL3), mail(core, MAIL1), a, budget);
    case Op.Split:
      return splitLeaves<F>(f, core, domain, cursorAt, mail(core, MAIL1), a, b, budget);
    case Op.Merge:
      return mergeLeaves<F>(f, core, domain, cursorAt, mail(core, MAIL1), a, b, budget);
    case Op.Fold:
      return foldMerged<F>(f, core, domain, budget);
    case Op.Reserve:
      return reserveTables<F>(f, core, domain, cursorAt, budget);
    case Op.Trace:
      return traceWalk<F>(f, core, domain, mail(core, MAIL0));
    case Op.RunRequests:
      return runRequests<F>(f, core, domain, a, b, budget);
    case Op.Access:
      return accessExtents<F>(f, core, domain, a, b);
    case Op.CreateNested:
      return createNested<F>(f, core, a, b & 0xff, b >> 8, budget);
    default:
      return fail(EINVAL);
  }
}
