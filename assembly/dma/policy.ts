import {
  DOMAIN_FAULTS,
  DOMAIN_FORMAT,
  DONE,
  EBADF,
  EINVAL,
  FAULTS_SILENT,
  FAULTS_STAGE_SHIFT,
  FORMAT_ARMV8_S1_16K,
  FORMAT_ARMV8_S1_4K,
  FORMAT_ARMV8_S1_64K,
  FORMAT_ARMV8_S2_16K,
  FORMAT_ARMV8_S2_4K,
  FORMAT_ARMV8_S2_64K,
  KIND_DOMAIN,
  RESPONSE_ABORT,
  RESPONSE_IGNORED,
  RESPONSE_STALLED,
} from '../layout';
import { slotOf } from '../memory/handles';
import { fail } from '../memory/mailbox';

/** Whether an SMMU has this response for faults in a domain of `format`: read-zero and write-ignore is of stage 1 alone. */
function hasResponse(format: u32, response: u32): bool {
  switch (format) {
    case FORMAT_ARMV8_S1_4K:
    case FORMAT_ARMV8_S1_16K:
    case FORMAT_ARMV8_S1_64K:
      return response <= <u32>RESPONSE_STALLED;
    case FORMAT_ARMV8_S2_4K:
    case FORMAT_ARMV8_S2_16K:
    case FORMAT_ARMV8_S2_64K:
      return response <= <u32>RESPONSE_STALLED && response != <u32>RESPONSE_IGNORED;
    default:
      return response == <u32>RESPONSE_ABORT;
  }
}

/**
 * What requests that fault in `domain` get from now on, RESPONSE_*, and whether that is recorded. EBADF; EINVAL: a response that
 * the format lacks.
 */
export function domainFaults(core: usize, domain: u32, response: u32, silent: u32): i32 {
  const slot = slotOf(core, domain, KIND_DOMAIN);
  if (!slot) return fail(EBADF);
  if (!hasResponse(load<u32>(slot, DOMAIN_FORMAT), response)) return fail(EINVAL);
  const stage = load<u32>(slot, DOMAIN_FAULTS) & (u32.MAX_VALUE << FAULTS_STAGE_SHIFT);
  store<u32>(slot, stage | response | (silent ? FAULTS_SILENT : 0), DOMAIN_FAULTS);
  return DONE;
}
