/** Tracks one write, in plain JavaScript: what a page and a module for Node have in common. */
export const CONSUMER_SCRIPT = `import { IommuError, READ, WRITE, open } from 'wasm-iommu';

const core = await open({ memory: '4MiB' });
const iommu = core.iommu({ iotlb: { sets: 4, ways: 2 } });
const domain = iommu.domain({ format: 'amdv1', dirtyTracking: true, leafSizes: [4096] });
domain.map({ iova: 0, pa: 0, length: 0x10000, access: READ | WRITE });
const nic = iommu.attach(0x18, domain);
nic.post(0x2ff0, 0x20, WRITE);
iommu.run();
const dirty = core.bitmap({ length: 0x10000 });
domain.readAndClearDirty({ iova: 0, length: 0x10000, into: dirty });
const runs = [...dirty.runs()];
const fault = nic.access(0x10000, 1, READ) < 0 ? nic.fault : undefined;
const where = fault?.iova;
let code = '';
try {
  domain.map({ iova: 1, pa: 0, length: 4096, access: READ });
} catch (error) {
  if (error instanceof IommuError) code = error.code;
}
const result = JSON.stringify({ runs, where, code });
`;

/** Something of each subpath, which must be the same as of the package as a whole. */
const SUBPATHS = `import { IommuError as RootError, uapi, type VfioCompat } from 'wasm-iommu';
import { PlainAddressSpace, type AddressSpace } from 'wasm-iommu/address-space';
import { REGISTER, type DmaDevice } from 'wasm-iommu/device';
import { FORMATS, type Domain as SameDomain } from 'wasm-iommu/iommu';
import { Iommufd, type IommufdDevice } from 'wasm-iommu/iommufd';
import { Type1Container, type Type1Group } from 'wasm-iommu/type1';
import { IOMMU_IOAS_ALLOC, IommuIoasAlloc, type StructOf } from 'wasm-iommu/uapi';
import { DeviceState, nextState, type MigrationDriver } from 'wasm-iommu/vfio';

const addressSpace: AddressSpace = new PlainAddressSpace();
const fd = new Iommufd(core, { addressSpace });
const arg = new Uint8Array(IommuIoasAlloc.size);
IommuIoasAlloc.encode({ size: arg.length }, arg);
const status = fd.ioctl(IOMMU_IOAS_ALLOC, arg);
const made: StructOf<typeof IommuIoasAlloc> = IommuIoasAlloc.decode(arg);
let refused = '';
try {
  new Type1Container(core, { addressSpace }).setIommu(uapi.VFIO_TYPE1v2_IOMMU);
} catch (error) {
  if (error instanceof RootError) refused = error.code;
}
export const device = fd.bind({ iommu, requesterId: 1, domain: { format: FORMATS[0].name } });
export const kinds: [IommufdDevice, VfioCompat, SameDomain] = [device, fd.vfio, domain];
export type Others = [DmaDevice, Type1Group, MigrationDriver];
const next = nextState(DeviceState.RUNNING, DeviceState.STOP_COPY, 1);
const parts = [status, made.outIoasId, refused, next, REGISTER.control];
`;

/** All of it in TypeScript, with the package's own types at each step. */
export const CONSUMER = `import type { Address, Bitmap, Core, Domain, Fault, Iommu, Requester, Run } from 'wasm-iommu';
${CONSUMER_SCRIPT}
${SUBPATHS}
export const typed: [Core, Iommu, Domain, Requester, Bitmap, Run[], Fault | undefined, Address | undefined, string] = [
  core, iommu, domain, nic, dirty, runs, fault, where, code,
];
const all = JSON.stringify([JSON.parse(result), parts]);
export { all as result };
`;

const FOUND = { runs: [{ start: 0x2000, length: 0x2000 }], where: 0x10000, code: 'EINVAL' };

/** What the script finds. */
export const SCRIPT_RESULT = JSON.stringify(FOUND);

/** What all of it finds: an IOAS with id 1, no group in the container, STOP on the way to STOP_COPY. */
export const CONSUMER_RESULT = JSON.stringify([FOUND, [0, 1, 'EINVAL', 1, 4]]);

/** A consumer's tsconfig.json: as strict as it gets, and without the DOM. */
export function tsconfig(options: Readonly<Record<string, unknown>>): string {
  return JSON.stringify({
    compilerOptions: {
      target: 'ES2022',
      lib: ['ES2022'],
      types: [],
      strict: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: false,
      ...options,
    },
    include: ['*.ts'],
  });
}
