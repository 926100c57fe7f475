import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import type { Type1Group } from '../../src/type1/group.ts';
import type { Type1Device } from '../../src/type1/type1-device.ts';
import { PLACES, siteAt, type Place } from '../core/builds.ts';
import { runs } from '../runs.ts';
import { doorsOf } from './doors.ts';
import { PageModel, type ModelGroup } from './page-model.ts';
import { BITMAP, PAGE, RAM, READ, RW, WRITE, backed, bitsAt, rig, type Rig } from './rig.ts';

const PAGES = 256;
const BITMAP_SIZE = 40;
const START = 1;
const STOP = 2;
const GET = 4;

const at = fc.nat(PAGES - 1);
const pages = fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: PAGES }));
const pick = fc.nat(1000);
const operation = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      op: fc.constant('map' as const),
      at,
      pages: fc.integer({ min: 1, max: 90 }),
      access: fc.constantFrom(RW, RW, READ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ op: fc.constant('unmap' as const), at, pages, bits: fc.boolean(), whole: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('track' as const), on: fc.constantFrom(true, true, false) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant('get' as const),
      at,
      pages,
      whole: fc.boolean(),
      noise: fc.uint8Array({ minLength: BITMAP_SIZE, maxLength: BITMAP_SIZE }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant('pin' as const),
      pick,
      at,
      pages: fc.integer({ min: 1, max: 20 }),
      access: fc.constantFrom(RW, READ),
    }),
  },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('unpin' as const), pick, which: pick }) },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant('rw' as const),
      pick,
      at,
      offset: fc.nat(4095),
      length: fc.integer({ min: 1, max: 9000 }),
      write: fc.boolean(),
    }),
  },
  { weight: 4, arbitrary: fc.record({ op: fc.constant('dma' as const), pick, at }) },
  {
    weight: 2,
    arbitrary: fc.record({ op: fc.constant('attach' as const), backed: fc.boolean(), apart: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('detach' as const), pick }) },
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

interface Member {
  readonly group: Type1Group;
  readonly device: Type1Device;
  readonly model: ModelGroup;
}

/** A container and its model, taken through operations side by side. */
class Run {
  readonly its: Rig;
  readonly model: PageModel;
  readonly members: Member[] = [];
  readonly wrong: string[] = [];
  readonly #strict: boolean;
  #door = 0;
  #ids = 1;

  constructor(place: Place, strict: boolean) {
    this.its = rig({ quirks: strict ? 'strict' : 'linux-6.12' }, place);
    this.model = new PageModel(strict);
    this.#strict = strict;
    this.its.container.attach({ emulated: true });
    this.its.container.setIommu(3);
    this.attach(false, false);
  }

  step(step: Operation, door: number): void {
    this.#door = door;
    switch (step.op) {
      case 'map':
        return this.map(step.at, step.pages, step.access);
      case 'unmap':
        return this.unmap(step.whole ? 0 : step.at, step.whole ? PAGES * 2 : step.pages, step.bits);
      case 'track':
        return this.track(step.on);
      case 'get':
        return this.get(step.whole ? 0 : step.at, step.whole ? PAGES : step.pages, step.noise);
      case 'pin':
        return this.pin(this.#member(step.pick), step.at, step.pages, step.access);
      case 'unpin':
        return this.unpin(this.#member(step.pick), step.which);
      case 'rw':
        return this.rw(this.#member(step.pick), BigInt(step.at) * PAGE + BigInt(step.offset), step.length, step.write);
      case 'dma':
        return this.dma(this.#member(step.pick), step.at);
      case 'attach':
        return this.attach(step.backed, step.apart);
      case 'detach':
        return this.detach(this.#member(step.pick));
    }
  }

  get #doors() {
    return doorsOf(this.its.space)[this.#door];
  }

  #member(index: number): Member {
    return this.members[index % this.members.length];
  }

  #same(what: string, got: unknown, wanted: unknown): void {
    const [a, b] = [got, wanted].map((value) =>
      JSON.stringify(value, (_, v: unknown) => (typeof v === 'bigint' ? `${v}` : v)),
    );
    if (a !== b) this.wrong.push(`${what}: ${a} instead of ${b}`);
  }

  map(first: number, count: number, access: number): void {
    const vaddr = (first * 7) % 900;
    const code = this.#doors.mapDma(this.its.container, {
      flags: access,
      iova: BigInt(first) * PAGE,
      vaddr: RAM + BigInt(vaddr) * PAGE,
      size: BigInt(count) * PAGE,
    });
    this.#same('map', code, this.model.map({ at: first, pages: count, access, vaddr }));
  }

  unmap(first: number, count: number, bits: boolean): void {
    const size = count === PAGES * 2 ? 0n : BigInt(count) * PAGE;
    const all = size === 0n;
    const iova = BigInt(first) * PAGE;
    this.its.space.write(BITMAP, new Uint8Array(BITMAP_SIZE));
    const bitmap = { pgsize: PAGE, size: BigInt(BITMAP_SIZE), data: BITMAP };
    const withBits = bits && !all;
    const wanted = this.model.report(first, count).map((page) => page - first);
    const cut = (withBits && !this.model.tracking) || this.model.cuts(first, count);
    const written = [...this.model.written];
    const gone = cut ? [] : this.model.unmap(first, count);
    const flags = all ? 2 : withBits ? 1 : 0;
    const result = this.#doors.unmapDma(this.its.container, { flags, iova, size, ...(withBits && { bitmap }) });
    const size0 = { size: BigInt(gone.length) * PAGE };
    this.#same('unmap', result, cut ? { code: 'EINVAL' } : { code: 'none', ...size0 });
    if (withBits && !cut) {
      const missed = written.filter((page) => gone.includes(page)).map((page) => page - first);
      this.#report(wanted, missed, []);
    }
  }

  track(on: boolean): void {
    this.#same('track', this.#doors.dirtyPages(this.its.container, { flags: on ? START : STOP }), 'none');
    if (on) this.model.start();
    else this.model.stop();
  }

  get(first: number, count: number, noise: Uint8Array): void {
    const before = this.#strict ? noise : new Uint8Array(BITMAP_SIZE);
    this.its.space.write(BITMAP, before);
    const code = this.#doors.dirtyPages(this.its.container, {
      flags: GET,
      iova: BigInt(first) * PAGE,
      size: BigInt(count) * PAGE,
      bitmap: { pgsize: PAGE, size: BigInt(BITMAP_SIZE), data: BITMAP },
    });
    const refused = !this.model.tracking || this.model.cuts(first, count);
    this.#same('get', code, refused ? 'EINVAL' : 'none');
    if (refused) return;
    const inside = [...this.model.written].filter((page) => page >= first && page < first + count);
    const wanted = this.model.report(first, count).map((page) => page - first);
    this.#report(
      wanted,
      inside.map((page) => page - first),
      [...before].flatMap((byte, i) =>
        [0, 1, 2, 3, 4, 5, 6, 7].filter((bit) => (byte >> bit) & 1).map((bit) => 8 * i + bit),
      ),
    );
    this.model.reported(first, count);
  }

  /** Strict reports exactly what the model does; Linux that at least, for it has stale bits. No write may be missing. */
  #report(wanted: number[], written: number[], before: number[]): void {
    const bits = bitsAt(this.its.space, BITMAP, BITMAP_SIZE);
    const all = [...new Set([...wanted, ...before])].sort((a, b) => a - b);
    if (this.#strict) this.#same('bits', bits, all);
    else
      this.#same(
        'bits that lack',
        wanted.filter((bit) => !bits.includes(bit)),
        [],
      );
    if (this.#strict)
      this.#same(
        'missed',
        written.filter((bit) => !bits.includes(bit)),
        [],
      );
  }

  pin({ device, model }: Member, first: number, count: number, access: number): void {
    let code = 'none';
    try {
      const frames = device.pinPages(BigInt(first) * PAGE, count, access);
      const wanted = frames.map((_, i) => {
        const mapping = this.model.mappingAt(first + i)!;
        return RAM + BigInt(mapping.vaddr + first + i - mapping.at) * PAGE;
      });
      this.#same('frames', frames, wanted);
    } catch (error) {
      code = (error as { code?: string }).code ?? String(error);
    }
    this.#same('pin', code, this.model.pin(model, first, count, access));
  }

  unpin({ device, model }: Member, which: number): void {
    const pinned = [...model.pins.keys()];
    if (pinned.length === 0) return;
    const page = pinned[which % pinned.length];
    device.unpinPages(BigInt(page) * PAGE, 1);
    this.model.unpin(model, page);
  }

  rw({ device }: Member, iova: bigint, length: number, write: boolean): void {
    let wanted = 'none';
    for (let byte = 0; byte < length && wanted === 'none'; byte++) {
      const page = Number((iova + BigInt(byte)) / PAGE);
      const mapping = this.model.mappingAt(page);
      if (!mapping) wanted = 'EINVAL';
      else if (write && mapping.access !== RW) wanted = 'EPERM';
      else if (write) this.model.write(page, true);
    }
    let code = 'none';
    try {
      device.dmaRw(iova, new Uint8Array(length), write);
    } catch (error) {
      code = (error as { code?: string }).code ?? String(error);
    }
    this.#same('dma_rw', code, wanted);
  }

  /** DMA by a device that has kept its word: in pinned scope it writes what it has pinned only. */
  dma({ device, model }: Member, page: number): void {
    if (!device.requester || (model.pinnedScope && !model.pins.has(page))) return;
    const extents = device.requester.access(BigInt(page) * PAGE, 1, WRITE);
    const mapping = this.model.mappingAt(page);
    const lands = mapping !== undefined && (mapping.access & WRITE) !== 0;
    this.#same('dma', extents, lands ? 1 : -1);
    if (!lands) return;
    const where = RAM + BigInt(mapping.vaddr + page - mapping.at) * PAGE;
    this.#same('dma to', BigInt(device.requester.extentAddress(0)), where);
    this.model.write(page, false);
  }

  attach(isBacked: boolean, apart: boolean): void {
    if (this.members.length > 4) return;
    const { container } = this.its;
    // Apart: a domain of its own, for its options differ.
    const more = apart ? { domain: { format: 'amdv1' as const } } : {};
    const group = container.attach(isBacked ? backed(this.its, this.#ids++, more) : { emulated: true });
    const model: ModelGroup = { backed: isBacked, pinnedScope: !isBacked, pins: new Map() };
    const device = group.openDevice({ dmaUnmap: (iova, size) => this.#unpinAll(device, model, iova, size) });
    this.members.push({ group, device, model });
    this.model.groups.push(model);
  }

  /** What devices must do; the model has forgotten these pins already, so they are read from what was pinned. */
  #unpinAll(device: Type1Device, _model: ModelGroup, iova: bigint, size: bigint): void {
    for (const [page, count] of this.#pinsOf(device)) {
      if (BigInt(page) * PAGE < iova || BigInt(page) * PAGE >= iova + size) continue;
      for (let i = 0; i < count; i++) device.unpinPages(BigInt(page) * PAGE, 1);
      this.#pinsOf(device).delete(page);
    }
  }

  readonly #shadow = new Map<Type1Device, Map<number, number>>();

  #pinsOf(device: Type1Device): Map<number, number> {
    return this.#shadow.get(device) ?? new Map<number, number>();
  }

  /** Remembers what each device has pinned, for the unmap that comes. */
  remember(): void {
    for (const { device, model } of this.members) this.#shadow.set(device, new Map(model.pins));
  }

  detach(member: Member): void {
    if (this.members.length === 1) return;
    const { group, device, model } = member;
    for (const [page, count] of [...model.pins]) {
      for (let i = 0; i < count; i++) {
        device.unpinPages(BigInt(page) * PAGE, 1);
        this.model.unpin(model, page);
      }
    }
    device.close();
    group.detach();
    this.members.splice(this.members.indexOf(member), 1);
    this.model.leave(model);
  }

  /** What holds between any two operations. */
  check(): void {
    const { model, its } = this;
    const mapped = model.mappedPages.length;
    const pinned = model.pinnedPages.length;
    this.#same('locked pages', its.container.lockedPages, model.hasDomain ? mapped : pinned);
    this.#same('pinned bytes', its.space.pinnedBytes, BigInt((model.hasDomain ? mapped : 0) + pinned) * PAGE);
    this.#same('available', its.container.getInfo().dmaAvail, 65535 - model.mappings.length);
  }

  /** Closes everything; what is left over. */
  close(): unknown[] {
    const { container, space, iommu, core } = this.its;
    container.close();
    iommu.close();
    return [container.lockedPages, space.pinnedBytes, core.usage.usedBytes];
  }
}

/** Bytes that a core keeps when everything in it was closed: the table of its objects. */
function usedAfterAll(place: Place): number {
  const { core, iommu } = rig({}, place);
  iommu.close();
  return core.usage.usedBytes;
}

describe.each(PLACES)('type1 under random operations: $name', (place) => {
  afterAll(() => expect(siteAt(place, 4).strayWrites()).toEqual([]));

  it.each(['strict', 'linux-6.12'])('agrees with sets of pages, misses no write and leaks nothing: %s', (profile) => {
    const steps = fc.array(fc.tuple(operation, fc.nat(1)), { minLength: 1, maxLength: 60, size: 'max' });
    fc.assert(
      fc.property(steps, (steps) => {
        const empty = usedAfterAll(place);
        const run = new Run(place, profile === 'strict');
        for (const [step, door] of steps) {
          run.remember();
          run.step(step, door);
          run.check();
        }
        expect([run.wrong, run.close()]).toEqual([[], [0, 0n, empty]]);
      }),
      { numRuns: runs(60) },
    );
  });
});
