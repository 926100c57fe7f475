import { describe, expect, it } from 'vitest';
import type { AddressSpace } from '../../src/address-space/address-space.ts';
import { Type1Container } from '../../src/type1/container.ts';
import { BITMAP, PAGE, RAM, RW, backed, bitsAt, bitsOf, range, rig, type Rig } from './rig.ts';

const [START, STOP, GET] = [1, 2, 4];
const [GET_DIRTY, ALL, VADDR] = [1, 2, 4];
const unpinsNothing = { dmaUnmap: () => undefined };

/** GET_BITMAP of the first 64 pages. */
function get({ container, space }: Rig): number[] {
  space.write(BITMAP, new Uint8Array(8));
  const bitmap = { pgsize: PAGE, size: 8n, data: BITMAP };
  container.dirtyPages({ flags: GET, iova: 0n, size: 64n * PAGE, bitmap });
  return bitsAt(space, BITMAP, 8);
}

function map(container: Type1Container, page: number, pages: number): void {
  container.mapDma({ flags: RW, iova: page * 4096, vaddr: RAM + BigInt(page) * PAGE, size: pages * 4096 });
}

describe('type1 dirty pages and who may write them', () => {
  it('come from pins, from dma_rw, and from everything', () => {
    const its = rig();
    const { container } = its;
    const groups = [1, 2].map((id) => container.attach(backed(its, id)));
    container.setIommu(3);
    map(container, 2, 8);
    container.dirtyPages({ flags: START });
    const [a, b] = groups.map((group) => group.openDevice(unpinsNothing));
    const seen = [get(its), get(its)];
    a.pinPages(2 * 4096, 1, RW);
    seen.push(get(its));
    b.pinPages(3 * 4096, 2, 1);
    // Strict counts what the second group did before it pinned; from then on only pins count.
    seen.push(get(its), get(its));
    a.unpinPages(2 * 4096, 1);
    seen.push(get(its), get(its));
    // Offset 4095, two bytes: two pages.
    a.dmaRw(7 * 4096 - 1, new Uint8Array(2), true);
    a.dmaRw(9 * 4096, new Uint8Array(2), false);
    seen.push(get(its), get(its));
    b.pinPages(3 * 4096, 1, RW);
    b.unpinPages(3 * 4096, 1);
    seen.push(get(its));
    const all = range(2, 10);
    expect(seen).toEqual([all, all, all, all, [2, 3, 4], [2, 3, 4], [3, 4], [3, 4, 6, 7], [3, 4], [3, 4]]);
  });

  it('begin with what is pinned at START, and end at STOP', () => {
    const its = rig();
    const { container } = its;
    const group = container.attach({ emulated: true });
    container.setIommu(3);
    map(container, 0, 8);
    const device = group.openDevice(unpinsNothing);
    device.pinPages(0, 2, RW);
    device.dmaRw(5 * 4096, new Uint8Array(1), true);
    container.dirtyPages({ flags: START });
    const first = get(its);
    device.dmaRw(5 * 4096, new Uint8Array(1), true);
    // A second START changes nothing.
    container.dirtyPages({ flags: START });
    const second = get(its);
    device.dmaRw(5 * 4096, new Uint8Array(1), true);
    container.dirtyPages({ flags: STOP });
    container.dirtyPages({ flags: START });
    expect([first, second, get(its)]).toEqual([
      [0, 1],
      [0, 1, 5],
      [0, 1],
    ]);
  });

  it('are none of a mapping that is new, unless it is pinned', () => {
    const its = rig();
    const { container } = its;
    const group = container.attach({ emulated: true });
    container.setIommu(3);
    container.dirtyPages({ flags: START });
    map(container, 4, 4);
    const fresh = get(its);
    group.openDevice(unpinsNothing).pinPages(5 * 4096, 1, RW);
    expect([fresh, get(its)]).toEqual([[], [5]]);
  });

  it('are all pages once more where a group leaves that has never pinned', () => {
    const its = rig();
    const { container } = its;
    const emulated = container.attach({ emulated: true });
    container.setIommu(3);
    map(container, 0, 8);
    container.dirtyPages({ flags: START });
    const before = get(its);
    const group = container.attach(backed(its));
    const silent = container.attach(backed(its, 2));
    const device = silent.openDevice(unpinsNothing);
    device.pinPages(0, 1, RW);
    device.unpinPages(0, 1);
    const during = get(its);
    group.detach();
    const after = [get(its), get(its)];
    // One in pinned scope leaves without a trace.
    device.close();
    silent.detach();
    const last = get(its);
    emulated.detach();
    expect([before, during, after, last, its.space.pinnedBytes]).toEqual([[], range(0, 8), [range(0, 8), []], [], 0n]);
  });

  it('come out of an unmap before the mappings go, holes left as they are', () => {
    const its = rig();
    const { container } = its;
    const group = container.attach({ emulated: true });
    container.setIommu(3);
    for (const page of [3, 9, 70]) map(container, page, 4);
    container.dirtyPages({ flags: START });
    const device = group.openDevice(unpinsNothing);
    for (const page of [4, 12, 70, 73]) device.dmaRw(page * 4096, new Uint8Array(1), true);
    const data = new Uint8Array(16);
    data[15] = 0x80;
    const { size } = container.unmapDma({
      flags: GET_DIRTY,
      iova: 0n,
      size: 128n * PAGE,
      bitmap: { pgsize: PAGE, size: 16n, data },
    });
    expect([size, bitsOf(data), container.getInfo().dmaAvail]).toEqual([12n * PAGE, [4, 12, 70, 73, 127], 65535]);
  });

  it('of 1 TiB are all reported at once', () => {
    const its = rig();
    const { container, space } = its;
    container.attach(backed(its));
    container.setIommu(3);
    const size = 2n ** 40n;
    space.mmap({ va: 2n ** 40n, length: size });
    container.mapDma({ flags: RW, iova: 0n, vaddr: 2n ** 40n, size });
    container.dirtyPages({ flags: START });
    const data = new Uint8Array(2 ** 25);
    container.dirtyPages({ flags: GET, iova: 0n, size, bitmap: { pgsize: PAGE, size: 2n ** 25n, data } });
    expect([
      new BigInt64Array(data.buffer).some((word) => word !== -1n),
      space.pinnedBytes,
      container.lockedPages,
    ]).toEqual([false, size, 2 ** 28]);
  });

  it('follow the smallest page size as domains come and go', () => {
    const its = rig();
    const { container, space } = its;
    const group = container.attach({ emulated: true });
    container.setIommu(3);
    container.mapDma({ flags: RW, iova: 0n, vaddr: RAM, size: 2n ** 22n });
    container.dirtyPages({ flags: START });
    const device = group.openDevice(unpinsNothing);
    device.dmaRw(2 ** 21 + 5 * 4096, new Uint8Array(1), true);
    const large = container.attach(backed(its, 1, { domain: { format: 'vtdss', leafSizes: [2 ** 21] } }));
    const other = large.openDevice(unpinsNothing);
    other.pinPages(0, 1, RW);
    other.unpinPages(0, 1);
    const ask = (pgsize: bigint) => {
      space.write(BITMAP, new Uint8Array(128));
      const bitmap = { pgsize, size: 128n, data: BITMAP };
      container.dirtyPages({ flags: GET, iova: 0n, size: 2n ** 22n, bitmap });
      return bitsAt(space, BITMAP, 128);
    };
    // All of it, for the group's DMA until it pinned is not known.
    const coarse = [ask(2n ** 21n), ask(2n ** 21n)];
    device.dmaRw(2 ** 21, new Uint8Array(1), true);
    other.close();
    large.detach();
    expect([coarse, ask(PAGE)]).toEqual([[[0, 1], []], range(512, 1024)]);
  });
});

describe('type1 mappings and devices', () => {
  it('tells devices of an unmap until nothing is pinned, whatever they do meanwhile', () => {
    const its = rig();
    const { container } = its;
    const group = container.attach({ emulated: true });
    container.setIommu(3);
    for (const page of [0, 8, 16]) map(container, page, 4);
    const told: bigint[][] = [];
    const first = group.openDevice({
      dmaUnmap: (iova, size) => {
        told.push([1n, iova, size]);
        if (iova === 0n) {
          first.unpinPages(0, 1);
          // A device whose driver unmaps on its own.
          container.unmapDma({ iova: 16 * 4096, size: 4 * 4096 });
        }
      },
    });
    const second = group.openDevice({
      dmaUnmap: (iova, size) => {
        told.push([2n, iova, size]);
        if (iova !== 0n) second.unpinPages(iova, 2);
      },
    });
    first.pinPages(0, 1, RW);
    second.pinPages(8 * 4096, 2, RW);
    const { size } = container.unmapDma({ flags: ALL });
    expect([told, size, its.space.pinnedBytes, container.getInfo().dmaAvail]).toEqual([
      [
        [1n, 0n, 4n * PAGE],
        [2n, 0n, 4n * PAGE],
        [1n, 8n * PAGE, 4n * PAGE],
        [2n, 8n * PAGE, 4n * PAGE],
      ],
      8n * PAGE,
      0n,
      65535,
    ]);
  });

  it('of version 1 are removed whole by an unmap of their first page, and size says so', () => {
    const its = rig();
    const { container } = its;
    container.attach(backed(its));
    container.setIommu(1);
    for (const page of [2, 6, 12]) map(container, page, 4);
    const sizes = [
      container.unmapDma({ iova: 2n * PAGE, size: PAGE }).size,
      container.unmapDma({ iova: 0n, size: 13n * PAGE }).size,
      container.unmapDma({ flags: ALL }).size,
    ];
    expect([sizes, its.space.pinnedBytes]).toEqual([[4n * PAGE, 8n * PAGE, 0n], 0n]);
  });

  it('move to another user address by VADDR, and stay mapped meanwhile', () => {
    const its = rig();
    const { container, space } = its;
    const group = container.attach(backed(its));
    container.setIommu(3);
    for (const page of [0, 4]) map(container, page, 4);
    const device = group.openDevice(unpinsNothing);
    const invalid = container.unmapDma({ flags: VADDR | ALL }).size;
    const reachable = device.requester!.access(0, 1, 2);
    for (const page of [0, 4]) {
      container.mapDma({ flags: 4, iova: page * 4096, vaddr: RAM + BigInt(page + 100) * PAGE, size: 4 * 4096 });
    }
    device.dmaRw(4096, Uint8Array.from([7]), true);
    const there = new Uint8Array(1);
    space.read(RAM + 101n * PAGE, there);
    // One that is invalid may be unmapped; then none is left.
    container.unmapDma({ flags: VADDR, iova: 0n, size: 4n * PAGE });
    container.unmapDma({ iova: 0n, size: 4n * PAGE });
    container.attach({ emulated: true });
    expect([invalid, reachable, there[0]]).toEqual([8n * PAGE, 1, 7]);
  });

  it('rolls VADDR back where one is invalid already', () => {
    const its = rig();
    const { container } = its;
    container.attach(backed(its));
    container.setIommu(3);
    for (const page of [0, 4]) map(container, page, 4);
    container.unmapDma({ flags: VADDR, iova: 4n * PAGE, size: 4n * PAGE });
    expect(() => container.unmapDma({ flags: VADDR | ALL })).toThrow('is invalid already (EINVAL)');
    // The first one is valid: VADDR would be refused.
    expect(() => container.mapDma({ flags: 4, iova: 0n, vaddr: RAM, size: 4n * PAGE })).toThrow('EINVAL');
    container.mapDma({ flags: 4, iova: 4n * PAGE, vaddr: RAM, size: 4n * PAGE });
  });

  it('share a domain where groups sit behind one IOMMU and ask for the same', () => {
    const its = rig();
    const { container, core } = its;
    const used = () => core.usage.usedBytes;
    container.attach(backed(its, 1, { domain: { format: 'vtdss', inputBits: 39 } }));
    container.setIommu(3);
    for (let page = 0; page < 64; page += 2) map(container, page, 1);
    const one = used();
    const same = container.attach(backed(its, 2, { domain: { inputBits: 39, format: 'vtdss' } }));
    const shared = used() - one;
    const others = [
      container.attach(backed(its, 3, { domain: { format: 'vtdss', inputBits: 39 }, cacheCoherent: false })),
      container.attach(backed(its, 4)),
      container.attach({ ...backed(its, 5, { domain: { format: 'vtdss', inputBits: 39 } }), iommu: core.iommu() }),
    ];
    const apart = used() - one;
    const devices = [same, ...others].map((group) => group.openDevice());
    const reach = devices.map((device) => [0, 1, 62].map((page) => device.requester!.access(page * 4096, 1, RW)));
    devices.forEach((device) => device.close());
    [same, ...others].forEach((group) => group.detach());
    container.unmapDma({ flags: ALL });
    expect([shared, apart > 3 * 4096, reach]).toEqual([0, true, Array(4).fill([1, -1, 1])]);
  });

  it('use the largest leaves that neighbouring frames allow, in whatever runs they come', () => {
    const inRuns = (length: bigint) => {
      const its = rig();
      const split: AddressSpace = {
        pin: (va, bytes, write) =>
          its.space
            .pin(va, bytes, write)
            ?.flatMap((run) =>
              range(0, Number(run.length / length)).map((i) => ({ pa: run.pa + BigInt(i) * length, length })),
            ),
        unpin: (frames) => its.space.unpin(frames),
        read: (va, into) => its.space.read(va, into),
        write: (va, from) => its.space.write(va, from),
        readFrame: () => false,
        writeFrame: () => false,
      };
      const container = new Type1Container(its.core, { addressSpace: split });
      container.attach(backed(its));
      container.setIommu(3);
      const before = its.core.usage.usedBytes;
      container.mapDma({ flags: RW, iova: 0n, vaddr: RAM, size: 2n ** 22n });
      const used = its.core.usage.usedBytes - before;
      container.close();
      return [used, its.space.pinnedBytes];
    };
    expect(inRuns(PAGE)).toEqual(inRuns(2n ** 21n));
  });

  it('are refused to a group whose aperture or reserved regions conflict, with nothing changed', () => {
    const its = rig();
    const { container } = its;
    container.attach(backed(its));
    container.setIommu(3);
    map(container, 16, 4);
    const before = container.getInfo();
    const aperture = (first: number, last: number) =>
      backed(its, 2, { domain: { format: 'vtdss', aperture: { first, last } } });
    const reserved = (first: number, last: number) => backed(its, 2, { reservedRegions: [{ first, last }] });
    for (const options of [
      aperture(0x11000, 0xffffff),
      aperture(0, 0x12fff),
      reserved(0x13fff, 0x20000),
      reserved(0, 2 ** 57),
    ]) {
      expect(() => container.attach(options)).toThrow('EINVAL');
    }
    expect([container.getInfo(), its.space.pinnedBytes]).toEqual([before, 4n * PAGE]);
    container.attach(aperture(0x10000, 0x13fff));
    container.attach(reserved(0x13000 + 4096, 0x20000));
    expect(container.getInfo().iovaRanges).toEqual([{ start: 0x10000n, end: 0x13fffn }]);
    expect(() => map(container, 20, 1)).toThrow('does not lie in a valid range: 0x10000 .. 0x13fff (EINVAL)');
  });

  it('stay for emulated groups when the last domain leaves, with only pins accounted', () => {
    const its = rig();
    const { container, space } = its;
    const emulated = container.attach({ emulated: true });
    const group = container.attach(backed(its));
    container.setIommu(3);
    map(container, 0, 8);
    const device = emulated.openDevice(unpinsNothing);
    device.pinPages(4096, 3, RW);
    const seen = [[container.lockedPages, space.pinnedBytes / PAGE]];
    group.detach();
    seen.push([container.lockedPages, space.pinnedBytes / PAGE]);
    const again = container.attach(backed(its));
    seen.push([container.lockedPages, space.pinnedBytes / PAGE]);
    const reach = again.openDevice().requester!.access(0, 1, RW);
    container.close();
    seen.push([container.lockedPages, space.pinnedBytes / PAGE]);
    expect([reach, seen]).toEqual([
      1,
      [
        [8, 11n],
        [3, 3n],
        [8, 11n],
        [0, 0n],
      ],
    ]);
    expect(() => device.pinPages(0, 1, RW)).toThrow('EBADF');
  });

  it('end with the group that leaves last, which must have no open device', () => {
    const its = rig();
    const { container, space } = its;
    const group = container.attach(backed(its, 7, { requesterIds: [7, 8] }));
    expect(() => group.openDevice()).toThrow('EINVAL');
    container.setIommu(3);
    map(container, 0, 8);
    expect(() => group.openDevice({ requesterId: 9 })).toThrow('ENODEV');
    const device = group.openDevice({ requesterId: 8 });
    const id = device.requester!.id;
    expect(() => group.detach()).toThrow('1 devices of the group are open; close them first (EBUSY)');
    device.close();
    group.detach();
    expect([id, space.pinnedBytes, container.lockedPages]).toEqual([8, 0n, 0]);
    expect(() => group.detach()).toThrow('EINVAL');
    expect(() => group.openDevice()).toThrow('EINVAL');
    const [stays, goes] = [0, 1].map(() => container.attach({ emulated: true }));
    container.setIommu(3);
    goes.detach();
    expect(() => goes.openDevice()).toThrow('EINVAL');
    stays.detach();
    its.iommu.close();
  });
});
