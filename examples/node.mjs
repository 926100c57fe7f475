// A machine with two devices that write guest memory by DMA, and a loop that asks, round by round, which pages they have
// written: all together from the IOMMU's page tables, and each device on its own from the log that it keeps.
//
//   node examples/node.mjs
import { READ, WRITE, open } from 'wasm-iommu';

const PAGE = 4096;
const RING = 0x10_0000; // IOVA of the NIC's receive buffers: 64 of 2 KiB
const CACHE = 0x40_0000; // IOVA of what the disk reads into
const ram = new Uint8Array(8 * 1024 * 1024);

const core = await open({ memory: '8MiB' });
const iommu = core.iommu();
const domain = iommu.domain({ format: 'vtdss', dirtyTracking: true, leafSizes: [PAGE] });
domain.map({ iova: 0, pa: 0, length: ram.length, access: READ | WRITE });

/** A device behind the IOMMU, with a log of its own. */
function plug(name, requesterId) {
  const port = iommu.attach(requesterId, domain);
  const log = core.deviceLog({ ranges: [{ iova: 0, length: ram.length }] });
  port.logTo(log);
  return { name, port, log, dirty: core.bitmap({ length: ram.length }) };
}

/** DMA: asks the IOMMU where `bytes` may go, and puts them there. */
function dmaWrite({ name, port }, iova, bytes) {
  const extents = port.access(iova, bytes.length, WRITE);
  if (extents < 0) throw new Error(`${name}: ${port.fault.reason} fault at 0x${port.fault.iova.toString(16)}`);
  for (let i = 0, done = 0; i < extents; i++) {
    const length = port.extentLength(i);
    ram.set(bytes.subarray(done, done + length), port.extentAddress(i));
    done += length;
  }
}

const nic = plug('nic', 0x0018);
const disk = plug('disk', 0x0020);
const dirty = core.bitmap({ length: ram.length });
let packets = 0;

for (let round = 1; round <= 3; round++) {
  for (let i = 0; i < 5; i++, packets++) {
    dmaWrite(nic, RING + (packets % 64) * 2048, new Uint8Array(1514).fill(packets));
  }
  dmaWrite(disk, CACHE + round * 0x2_0000, new Uint8Array(48 * 1024).fill(round));

  domain.readAndClearDirty({ iova: 0, length: ram.length, into: dirty });
  console.log(`round ${round}: ${dirty.count()} pages`);
  for (const device of [nic, disk]) {
    device.log.report({ iova: 0, length: ram.length, into: device.dirty });
    for (const { start, length } of device.dirty.runs()) {
      // What a migration would send: ram.subarray(start, start + length).
      console.log(`  ${device.name.padEnd(4)} 0x${start.toString(16)} .. 0x${(start + length - 1).toString(16)}`);
    }
    device.dirty.clear();
  }
  dirty.clear();
}
core.close();
