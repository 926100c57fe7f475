import { describe, expect, it } from 'vitest';
import { TO_IOVA } from '../../src/device/descriptor.ts';
import { REGISTERS_BYTES } from '../../src/device/registers.ts';
import { randomChoice } from '../../src/schedule/choice.ts';
import { enumerateInterleavings } from '../../src/schedule/enumerate.ts';
import { Interleaver, type Agent } from '../../src/schedule/interleaver.ts';
import type { Steps } from '../../src/schedule/step.ts';
import type { DataStream } from '../../src/vfio/data-stream.ts';
import { DeviceState } from '../../src/vfio/device-state.ts';
import { PLACES, Site } from '../core/builds.ts';
import { BAR, BAR_STRIDE, DATA_IOVA } from '../device/machine.ts';
import { runs } from '../runs.ts';
import { askSteps, drainSteps, Guest, queuesOf, resume, run } from './migrating.ts';

const { RUNNING, STOP, STOP_COPY, RUNNING_P2P, PRE_COPY, PRE_COPY_P2P } = DeviceState;
const [STOP_AND_P2P, ALL_FLAGS] = [3, 7];

/** As what the devices are stopped: all of them quiesced first, or each one to the end. */
type Stop = 'two passes' | 'one pass';

/** IOVA of byte `offset` of the local memory of device `n`. */
function peerIova(n: number, offset: number): number {
  return BAR + n * BAR_STRIDE + REGISTERS_BYTES + offset;
}

function* stopSteps({ vfio }: Guest, stop: Stop): Steps<void> {
  if (stop === 'two passes') for (const device of vfio) yield* askSteps(device, RUNNING_P2P);
  for (const device of vfio) yield* askSteps(device, STOP);
}

/** Pre-copy while devices run, then the stop, then the rest: the devices' states. */
function* migrationSteps({ vfio }: Guest, stop: Stop, images: Buffer[]): Steps<void> {
  const streams: DataStream[] = [];
  const parts: Buffer[][] = vfio.map(() => []);
  for (const device of vfio) streams.push((yield* askSteps(device, PRE_COPY))!);
  for (const [i, stream] of streams.entries()) yield* drainSteps(stream, parts[i], 3000);
  if (stop === 'two passes') for (const device of vfio) yield* askSteps(device, PRE_COPY_P2P);
  for (const device of vfio) yield* askSteps(device, STOP_COPY);
  for (const [i, stream] of streams.entries()) yield* drainSteps(stream, parts[i], 5000);
  images.push(...parts.map((part) => Buffer.concat(part)));
}

function queueAgents({ devices }: Guest): Agent[] {
  return devices.flatMap((device, n) =>
    queuesOf(device).map((q) => ({ name: `device ${n} queue ${q}`, steps: device.queueSteps(q) })),
  );
}

/** Device 1 writes 4 bytes to device 0. */
function oneWrite(site: Site): Guest {
  const guest = new Guest(site.core().core, STOP_AND_P2P, { devices: 2, memory: 4096 });
  guest.devices[1].memory.write(0, Uint8Array.of(1, 2, 3, 4));
  guest.order(1, 0, [{ iova: peerIova(0, 64), local: 0, length: 4, flags: TO_IOVA }]);
  return guest;
}

/** Two devices with two queues write to each other, to RAM, and read from RAM; each to a place of its own. */
function traffic(site: Site): Guest {
  const guest = new Guest(site.core().core, ALL_FLAGS, { devices: 2, memory: 8 * 4096, queues: 2 });
  guest.ram.bytes.forEach((_, i) => i >= 0x8000 && (guest.ram.bytes[i] = i * 5 + (i >> 8)));
  guest.devices.forEach(({ memory }, n) => {
    memory.fill(0, 4096, (bytes) => bytes.forEach((_, i) => (bytes[i] = 17 * n + i)));
    for (const queue of [0, 1]) {
      const place = 4096 * (2 + 2 * queue);
      guest.order(n, queue, [
        { iova: peerIova(1 - n, place), local: 100 * queue, length: 3000, flags: TO_IOVA },
        { iova: DATA_IOVA + 0x4000 * n + 0x2000 * queue, local: 7, length: 900, flags: TO_IOVA },
        { iova: DATA_IOVA + 0x9000 + queue, local: place + 4000, length: 2000, flags: 0 },
        { iova: peerIova(1 - n, place + 3500), local: 1, length: 77, flags: TO_IOVA },
      ]);
    }
  });
  return guest;
}

/** What is seen where nobody stops anything. */
function undisturbed(guest: Guest): Buffer {
  guest.finish();
  return guest.seen;
}

describe.each(PLACES.slice(0, 2))('devices with peer-to-peer DMA: $name', (place) => {
  const site = new Site(place, 2);
  const elsewhere = new Site(PLACES[2], 2);

  /** All interleavings of a write to a peer with a stop of both: how many, how many lost something, and a witness. */
  function exhaust(stop: Stop): { count: number; lost: number; witness: string[] } {
    const wanted = undisturbed(oneWrite(site));
    let guest: Guest;
    let lost = 0;
    let witness: string[] = [];
    const start = (): Agent[] => {
      guest = oneWrite(site);
      return [...queueAgents(guest), { name: 'stop', steps: stopSteps(guest, stop) }];
    };
    const count = enumerateInterleavings(start, ({ trace }) => {
      const { unanswered } = guest.devices[0];
      for (const device of guest.vfio) run(device);
      const same = Buffer.compare(undisturbed(guest), wanted) === 0;
      if (same === unanswered > 0) throw new Error('what is lost is what was not answered, and nothing else');
      if (!same && lost++ === 0) witness = trace.map(({ agent, what }) => `${agent}: ${what}`);
    });
    return { count, lost, witness };
  }

  it('lose nothing where all are quiesced before the first one stops, in no interleaving', () => {
    const { count, lost } = exhaust('two passes');
    expect([count > 100, lost]).toEqual([true, 0]);
  });

  it('lose what a peer had under way where each is stopped to the end, with a witness', () => {
    const { lost, witness } = exhaust('one pass');
    expect(lost).toBeGreaterThan(0);
    const stopped = witness.indexOf('stop: RUNNING_P2P -> STOP');
    const landed = witness.findIndex((step, i) => i > stopped && step.includes(`land ${hex(peerIova(0, 64))}`));
    expect([stopped >= 0, landed > stopped]).toEqual([true, true]);
  });

  /** Migrates both devices under traffic: how often the guest there ends otherwise than with nothing done to it. */
  function differing(stop: Stop, numRuns: number): { lost: number; heads: Set<string> } {
    const wanted = undisturbed(traffic(site));
    const heads = new Set<string>();
    let lost = 0;
    for (let seed = 0; seed < numRuns; seed++) {
      const source = traffic(site);
      const images: Buffer[] = [];
      const migration = { name: 'migration', steps: migrationSteps(source, stop, images) };
      new Interleaver([...queueAgents(source), migration]).run(randomChoice(seed));
      heads.add(source.devices.map((device) => device.queueRegister(0, 'head')).join());
      const target = new Guest(elsewhere.core().core, ALL_FLAGS, { devices: 2, memory: 8 * 4096, queues: 2 });
      target.ram.bytes.set(source.ram.bytes);
      const codes = target.vfio.map((device, i) => resume('typed', device, images[i]));
      if (codes.join() !== 'none,none' || Buffer.compare(target.seen, source.seen) !== 0) {
        throw new Error(`the guest there is not what the one here was: ${codes.join()}`);
      }
      for (const pass of [RUNNING_P2P, RUNNING]) {
        for (const device of target.vfio) device.setMigDeviceState({ deviceState: pass });
      }
      if (Buffer.compare(undisturbed(target), wanted) !== 0) lost++;
    }
    return { lost, heads };
  }

  it('migrate in the middle of their traffic, in two passes with nothing lost', () => {
    const { lost, heads } = differing('two passes', runs(60));
    expect([lost, heads.size > 3]).toEqual([0, true]);
  });

  it('migrate in one pass with losses', () => {
    expect(differing('one pass', 60).lost).toBeGreaterThan(0);
  });
});

function hex(address: number): string {
  return `0x${address.toString(16)}`;
}
