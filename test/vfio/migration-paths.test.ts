import { describe, expect, it } from 'vitest';
import { INTERRUPT, TO_IOVA } from '../../src/device/descriptor.ts';
import { randomChoice } from '../../src/schedule/choice.ts';
import { Interleaver, type Agent } from '../../src/schedule/interleaver.ts';
import type { Steps } from '../../src/schedule/step.ts';
import type { DataStream } from '../../src/vfio/data-stream.ts';
import { DeviceState } from '../../src/vfio/device-state.ts';
import { PLACES, Site } from '../core/builds.ts';
import { DATA_IOVA } from '../device/machine.ts';
import {
  ask,
  askSteps,
  busyGuest,
  drain,
  drainSteps,
  fill,
  imageOf,
  resume,
  run,
  type Door,
  type Guest,
} from './migrating.ts';
import { PUBLISHED_PATHS } from './published.ts';

const { RUNNING, STOP_COPY, RESUMING } = DeviceState;
const ALLOWED = PUBLISHED_PATHS.filter(({ path }) => path !== undefined);

/** The states that a device with these flags has. */
function statesOf(flags: number): number[] {
  return [...new Set(ALLOWED.filter((each) => each.flags === flags).map(({ from }) => from))];
}

/** Two queues full of orders; queue 1 has its own places. */
function loadedGuest(site: Site, flags: number): Guest {
  const guest = busyGuest(site.core().core, flags, { queues: 2 });
  guest.order(0, 1, [
    { iova: DATA_IOVA + 100, local: 6000, length: 80, flags: INTERRUPT },
    { iova: DATA_IOVA + 0x3000, local: 5990, length: 100, flags: TO_IOVA },
  ]);
  return guest;
}

/** A queue at work, whenever its device lets it, until `over` says that this is enough. */
function* loadSteps(guest: Guest, queue: number, over: { done: boolean }): Steps<void> {
  const [device] = guest.devices;
  while (!over.done) {
    if (device.hasWork(queue)) yield* device.queueSteps(queue);
    else yield { what: 'idle', ready: () => over.done || device.hasWork(queue) };
  }
}

/** Takes a device from state to state; what it gives to resume from is `spare`, what it reads is in `image`. */
class Walk {
  #stream: DataStream | undefined;
  #parts: Buffer[] = [];
  readonly #guest: Guest;
  readonly #spare: Buffer;

  constructor(guest: Guest, spare: Buffer) {
    this.#guest = guest;
    this.#spare = spare;
  }

  *steps(...states: readonly number[]): Steps<void> {
    const [vfio] = this.#guest.vfio;
    for (const state of states) {
      if (vfio.machine!.state === RESUMING && state !== RESUMING) fill(this.#stream!, this.#spare, [99, 1]);
      this.#opened(yield* askSteps(vfio, state));
      if (this.#stream?.enabled && this.#stream.direction === 'read') yield* drainSteps(this.#stream, this.#parts);
    }
  }

  /** The same whole, through a door. */
  whole(door: Door, ...states: readonly number[]): void {
    const [vfio] = this.#guest.vfio;
    for (const state of states) {
      if (vfio.machine!.state === RESUMING && state !== RESUMING) fill(this.#stream!, this.#spare);
      const { code, stream } = ask(door, vfio, state);
      if (code !== 'none') throw new Error(`${state} is refused with ${code}`);
      this.#opened(stream);
      if (this.#stream?.enabled && this.#stream.direction === 'read') this.#parts.push(drain(this.#stream));
    }
  }

  get image(): Buffer {
    return Buffer.concat(this.#parts);
  }

  #opened(stream: DataStream | undefined): void {
    if (!stream) return;
    this.#stream?.close();
    this.#stream = stream;
    this.#parts = [];
  }
}

describe.each(PLACES.slice(0, 2))('a device under DMA: $name', (place) => {
  const site = new Site(place, 2);
  const elsewhere = new Site(PLACES[2], 2);
  const spare = imageOf(loadedGuest(site, 1).vfio[0]);
  const wanted = (() => {
    const guest = loadedGuest(site, 1);
    guest.finish();
    return guest.seen;
  })();

  /** A guest elsewhere whose device is in `state`, with the RAM of `source`. */
  function destination(flags: number, state: number, source: Guest): Guest {
    const guest = loadedGuest(elsewhere, flags);
    guest.devices[0].memory.fill(3000, 3000, (bytes) => bytes.fill(0x55));
    new Walk(guest, spare).whole('typed', state);
    guest.ram.bytes.set(source.ram.bytes);
    return guest;
  }

  it('moves from every path of the state machine to a device in any state, and goes on there', () => {
    const wrong: string[] = [];
    const heads = new Set<string>();
    let cases = 0;
    for (const { flags, from, to } of ALLOWED) {
      for (const there of statesOf(flags)) {
        const source = loadedGuest(site, flags);
        const over = { done: false };
        const walk = new Walk(source, spare);
        function* migration(): Steps<void> {
          yield* walk.steps(from, to, STOP_COPY);
          over.done = true;
        }
        const agents: Agent[] = [0, 1].map((q) => ({ name: `queue ${q}`, steps: loadSteps(source, q, over) }));
        new Interleaver([...agents, { name: 'migration', steps: migration() }]).run(randomChoice(cases));
        heads.add([0, 1].map((q) => source.devices[0].queueRegister(q, 'head')).join());
        const target = destination(flags, there, source);
        if (there === RESUMING) target.vfio[0].reset();
        const code = resume('typed', target.vfio[0], walk.image, [1 + (cases % 7), 300]);
        const same = Buffer.compare(target.seen, source.seen) === 0;
        for (const guest of [source, target]) {
          run(guest.vfio[0]);
          guest.finish();
        }
        const ends = [target, source].map((guest) => Buffer.compare(guest.seen, wanted) === 0);
        if (code !== 'none' || !same || ends.includes(false)) {
          wrong.push(`flags ${flags}, ${from} to ${to}, in ${there} there: ${code} ${same} ${ends.join()}`);
        }
        cases++;
      }
    }
    expect(wrong).toEqual([]);
    expect([cases, heads.size > 5]).toEqual([16 * 4 + 25 * 5 + 24 * 5 + 47 * 7, true]);
  });

  it('moves the same through both doors', () => {
    const wrong: string[] = [];
    for (const { flags, from, to } of ALLOWED) {
      const images = (['typed', 'binary'] as const).map((door) => {
        const source = loadedGuest(site, flags);
        const queue = source.devices[0].queueSteps(0);
        for (let step = 0; step < 5; step++) queue.next();
        const walk = new Walk(source, spare);
        walk.whole(door, from, to, STOP_COPY);
        while (!queue.next().done);
        const target = destination(flags, RUNNING, source);
        const code = resume(door, target.vfio[0], walk.image);
        const same = Buffer.compare(target.seen, source.seen) === 0;
        ask(door, target.vfio[0], RUNNING);
        target.finish();
        if (code !== 'none' || !same || Buffer.compare(target.seen, wanted) !== 0) {
          wrong.push(`${door}: flags ${flags}, ${from} to ${to}: ${code} ${same}`);
        }
        return walk.image;
      });
      if (Buffer.compare(images[0], images[1]) !== 0) wrong.push(`flags ${flags}, ${from} to ${to}: images differ`);
    }
    expect(wrong).toEqual([]);
  });
});
