import { describe, expect, it } from 'vitest';
import type { Requester } from '../../src/iommu/requester.ts';
import { Type1Container } from '../../src/type1/container.ts';
import type { FailPoint } from '../../src/errno/fail-point.ts';
import type { Type1Device } from '../../src/type1/type1-device.ts';
import { codeOf } from '../core/builds.ts';
import { BITMAP, PAGE, RAM, RW, backed, bitsAt, rig, type Rig } from './rig.ts';

const [START, GET] = [1, 4];

/** A container with two domains, an emulated group and mappings, as the operations find it. Only the last one made is alive. */
interface Scene extends Rig {
  readonly device: Type1Device;
  /** Devices with an IOMMU. */
  readonly requesters: readonly Requester[];
  /** Which call into the allocator, the pages or the driver fails, counted in `asked`; undefined: none. */
  failing: number | undefined;
  asked: FailPoint[];
}

function scene({ emulatedOnly = false, before }: Operation): Scene {
  const control = { failing: undefined as number | undefined, asked: [] as FailPoint[] };
  const fail = (what: FailPoint) => (control.asked.push(what) - 1 === control.failing ? 'ENOMEM' : undefined);
  const its = rig({ fail });
  const { container, space } = its;
  // Frames that do not follow each other, so that a mapping takes several calls of the driver.
  space.mmap({ va: 0x5000_0000, pa: 0x9000_0000, length: 2n * PAGE });
  space.mmap({ va: 0x5000_2000, pa: 0x9100_0000, length: 2n * PAGE });
  const group = container.attach({ emulated: true });
  container.setIommu(3);
  const groups = emulatedOnly
    ? []
    : [backed(its, 1), backed(its, 2, { domain: { format: 'amdv1' } })].map((options) => container.attach(options));
  container.mapDma({ flags: RW, iova: 0n, vaddr: 0x5000_0000, size: 4n * PAGE });
  container.mapDma({ flags: RW, iova: 0x10_0000, vaddr: RAM, size: 8n * PAGE });
  const device = group.openDevice({ dmaUnmap: () => undefined });
  const requesters = groups.map((each) => each.openDevice().requester!);
  device.pinPages(0n, 1, RW);
  const made = Object.assign(control, its, { device, requesters });
  before?.(made);
  control.asked = [];
  return made;
}

/** All that can be seen of it; reading the bitmaps changes them, so this comes last. */
function look({ container, space, core, requesters }: Scene): unknown[] {
  space.write(BITMAP, new Uint8Array(256));
  const bitmap = { pgsize: PAGE, size: 256n, data: BITMAP };
  const reached = requesters.map((requester) =>
    [0, 0x3000, 0x10_7000, 0x20_0000, 0x20_3000].map((iova) =>
      requester.access(iova, 1, RW) < 0 ? requester.fault?.reason : requester.extentAddress(0),
    ),
  );
  const usage = core.usage;
  const tracked = codeOf(() => container.dirtyPages({ flags: GET, iova: 0n, size: 2048n * PAGE, bitmap }));
  const bits = bitsAt(space, BITMAP, 256);
  return [container.getInfo(), container.lockedPages, space.pinnedRuns, usage, reached, tracked, bits];
}

interface Operation {
  readonly name: string;
  readonly emulatedOnly?: boolean;
  readonly before?: (its: Scene) => void;
  readonly run: (its: Scene) => unknown;
  /** What it asks for, in order. */
  readonly asks: readonly FailPoint[];
}

const start = ({ container }: Scene) => container.dirtyPages({ flags: START });
const scattered = { flags: RW, iova: 0x20_0000, vaddr: 0x5000_0000, size: 4n * PAGE };

const OPERATIONS: Operation[] = [
  {
    name: 'MAP_DMA into two domains, of frames in two runs, while tracking',
    before: start,
    run: ({ container }) => container.mapDma(scattered),
    asks: ['allocate', 'pin', 'driver', 'driver', 'driver', 'driver', 'allocate'],
  },
  {
    name: 'MAP_DMA without a domain, while tracking',
    emulatedOnly: true,
    before: start,
    run: ({ container }) => container.mapDma(scattered),
    asks: ['allocate', 'allocate'],
  },
  { name: 'START', run: start, asks: ['allocate', 'allocate'] },
  {
    name: 'pin_pages',
    before: start,
    run: ({ device }) => device.pinPages(0n, 4, RW),
    asks: ['pin', 'allocate', 'pin', 'allocate', 'pin', 'allocate'],
  },
  {
    name: 'pin_pages without a domain',
    emulatedOnly: true,
    before: start,
    run: ({ device }) => device.pinPages(0n, 3, RW),
    asks: ['pin', 'allocate', 'pin', 'allocate'],
  },
  {
    name: 'attaching a group with a new domain, while tracking',
    before: start,
    run: (its) => its.container.attach(backed(its, 3, { domain: { format: 'x86_64' } })),
    asks: ['allocate', 'driver', 'driver', 'allocate', 'driver', 'driver', 'driver'],
  },
  {
    name: 'attaching the first group with an IOMMU',
    emulatedOnly: true,
    run: (its) => its.container.attach(backed(its, 3, { requesterIds: [3, 4] })),
    asks: ['allocate', 'driver', 'driver', 'allocate', 'pin', 'driver', 'driver', 'pin', 'driver'],
  },
  {
    name: 'attaching a group to a domain that is there',
    run: (its) => its.container.attach(backed(its, 3)),
    asks: ['allocate', 'driver', 'driver', 'allocate', 'driver'],
  },
  {
    name: 'attaching an emulated group',
    run: ({ container }) => container.attach({ emulated: true }),
    asks: ['allocate'],
  },
  { name: 'GET_INFO', run: ({ container }) => container.getInfo(), asks: ['allocate', 'allocate', 'allocate'] },
  { name: 'UNMAP_DMA', run: ({ container }) => container.unmapDma({ iova: 0x10_0000, size: 8n * PAGE }), asks: [] },
];

describe('type1 with faults at every allocation, pin and driver call', () => {
  it.each(OPERATIONS)('$name leaves everything as it was', (operation) => {
    const before = look(scene(operation));
    const whole = scene(operation);
    operation.run(whole);
    const asked = [...whole.asked];
    const after = look(whole);
    const outcomes = asked.map((_, n) => {
      const its = scene(operation);
      its.failing = n;
      return { code: codeOf(() => operation.run(its)), left: look(its) };
    });
    const again = asked.map((_, n) => {
      const its = scene(operation);
      its.failing = n;
      const first = codeOf(() => operation.run(its));
      its.failing = undefined;
      operation.run(its);
      return { code: first, left: look(its) };
    });
    expect({ asked, outcomes, again }).toEqual({
      asked: operation.asks,
      outcomes: asked.map(() => ({ code: 'ENOMEM', left: before })),
      again: asked.map(() => ({ code: 'ENOMEM', left: after })),
    });
  });

  it('SET_IOMMU leaves the container unset, and its groups outside', () => {
    const asked: FailPoint[] = [];
    let failing = -1;
    const its = rig({ fail: (what) => (asked.push(what) - 1 === failing ? 'ENOMEM' : undefined) });
    its.iommu.domain({ format: 'vtdss' }).close();
    const { usedBytes } = its.core.usage;
    for (const id of [1, 2]) its.container.attach(backed(its, id));
    const outcomes = Array.from({ length: 9 }, (_, n) => {
      asked.length = 0;
      failing = n;
      const code = codeOf(() => its.container.setIommu(3));
      return [code, codeOf(() => its.container.getInfo()), its.core.usage.usedBytes - usedBytes];
    });
    failing = -1;
    asked.length = 0;
    its.container.setIommu(3);
    expect([asked.length, outcomes]).toEqual([10, Array(9).fill(['ENOMEM', 'EINVAL', 0])]);
  });

  it('passes on what the address space and the core refuse', () => {
    const its = rig({ lockedPagesLimit: 1000 });
    const { container, space, core } = its;
    container.attach(backed(its));
    container.setIommu(3);
    const { usedBytes } = core.usage;
    // Page tables for this do not fit into the core.
    space.mmap({ va: 2n ** 40n, length: 2n ** 40n });
    const tables = codeOf(() => container.mapDma({ flags: RW, iova: 0n, vaddr: 2n ** 40n, size: 2n ** 40n }));
    const large = rigOf(its, { domain: { format: 'vtdss', leafSizes: [4096] } });
    const noTables = codeOf(() => large.mapDma({ flags: RW, iova: 0n, vaddr: 2n ** 40n, size: 2n ** 33n }));
    large.close();
    expect([tables, noTables, space.pinnedBytes, core.usage.usedBytes - usedBytes]).toEqual([
      'ENOMEM',
      'ENOMEM',
      0n,
      0,
    ]);
  });
});

/** Another container over the same address space and IOMMU. */
function rigOf(its: Rig, more: Parameters<typeof backed>[2]): Type1Container {
  const container = new Type1Container(its.core, { addressSpace: its.space });
  container.attach(backed(its, 9, more));
  container.setIommu(3);
  return container;
}
