import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { COMPLETION, INTERRUPT, MAX_TRANSFER, TO_IOVA } from '../../src/device/descriptor.ts';
import { QUEUE_BANK, QUEUE_REGISTER, REGISTER, REGISTERS_BYTES } from '../../src/device/registers.ts';
import { PLACES, Site, codeOf, siteAt } from '../core/builds.ts';
import { runs } from '../runs.ts';
import { BAR, BAR_STRIDE, DATA_IOVA, Machine, QUEUE_SIZE, RAM_BYTES, RAM_IOVA } from './machine.ts';

/** IOVA of a byte of local memory of device n, for its peers. */
function localIova(device: number, offset: number): number {
  return BAR + device * BAR_STRIDE + REGISTERS_BYTES + offset;
}

function u32(...values: number[]): Uint8Array {
  const bytes = new Uint8Array(4 * values.length);
  values.forEach((value, i) => new DataView(bytes.buffer).setUint32(4 * i, value, true));
  return bytes;
}

describe.each(PLACES)('device: $name', (place) => {
  const site = new Site(place, 2);
  afterAll(() => expect(site.strayWrites()).toEqual([]));
  const machine = (options = {}) => new Machine(site.core().core, options);

  it('moves bytes between guest memory and its own, as its queue says', () => {
    const built = machine();
    const [device] = built.devices;
    const data = Uint8Array.from({ length: 5000 }, (_, i) => i * 7);
    built.ram.bytes.set(data, DATA_IOVA - RAM_IOVA + 100);
    built.order(0, 0, [
      { iova: DATA_IOVA + 100, local: 3000, length: 5000, flags: 0 },
      { iova: DATA_IOVA + 0x4001, local: 3001, length: 4998, flags: TO_IOVA | INTERRUPT },
    ]);
    expect([device.hasWork(0), device.interruptPending]).toEqual([true, false]);
    device.run();
    const copied = built.ram.bytes.subarray(DATA_IOVA + 0x4001 - RAM_IOVA, DATA_IOVA + 0x4001 - RAM_IOVA + 4999);
    expect(Buffer.compare(built.memory().subarray(3000, 8000), data)).toBe(0);
    expect(Buffer.compare(copied, Buffer.concat([data.subarray(1, 4999), Uint8Array.of(0)]))).toBe(0);
    expect([built.completion(0, 0, 0), built.completion(0, 0, 1)]).toEqual([
      [COMPLETION.done, 5000],
      [COMPLETION.done, 4998],
    ]);
    expect([device.queueRegister(0, 'head'), device.hasWork(0), device.interruptPending]).toEqual([2, false, true]);
    device.writeRegister('interruptMask', 1);
    expect(device.interruptPending).toBe(false);
    device.writeRegister('interruptMask', 0);
    device.writeRegister('interruptStatus', 1);
    expect([device.interruptPending, device.register('interruptStatus')]).toEqual([false, 0]);
  });

  it('does what a plain model of memory and copies does, queues wrapping around', () => {
    const descriptor = fc.record({
      iova: fc.nat(6000).map((at) => DATA_IOVA + at),
      local: fc.nat(9000),
      length: fc.nat(3000),
      flags: fc.nat(4),
    });
    fc.assert(
      fc.property(fc.array(fc.array(descriptor, { minLength: 1, maxLength: 5 }), { maxLength: 5 }), (batches) => {
        const built = machine();
        const [device] = built.devices;
        built.ram.bytes.forEach((_, i) => i >= 0x8000 && (built.ram.bytes[i] = i ^ (i >> 7)));
        const ram = built.ram.bytes.slice();
        const local = new Uint8Array(8192);
        const wanted: unknown[] = [];
        const got: unknown[] = [];
        let index = 0;
        for (const batch of batches) {
          built.order(0, 0, batch);
          device.run();
          for (const { iova, local: at, length, flags } of batch) {
            const valid = length > 0 && at + length <= 8192 && flags < 4;
            const from = iova - RAM_IOVA;
            if (valid && flags & TO_IOVA) ram.set(local.subarray(at, at + length), from);
            else if (valid) local.set(ram.subarray(from, from + length), at);
            wanted.push(valid ? [COMPLETION.done, length] : [COMPLETION.invalid, 0]);
            got.push(built.completion(0, 0, index++ % QUEUE_SIZE));
          }
        }
        const same = Buffer.compare(built.memory(), local) === 0;
        const ramSame = Buffer.compare(built.ram.bytes.subarray(0x8000), ram.subarray(0x8000)) === 0;
        expect([got, same, ramSame]).toEqual([wanted, true, true]);
      }),
      { numRuns: runs(40) },
    );
  });

  it('says in the completion what went wrong, and goes on', () => {
    const built = machine();
    const [device] = built.devices;
    built.domain.map({ iova: 0x7000000, pa: 0x70000000, length: 4096, access: 3 }); // nobody is there
    const cases: [number | bigint, number, number, number, number][] = [
      [0x5000000, 0, 64, 0, COMPLETION.fault],
      [RAM_IOVA + RAM_BYTES - 10, 0, 20, TO_IOVA, COMPLETION.fault],
      [DATA_IOVA, 8190, 3, 0, COMPLETION.invalid],
      [DATA_IOVA, 0, 0, 0, COMPLETION.invalid],
      [DATA_IOVA, 0, MAX_TRANSFER + 1, 0, COMPLETION.invalid],
      [2n ** 64n - 8n, 0, 16, 0, COMPLETION.invalid],
      [DATA_IOVA, 0, 8, 8, COMPLETION.invalid],
      [0x7000000, 0, 8, 0, COMPLETION.unclaimed],
      [0x7000000, 0, 8, TO_IOVA, COMPLETION.done],
      [2n ** 64n - 8n, 0, 8, TO_IOVA, COMPLETION.fault],
      [DATA_IOVA, 0, 8, 0, COMPLETION.done],
    ];
    const got = cases.map(([iova, local, length, flags], i) => {
      built.order(0, 0, [{ iova, local, length, flags }]);
      device.run();
      return built.completion(0, 0, i % QUEUE_SIZE)[0];
    });
    expect(got).toEqual(cases.map(([, , , , status]) => status));
  });

  it('moves at most 1 MiB for one descriptor', () => {
    const built = new Machine(siteAt(place, 4).core().core, { memory: MAX_TRANSFER + 4096 });
    const order = { iova: 0x5000000, local: 0, flags: 0 };
    built.order(0, 0, [
      { ...order, length: MAX_TRANSFER },
      { ...order, length: MAX_TRANSFER + 1 },
    ]);
    built.devices[0].run();
    const status = [0, 1].map((i) => built.completion(0, 0, i)[0]);
    expect(status).toEqual([COMPLETION.fault, COMPLETION.invalid]);
  });

  it('stops a queue whose descriptors it cannot read or complete, until the guest clears that', () => {
    const built = machine({ queues: 2 });
    const [device] = built.devices;
    const away = RAM_IOVA + RAM_BYTES;
    device.setQueue(1, away, 4);
    device.writeQueueRegister(1, 'tail', 1);
    built.order(0, 0, [{ iova: DATA_IOVA, local: 0, length: 1, flags: 0 }]);
    device.run();
    expect([device.register('status'), device.hasWork(1), device.queueRegister(1, 'head')]).toEqual([2, false, 0]);
    expect(built.completion(0, 0, 0)[0]).toBe(COMPLETION.done);
    // A page that can be read only: the descriptor is executed, its completion has to wait.
    built.domain.map({ iova: away, pa: 0x40000000, length: 4096, access: 1 });
    device.writeRegister('status', 2);
    device.run();
    expect([device.register('status'), device.queueRegister(1, 'head')]).toEqual([2, 0]);
    built.domain.unmap(away, 4096);
    built.domain.map({ iova: away, pa: 0x40000000, length: 4096, access: 3 });
    device.writeRegister('status', 2);
    device.run();
    expect([device.register('status'), device.queueRegister(1, 'head')]).toEqual([0, 1]);
    // The end of the address space is no place for a queue.
    device.setQueue(1, 2n ** 64n - 16n, 4);
    device.writeQueueRegister(1, 'tail', 1);
    device.run();
    expect(device.register('status')).toBe(2);
  });

  it('writes to a peer: into its local memory, its registers, or over both', () => {
    const built = machine({ devices: 2 });
    const [a, b] = built.devices;
    a.memory.write(0, Uint8Array.of(1, 2, 3, 4, 5));
    a.memory.write(4096, u32(0xabcd, 0x1234));
    built.order(0, 0, [
      { iova: localIova(1, 8187), local: 0, length: 5, flags: TO_IOVA },
      { iova: BAR + BAR_STRIDE + REGISTER.scratch, local: 4096, length: 4, flags: TO_IOVA },
      { iova: localIova(1, -4), local: 4096, length: 8, flags: TO_IOVA },
      { iova: BAR + BAR_STRIDE + REGISTER.queues, local: 16, length: 8, flags: 0 },
      { iova: BAR + BAR_STRIDE + 1, local: 0, length: 4, flags: 0 },
    ]);
    a.run();
    const status = [0, 1, 2, 3, 4].map((i) => built.completion(0, 0, i)[0]);
    expect(status).toEqual([1, 1, 1, 1, COMPLETION.unclaimed]);
    expect([...built.memory(1).subarray(8187)]).toEqual([1, 2, 3, 4, 5]);
    expect([b.register('scratch'), built.memory(1).readUInt32LE(0)]).toEqual([0xabcd, 0x1234]);
    expect([...built.memory(0).subarray(16, 24)]).toEqual([...u32(1, 2)]);
    expect([a.unanswered, b.unanswered]).toEqual([0, 0]);
  });

  it('rings the doorbell of a peer by DMA', () => {
    const built = machine({ devices: 2 });
    const [a, b] = built.devices;
    built.order(1, 0, [{ iova: DATA_IOVA, local: 0, length: 4, flags: 0 }]);
    b.writeQueueRegister(0, 'tail', 0);
    built.ram.bytes.set([7, 7, 7, 7], DATA_IOVA - RAM_IOVA);
    a.memory.write(0, u32(1));
    const doorbell = BAR + BAR_STRIDE + QUEUE_BANK + QUEUE_REGISTER.tail;
    built.order(0, 0, [{ iova: doorbell, local: 0, length: 4, flags: TO_IOVA }]);
    a.run();
    expect(b.hasWork(0)).toBe(true);
    b.run();
    expect([...built.memory(1).subarray(0, 4)]).toEqual([7, 7, 7, 7]);
  });

  it('keeps its registers within their ranges', () => {
    const built = machine({ queues: 2, type: 0xbeef });
    const [device] = built.devices;
    const writes: ['id' | 'queues' | 'memoryPages' | 'control' | 'interruptMask' | 'status', number, number][] = [
      ['id', 5, 0xbeef],
      ['queues', 5, 2],
      ['memoryPages', 5, 2],
      ['control', 0xffffffff, 1],
      ['interruptMask', 0xffffffff, 3],
      ['status', 0xffffffff, 0],
    ];
    for (const [name, value] of writes) device.writeRegister(name, value);
    expect(writes.map(([name]) => device.register(name))).toEqual(writes.map(([, , value]) => value));
    device.writeQueueRegister(1, 'tail', QUEUE_SIZE);
    device.writeQueueRegister(1, 'head', 3);
    device.writeQueueRegister(1, 'size', 65537);
    const queue = () => (['size', 'head', 'tail'] as const).map((name) => device.queueRegister(1, name));
    expect(queue()).toEqual([QUEUE_SIZE, 0, 0]);
    // A queue that is not empty stays where it is.
    device.writeQueueRegister(1, 'tail', 3);
    device.setQueue(1, 0, 4);
    expect([...queue(), device.queueRegister(1, 'baseLow')]).toEqual([QUEUE_SIZE, 0, 3, built.queueIova(0, 1)]);
    expect([device.barWrite(0x20, u32(9)), device.barRead(0x20, new Uint8Array(4))]).toEqual([true, true]);
    const read = new Uint8Array(8);
    const [end, four] = [REGISTERS_BYTES + 8192, new Uint8Array(4)];
    const beyond = [
      () => device.barWrite(end - 2, four),
      () => device.barRead(end, four),
      () => device.barRead(-4, four),
    ];
    expect(beyond.map((access) => access())).toEqual([false, false, false]);
    device.barRead(0x1c, read);
    expect([...read]).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
  });

  it('starts again as new after a reset, and DMA that was under way lands nowhere', () => {
    const built = machine();
    const [device] = built.devices;
    built.ram.bytes.fill(9, DATA_IOVA - RAM_IOVA);
    built.order(0, 0, [{ iova: DATA_IOVA, local: 0, length: 4096, flags: 0 }]);
    const steps = device.queueSteps(0);
    for (let i = 0; i < 4; i++) steps.next(); // fetched, and the data translated
    expect(device.underWay).toBe(1);
    device.writeRegister('scratch', 5);
    device.reset();
    while (!steps.next().done);
    expect([device.register('scratch'), device.register('control'), device.queueRegister(0, 'size')]).toEqual([
      0, 0, 0,
    ]);
    expect([built.memory().every((byte) => byte === 0), device.underWay]).toEqual([true, 0]);
    expect([device.activity, device.register('memoryPages')]).toEqual(['running', 2]);
  });

  it('executes a queue in one place at a time, and says what does not fit', () => {
    const { core } = site.core();
    const built = new Machine(core);
    const [device] = built.devices;
    built.order(0, 0, [{ iova: DATA_IOVA, local: 0, length: 1, flags: 0 }]);
    const steps = device.queueSteps(0);
    steps.next();
    expect(() => device.run()).toThrow(/queue 0 is being executed already \(EBUSY\)/);
    while (!steps.next().done);
    const { bus } = built;
    const { requester } = device;
    const options = { requester, bus, memory: 4096 };
    const used = core.usage.usedBytes;
    const errors: [() => unknown, RegExp][] = [
      [() => core.dmaDevice({ ...options, memory: 0 }), /memory is 0 bytes; it must be a multiple of 4096.*EINVAL/],
      [() => core.dmaDevice({ ...options, memory: 5000 }), /memory is 5000/],
      [() => core.dmaDevice({ ...options, memory: 2 ** 32 }), /memory is 4294967296/],
      [() => core.dmaDevice({ ...options, memory: 2 ** 24 }), /ENOMEM/],
      [() => core.dmaDevice({ ...options, queues: 17 }), /queues is 17/],
      [() => core.dmaDevice({ ...options, queues: 0 }), /queues is 0/],
      [() => core.dmaDevice({ ...options, type: -1 }), /type is -1/],
      [
        () => core.dmaDevice({ ...options, bar: BAR + 4096 }),
        /overlaps the window 0x80000000 .. 0x80002fff \(EEXIST\)/,
      ],
      [() => core.dmaDevice({ ...options, bar: -5 }), /pa is -5.*EINVAL/],
      [() => device.queueSteps(1), /queue is 1; the device has 1, from 0 on \(EINVAL\)/],
      [() => device.hasWork(-1), /queue is -1/],
      [() => device.writeQueueRegister(2, 'tail', 0), /queue is 2/],
      [() => device.memory.view(8192, 1), /ERANGE/],
      [() => device.memory.write(8190, new Uint8Array(3)), /ERANGE/],
    ];
    for (const [call, message] of errors) expect(call).toThrow(message);
    expect(core.usage.usedBytes).toBe(used);
    device.close();
    expect([bus.write(BAR, u32(1)), codeOf(() => device.memory.view(0, 1))]).toEqual([false, 'EBADF']);
  });
});
