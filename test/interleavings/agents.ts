import type { Requester } from '../../src/iommu/requester.ts';
import type { Agent } from '../../src/schedule/interleaver.ts';
import type { Step, Steps } from '../../src/schedule/step.ts';
import type { Dma, Scenario } from './scenario.ts';
import type { World } from './world.ts';

/** What a migration works on. */
export type Migrated = Pick<
  World,
  'into' | 'oracle' | 'order' | 'read' | 'judge' | 'startTrackingSteps' | 'idle' | 'stopping' | 'queuesRunning'
> & { readonly scenario: Pick<Scenario, 'copyPages' | 'rounds' | 'fromStart'> };

/** One DMA, to leaves that are there. */
function* transfer(world: World, device: Requester, dma: Dma): Steps<void> {
  const { offset, length, access } = dma;
  const steps = device.dmaSteps(world.iova(offset), length, access, (extents) => world.land(extents, dma));
  const first = steps.next().value as Step;
  yield { ...first, ready: () => world.open(dma) };
  world.use(dma, 1);
  const landed = yield* steps;
  world.use(dma, -1);
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
    yield* world.remapSteps(true, i);
    yield* world.remapSteps(false, i);
  }
}

function* swapping(world: World): Steps<void> {
  for (let leaf = 0; leaf < world.scenario.mapping.leaves; leaf++) yield* world.swapSteps(leaf);
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
function* copy(world: Migrated, pages: Uint32Array): Steps<void> {
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
function* round(world: Migrated): Steps<void> {
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

function* stop(world: Migrated): Steps<void> {
  yield { what: 'tell the devices to stop' };
  world.stopping = true;
  yield { what: 'devices have stopped', ready: () => world.queuesRunning === 0 && world.idle() };
}

/** A whole migration: reads and copies, stop, a last read and its copies. */
export function* migration(world: Migrated): Steps<void> {
  if (world.scenario.fromStart) {
    yield* world.startTrackingSteps();
    const everything = new Uint32Array(world.into.words().length).fill(0xffffffff);
    everything[everything.length - 1] >>>= -world.into.pages & 31;
    yield* copy(world, everything);
  }
  for (let i = 0; i < world.scenario.rounds; i++) yield* round(world);
  if (world.order === 'final-read-while-running') yield* round(world);
  yield* stop(world);
  if (world.order !== 'final-read-while-running') yield* round(world);
}

/** Everything that acts in the world: the migration, the devices' queues, and who maps beside them. */
export function agentsOf(world: World): Agent[] {
  const queues = world.scenario.devices.flatMap((work, d) =>
    work.map((dma, q) => ({ name: `device ${d} queue ${q}`, steps: queue(world, world.devices[d], dma) })),
  );
  const others = world.scenario.remaps > 0 ? [{ name: 'driver', steps: remapping(world) }] : [];
  if (world.scenario.mapping.partBytes) others.push({ name: 'resizing', steps: resizing(world) });
  if (world.scenario.swapping) others.push({ name: 'swapping', steps: swapping(world) });
  return [{ name: 'migration', steps: migration(world) }, ...queues, ...others];
}
