import { describe, expect, it } from 'vitest';
import { TO_IOVA } from '../../src/device/descriptor.ts';
import type { DmaDevice } from '../../src/device/dma-device.ts';
import { REGISTERS_BYTES } from '../../src/device/registers.ts';
import type { SaveStream } from '../../src/device/save-stream.ts';
import { randomChoice, type Choice } from '../../src/schedule/choice.ts';
import { enumerateInterleavings } from '../../src/schedule/enumerate.ts';
import { Interleaver, type Agent } from '../../src/schedule/interleaver.ts';
import type { Steps } from '../../src/schedule/step.ts';
import { PLACES, Site, codeOf } from '../core/builds.ts';
import { runs } from '../runs.ts';
import { BAR, BAR_STRIDE, DATA_IOVA, Machine, RAM_IOVA } from './machine.ts';

type Stop = 'two passes' | 'one pass';
const SMALL = { devices: 2, memory: 4096 };
const LARGE = { devices: 2, memory: 8 * 4096, queues: 2 };

/** Stops all devices: first all of them quiesce, then all stop; or one after the other. */
function* stopSteps(devices: readonly DmaDevice[], stop: Stop): Steps<void> {
  if (stop === 'two passes') for (const device of devices) yield* device.quiesceSteps();
  for (const device of devices) yield* device.stopSteps();
}

/** Reads what there is for now, a piece a step. */
function* readSteps(stream: SaveStream, parts: Buffer[], size: number): Steps<void> {
  const into = new Uint8Array(size);
  for (let count = -1; count !== 0;) {
    yield { what: 'read state' };
    count = stream.read(into);
    parts.push(Buffer.from(into.subarray(0, count)));
  }
}

/** Saves, with a first reading of everything in pre-copy while they run, the state of all devices and stops them. */
function* saveSteps(devices: readonly DmaDevice[], preCopy: boolean, states: Buffer[]): Steps<void> {
  const streams = preCopy ? devices.map((device) => device.save({ preCopy })) : [];
  const parts: Buffer[][] = devices.map(() => []);
  for (const [i, stream] of streams.entries()) yield* readSteps(stream, parts[i], 3000);
  yield* stopSteps(devices, 'two passes');
  for (const [i, device] of devices.entries()) {
    const stream = streams[i] ?? device.save({ preCopy: false });
    stream.stopCopy();
    yield* readSteps(stream, parts[i], 5000);
    stream.close();
    states.push(Buffer.concat(parts[i]));
  }
}

function queueAgents(devices: readonly DmaDevice[]): Agent[] {
  return devices.flatMap((device, n) =>
    Array.from({ length: device.parameters.queues }, (_, q) => ({
      name: `device ${n} queue ${q}`,
      steps: device.queueSteps(q),
    })),
  );
}

/** Everything that a guest can see: RAM and the devices' memory. */
function seen(machine: Machine): Buffer {
  return Buffer.concat([machine.ram.bytes, ...machine.devices.map((_, n) => machine.memory(n))]);
}

/** IOVA of byte `offset` of the local memory of device `n`. */
function peerIova(n: number, offset: number): number {
  return BAR + n * BAR_STRIDE + REGISTERS_BYTES + offset;
}

/** Device 1 writes to device 0 what it has. */
function oneWrite(site: Site): Machine {
  const machine = new Machine(site.core().core, SMALL);
  machine.devices[1].memory.write(0, Uint8Array.of(1, 2, 3, 4));
  machine.order(1, 0, [{ iova: peerIova(0, 64), local: 0, length: 4, flags: TO_IOVA }]);
  return machine;
}

/** Both devices, two queues each, write to each other, to RAM, and read from RAM; each to a place of its own. */
function traffic(site: Site): Machine {
  const machine = new Machine(site.core().core, LARGE);
  machine.ram.bytes.forEach((_, i) => i >= 0x8000 && (machine.ram.bytes[i] = i * 5 + (i >> 8)));
  machine.devices.forEach(({ memory }, n) => {
    memory.fill(0, 4096, (bytes) => bytes.forEach((_, i) => (bytes[i] = 17 * n + i)));
    for (const queue of [0, 1]) {
      const place = 4096 * (2 + 2 * queue);
      machine.order(n, queue, [
        { iova: peerIova(1 - n, place), local: 100 * queue, length: 3000, flags: TO_IOVA },
        { iova: DATA_IOVA + 0x4000 * n + 0x2000 * queue, local: 7, length: 900, flags: TO_IOVA },
        { iova: DATA_IOVA + 0x9000 + queue, local: place + 4000, length: 2000, flags: 0 },
        { iova: peerIova(1 - n, place + 3500), local: 1, length: 77, flags: TO_IOVA },
      ]);
    }
  });
  return machine;
}

/** What is seen once everything has been executed with nobody stopping anything. */
function reference(machine: Machine): Buffer {
  for (let busy = true; busy;) {
    for (const device of machine.devices) device.run();
    busy = machine.devices.some((device) => [0, 1].some((q) => q < device.parameters.queues && device.hasWork(q)));
  }
  return seen(machine);
}

/** Goes on after a stop until nothing is left to do. */
function resume(machine: Machine): Buffer {
  for (const device of machine.devices) device.start();
  return reference(machine);
}

describe.each(PLACES.slice(0, 2))('quiesce and stop: $name', (place) => {
  const site = new Site(place, 2);
  const elsewhere = new Site(PLACES[2], 2);

  /** All interleavings of a write to a peer with a stop of both: how many, how many lost something, and a witness. */
  function exhaust(stop: Stop): { count: number; lost: number; witness: string[] } {
    const wanted = reference(oneWrite(site));
    let machine: Machine;
    let lost = 0;
    let witness: string[] = [];
    const start = (): Agent[] => {
      machine = oneWrite(site);
      return [...queueAgents(machine.devices), { name: 'stop', steps: stopSteps(machine.devices, stop) }];
    };
    const count = enumerateInterleavings(start, ({ trace }) => {
      const unanswered = machine.devices[0].unanswered;
      const same = Buffer.compare(resume(machine), wanted) === 0;
      if (same === unanswered > 0) throw new Error('what is lost is what was not answered, and nothing else');
      if (!same && lost++ === 0) witness = trace.map(({ agent, what }) => `${agent}: ${what}`);
    });
    return { count, lost, witness };
  }

  it('lose nothing in two passes, in no interleaving', () => {
    const { count, lost } = exhaust('two passes');
    expect([count > 10, lost]).toEqual([true, 0]);
  });

  it('lose what a peer had under way in one pass, with a witness', () => {
    const { lost, witness } = exhaust('one pass');
    expect(lost).toBeGreaterThan(0);
    const stopped = witness.indexOf('stop: stop');
    const landed = witness.findIndex(
      (step, i) => i > stopped && step.includes(`land 0x${peerIova(0, 64).toString(16)}`),
    );
    expect([stopped >= 0, landed > stopped]).toEqual([true, true]);
  });

  it('hold a device that is quiesced still: it starts no DMA, its peers reach it; one that is stopped they do not', () => {
    const machine = oneWrite(site);
    const [target, writer] = machine.devices;
    target.quiesce();
    expect([target.activity, writer.activity]).toEqual(['quiesced', 'running']);
    machine.order(0, 0, [{ iova: DATA_IOVA, local: 0, length: 4, flags: 0 }]);
    target.run();
    writer.run();
    expect([target.queueRegister(0, 'head'), [...machine.memory(0).subarray(64, 68)]]).toEqual([0, [1, 2, 3, 4]]);
    target.stop();
    machine.order(1, 0, [{ iova: peerIova(0, 64), local: 100, length: 4, flags: TO_IOVA }]);
    machine.order(1, 0, [{ iova: peerIova(0, 64), local: 200, length: 4, flags: 0 }]);
    writer.run();
    expect([target.unanswered, [...machine.memory(0).subarray(64, 68)]]).toEqual([2, [1, 2, 3, 4]]);
    expect([...machine.memory(1).subarray(200, 204)]).toEqual([255, 255, 255, 255]);
    expect([machine.completion(1, 0, 1)[0], machine.completion(1, 0, 2)[0]]).toEqual([1, 4]);
    target.quiesce();
    target.start();
    target.run();
    expect(target.queueRegister(0, 'head')).toBe(1);
  });

  it('wait for DMA that is under way, and refuse to where they cannot', () => {
    const machine = oneWrite(site);
    const [, writer] = machine.devices;
    const queue = writer.queueSteps(0);
    queue.next();
    queue.next(); // the descriptor's fetch is translated
    expect([codeOf(() => writer.quiesce()), codeOf(() => writer.stop()), writer.activity]).toEqual([
      'EBUSY',
      'EBUSY',
      'running',
    ]);
    const quiesce = writer.quiesceSteps();
    quiesce.next();
    const drain = quiesce.next().value;
    const before = drain?.ready?.();
    expect([writer.activity, drain?.what, before]).toEqual(['quiesced', 'drain', false]);
    while (!queue.next().done);
    expect([drain?.ready?.(), writer.underWay, machine.completion(1, 0, 0)]).toEqual([true, 0, [0, 0]]);
  });

  it('let devices under DMA move to others, which end as if nothing had happened', () => {
    const wanted = reference(traffic(site));
    const choices: [Choice, boolean][] = Array.from({ length: runs(30) }, (_, i) => [randomChoice(i), i % 3 > 0]);
    const heads = new Set<string>();
    for (const [choose, preCopy] of choices) {
      const source = traffic(site);
      const states: Buffer[] = [];
      const migration = { name: 'migration', steps: saveSteps(source.devices, preCopy, states) };
      new Interleaver([...queueAgents(source.devices), migration]).run(choose);
      heads.add(source.devices.map((device) => device.queueRegister(0, 'head')).join());
      const there = new Machine(elsewhere.core().core, LARGE);
      there.ram.bytes.set(source.ram.bytes);
      there.devices.forEach((device, i) => {
        device.stop();
        const stream = device.load();
        stream.write(states[i]);
        stream.finish();
      });
      const same = Buffer.compare(seen(there), seen(source)) === 0;
      expect([same, Buffer.compare(resume(there), wanted), Buffer.compare(resume(source), wanted)]).toEqual([
        true,
        0,
        0,
      ]);
    }
    // They were moved in the middle of their work, not before or after it.
    expect(heads.size).toBeGreaterThan(3);
  });
});

describe('pre-copy while devices run', () => {
  it('leaves less for the time when they are stopped', () => {
    const rest = [false, true].map((preCopy) => {
      const site = new Site(PLACES[0], 2);
      const machine = new Machine(site.core().core, { memory: 64 * 4096 });
      const [device] = machine.devices;
      device.memory.fill(0, 64 * 4096, (bytes) => bytes.forEach((_, i) => (bytes[i] = (i * i) >> 7)));
      const into = new Uint8Array(1 << 16);
      const early = preCopy ? device.save({ preCopy }) : undefined;
      while (early?.read(into));
      machine.ram.bytes.set([1, 2, 3], DATA_IOVA - RAM_IOVA);
      machine.order(0, 0, [{ iova: DATA_IOVA, local: 9000, length: 3, flags: 0 }]);
      device.run();
      device.stop();
      const stream = early ?? device.save({ preCopy });
      stream.stopCopy();
      const most = device.stopCopyBytes;
      let bytes = 0;
      for (let count = stream.read(into); count > 0; count = stream.read(into)) bytes += count;
      return [bytes, most];
    });
    expect(rest[0][0]).toBeGreaterThan(64 * 4096);
    expect(rest[1][0]).toBe(16 + 26 + (16 + 288) + (16 + 32) + 24);
    expect(rest.map(([bytes, most]) => bytes <= most)).toEqual([true, true]);
  });
});
