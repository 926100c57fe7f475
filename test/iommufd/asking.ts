import { READ } from '../../src/iommu/access.ts';
import type { IommufdOptions } from '../../src/iommufd/context.ts';
import { PLACES, type Place } from '../core/builds.ts';
import { dirtyPages, guestRig, KINDS, nest } from './guest-rig.ts';

export const PAGE = 4096;
/** What the device asks for lies here on, and leads to guest-physical `AT` where it is mapped. */
export const IOVA = 0x1234_0000;
const AT = 2 ** 21;

/** A device with PRI behind a nested HWPT with a fault queue; its nest parent tracks dirty pages. */
export function asking(fdOptions: Partial<IommufdOptions> = {}, place: Place = PLACES[0]) {
  const bind = {
    device: { ats: { sets: 4, ways: 2 }, pri: true },
    capabilities: { pasidBits: 8 },
    domain: { format: 'vtdss', leafSizes: [PAGE] } as const,
  };
  const rig = guestRig(KINDS[0], { fd: fdOptions, bind, iommu: { pageRequests: 8 }, place });
  const { fd, iommu, table, device, parent } = rig;
  const { outFaultId: faultId, outFaultFd: descriptor } = fd.faultQueueAlloc();
  const hwptId = nest(rig, undefined, { flags: 4, faultId });
  device.attach(hwptId);
  fd.hwptSetDirtyTracking({ flags: 1, hwptId: parent });
  const ask = (page: number, access: number = READ, requester = device.requester) => {
    requester.post(IOVA + page * PAGE, 8, access);
    iommu.run();
  };
  const map = (page: number) => table.map({ iova: IOVA + page * PAGE, gpa: AT + page * PAGE, length: PAGE, access: 3 });
  /** Pages that were written since it was last asked, from the first one on that `map` gives. */
  const written = () => {
    iommu.run();
    return dirtyPages(rig).flatMap((page) => (page >= AT / PAGE ? [page - AT / PAGE] : []));
  };
  return { ...rig, hwptId, faultId, descriptor, queue: fd.faultFile(descriptor), ask, map, written };
}
