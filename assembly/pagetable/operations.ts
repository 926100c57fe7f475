// The exports on domains: they check what comes from outside and enter the dispatch once.

import { checkTarget } from '../bitmap/drain';
import { domainIdentify, forgetDomain } from '../iotlb/identity';
import {
  ACCESS_GLOBAL,
  CONFLICT_DIRTY_MISSED,
  CREATE_FITTING,
  CREATE_SIGNED,
  CREATE_TRACKED,
  DOMAIN_CONFLICT,
  DOMAIN_FAULTS,
  DOMAIN_FLAGS,
  DOMAIN_FORMAT,
  DOMAIN_GLOBALS,
  DOMAIN_IOMMU,
  DOMAIN_PARENT,
  DOMAIN_QUIRKS,
  DOMAIN_TAG,
  DOMAIN_TRACKABLE,
  DOMAIN_TRACKING,
  DOMAIN_UPDATE,
  DONE,
  EBADF,
  EBUSY,
  EINVAL,
  EOPNOTSUPP,
  ERANGE,
  FAULTS_STAGE_SHIFT,
  FORMAT_AMDV1,
  FORMAT_ARMV8_S1_16K,
  FORMAT_ARMV8_S1_4K,
  FORMAT_ARMV8_S1_64K,
  FORMAT_ARMV8_S2_16K,
  FORMAT_ARMV8_S2_4K,
  FORMAT_ARMV8_S2_64K,
  FORMAT_VTDSS,
  FORMAT_X86_64,
  IOTLB_ASID_BITS,
  KIND_BITMAP,
  KIND_DOMAIN,
  KIND_IOMMU,
  MAIL0,
  MAIL1,
  MAIL2,
  MAIL3,
  MAIL4,
  MAIL5,
  READ_DIRTY_BREAK,
  READ_DIRTY_MARK,
  READ_DIRTY_NO_CLEAR,
  READ_DIRTY_SHIFT,
  READ_DIRTY_SWAP,
  SLOT_USERS,
  UPDATE_WRONG,
} from '../layout';
import { closeSlot, slotOf } from '../memory/handles';
import { fail, mail, post } from '../memory/mailbox';
import { dispatch } from './dispatch';
import { inRange } from './domain';
import { reclaim } from './limbo';
import { checkMap } from './map';
import { beginMerge } from './merge';
import { Op } from './operate';
import { stageOf } from './stage';

function run(core: usize, slot: usize, op: Op, a: u32, b: u32, budget: u32): i32 {
  // The tables of a nested domain are a guest's.
  if (load<u32>(slot, DOMAIN_PARENT)) return fail(EOPNOTSUPP);
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
  if (handle < 0) return handle;
  addUser(owner, 1);
  store<u32>(slotOf(core, handle, KIND_DOMAIN), stageOf(format) << FAULTS_STAGE_SHIFT, DOMAIN_FAULTS);
  domainIdentify(core, handle, u32.MAX_VALUE, u32.MAX_VALUE);
  return handle;
}

/** Whether hardware knows `format` as stage 1 over `parent` as stage 2: Arm over Arm of any granule, x86 over VT-d's or AMD's. */
function nests(format: u32, parent: u32): bool {
  switch (format) {
    case FORMAT_ARMV8_S1_4K:
    case FORMAT_ARMV8_S1_16K:
    case FORMAT_ARMV8_S1_64K:
      return parent == FORMAT_ARMV8_S2_4K || parent == FORMAT_ARMV8_S2_16K || parent == FORMAT_ARMV8_S2_64K;
    case FORMAT_X86_64:
      return parent == FORMAT_VTDSS || parent == FORMAT_AMDV1;
    default:
      return false;
  }
}

/**
 * A domain of stage 1 over the domain `parent` of stage 2, whose tables a guest keeps from its address MAIL0 on; its handle. It has the
 * VMID of its parent. EBADF; EINVAL: formats that no hardware nests, or see createNested; ENOMEM.
 */
export function domainNest(core: usize, parent: u32, format: u32, inputBits: u32, flags: u32): i32 {
  const under = slotOf(core, parent, KIND_DOMAIN);
  if (!under) return fail(EBADF);
  const own = load<u32>(under, DOMAIN_FORMAT);
  if (load<u32>(under, DOMAIN_PARENT) || !nests(format, own)) return fail(EINVAL);
  if (inputBits > 64 || flags & ~(CREATE_TRACKED | CREATE_SIGNED)) return fail(EINVAL);
  const iommu = load<u32>(under, DOMAIN_IOMMU);
  post(core, MAIL1, format);
  const handle = dispatch(format, Op.CreateNested, core, 0, iommu, inputBits | (flags << 8), parent);
  if (handle < 0) return handle;
  addUser(slotOf(core, iommu, KIND_IOMMU), 1);
  store<u32>(slotOf(core, handle, KIND_DOMAIN), stageOf(format) << FAULTS_STAGE_SHIFT, DOMAIN_FAULTS);
  domainIdentify(core, handle, <u32>(load<u64>(under, DOMAIN_TAG) >> IOTLB_ASID_BITS), u32.MAX_VALUE);
  return handle;
}

/** How leaves of a domain change size (UPDATE_*), and which mistakes are made with it (QUIRK_*). EBADF, EINVAL. */
export function domainConfigure(core: usize, domain: u32, update: u32, conflict: u32, quirks: u32): i32 {
  const slot = slotOf(core, domain, KIND_DOMAIN);
  if (!slot) return fail(EBADF);
  if (update > <u32>UPDATE_WRONG || conflict > <u32>CONFLICT_DIRTY_MISSED) return fail(EINVAL);
  store<u32>(slot, update, DOMAIN_UPDATE);
  store<u32>(slot, conflict, DOMAIN_CONFLICT);
  store<u32>(slot, quirks, DOMAIN_QUIRKS);
  return DONE;
}

/** Frees a domain and its tables. EBADF; EBUSY: a device is attached. */
export function domainDestroy(core: usize, domain: u32): i32 {
  const slot = slotOf(core, domain, KIND_DOMAIN);
  if (!slot) return fail(EBADF);
  if (load<u32>(slot, SLOT_USERS)) return fail(EBUSY);
  forgetDomain(core, slot);
  const parent = load<u32>(slot, DOMAIN_PARENT);
  if (parent) {
    addUser(slotOf(core, parent, KIND_DOMAIN), -1);
  } else {
    run(core, slot, Op.Fold, 0, 0, u32.MAX_VALUE);
    run(core, slot, Op.Free, 0, 0, 1);
    reclaim(core, slot, u32.MAX_VALUE);
  }
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
  if (status != DONE) return status;
  if (access & ACCESS_GLOBAL) store<u32>(slot, load<u32>(slot, DOMAIN_FLAGS) | DOMAIN_GLOBALS, DOMAIN_FLAGS);
  return run(core, slot, Op.Map, access, 0, budget);
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
  if (!readFlags(flags) || cursor < first || cursor > last) return fail(EINVAL);
  let status = checkRange(slot, first, last);
  if (status == DONE && into) status = checkTarget(into, first, last);
  return status == DONE ? run(core, slot, Op.ReadDirty, <u32>into, flags, budget) : status;
}

function readFlags(flags: u32): bool {
  const how = flags & (READ_DIRTY_SWAP | READ_DIRTY_BREAK | READ_DIRTY_MARK);
  const known = READ_DIRTY_NO_CLEAR | how | (63 << READ_DIRTY_SHIFT);
  return !(flags & ~known) && popcnt<u32>(how) <= 1 && !(how && flags & READ_DIRTY_NO_CLEAR);
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
  return resize(core, domain, Op.CheckSplit, shift, 0, budget);
}

/**
 * Holds MAIL0 tables ready for a split; MAIL0 counts down. MORE: call again. EBADF; ENOMEM: what was taken is there for
 * domainReclaim to free.
 */
export function domainReserve(core: usize, domain: u32, budget: u32): i32 {
  const slot = slotOf(core, domain, KIND_DOMAIN);
  return slot ? run(core, slot, Op.Reserve, 0, 0, budget) : fail(EBADF);
}

/** Frees the tables that were taken out of the tree, or were held ready and not used. MORE: call again. EBADF. */
export function domainReclaim(core: usize, domain: u32, budget: u32): i32 {
  const slot = slotOf(core, domain, KIND_DOMAIN);
  return slot ? reclaim(core, slot, max<u32>(budget, 1)) : fail(EBADF);
}

/**
 * One step of splitting the leaves of MAIL0 .. MAIL1 down to 2^shift bytes, by `how` (SPLIT_*); MAIL0 is the cursor, MAIL2 .. MAIL3
 * gathers what changed. MORE: call again. See splitLeaves.
 */
export function domainSplit(core: usize, domain: u32, shift: u32, how: u32, budget: u32): i32 {
  return resize(core, domain, Op.Split, shift, how, budget);
}

/** Begins a merge: see beginMerge. EBADF, ENOMEM. */
export function domainBeginMerge(core: usize, domain: u32): i32 {
  const slot = slotOf(core, domain, KIND_DOMAIN);
  return slot ? beginMerge(core, slot) : fail(EBADF);
}

/**
 * One step of merging MAIL0 .. MAIL1 into leaves of 2^shift bytes, by `how` (MERGE_*); MAIL0 is the cursor, MAIL2 .. MAIL3 gathers
 * what changed. MORE: call again. See mergeLeaves.
 */
export function domainMerge(core: usize, domain: u32, shift: u32, how: u32, budget: u32): i32 {
  return resize(core, domain, Op.Merge, shift, how, budget);
}

/** Looks at merged tables for the last time: see foldMerged. MORE: call again. EBADF. */
export function domainFold(core: usize, domain: u32, budget: u32): i32 {
  const slot = slotOf(core, domain, KIND_DOMAIN);
  return slot ? run(core, slot, Op.Fold, 0, 0, budget) : fail(EBADF);
}

function resize(core: usize, domain: u32, op: Op, shift: u32, how: u32, budget: u32): i32 {
  const slot = slotOf(core, domain, KIND_DOMAIN);
  if (!slot) return fail(EBADF);
  const status = checkRange(slot, mail(core, MAIL0), mail(core, MAIL1));
  return status == DONE ? run(core, slot, op, shift, how, budget) : status;
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
