import { WRITE } from '../../src/iommu/access.ts';
import type { Requester } from '../../src/iommu/requester.ts';
import type { Agent } from '../../src/schedule/interleaver.ts';
import type { Steps } from '../../src/schedule/step.ts';
import type { Dma } from './scenario.ts';
import type { World } from './world.ts';

/** One DMA. */
function* transfer(world: World, device: Requester, { offset, length, access }: Dma): Steps<void> {
  const landed = yield* device.dmaSteps(world.iova(offset), length, access, (extents) => {
    if (access === WRITE) world.land(extents);
  });
  if (!landed && offset < world.bytes) world.faults++;
}

/** A queue of a device: one DMA after the other, until it has no more or the device is stopped. */
function* queue(world: World, device: Requester, work: readonly Dma[]): Steps<void> {
  for (const dma of work) {
    if (world.stopping) break;
    yield* transfer(world, device, dma);
  }
  world.queuesRunning--;
}

function* remapping(world: World): Steps<void> {
  for (let i = 0; i < world.scenario.remaps; i++) {
    yield* world.remapSteps(true);
    yield* world.remapSteps(false);
  }
}

/** Splits and merges for as long as DMA runs, and twice in any case. */
function* resizing(world: World): Steps<void> {
  for (let i = 0; i < 2 || (i < 20 && world.queuesRunning > 0); i++) yield* world.resizeSteps();
}

/** The pages of the set that lie in [from, to). */
function part(pages: Uint32Array, from: number, to: number): Uint32Array {
  const found = new Uint32Array(pages.length);
  for (let page = from; page < to; page++) found[page >>> 5] |= pages[page >>> 5] & (1 << (page & 31));
  return found;
}

/** Copies the pages step by step. */
function* copy(world: World, pages: Uint32Array): Steps<void> {
  const { copyPages } = world.scenario;
  for (let from = 0; from < world.into.pages; from += copyPages) {
    const to = Math.min(from + copyPages, world.into.pages);
    const taken = part(pages, from, to);
    if (taken.every((word) => word === 0)) continue;
    yield { what: copyPages === 1 ? `copy page ${from}` : `copy pages of ${from} .. ${to - 1}` };
    world.oracle.copied(taken);
  }
}

/** One read of the dirty state, and the copies of what it reported: after its return, or in the wrong order before. */
function* round(world: World): Steps<void> {
  world.into.clear();
  const copied = new Uint32Array(world.into.words().length);
  let begun = false;
  const steps = world.read();
  for (let next = steps.next(); !next.done; next = steps.next()) {
    if (world.order === 'copy-before-return' && next.value.what.startsWith('complete')) {
      const early = world.into.words().map((word, w) => word & ~copied[w]);
      early.forEach((word, w) => (copied[w] |= word));
      yield* copy(world, early);
    }
    yield next.value;
    // The read begins with its first step, and not before.
    if (!begun) world.oracle.begin();
    begun = true;
  }
  const reported = world.judge();
  yield* copy(
    world,
    reported.map((word, w) => word & ~copied[w]),
  );
}

function* stop(world: World): Steps<void> {
  yield { what: 'tell the devices to stop' };
  world.stopping = true;
  yield { what: 'devices have stopped', ready: () => world.queuesRunning === 0 && world.idle() };
}

function* migration(world: World): Steps<void> {
  if (world.scenario.fromStart) {
    yield* world.startTrackingSteps();
    const everything = new Uint32Array(world.into.words().length).fill(0xffffffff);
    everything[everything.length - 1] >>>= -world.into.pages & 31;
    yield* copy(world, everything);
  }
  for (let i = 0; i < world.scenario.rounds; i++) yield* round(world);
  if (world.order === 'final-read-before-stop') yield* round(world);
  yield* stop(world);
  if (world.order !== 'final-read-before-stop') yield* round(world);
}

/** Everything that acts in the world: the migration, the devices' queues, and who maps beside them. */
export function agentsOf(world: World): Agent[] {
  const queues = world.scenario.devices.flatMap((work, d) =>
    work.map((dma, q) => ({ name: `device ${d} queue ${q}`, steps: queue(world, world.devices[d], dma) })),
  );
  const others = world.scenario.remaps > 0 ? [{ name: 'driver', steps: remapping(world) }] : [];
  if (world.scenario.mapping.partBytes) others.push({ name: 'resizing', steps: resizing(world) });
  return [{ name: 'migration', steps: migration(world) }, ...queues, ...others];
}
