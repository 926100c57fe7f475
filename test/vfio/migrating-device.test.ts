import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { descriptorBytes, TO_IOVA } from '../../src/device/descriptor.ts';
import type { VfioDevice } from '../../src/vfio/device.ts';
import { DeviceState } from '../../src/vfio/device-state.ts';
import { DmaDeviceDriver } from '../../src/vfio/dma-device-driver.ts';
import { MigratingDevice } from '../../src/vfio/migrating-device.ts';
import { PLACES, Site, codeOf } from '../core/builds.ts';
import { DATA_IOVA, Machine, RAM_IOVA } from '../device/machine.ts';
import { runs } from '../runs.ts';
import { GET, binary, typed } from './doors.ts';
import { ask, busyGuest, drain, fill, imageOf, resume, run, type Door } from './migrating.ts';

const { ERROR, RUNNING, STOP, STOP_COPY, RESUMING, RUNNING_P2P, PRE_COPY, PRE_COPY_P2P } = DeviceState;
const DOORS: readonly Door[] = ['typed', 'binary'];
const ALL_FLAGS = 7;
const PAGE = 4096;

/** MIG_DEVICE_STATE, GET. */
function stateOf(door: Door, vfio: VfioDevice): unknown {
  return (door === 'typed' ? typed : binary)(vfio, GET | 2).out?.deviceState;
}

/** What a refused stream leaves: errnos of the way out and of further bytes, the state, and the way out once more. */
function refused(door: Door, vfio: VfioDevice, image: Uint8Array): unknown[] {
  const { stream } = ask(door, vfio, RESUMING);
  fill(stream!, image);
  const first = ask(door, vfio, STOP).code;
  const after = [codeOf(() => stream!.write(Uint8Array.of(1))), ask(door, vfio, RUNNING).code, stateOf(door, vfio)];
  const { enabled } = stream!;
  stream!.close();
  vfio.reset();
  return [first, ...after, enabled, stateOf(door, vfio)];
}

const REFUSED = ['EINVAL', 'EINVAL', 'EINVAL', RESUMING, true, RUNNING];

describe.each(PLACES)('a device that resumes: $name', (place) => {
  const site = new Site(place, 2);
  const elsewhere = new Site(PLACES[(PLACES.indexOf(place) + 2) % PLACES.length], 2);

  it.each(DOORS)('is refused every prefix and every flip of a bit, %s door, until it is reset', (door) => {
    const [source] = busyGuest(site.core().core, ALL_FLAGS).vfio;
    const { stream } = ask('typed', source, PRE_COPY);
    const early = drain(stream!);
    ask('typed', source, STOP_COPY);
    const image = Buffer.concat([early, drain(stream!)]);
    ask('typed', source, STOP);
    const guest = busyGuest(elsewhere.core().core, ALL_FLAGS);
    const [vfio] = guest.vfio;
    const wrong: string[] = [];
    const check = (what: string, bytes: Uint8Array) => {
      const came = refused(door, vfio, bytes);
      if (came.join() !== REFUSED.join()) wrong.push(`${what}: ${came.join()}`);
    };
    const every = place.build === 'release' && door === 'typed' ? 1 : 5;
    for (let length = 0; length < image.length; length++) check(`cut to ${length}`, image.subarray(0, length));
    for (let bit = 0; bit < image.length * 8; bit += every) {
      const flipped = Buffer.from(image);
      flipped[bit >> 3] ^= 1 << (bit & 7);
      check(`bit ${bit}`, flipped);
    }
    expect([image.length < 1500, wrong]).toEqual([true, []]);
    expect([resume(door, vfio, image), Buffer.compare(imageOf(vfio), imageOf(source))]).toEqual(['none', 0]);
  });

  it.each(DOORS)('is refused the state of another kind of device, and what is none, %s door', (door) => {
    const [vfio] = busyGuest(elsewhere.core().core, ALL_FLAGS).vfio;
    const others = [{ type: 2 }, { queues: 2 }, { memory: 3 * PAGE }].map((options) =>
      imageOf(busyGuest(site.core().core, ALL_FLAGS, options).vfio[0]),
    );
    const image = imageOf(busyGuest(site.core().core, ALL_FLAGS).vfio[0]);
    const foreign = [
      ...others,
      Buffer.alloc(500),
      Buffer.from('QEVM'.repeat(100)),
      Buffer.concat([image, Buffer.of(0)]),
      Buffer.concat([image, image]),
      Buffer.concat([image.subarray(0, 300), others[0].subarray(300)]),
    ];
    expect(foreign.map((bytes) => refused(door, vfio, bytes))).toEqual(foreign.map(() => REFUSED));
    expect(resume(door, vfio, image)).toBe('none');
  });

  it('is the same device however the stream was cut on both sides', () => {
    const size = fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 9000 }));
    const sizes = fc.array(size, { minLength: 1, maxLength: 6 });
    const wanted = imageOf(busyGuest(site.core().core, ALL_FLAGS).vfio[0]);
    fc.assert(
      fc.property(size, sizes, fc.constantFrom(...DOORS), (reads, writes, door) => {
        const [source] = busyGuest(site.core().core, ALL_FLAGS).vfio;
        const image = drain(ask(door, source, STOP_COPY).stream!, reads);
        const [vfio] = busyGuest(elsewhere.core().core, ALL_FLAGS).vfio;
        const code = resume(door, vfio, image, writes);
        expect([code, Buffer.compare(imageOf(vfio), wanted)]).toEqual(['none', 0]);
      }),
      { numRuns: runs(20) },
    );
  });
});

describe('a device that migrates', () => {
  const site = new Site(PLACES[0], 2);

  it('is made in a few lines, logs its DMA, and gives everything back', () => {
    const { core } = site.core();
    const machine = new Machine(core, { devices: 0 });
    const requester = machine.iommu.attach(9, machine.domain);
    const used = core.usage.usedBytes;
    const options = { requester, bus: machine.bus, memory: 2 * PAGE, iommu: machine.iommu };
    const vfio = new MigratingDevice(core, options);
    expect([vfio.migration(), vfio.migDeviceState().deviceState]).toEqual([{ flags: 7n }, RUNNING]);
    vfio.dmaLoggingStart({ pageSize: PAGE, ranges: [{ iova: RAM_IOVA, length: 16 * PAGE }] });
    vfio.dma.writeRegister('control', 1);
    vfio.dma.setQueue(0, machine.queueIova(0, 0), 8);
    const order = { iova: DATA_IOVA + PAGE, local: 0, length: 8, flags: TO_IOVA };
    machine.ram.bytes.set(descriptorBytes(order), 0);
    vfio.dma.writeQueueRegister(0, 'tail', 1);
    vfio.dma.run();
    const bitmap = core.bitmap({ start: RAM_IOVA, length: 16 * PAGE });
    vfio.dmaLoggingReport({ iova: RAM_IOVA, length: 16 * PAGE, pageSize: PAGE, bitmap });
    expect([...bitmap.pageRuns()].map(({ page, pages }) => [page, pages])).toEqual([
      [0, 1],
      [9, 1],
    ]);
    bitmap.close();
    const { stream } = vfio.setMigDeviceState({ deviceState: PRE_COPY });
    stream!.read(new Uint8Array(10));
    vfio.close();
    expect([core.usage.usedBytes, codeOf(() => stream!.read(new Uint8Array(10))), codeOf(() => vfio.close())]).toEqual([
      used,
      'ENODEV',
      'EBADF',
    ]);
    const without = new MigratingDevice(core, { ...options, logging: null, flags: 1 });
    expect([codeOf(() => without.dmaLoggingStop()), without.migration()]).toEqual(['ENOTTY', { flags: 1n }]);
    without.close();
    for (const flags of [0, 2, 6, 8]) {
      expect(codeOf(() => new MigratingDevice(core, { ...options, flags }))).toBe('EINVAL');
    }
    expect(core.usage.usedBytes).toBe(used);
  });

  it('says how much is to come: estimates that reading never exceeds', () => {
    const guest = busyGuest(site.core().core, ALL_FLAGS, { memory: 64 * PAGE });
    const [vfio] = guest.vfio;
    const { stopCopyLength } = vfio.migDataSize();
    const { stream } = ask('typed', vfio, PRE_COPY);
    const first = stream!.precopyInfo();
    const early = drain(stream!);
    expect([first.initialBytes > 0n, first.dirtyBytes, first.initialBytes >= BigInt(early.length)]).toEqual([
      true,
      0n,
      true,
    ]);
    expect(stream!.precopyInfo()).toEqual({ initialBytes: 0n, dirtyBytes: 0n });
    expect(codeOf(() => stream!.read(new Uint8Array(1)))).toBe('ENOMSG');
    guest.devices[0].memory.write(5 * PAGE, Uint8Array.of(1));
    expect(stream!.precopyInfo()).toEqual({ initialBytes: 0n, dirtyBytes: 32n + BigInt(PAGE) });
    ask('typed', vfio, PRE_COPY_P2P);
    expect(stream!.precopyInfo().dirtyBytes).toBe(32n + BigInt(PAGE));
    const left = vfio.migDataSize().stopCopyLength;
    ask('typed', vfio, STOP_COPY);
    const rest = drain(stream!);
    expect([BigInt(rest.length) <= left, left < stopCopyLength, codeOf(() => stream!.precopyInfo())]).toEqual([
      true,
      true,
      'EINVAL',
    ]);
    expect([vfio.migDataSize().stopCopyLength, stream!.read(new Uint8Array(1))]).toEqual([0n, 0]);
  });

  it('without pre-copy has no MIG_GET_PRECOPY_INFO, and may say 0 instead of ENOMSG', () => {
    const [plain] = busyGuest(site.core().core, 1).vfio;
    const { stream } = ask('typed', plain, STOP_COPY);
    expect(codeOf(() => stream!.precopyInfo())).toBe('ENOTTY');
    const { core } = site.core();
    const machine = new Machine(core, { devices: 0 });
    const requester = machine.iommu.attach(1, machine.domain);
    const options = { requester, bus: machine.bus, memory: PAGE, temporaryEnd: 'zero' } as const;
    const zero = new MigratingDevice(core, options);
    const saving = ask('typed', zero, PRE_COPY).stream!;
    drain(saving);
    expect(saving.read(new Uint8Array(1))).toBe(0);
  });

  it('waits for DMA under way step by step, and is EBUSY at once, as it was', () => {
    for (const flags of [1, 3, 5, 7]) {
      const guest = busyGuest(site.core().core, flags);
      const [[device], [vfio]] = [guest.devices, guest.vfio];
      const queue = device.queueSteps(0);
      queue.next();
      queue.next(); // the fetch of a descriptor is translated, and has not landed
      for (const door of DOORS) {
        expect([ask(door, vfio, STOP).code, device.activity, stateOf(door, vfio)]).toEqual([
          'EBUSY',
          'running',
          RUNNING,
        ]);
      }
      const steps = vfio.deviceFeatureSteps((1 << 17) | 2, { deviceState: STOP, dataFd: -1 });
      let next = steps.next();
      while (!next.done && next.value.ready?.() !== false) next = steps.next();
      expect([next.done, device.activity, device.underWay]).toEqual([false, 'quiesced', 1]);
      while (!queue.next().done);
      while (!next.done) next = steps.next();
      expect([device.activity, stateOf('typed', vfio)]).toEqual(['stopped', STOP]);
    }
  });

  it('answers its peers and its guest in the P2P states, begins no DMA, and keeps still when it is stopped', () => {
    const guest = busyGuest(site.core().core, ALL_FLAGS);
    const [[device], [vfio]] = [guest.devices, guest.vfio];
    const before = guest.memory();
    for (const state of [RUNNING_P2P, PRE_COPY_P2P]) {
      ask('typed', vfio, state);
      device.run();
      device.writeRegister('scratch', 7 + state);
      expect([device.register('scratch'), device.queueRegister(0, 'head')]).toEqual([7 + state, 0]);
    }
    ask('typed', vfio, STOP);
    expect(codeOf(() => device.writeRegister('scratch', 1))).toBe('EBUSY');
    expect(Buffer.compare(guest.memory(), before)).toBe(0);
    run(vfio);
    guest.finish();
    expect(device.queueRegister(0, 'head')).toBe(4);
  });

  it('passes on that memory is short, and stays where it was', () => {
    const { core } = site.core();
    const [vfio] = busyGuest(core, ALL_FLAGS, { memory: 2 ** 18 }).vfio;
    const filler: { close(): void }[] = [];
    for (let pages = 2 ** 22; pages >= 1; pages /= 2) {
      while (codeOf(() => filler.push(core.bitmap({ length: pages * PAGE }))) === 'none');
    }
    const codes = DOORS.map((door) => [ask(door, vfio, PRE_COPY).code, stateOf(door, vfio)]);
    const load = [ask('typed', vfio, RESUMING).code, stateOf('typed', vfio)];
    expect([...codes, load]).toEqual([...DOORS.map(() => ['ENOMEM', RUNNING]), ['ENOMEM', STOP]]);
    filler.forEach((each) => each.close());
    expect(ask('typed', vfio, PRE_COPY).code).toBe('none');
  });

  it('is in ERROR where somebody else started it and an arc fails, until it is reset', () => {
    const guest = busyGuest(site.core().core, ALL_FLAGS);
    const [[device], [vfio]] = [guest.devices, guest.vfio];
    ask('typed', vfio, STOP);
    device.start();
    expect([ask('typed', vfio, STOP_COPY).code, stateOf('typed', vfio)]).toEqual(['EBUSY', ERROR]);
    vfio.reset();
    expect([stateOf('typed', vfio), device.activity]).toEqual([RUNNING, 'running']);
    ask('typed', vfio, RESUMING);
    device.reset();
    expect([ask('binary', vfio, STOP).code, stateOf('binary', vfio)]).toEqual(['EBADF', ERROR]);
    device.stop();
    expect(codeOf(() => new DmaDeviceDriver(device))).toBe('EBUSY');
  });

  it('begins a session anew after one that was reset or given up', () => {
    const { core } = site.core();
    const guest = busyGuest(core, ALL_FLAGS);
    const [vfio] = guest.vfio;
    const used = core.usage.usedBytes;
    for (const state of [PRE_COPY, STOP_COPY, RESUMING, PRE_COPY_P2P]) {
      const { stream } = ask('typed', vfio, state);
      vfio.reset();
      expect([stream!.enabled, core.usage.usedBytes]).toEqual([false, used]);
      const again = ask('typed', vfio, state).stream!;
      again.close();
      vfio.reset();
    }
    ask('typed', vfio, PRE_COPY);
    run(vfio);
    expect(core.usage.usedBytes).toBe(used);
    vfio.close();
    expect(core.usage.usedBytes).toBe(used);
  });
});
