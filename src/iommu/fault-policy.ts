import * as layout from '../../assembly/layout.ts';
import { IommuError } from '../errno/error.ts';
import type { FormatInfo } from './formats.ts';

/** What requests that fault in a domain get, and whether that is recorded. */
export interface FaultPolicy {
  /**
   * Default `abort`. `ignore`: reads give zero and writes vanish, silently for the device (Arm stage 1: TERM_MODEL 0, CD.A 0).
   * `stall` (Arm: CD.S, STE.S2S): the request waits until `iommu.resume`; those of PCIe devices are aborted instead.
   */
  readonly response?: 'abort' | 'ignore' | 'stall';
  /**
   * Default true. False: no event (Arm CD.R, STE.S2R; VT-d FPD; RISC-V DTF); a stall is recorded all the same, and so is an
   * abort because no more requests can stall.
   */
  readonly record?: boolean;
}

const RESPONSES = { abort: layout.RESPONSE_ABORT, ignore: layout.RESPONSE_IGNORED, stall: layout.RESPONSE_STALLED };

/** The core's number of the response that a policy asks for. EINVAL: none, or one that the format lacks. */
export function responseCode(op: string, format: FormatInfo, response: string = 'abort'): number {
  if (!Object.hasOwn(RESPONSES, response)) {
    throw new IommuError(
      'EINVAL',
      op,
      `faults.response is '${response}'; there are ${Object.keys(RESPONSES).join(', ')}`,
    );
  }
  const arm = format.granule !== undefined;
  if ((response === 'stall' && !arm) || (response === 'ignore' && !(arm && format.stage === 1))) {
    const where = response === 'stall' ? 'the Arm formats have it' : 'armv8-s1 has it';
    throw new IommuError('EINVAL', op, `faults.response is '${response}', which ${format.name} lacks; ${where}`);
  }
  return RESPONSES[response as keyof typeof RESPONSES];
}
