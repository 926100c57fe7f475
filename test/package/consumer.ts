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

/** The same in TypeScript, with the package's own types at each step. */
export const CONSUMER = `import type { Address, Bitmap, Core, Domain, Fault, Iommu, Requester, Run } from 'wasm-iommu';
${CONSUMER_SCRIPT}
export const typed: [Core, Iommu, Domain, Requester, Bitmap, Run[], Fault | undefined, Address | undefined, string] = [
  core, iommu, domain, nic, dirty, runs, fault, where, code,
];
export { result };
`;

/** What it finds. */
export const CONSUMER_RESULT = JSON.stringify({
  runs: [{ start: 0x2000, length: 0x2000 }],
  where: 0x10000,
  code: 'EINVAL',
});

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
