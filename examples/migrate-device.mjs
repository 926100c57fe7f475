// A device moves between two hosts while it does DMA: guest memory by the device's dirty log, the device's own state by the VFIO
// migration protocol (pre-copy, stop-and-copy, resume). The order in the queue that the guest gave last is executed over there.
//
//   node examples/migrate-device.mjs
import { READ, WRITE, open } from 'wasm-iommu';
import { Bus, DESCRIPTOR_BYTES, TO_IOVA, descriptorBytes } from 'wasm-iommu/device';
import { DeviceState, IDEAL_DEVICE, STATE_NAMES, VfioDevice } from 'wasm-iommu/vfio';

const PAGE = 4096;
const RAM = 1 << 20;
const QUEUE = 0x1000; // IOVA of the queue: 64 orders
const LOCAL = 512 << 10; // the device's own memory

/** What a driver in the kernel does for each arc of the state machine; here without the P2P states. */
function driverOf(device) {
  let saving, loading;
  const read = (into) => saving.read(into);
  const endSave = () => saving.close();
  const save = (preCopy) => {
    saving = device.save({ preCopy });
    return { read, precopyInfo: () => saving.precopyInfo };
  };
  return {
    flags: 1 | 4, // STOP_COPY, PRE_COPY
    dataSize: () => device.stopCopyBytes,
    reset: () => device.reset(),
    runningToStop: () => device.stop(),
    stopToRunning: () => device.start(),
    runningToPreCopy: () => save(true),
    preCopyToRunning: endSave,
    preCopyToStopCopy() {
      device.stop();
      saving.stopCopy();
    },
    stopToStopCopy: () => save(false),
    stopCopyToStop: endSave,
    stopToResuming: () => (loading = device.load()),
    resumingToStop: () => loading.finish(),
  };
}

/** A host: guest memory, an IOMMU, the device behind it, and its VFIO interface. */
async function host() {
  const core = await open({ memory: '16MiB' });
  const ram = new Uint8Array(RAM);
  const inside = (pa, bytes) => pa + BigInt(bytes.length) <= BigInt(RAM);
  const bus = new Bus({
    readFrame: (pa, into) => inside(pa, into) && (into.set(ram.subarray(Number(pa), Number(pa) + into.length)), true),
    writeFrame: (pa, from) => inside(pa, from) && (ram.set(from, Number(pa)), true),
  });
  const iommu = core.iommu();
  const domain = iommu.domain({ format: 'vtdss' });
  domain.map({ iova: 0, pa: 0, length: RAM, access: READ | WRITE });
  const requester = iommu.attach(0x18, domain);
  const device = core.dmaDevice({ requester, bus, memory: LOCAL });
  const logging = { core, requester, iommu, profile: IDEAL_DEVICE };
  return { core, ram, device, vfio: new VfioDevice({ migration: driverOf(device), logging }) };
}

/** The guest: puts an order into the queue, and rings the doorbell. */
function order({ ram, device }, descriptor) {
  const tail = device.queueRegister(0, 'tail');
  ram.set(descriptorBytes(descriptor), QUEUE + tail * DESCRIPTOR_BYTES);
  device.writeQueueRegister(0, 'tail', (tail + 1) % 64);
}

const source = await host();
const target = await host();
source.device.writeRegister('control', 1);
source.device.setQueue(0, QUEUE, 64);
source.ram.fill(7, 0x4_0000, 0x6_0000);
order(source, { iova: 0x4_0000, local: 0, length: 0x2_0000, flags: 0 }); // 128 KiB into the device
source.device.run();

let sent = [];
const say = (what, text) => console.log(`${what.padEnd(11)} ${text}`);
const go = ({ vfio }, name) => vfio.setMigDeviceState({ deviceState: DeviceState[name] }).stream;

/** Sends what the stream has now; the bytes. */
function drain(stream) {
  const chunk = new Uint8Array(64 << 10);
  let bytes = 0;
  try {
    for (let count; (count = stream.read(chunk)) > 0; bytes += count) sent.push(chunk.slice(0, count));
  } catch (error) {
    if (error.code !== 'ENOMSG') throw error; // nothing for now
  }
  return bytes;
}

/** Copies the pages that the device has written since the last time. */
function copyDirty(pages = new Uint8Array(RAM / PAGE / 8)) {
  source.vfio.dmaLoggingReport({ iova: 0, length: RAM, pageSize: PAGE, bitmap: pages });
  const dirty = Array.from({ length: RAM / PAGE }, (_, page) => page).filter(
    (page) => pages[page >> 3] & (1 << (page & 7)),
  );
  for (const page of dirty) target.ram.set(source.ram.subarray(page * PAGE, (page + 1) * PAGE), page * PAGE);
  return dirty.length;
}

// Pre-copy: the device works on while its state and the guest's memory are read.
source.vfio.dmaLoggingStart({ pageSize: PAGE, ranges: [{ iova: 0, length: RAM }] });
target.ram.set(source.ram);
const stream = go(source, 'PRE_COPY');
say('PRE_COPY', `${drain(stream)} bytes for ${LOCAL} of local memory: zeros cost little`);
for (let round = 1; round <= 3; round++) {
  order(source, { iova: 0x8_0000 + round * PAGE, local: 0, length: 3 * PAGE, flags: TO_IOVA });
  order(source, { iova: 0x4_0000, local: 0x7_0000 + round, length: 300, flags: 0 });
  source.device.run();
  const { initialBytes, dirtyBytes } = stream.precopyInfo();
  const pages = copyDirty();
  say(
    `  round ${round}`,
    `${pages} pages of memory; at most ${initialBytes + dirtyBytes} bytes of state, sent ${drain(stream)}`,
  );
}

// The last order is rung, and not executed, when the device stops.
order(source, { iova: 0xa_0000, local: 0x7_0000, length: 8, flags: TO_IOVA });
go(source, 'STOP_COPY');
say(
  'STOP_COPY',
  `at most ${source.vfio.migDataSize().stopCopyLength} bytes, sent ${drain(stream)}; ${copyDirty()} pages of memory`,
);
// What the guest's CPUs write is not in the device's log.
target.ram.set(source.ram.subarray(QUEUE, QUEUE + PAGE), QUEUE);
go(source, 'STOP');

// One bit wrong on the way: the target's driver refuses, and its device is as it was.
const whole = Uint8Array.from(sent.flatMap((chunk) => [...chunk]));
const damaged = whole.slice();
damaged[1000] ^= 4;
for (const state of [damaged, whole]) {
  const into = go(target, 'RESUMING');
  for (let at = 0; at < state.length;) at += into.write(state.subarray(at, at + 5000));
  try {
    go(target, 'STOP');
  } catch ({ message }) {
    say('RESUMING', message.slice(message.indexOf(': ') + 2));
    target.vfio.reset();
  }
}
say('RESUMING', `${whole.length} bytes taken, ${STATE_NAMES[target.vfio.migDeviceState().deviceState]}`);
go(target, 'RUNNING');
target.device.run();
const same = target.device.memory.view(0, LOCAL).every((byte, i) => byte === source.device.memory.view(0, LOCAL)[i]);
say(
  'RUNNING',
  `local memory ${same ? 'equal' : 'DIFFERS'}; the last order has put ${target.ram.subarray(0xa_0000, 0xa_0008)} there`,
);
source.core.close();
target.core.close();
