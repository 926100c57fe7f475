import * as layout from '../../assembly/layout.ts';
import { IommuError } from '../errno/error.ts';
import type { Instance } from '../wasm/instance.ts';
import type { DomainOptions } from './domain-options.ts';
import { responseCode, type FaultPolicy } from './fault-policy.ts';
import type { FormatInfo } from './formats.ts';

/** EINVAL unless `vmid` and `asid`, where given, are numbers that the format has. */
function checkNames(op: string, format: FormatInfo, vmid?: number, asid?: number): void {
  const within = (value: number, first: number, last: number) =>
    Number.isInteger(value) && value >= first && value <= last;
  if (vmid !== undefined && !within(vmid, 1, 0xffff)) {
    throw new IommuError('EINVAL', op, `vmid is ${vmid}; it must be an integer from 1 to 65535`);
  }
  if (asid === undefined) return;
  if (format.stage !== 1) throw new IommuError('EINVAL', op, `asid is ${asid}; ${format.name} has no ASIDs`);
  const last = format.granule === undefined ? 0xfffff : 0xffff;
  if (!within(asid, 0, last)) {
    throw new IommuError('EINVAL', op, `asid is ${asid}; with ${format.name} it must be an integer from 0 to ${last}`);
  }
}

/**
 * Gives a nested domain the VMID of its parent, an ASID, and the fault policy that the options ask for. EINVAL: ASID 0 is what stage 2
 * itself has here.
 */
export function nameNested(
  core: Instance,
  domain: number,
  format: FormatInfo,
  vmid: number,
  options: { readonly asid?: number; readonly faults?: FaultPolicy },
): void {
  const { asid, faults } = options;
  if (asid === 0) throw new IommuError('EINVAL', 'iommu.nested', 'asid is 0, which stands for stage 2; take another');
  identify(core, domain, format, { ...(asid === undefined ? {} : { vmid, asid }), ...(faults ? { faults } : {}) });
}

/** Gives the domain `domain` the names and the fault policy that the options ask for. EINVAL. */
export function identify(
  core: Instance,
  domain: number,
  format: FormatInfo,
  { vmid, asid, faults }: Pick<DomainOptions, 'vmid' | 'asid' | 'faults'>,
): void {
  const op = 'iommu.domain';
  if (vmid !== undefined || asid !== undefined) {
    checkNames(op, format, vmid, asid);
    core.check(core.raw.domainIdentify(core.base, domain, vmid ?? -1, asid ?? -1), op);
  }
  if (faults) {
    const response = responseCode(op, format, faults.response);
    core.check(core.raw.domainFaults(core.base, domain, response, faults.record === false ? 1 : 0), op);
  }
}

/** The VMID of the domain `domain`. */
export function vmidOf(core: Instance, domain: number): number {
  const tag = core.loadBig(core.slot(domain, 'domain.vmid') + layout.DOMAIN_TAG);
  return Number((tag >> BigInt(layout.IOTLB_ASID_BITS)) & 0xffffn);
}

/** Its ASID. */
export function asidOf(core: Instance, domain: number): number {
  return core.load32(core.slot(domain, 'domain.asid') + layout.DOMAIN_TAG) & (2 ** layout.IOTLB_ASID_BITS - 1);
}
