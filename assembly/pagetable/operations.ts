// The exports on domains: they check what comes from outside and enter the dispatch once.

import { checkTarget } from '../bitmap/drain';
import {
  CREATE_FITTING,
  CREATE_SIGNED,
  CREATE_TRACKED,
  DOMAIN_FLAGS,
  DOMAIN_FORMAT,
  DOMAIN_IOMMU,
  DOMAIN_TRACKABLE,
  DOMAIN_TRACKING,
  DONE,
  EBADF,
  EBUSY,
  EINVAL,
  EOPNOTSUPP,
  ERANGE,
  KIND_BITMAP,
  KIND_DOMAIN,
  KIND_IOMMU,
  MAIL0,
  MAIL1,
  MAIL2,
  MAIL3,
  MAIL4,
  MAIL5,
  READ_DIRTY_NO_CLEAR,
  SLOT_USERS,
} from '../layout';
import { closeSlot, slotOf } from '../memory/handles';
import { fail, mail } from '../memory/mailbox';
import { dispatch } from './dispatch';
import { inRange } from './domain';
import { checkMap } from './map';
import { Op } from './operate';

function run(core: usize, slot: usize, op: Op, a: u32, b: u32, budget: u32): i32 {
  return dispatch(load<u32>(slot, DOMAIN_FORMAT), op, core, slot, a, b, max<u32>(budget, 1));
}

function addUser(slot: usize, delta: i32): void {
  store<u32>(slot, load<u32>(slot, SLOT_USERS) + delta, SLOT_USERS);
}

/**
 * A domain behind `iommu`; `flags` are CREATE_*, the mailbox is that of createDomain. Its handle, or EBADF, EINVAL, ENOMEM.
 */
export function domainCreate(core: usize, iommu: u32, format: u32, inputBits: u32, flags: u32): i32 {
  const owner = slotOf(core, iommu, KIND_IOMMU);
  if (!owner) return fail(EBADF);
  if (inputBits > 64 || flags & ~(CREATE_TRACKED | CREATE_SIGNED | CREATE_FITTING)) return fail(EINVAL);
  const handle = dispatch(format, Op.Create, core, 0, iommu, inputBits | (flags << 8), format);
  if (handle > 0) addUser(owner, 1);
  return handle;
}

/** Frees a domain and its tables. EBADF; EBUSY: a device is attached. */
export function domainDestroy(core: usize, domain: u32): i32 {
  const slot = slotOf(core, domain, KIND_DOMAIN);
  if (!slot) return fail(EBADF);
  if (load<u32>(slot, SLOT_USERS)) return fail(EBUSY);
  run(core, slot, Op.Free, 0, 0, 1);
  addUser(slotOf(core, load<u32>(slot, DOMAIN_IOMMU), KIND_IOMMU), -1);
  closeSlot(core, domain);
  return DONE;
}

/**
 * First half of a map: whether MAIL4 .. MAIL1 -> MAIL2 with leaf sizes MAIL3 may be mapped, and is free. MAIL0 is the cursor,
 * MAIL4 at first; MORE: call again. EBADF, EINVAL, ERANGE, EADDRINUSE; nothing is changed.
 */
export function domainCheckMap(core: usize, domain: u32, access: u32, budget: u32): i32 {
  const slot = slotOf(core, domain, KIND_DOMAIN);
  if (!slot) return fail(EBADF);
  const cursor = mail(core, MAIL0);
  const first = mail(core, MAIL4);
  const last = mail(core, MAIL1);
  if (cursor < first || cursor > last) return fail(EINVAL);
  const status = checkMap(slot, first, last, mail(core, MAIL2), access, mail(core, MAIL3));
  return status == DONE ? run(core, slot, Op.CheckFree, 0, 0, budget) : status;
}

/**
 * Second half: maps from the cursor MAIL0 on, with MAIL2 the output address of the cursor; both move. MORE: call again. On
 * EADDRINUSE and ENOMEM what lies before the cursor is mapped, and the caller unmaps it.
 */
export function domainMap(core: usize, domain: u32, access: u32, budget: u32): i32 {
  const slot = slotOf(core, domain, KIND_DOMAIN);
  if (!slot) return fail(EBADF);
  const status = checkMap(slot, mail(core, MAIL0), mail(core, MAIL1), mail(core, MAIL2), access, mail(core, MAIL3));
  return status == DONE ? run(core, slot, Op.Map, access, 0, budget) : status;
}

/** Removes the leaves of MAIL0 .. MAIL1 up to a hole; MAIL0 moves to the end of what went. MORE. EBADF, EINVAL, ERANGE. */
export function domainUnmap(core: usize, domain: u32, budget: u32): i32 {
  const slot = slotOf(core, domain, KIND_DOMAIN);
  if (!slot) return fail(EBADF);
  const status = checkRange(slot, mail(core, MAIL0), mail(core, MAIL1));
  return status == DONE ? run(core, slot, Op.Unmap, 0, 0, budget) : status;
}

/** Looks MAIL0 up; see translateIova for what is posted. EBADF, ENOENT, ERANGE. */
export function domainTranslate(core: usize, domain: u32): i32 {
  const slot = slotOf(core, domain, KIND_DOMAIN);
  return slot ? run(core, slot, Op.Translate, 0, 0, 1) : fail(EBADF);
}

/**
 * One step of a read of the dirty state of MAIL4 .. MAIL5 into `bitmap` (0: to none, for a clear alone) from the cursor MAIL0
 * on; see readDirty for MAIL1 .. MAIL3. MORE: call again. EBADF, EINVAL, ERANGE; EOPNOTSUPP: a domain not made for tracking.
 */
export function domainReadDirty(core: usize, domain: u32, bitmap: u32, flags: u32, budget: u32): i32 {
  const slot = slotOf(core, domain, KIND_DOMAIN);
  const into = bitmap ? slotOf(core, bitmap, KIND_BITMAP) : 0;
  if (!slot || (bitmap && !into)) return fail(EBADF);
  if (!(load<u32>(slot, DOMAIN_FLAGS) & DOMAIN_TRACKABLE)) return fail(EOPNOTSUPP);
  const cursor = mail(core, MAIL0);
  const first = mail(core, MAIL4);
  const last = mail(core, MAIL5);
  if (flags & ~READ_DIRTY_NO_CLEAR || cursor < first || cursor > last) return fail(EINVAL);
  let status = checkRange(slot, first, last);
  if (status == DONE && into) status = checkTarget(into, first, last);
  return status == DONE ? run(core, slot, Op.ReadDirty, <u32>into, flags, budget) : status;
}

/** Marks the leaf of MAIL0 dirty. EBADF, ERANGE, ENOENT, EINVAL: see setDirty. */
export function domainSetDirty(core: usize, domain: u32): i32 {
  const slot = slotOf(core, domain, KIND_DOMAIN);
  if (!slot) return fail(EBADF);
  const status = checkRange(slot, mail(core, MAIL0), mail(core, MAIL0));
  return status == DONE ? run(core, slot, Op.SetDirty, 0, 0, 1) : status;
}

/**
 * Whether domainSplit may be; MAIL0 is the cursor, MAIL3 .. MAIL1 the range, MAIL2 counts tables: see checkSplit. MORE: call
 * again. EBADF, EINVAL, ERANGE, ENOENT, ENOMEM; nothing is changed.
 */
export function domainCheckSplit(core: usize, domain: u32, shift: u32, budget: u32): i32 {
  return resize(core, domain, Op.CheckSplit, shift, budget);
}

/** Splits the leaves of MAIL0 .. MAIL1 down to 2^shift bytes; MAIL0 is the cursor. MORE: call again. See splitLeaves. */
export function domainSplit(core: usize, domain: u32, shift: u32, budget: u32): i32 {
  return resize(core, domain, Op.Split, shift, budget);
}

/** Whether domainMerge may be; MAIL0 is the cursor. MORE: call again. EBADF, EINVAL, ERANGE; nothing is changed. */
export function domainCheckMerge(core: usize, domain: u32, shift: u32, budget: u32): i32 {
  return resize(core, domain, Op.CheckMerge, shift, budget);
}

/** Merges MAIL0 .. MAIL1 into leaves of 2^shift bytes; MAIL0 is the cursor. MORE: call again. See mergeLeaves. */
export function domainMerge(core: usize, domain: u32, shift: u32, budget: u32): i32 {
  return resize(core, domain, Op.Merge, shift, budget);
}

function resize(core: usize, domain: u32, op: Op, shift: u32, budget: u32): i32 {
  const slot = slotOf(core, domain, KIND_DOMAIN);
  if (!slot) return fail(EBADF);
  const status = checkRange(slot, mail(core, MAIL0), mail(core, MAIL1));
  return status == DONE ? run(core, slot, op, shift, 0, budget) : status;
}

/** The entries that a walk to MAIL0 reads, in the transfer buffer: see traceWalk. EBADF, ERANGE. */
export function domainTrace(core: usize, domain: u32): i32 {
  const slot = slotOf(core, domain, KIND_DOMAIN);
  return slot ? run(core, slot, Op.Trace, 0, 0, 1) : fail(EBADF);
}

/** Switches the hardware's dirty updates of a domain. EBADF; EOPNOTSUPP: a domain not made for tracking. */
export function domainTrack(core: usize, domain: u32, enable: u32): i32 {
  const slot = slotOf(core, domain, KIND_DOMAIN);
  if (!slot) return fail(EBADF);
  const flags = load<u32>(slot, DOMAIN_FLAGS);
  if (!(flags & DOMAIN_TRACKABLE)) return fail(EOPNOTSUPP);
  store<u32>(slot, enable ? flags | DOMAIN_TRACKING : flags & ~DOMAIN_TRACKING, DOMAIN_FLAGS);
  return DONE;
}

function checkRange(slot: usize, first: u64, last: u64): i32 {
  if (first > last) return fail(EINVAL);
  return inRange(slot, first, last) ? DONE : fail(ERANGE);
}
