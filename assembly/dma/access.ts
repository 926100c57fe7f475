import {
  ACCESS_MAX_BYTES,
  ACCESS_READ,
  ACCESS_WAITS,
  ACCESS_WRITE,
  CORE_TRANSFER,
  DEVICE_DOMAIN,
  DOMAIN_FORMAT,
  DOMAIN_LOOKUP_SHIFT,
  E2BIG,
  DONE,
  EBADF,
  EINVAL,
  FAULT_NONE,
  KIND_DEVICE,
  KIND_DOMAIN,
  MAIL0,
  MAIL1,
} from '../layout';
import { slotOf } from '../memory/handles';
import { fail, mail, post } from '../memory/mailbox';
import { dispatch } from '../pagetable/dispatch';
import { Op } from '../pagetable/operate';
import { logWrite } from '../tracker/range-log';
import { addExtent, setFault } from './extents';
import { logOf } from './requests';

/**
 * One access of a device to the addresses MAIL0 .. MAIL1; `access`: ACCESS_READ, ACCESS_WRITE, ACCESS_WAITS. The extents that it
 * may touch lie in the transfer buffer as (output address u64, length u32, unused u32), MAIL1 counts them. EBADF; EINVAL: no
 * access, or last before first; E2BIG: more than ACCESS_MAX_BYTES, or half of that with leaves of 2 KiB; EFAULT: see
 * accessExtents.
 */
export function deviceAccess(core: usize, device: u32, access: u32): i32 {
  const slot = slotOf(core, device, KIND_DEVICE);
  if (!slot) return fail(EBADF);
  const first = mail(core, MAIL0);
  const last = mail(core, MAIL1);
  const rights = ACCESS_READ | ACCESS_WRITE;
  if (!(access & rights) || access & ~(rights | ACCESS_WAITS) || first > last) return fail(EINVAL);
  const domain = load<u32>(slot, DEVICE_DOMAIN);
  const target = domain ? slotOf(core, domain, KIND_DOMAIN) : 0;
  // Each look-up may give an extent of its own, and a look-up of 2 KiB half as many bytes.
  const most = (<u64>ACCESS_MAX_BYTES) >> (target ? 12 - load<u32>(target, DOMAIN_LOOKUP_SHIFT) : 0);
  if (last - first >= most) return fail(E2BIG);
  setFault(slot, FAULT_NONE, 0, 0, 0);
  if (target) {
    return dispatch(load<u32>(target, DOMAIN_FORMAT), Op.Access, core, target, <u32>slot, access, 1);
  }
  const log = access & ACCESS_WRITE ? logOf(core, slot) : 0;
  if (log) logWrite(core, log, first, last);
  addExtent(core + load<u32>(core, CORE_TRANSFER), 0, first, <u32>(last - first) + 1);
  post(core, MAIL1, 1);
  return DONE;
}
