import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { TO_IOVA } from '../../src/device/descriptor.ts';
import type { DmaDevice } from '../../src/device/dma-device.ts';
import type { SaveStream } from '../../src/device/save-stream.ts';
import { PLACES, Site, codeOf } from '../core/builds.ts';
import { runs } from '../runs.ts';
import { DATA_IOVA, Machine, QUEUE_SIZE, RAM_IOVA, type MachineOptions } from './machine.ts';
import { framesOf, streamOf, u32Bytes, type Frame, type PlainState } from './stream-model.ts';

const PAGE = 4096;

/** Reads until there is nothing (for now), at most `size` bytes at a time. */
function readAll(stream: SaveStream, size = 1 << 16): Buffer {
  const parts: Buffer[] = [];
  const into = new Uint8Array(size);
  for (let count = stream.read(into); count > 0; count = stream.read(into)) {
    parts.push(Buffer.from(into.subarray(0, count)));
  }
  return Buffer.concat(parts);
}

/** The whole state of a device that is stopped for it. */
function saveWhole(device: DmaDevice): Buffer {
  device.stop();
  const stream = device.save({ preCopy: false });
  const bytes = readAll(stream);
  stream.close();
  return bytes;
}

/** Gives `bytes` to a stopped device; the code of the error, or 'none'. */
function load(device: DmaDevice, bytes: Uint8Array, sizes: readonly number[] = [bytes.length]): string {
  device.stop();
  const stream = device.load();
  for (let at = 0, i = 0; at < bytes.length; i++) at += stream.write(bytes.subarray(at, at + sizes[i % sizes.length]));
  return codeOf(() => stream.finish());
}

/** A device in the middle of things: data in its memory, registers set, a descriptor fetched and not moved. */
function busyMachine(site: Site, options: MachineOptions = {}): Machine {
  const built = new Machine(site.core().core, options);
  const [device] = built.devices;
  device.memory.write(PAGE - 3, Uint8Array.of(1, 2, 3, 4, 5, 6));
  device.writeRegister('scratch', 0xfeedf00d);
  device.writeRegister('interruptMask', 1);
  built.ram.bytes.set([9, 8, 7, 6], DATA_IOVA - RAM_IOVA);
  const descriptor = { iova: DATA_IOVA, local: 100, length: 4, flags: 0 };
  built.order(0, 0, [descriptor, { ...descriptor, iova: DATA_IOVA + 64, flags: TO_IOVA }]);
  const steps = device.queueSteps(0);
  for (let i = 0; i < 3; i++) steps.next();
  device.quiesce();
  while (!steps.next().done);
  return built;
}

const whole: PlainState = {
  type: 1,
  pages: [0, 1].map((n) => {
    const page = new Uint8Array(PAGE);
    page.set(n === 0 ? [1, 2, 3] : [4, 5, 6], n === 0 ? PAGE - 3 : 0);
    return page;
  }),
  queues: [[RAM_IOVA, 0, QUEUE_SIZE, 0, 2]],
  engines: [[1, DATA_IOVA, 0, 100, 4, 0, 0, 0]],
  scratch: 0xfeedf00d,
};

describe.each(PLACES)('device state: $name', (place) => {
  const site = new Site(place, 2);
  const elsewhere = new Site(PLACES[(PLACES.indexOf(place) + 2) % PLACES.length], 2);
  afterAll(() => expect([...site.strayWrites(), ...elsewhere.strayWrites()]).toEqual([]));

  it('is the documented bytes, the same in every build, place and budget', () => {
    const built = busyMachine(site);
    built.devices[0].writeRegister('interruptMask', 0);
    const stream = saveWhole(built.devices[0]);
    expect(stream.toString('hex')).toBe(streamOf(framesOf(whole)).toString('hex'));
  });

  it('brings everything to another device, which goes on where the first one was', () => {
    const built = busyMachine(site);
    const stream = saveWhole(built.devices[0]);
    const other = new Machine(elsewhere.core().core);
    const [device] = other.devices;
    other.ram.bytes.set(built.ram.bytes);
    expect(load(device, stream)).toBe('none');
    expect(Buffer.compare(saveWhole(device), stream)).toBe(0);
    for (const machine of [built, other]) {
      machine.devices[0].start();
      machine.devices[0].run();
    }
    expect(Buffer.compare(other.memory(), built.memory())).toBe(0);
    expect(Buffer.compare(other.ram.bytes, built.ram.bytes)).toBe(0);
    expect([[...other.memory().subarray(100, 104)], device.queueRegister(0, 'head')]).toEqual([[9, 8, 7, 6], 2]);
  });

  it('survives any cutting of the stream, while memory changes in pre-copy', () => {
    const write = fc.record({
      at: fc.nat(5 * PAGE - 1),
      length: fc.integer({ min: 1, max: 5000 }),
      value: fc.nat(255),
    });
    const act = fc.oneof(
      { weight: 3, arbitrary: write },
      { weight: 2, arbitrary: fc.record({ read: fc.oneof(fc.integer({ min: 1, max: 99 }), fc.nat(30000)) }) },
    );
    const sizes = fc.array(fc.integer({ min: 1, max: 20000 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(fc.array(act, { maxLength: 30 }), sizes, fc.boolean(), (acts, cuts, preCopy) => {
        const [device] = busyMachine(site, { memory: 5 * PAGE, queues: 2 }).devices;
        const parts: Buffer[] = [];
        if (!preCopy) device.stop();
        const stream = device.save({ preCopy });
        for (const step of acts) {
          if ('read' in step) {
            const into = new Uint8Array(step.read);
            parts.push(Buffer.from(into.subarray(0, stream.read(into))));
          } else if (preCopy) {
            const length = Math.min(step.length, 5 * PAGE - step.at);
            device.memory.fill(step.at, length, (bytes) => bytes.fill(step.value));
          }
        }
        device.stop();
        stream.stopCopy();
        const estimate = device.stopCopyBytes;
        const rest = readAll(stream, 777);
        const { ended } = stream;
        const after = [stream.read(new Uint8Array(9)), device.stopCopyBytes];
        stream.close();
        const [other] = new Machine(elsewhere.core().core, { memory: 5 * PAGE, queues: 2 }).devices;
        const code = load(other, Buffer.concat([...parts, rest]), cuts);
        const same = Buffer.compare(saveWhole(other), saveWhole(device)) === 0;
        const enough = rest.length <= estimate;
        expect({ code, same, ended, after, enough }).toEqual({
          code: 'none',
          same: true,
          ended: true,
          after: [0, 0],
          enough: true,
        });
      }),
      { numRuns: runs(25) },
    );
  });

  it('sends in pre-copy first everything, then what changed, as little of it as does', () => {
    const built = new Machine(site.core().core, { memory: 64 * PAGE });
    const [device] = built.devices;
    device.memory.fill(0, 8 * PAGE, (bytes) => bytes.forEach((_, i) => (bytes[i] = i * 31 + (i >> 9))));
    const stream = device.save({ preCopy: true });
    const seen = [stream.precopyInfo];
    const into = new Uint8Array(5000);
    for (let count = stream.read(into); count > 0; count = stream.read(into)) seen.push(stream.precopyInfo);
    const initial = seen.map(({ initialBytes }) => initialBytes);
    expect(initial[0]).toBeGreaterThan(64 * PAGE);
    expect([initial.every((bytes, i) => i === 0 || bytes <= initial[i - 1]), initial.at(-1)]).toEqual([true, 0]);
    expect(new Set(seen.map(({ dirtyBytes }) => dirtyBytes))).toEqual(new Set([0]));
    expect(stream.sent).toEqual({ zero: 56, unchanged: 0, delta: 0, whole: 8 });
    expect([stream.read(into), stream.ended, stream.inStopCopy]).toEqual([0, false, false]);

    device.memory.write(5 * PAGE + 8, Uint8Array.of(1, 2, 3));
    device.memory.write(6 * PAGE, built.memory().subarray(6 * PAGE, 7 * PAGE));
    device.memory.fill(7 * PAGE, PAGE, (bytes) => bytes.fill(0));
    expect(stream.precopyInfo.initialBytes).toBe(0);
    expect(stream.precopyInfo.dirtyBytes).toBe(3 * (16 + 16 + PAGE));
    expect(readAll(stream).length).toBe(16 + (16 + 10) + 16 + 16);
    expect([stream.precopyInfo, stream.sent]).toEqual([
      { initialBytes: 0, dirtyBytes: 0 },
      { zero: 57, unchanged: 1, delta: 1, whole: 8 },
    ]);
    // Leaving pre-copy early is no harm: what is left comes then.
    device.memory.write(0, Uint8Array.of(0xaa));
    device.stop();
    stream.stopCopy();
    const rest = readAll(stream);
    expect([rest.readUInt32LE(0), rest.length, stream.ended]).toEqual([2, 16 + 26 + (16 + 288) + (16 + 32) + 24, true]);
    stream.close();
    expect(stream.stopCopyBytes).toBe(0);
  });

  it('sends what changed in turn: pages that change all the time hold up no others', () => {
    const [device] = new Machine(site.core().core, { memory: 48 * PAGE }).devices;
    const stream = device.save({ preCopy: true });
    readAll(stream);
    let seed = 1;
    const scramble = (page: number, pages: number) =>
      device.memory.fill(page * PAGE, pages * PAGE, (bytes) =>
        bytes.forEach((_, i) => (bytes[i] = (seed = Math.imul(seed, 1103515245) + 12345) >>> 16)),
      );
    scramble(0, 48);
    const { dirtyBytes } = stream.precopyInfo;
    // A frame has room for 15 whole pages: as many as change again before the next one.
    const into = new Uint8Array(16 + 15 * (16 + PAGE));
    const first: number[] = [];
    for (let i = 0; i < 4; i++) {
      stream.read(into);
      first.push(Buffer.from(into).readUInt32LE(12));
      scramble(0, 15);
    }
    expect([dirtyBytes, first]).toEqual([48 * (32 + PAGE), [0, 15, 30, 45]]);
    stream.close();
  });

  it('is refused in every prefix and after every flip of a bit, and the device stays as it was', () => {
    const built = busyMachine(site);
    const [source] = built.devices;
    const save = source.save({ preCopy: true });
    const first = readAll(save);
    source.memory.write(40, Uint8Array.of(1));
    source.stop();
    save.stopCopy();
    const stream = Buffer.concat([first, readAll(save)]);
    save.close();
    const target = busyMachine(elsewhere).devices[0];
    target.memory.write(0, Uint8Array.of(3, 3, 3));
    const before = saveWhole(target);
    const accepted: string[] = [];
    for (let length = 0; length < stream.length; length++) {
      if (load(target, stream.subarray(0, length)) !== 'EINVAL') accepted.push(`cut to ${length}`);
    }
    const every = place.budget === 1 ? 7 : 1;
    for (let bit = 0; bit < stream.length * 8; bit += every) {
      const flipped = Buffer.from(stream);
      flipped[bit >> 3] ^= 1 << (bit & 7);
      if (load(target, flipped) !== 'EINVAL') accepted.push(`bit ${bit}`);
    }
    expect([stream.length < 800, accepted, Buffer.compare(saveWhole(target), before)]).toEqual([true, [], 0]);
    expect(load(target, stream)).toBe('none');
    expect(Buffer.compare(saveWhole(target), before)).not.toBe(0);
  });

  it('of another device, or put together wrongly, is refused with the reason', () => {
    const [device] = new Machine(site.core().core).devices;
    const before = saveWhole(device);
    const frames = framesOf(whole);
    const patched = (n: number, offset: number, ...values: number[]): Frame[] =>
      frames.map((frame, i) => {
        if (i !== n) return frame;
        const payload = Buffer.from(frame.payload);
        payload.set(u32Bytes(...values), offset);
        return { ...frame, payload };
      });
    const order = (...list: number[]) => streamOf(list.map((n) => frames[n]));
    const right = streamOf(frames);
    const secondPage = frames[1].payload.subarray(frames[1].payload.length / 2);
    const cases: [Uint8Array, RegExp][] = [
      [new Uint8Array(0), /ends before its end frame, after 0 bytes/],
      [right.subarray(0, 80), /ends inside a frame, after 56 bytes/],
      [Buffer.from('GET / HTTP/1.1\r\nHost: example.org\r\n\r\n'), /frame \d+ comes|says that it has/],
      [Buffer.alloc(200), /the checksum of frame 0 differs/],
      [
        streamOf([{ type: 1, payload: Buffer.from('something else, but framed as we do it..') }]),
        /not the state of a device/,
      ],
      [streamOf([{ type: 1, payload: frames[0].payload.subarray(1) }]), /not the state of a device/],
      [streamOf(patched(0, 8, 2)), /its version is 2; this device takes 1/],
      [streamOf(patched(0, 12, 3)), /its build is 3; this device takes 262145/],
      [streamOf(patched(0, 16, 7)), /its device type is 7; this device takes 1/],
      [streamOf(patched(0, 20, 2)), /its number of queues is 2/],
      [streamOf(patched(0, 24, 4096)), /its local memory is 4096; this device takes 8192/],
      [streamOf(patched(0, 24, 8192, 1)), /its local memory is 4294975488/],
      [streamOf(patched(0, 32, 8192)), /its page size is 8192/],
      [streamOf(patched(0, 36, 1)), /its reserved field is 1/],
      [streamOf(patched(1, 0, 9)), /the record at byte 12 of .* is damaged/],
      [streamOf(patched(2, 0, 2)), /the register at 0x0 can't be 0x2/],
      [streamOf(patched(2, 4, 2)), /the register at 0x4 can't be 0x2/],
      [streamOf(patched(2, 8, 2)), /the register at 0x8/],
      [streamOf(patched(2, 0x18, 3)), /the register at 0x18/],
      [streamOf(patched(2, 0x20, 1)), /the register at 0x20/],
      [streamOf(patched(2, 0x108, 65537)), /the register at 0x108/],
      [streamOf(patched(2, 0x114, 1)), /the register at 0x114/],
      [streamOf(patched(2, 0x10c, 8)), /head or tail of queue 0 lies beyond its size/],
      [streamOf(patched(2, 0x108, 0, 0, 0)), /queue 0 has phase 1 in a queue that is off/],
      [streamOf(patched(3, 0, 3)), /queue 0 has phase 3/],
      [streamOf(patched(3, 0, 0)), /queue 0 has a fetched descriptor in phase 0/],
      [streamOf(patched(3, 12, 8190)), /queue 0 has a descriptor that is not valid/],
      [streamOf(patched(3, 0, 2)), /queue 0 has completion status 0/],
      [order(0, 2, 3, 4), /type 3 can't follow one of type 1/],
      [
        streamOf(
          frames.map((frame, i) => (i === 1 ? { ...frame, payload: Buffer.concat([secondPage, secondPage]) } : frame)),
        ),
        /pages of local memory are missing: 1/,
      ],
      [order(1, 2, 3, 4), /a frame of type 2 can't follow one of type 0/],
      [order(0, 1, 3, 4), /type 4 can't follow one of type 2/],
      [order(0, 1, 2, 4), /type 5 can't follow one of type 3/],
      [order(0, 1, 2, 1, 3, 4), /type 2 can't follow one of type 3/],
      [order(0, 0, 1, 2, 3, 4), /type 1 can't follow one of type 1/],
      [order(0, 1, 2, 3, 4, 4), /type 5 can't follow one of type 5/],
      [Buffer.concat([right, Buffer.of(0)]), /ends inside a frame/],
      [streamOf([...frames, { type: 6, payload: new Uint8Array(1) }]), /type 6 can't follow one of type 5/],
      [
        streamOf(frames.map((frame, i) => (i === 3 ? { ...frame, sequence: 4 } : frame))),
        /frame 4 comes where frame 3/,
      ],
      [streamOf([{ type: 1, payload: new Uint8Array(65521) }]), /says that it has 65521 bytes; at most 65520/],
      [
        streamOf(frames.map((frame, i) => (i === 4 ? { ...frame, payload: u32Bytes(5, 0) } : frame))),
        /end frame does not say/,
      ],
      [
        streamOf([...frames.slice(0, 2), { type: 3, payload: new Uint8Array(12) }]),
        /12 bytes of registers; there must be 288/,
      ],
      [
        streamOf([...frames.slice(0, 3), { type: 4, payload: new Uint8Array(12) }]),
        /12 bytes of queues; there must be 32/,
      ],
    ];
    const wrong: string[] = [];
    for (const [bytes, reason] of cases) {
      const stream = device.load();
      stream.write(bytes);
      let message = 'none';
      try {
        stream.finish();
      } catch (error) {
        message = (error as Error).message;
      }
      if (!reason.test(message)) wrong.push(`${reason}: ${message}`);
      else if (!message.endsWith('(EINVAL)')) wrong.push(message);
    }
    expect(wrong).toEqual([]);
    expect(Buffer.compare(saveWhole(device), before)).toBe(0);
    expect(load(device, right)).toBe('none');
  });

  it('has one stream at a time, from a device that holds still, and gives its memory back', () => {
    const { core } = site.core();
    const built = new Machine(core);
    const [device] = built.devices;
    const used = core.usage.usedBytes;
    const codes: [() => unknown, string][] = [
      [() => device.load(), 'EBUSY'],
      [() => device.save({ preCopy: false }), 'EBUSY'],
    ];
    expect(codes.map(([call]) => codeOf(call))).toEqual(codes.map(([, code]) => code));
    const save = device.save({ preCopy: true });
    expect([() => device.save({ preCopy: true }), () => save.stopCopy()].map(codeOf)).toEqual(['EBUSY', 'EBUSY']);
    device.quiesce();
    expect(codeOf(() => save.stopCopy())).toBe('EBUSY');
    device.start();
    device.stop();
    save.stopCopy();
    const held = [
      () => device.start(),
      () => device.quiesce(),
      () => device.load(),
      () => device.writeRegister('scratch', 1),
    ];
    expect(held.map(codeOf)).toEqual(['EBUSY', 'EBUSY', 'EBUSY', 'EBUSY']);
    save.close();
    save.close();
    expect([codeOf(() => save.read(new Uint8Array(1))), core.usage.usedBytes]).toEqual(['EBADF', used]);
    const open = device.load();
    expect([() => device.start(), () => device.save({ preCopy: false })].map(codeOf)).toEqual(['EBUSY', 'EBUSY']);
    open.write(Uint8Array.of(1));
    open.close();
    expect([() => open.write(Uint8Array.of(1)), () => open.finish()].map(codeOf)).toEqual(['EBADF', 'EBADF']);
    const abandoned = device.load();
    device.reset();
    expect([codeOf(() => abandoned.finish()), device.activity, core.usage.usedBytes]).toEqual([
      'EBADF',
      'running',
      used,
    ]);
    expect(device.stopCopyBytes).toBe(56 + 2 * (16 + 16 + PAGE) + (16 + 288) + (16 + 32) + 24);
  });

  it('needs memory for the copies, and says how much where there is none', () => {
    const { core } = site.core();
    const built = new Machine(core, { memory: 2 ** 19 });
    const [device] = built.devices;
    const filler = core.bitmap({ length: 2 ** 35 });
    const used = core.usage.usedBytes;
    expect(() => device.save({ preCopy: true })).toThrow(/open it with at least \d+ MiB \(ENOMEM\)/);
    device.stop();
    expect(() => device.load()).toThrow(/ENOMEM/);
    expect(core.usage.usedBytes).toBe(used);
    // Without pre-copy there is no copy.
    expect(saveWhole(device).length).toBeLessThan(3000);
    filler.close();
    device.load().close();
  });
});
