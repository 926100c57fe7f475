// Two stages: a guest keeps a page table of its own for a device (stage 1, IOVA to guest-physical), and the host translates what
// the guest takes for physical (stage 2). The host moves the guest, so it tracks in stage 2, and knows nothing of IOVAs.
//
//   node examples/nested.mjs
import { READ, WRITE, open } from 'wasm-iommu';
import { GuestPageTable } from 'wasm-iommu/iommu';

const PAGE = 4096;
const RAM = 0x4000_0000; // where the guest's 4 MiB lie for the guest ...
const HOST = 0x1_2340_0000; // ... and for the host
const BYTES = 4 << 20;
const hex = (value) => `0x${value.toString(16)}`;

const core = await open({ memory: '16MiB' });
const ram = core.ram({ length: BYTES, pa: HOST, va: RAM });
const iommu = core.iommu({ ram });

// The host: all of the guest's RAM, tracked in pages of 4 KiB.
const stage2 = iommu.domain({ format: 'armv8-s2', dirtyTracking: true, leafSizes: [PAGE] });
stage2.map({ iova: RAM, pa: HOST, length: BYTES, access: READ | WRITE });
stage2.clearDirty();

// The guest: tables in its first 256 KiB, dirty state kept by hardware in its own leaves too.
const table = new GuestPageTable({
  format: 'armv8-s1',
  memory: ram,
  tables: { gpa: RAM, length: 256 << 10 },
  dirtyTracking: true,
});
table.map({ iova: 0x8000, gpa: RAM + 0x20_0000, length: 4 * PAGE, access: READ | WRITE });
table.map({ iova: 0xc000, gpa: RAM + 0x30_0000, length: PAGE, access: READ });

const stage1 = iommu.nested(stage2, { format: 'armv8-s1', root: table.root, dirtyTracking: true });
const nic = iommu.attach(0x18, stage1);

const dirty = core.bitmap({ start: RAM, length: BYTES });
const tables = core.bitmap({ start: HOST, length: BYTES });
iommu.logTableWrites(tables);

/** What the host finds, by guest-physical address. */
function report(title) {
  stage2.readAndClearDirty({ iova: RAM, length: BYTES, into: dirty });
  console.log(title);
  for (const { start, length } of dirty.runs()) {
    for (let gpa = start; gpa < start + length; gpa += PAGE) {
      const table = tables.has(gpa - RAM + HOST);
      console.log(`  ${hex(gpa)}${table ? '  a table of the guest: the IOMMU made an entry dirty in it' : ''}`);
    }
  }
  dirty.clear();
  tables.clear();
}

const { steps, ipa, under } = stage1.walk(0x8004);
const entries = steps.reduce((sum, step) => sum + step.under.length + 1, under.length);
console.log(`IOVA 0x8004 is ${hex(ipa)} for the guest and ${hex(stage1.translate(0x8004).pa)} for the host:`);
for (const { level, index, ipa: at, under: way } of steps) {
  console.log(`  stage 1 level ${level}, entry ${index} at ${hex(at)}, after ${way.length} entries of stage 2`);
}
console.log(`  and ${under.length} of stage 2 for the page: ${entries} entries for one address`);

nic.access(0x8ff0, 0x20, WRITE);
report('written by DMA at IOVA 0x8ff0 .. 0x900f:');

nic.access(0x8ff0, 0x20, WRITE);
report('the same again, when the entry of the guest is dirty already:');

// The guest maps something else there. Its page is what counts, not the IOVA.
table.unmap(0x8000, 4 * PAGE);
stage1.invalidate(0x8000, 4 * PAGE);
table.map({ iova: 0x8000, gpa: RAM + 0x10_0000, length: PAGE, access: READ | WRITE });
nic.access(0x8000, 8, WRITE);
report('the same IOVA, after the guest has mapped it anew:');

// Who refuses?
table.map({ iova: 0xd000, gpa: RAM + BYTES, length: PAGE, access: READ | WRITE });
for (const [iova, access] of [
  [0x9000, READ],
  [0xc000, WRITE],
  [0xd000, READ],
]) {
  if (nic.access(iova, 8, access) >= 0) continue;
  const { reason, stage, ipa: asked } = nic.fault;
  console.log(
    `IOVA ${hex(iova)}: ${reason} fault in stage ${stage}${asked === undefined ? '' : `, asked for ${hex(asked)}`}`,
  );
}
core.close();
