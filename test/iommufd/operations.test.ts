import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Device } from '../../src/iommufd/device.ts';
import { READ, WRITE } from '../../src/iommu/access.ts';
import { Oracle } from '../../src/oracle/oracle.ts';
import { PLACES } from '../core/builds.ts';
import { runs } from '../runs.ts';
import { DOORS, type Args, type CommandName, type Outputs } from './doors.ts';
import { BUFFER, FIXED, PAGE, RAM, RAM_BYTES, RW, READABLE, behind, rig, type Rig } from './rig.ts';
import { WorldModel, type ModelHwpt, type ModelIoas } from './world-model.ts';

const RAM_PAGES = Number(RAM_BYTES / PAGE);
/** IOVAs that are used, in pages: dense enough for overlaps, with room for leaves of 2 MiB. */
const SPAN = 4096;

const pick = fc.nat(1000);
const place = fc.oneof(
  fc.nat(SPAN - 1),
  fc.integer({ min: 0, max: SPAN / 512 - 1 }).map((n) => n * 512),
);
const size = fc.oneof(fc.integer({ min: 1, max: 64 }), fc.constantFrom(512, 1024, 513));
const operation = fc.oneof(
  { weight: 1, arbitrary: fc.record({ op: fc.constant('ioasAlloc' as const) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      op: fc.constant('map' as const),
      ioas: pick,
      iova: place,
      at: place,
      pages: size,
      write: fc.boolean(),
      fixed: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant('copy' as const),
      from: pick,
      to: pick,
      area: pick,
      skip: fc.nat(3),
      less: fc.nat(3),
      iova: place,
      write: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant('unmap' as const),
      ioas: pick,
      area: pick,
      before: fc.nat(4),
      behind: fc.nat(40),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ op: fc.constant('hwptAlloc' as const), ioas: pick, device: pick, dirty: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('track' as const), hwpt: pick, enable: fc.boolean() }) },
  {
    weight: 3,
    arbitrary: fc.record({ op: fc.constant('attach' as const), device: pick, to: pick, ioas: fc.boolean() }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ op: fc.constant('replace' as const), device: pick, to: pick, ioas: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('detach' as const), device: pick }) },
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constant('dma' as const),
      device: pick,
      area: pick,
      offset: fc.nat(3_000_000),
      length: fc.integer({ min: 1, max: 20000 }),
      access: fc.constantFrom(READ, WRITE, WRITE),
    }),
  },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('report' as const), hwpt: pick }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('destroy' as const), object: pick, ioas: fc.boolean() }) },
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

const FORMATS = ['vtdss', 'vtdss', 'vtdss', 'amdv1'];

/** An iommufd beside its model, driven through both doors in turn. */
class Driven {
  readonly rig: Rig;
  readonly model = new WorldModel(FORMATS);
  readonly devices: Device[];
  readonly probes: Device[];
  readonly oracles = new Map<ModelHwpt, Oracle>();
  readonly wrong: string[] = [];
  #calls = 0;

  constructor(made: Rig) {
    this.rig = made;
    const second = made.core.iommu();
    const iommuOf = (format: string) => (format === 'vtdss' ? made.iommu : second);
    const bind = (format: string, requesterId: number) =>
      made.fd.bind(behind(made, { iommu: iommuOf(format), requesterId, domain: { format: format as 'vtdss' } }));
    this.devices = FORMATS.map((format, i) => bind(format, i));
    this.probes = ['vtdss', 'amdv1'].map((format, i) => bind(format, 100 + i));
  }

  call(command: CommandName, args: Args, code: string): Outputs {
    const result = DOORS[this.#calls++ % 2].call(this.rig, command, args);
    if (result.code !== code) this.wrong.push(`${command} ${String(result.code)}, not ${code}`);
    return result.code === 'none' ? result.out : {};
  }

  expectCode(what: string, run: () => unknown, code: string): void {
    let found = 'none';
    try {
      run();
    } catch (error) {
      found = (error as { code: string }).code;
    }
    if (found !== code) this.wrong.push(`${what} ${found}, not ${code}`);
  }

  /** Everything dirty in an HWPT, judged by its oracle. */
  report(hwpt: ModelHwpt): void {
    const oracle = this.oracles.get(hwpt);
    if (!oracle) return;
    const words = new Uint32Array(RAM_PAGES / 32);
    oracle.begin();
    for (const area of hwpt.ioas.areas) {
      const query = { hwptId: hwpt.id, iova: BigInt(area.iova) * PAGE, length: BigInt(area.pages) * PAGE };
      const bitmap = new Uint8Array(area.pages / 8 + 1);
      this.rig.space.write(BUFFER, bitmap);
      this.call('hwptGetDirtyBitmap', { ...query, pageSize: PAGE, data: BUFFER }, 'none');
      this.rig.space.read(BUFFER, bitmap);
      for (let page = 0; page < area.pages; page++) {
        if (bitmap[page >> 3] & (1 << (page & 7))) words[(area.at + page) >> 5] |= 1 << ((area.at + page) & 31);
      }
    }
    const { missed } = oracle.judge(words);
    if (missed) this.wrong.push(`${missed} pages are missed`);
  }

  reportAll(ioas: ModelIoas): void {
    for (const hwpt of this.model.hwpts) if (hwpt.ioas === ioas) this.report(hwpt);
  }

  /** Whether DMA through every HWPT reaches what its IOAS maps, and no more. */
  checkMappings(): void {
    for (const hwpt of this.model.hwpts) {
      const probe = this.probes[hwpt.format === 'vtdss' ? 0 : 1];
      probe.attach(hwpt.id);
      for (const area of hwpt.ioas.areas) {
        for (const [page, byte] of [
          [0, 0],
          [area.pages - 1, 4095],
          [area.pages >> 1, 7],
        ]) {
          const iova = BigInt(area.iova + page) * PAGE + BigInt(byte);
          const reached = probe.requester.access(iova, 1, READ) === 1 ? probe.requester.extentAddress(0) : -1;
          const wanted = RAM + BigInt(area.at + page) * PAGE + BigInt(byte);
          if (BigInt(reached) !== wanted) this.wrong.push(`HWPT ${hwpt.id} leads ${iova} to ${reached}, not ${wanted}`);
          const write = probe.requester.access(iova, 1, WRITE) === 1;
          if (write !== area.write) this.wrong.push(`HWPT ${hwpt.id} ${write ? 'lets' : 'refuses'} a write at ${iova}`);
          if (write) this.oracles.get(hwpt)?.land(area.at + page, area.at + page);
        }
        const behindIt = area.iova + area.pages;
        if (this.model.overlaps(hwpt.ioas, behindIt, 1)) continue;
        if (probe.requester.access(BigInt(behindIt) * PAGE, 1, READ) !== -1) this.wrong.push(`${behindIt} is mapped`);
      }
      probe.detach();
    }
    if (this.rig.fd.pinnedBytes !== BigInt(this.model.pinnedPages) * PAGE) {
      this.wrong.push(`${this.rig.fd.pinnedBytes / PAGE} pages are pinned, not ${this.model.pinnedPages}`);
    }
    const { iommu } = this.rig;
    iommu.takeFaults();
  }
}

function of<T>(list: readonly T[], index: number): T | undefined {
  return list.length ? list[index % list.length] : undefined;
}

function allocate(driven: Driven, step: Extract<Operation, { op: 'hwptAlloc' }>): void {
  const { model, devices } = driven;
  const ioas = of(model.ioases, step.ioas);
  if (!ioas) return;
  const device = step.device % devices.length;
  const args = { flags: step.dirty ? 2 : 0, devId: devices[device].devId, ptId: ioas.id };
  const { outHwptId } = driven.call('hwptAlloc', args, 'none');
  const format = model.formats[device];
  model.hwpts.push({ id: Number(outHwptId), ioas, format, auto: false, dirty: step.dirty });
}

function map(driven: Driven, step: Extract<Operation, { op: 'map' }>): void {
  const { model } = driven;
  const ioas = of(model.ioases, step.ioas);
  if (!ioas) return;
  const taken = step.fixed && model.overlaps(ioas, step.iova, step.pages);
  const flags = (step.write ? RW : READABLE) | (step.fixed ? FIXED : 0);
  const userVa = RAM + BigInt(step.at) * PAGE;
  const length = BigInt(step.pages) * PAGE;
  const args = { flags, ioasId: ioas.id, userVa, length, iova: BigInt(step.iova) * PAGE };
  const { iova } = driven.call('ioasMap', args, taken ? 'EEXIST' : 'none');
  if (taken) return;
  const placed = Number((iova as bigint) / PAGE);
  if (model.overlaps(ioas, placed, step.pages)) driven.wrong.push(`placed at ${placed}, which is taken`);
  const slice = { pages: step.pages, memory: { writable: step.write }, at: step.at };
  model.insert(ioas, placed, [slice], step.write);
}

function copy(driven: Driven, step: Extract<Operation, { op: 'copy' }>): void {
  const { model } = driven;
  const [from, to] = [of(model.ioases, step.from), of(model.ioases, step.to)];
  const area = from && of(from.areas, step.area);
  if (!from || !to || !area) return;
  // From within the area to a few pages beyond it.
  const source = area.iova + (step.skip % area.pages);
  const pages = Math.max(1, area.pages - step.less + 1);
  const slices = model.slices(from, source, pages);
  const refused = step.write && slices?.some(({ memory }) => !memory.writable);
  const code = !slices ? 'ENOENT' : model.overlaps(to, step.iova, pages) ? 'EEXIST' : refused ? 'EPERM' : 'none';
  const args = {
    flags: FIXED | (step.write ? RW : READABLE),
    srcIoasId: from.id,
    dstIoasId: to.id,
    srcIova: BigInt(source) * PAGE,
    dstIova: BigInt(step.iova) * PAGE,
    length: BigInt(pages) * PAGE,
  };
  driven.call('ioasCopy', args, code);
  if (code === 'none') model.insert(to, step.iova, slices!, step.write);
}

function unmap(driven: Driven, step: Extract<Operation, { op: 'unmap' }>): void {
  const { model } = driven;
  const ioas = of(model.ioases, step.ioas);
  const area = ioas && of(ioas.areas, step.area);
  if (!ioas || !area) return;
  // What is dirty there would be lost with it.
  driven.reportAll(ioas);
  const first = Math.max(0, area.iova - step.before);
  const pages = area.iova + area.pages + step.behind - first;
  const { code, pages: gone } = model.unmap(ioas, first, pages);
  const range = { iova: BigInt(first) * PAGE, length: BigInt(pages) * PAGE };
  const { length } = driven.call('ioasUnmap', { ioasId: ioas.id, ...range }, code);
  if (code === 'none' && length !== BigInt(gone) * PAGE) driven.wrong.push(`${length} bytes are unmapped`);
}

function attach(driven: Driven, step: Extract<Operation, { op: 'attach' | 'replace' }>): void {
  const { model, devices } = driven;
  const device = step.device % devices.length;
  const target = step.ioas ? of(model.ioases, step.to) : of(model.hwpts, step.to);
  if (!target) return;
  const replace = step.op === 'replace';
  const unfit = 'format' in target && target.format !== model.formats[device];
  const old = model.attached[device];
  const code = (replace ? !old : old) || (unfit && target !== old) ? 'EINVAL' : 'none';
  let id = 0;
  driven.expectCode(step.op, () => (id = devices[device][step.op](target.id)), code);
  if (code !== 'none') return;
  let hwpt = 'format' in target ? target : model.autoFor(device, target);
  if (!hwpt) {
    hwpt = { id, ioas: target as ModelIoas, format: model.formats[device], auto: true, dirty: false };
    model.hwpts.push(hwpt);
  }
  if (hwpt.id !== id) driven.wrong.push(`attached to ${id}, not ${hwpt.id}`);
  if (old !== hwpt) model.leave(device);
  model.attached[device] = hwpt;
}

function dma(driven: Driven, step: Extract<Operation, { op: 'dma' }>): void {
  const { model, devices } = driven;
  const device = step.device % devices.length;
  const hwpt = model.attached[device];
  const area = hwpt && of(hwpt.ioas.areas, step.area);
  if (!area) return;
  const { requester } = devices[device];
  const iova = BigInt(area.iova) * PAGE + BigInt(step.offset % (area.pages * 4096));
  const count = requester.access(iova, step.length, step.access);
  if (step.access !== WRITE) return;
  // What a fault cut off has not landed; what came before it has.
  for (let i = 0; i < (count < 0 ? requester.extents : count); i++) {
    const at = Number(BigInt(requester.extentAddress(i)) - RAM);
    driven.oracles.get(hwpt)?.landBytes(at, requester.extentLength(i));
  }
}

function destroy(driven: Driven, step: Extract<Operation, { op: 'destroy' }>): void {
  const { model } = driven;
  const object = step.ioas ? of(model.ioases, step.object) : of(model.hwpts, step.object);
  if (!object) return;
  const code = model.usersOf(object) > 0 ? 'EBUSY' : 'none';
  driven.call('destroy', { id: object.id }, code);
  if (code !== 'none') return;
  model.ioases = model.ioases.filter((each) => each !== object);
  model.hwpts = model.hwpts.filter((each) => each !== object);
}

function track(driven: Driven, step: Extract<Operation, { op: 'track' }>): void {
  const hwpt = of(driven.model.hwpts, step.hwpt);
  if (!hwpt) return;
  const args = { flags: step.enable ? 1 : 0, hwptId: hwpt.id };
  driven.call('hwptSetDirtyTracking', args, hwpt.dirty ? 'none' : 'EOPNOTSUPP');
  if (!hwpt.dirty) return;
  if (!step.enable) driven.oracles.delete(hwpt);
  else if (!driven.oracles.has(hwpt)) driven.oracles.set(hwpt, new Oracle(RAM_PAGES));
}

function take(driven: Driven, step: Operation): void {
  const { model, devices } = driven;
  switch (step.op) {
    case 'ioasAlloc':
      if (model.ioases.length < 4) {
        model.ioases.push({ id: Number(driven.call('ioasAlloc', {}, 'none').outIoasId), areas: [] });
      }
      return;
    case 'map':
      return map(driven, step);
    case 'copy':
      return copy(driven, step);
    case 'unmap':
      return unmap(driven, step);
    case 'hwptAlloc':
      if (model.hwpts.length < 6) allocate(driven, step);
      return;
    case 'track':
      return track(driven, step);
    case 'attach':
    case 'replace':
      return attach(driven, step);
    case 'detach': {
      const device = step.device % devices.length;
      driven.expectCode('detach', () => devices[device].detach(), model.attached[device] ? 'none' : 'EINVAL');
      return model.leave(device);
    }
    case 'dma':
      return dma(driven, step);
    case 'report': {
      const hwpt = of(model.hwpts, step.hwpt);
      return hwpt && driven.report(hwpt);
    }
    case 'destroy':
      return destroy(driven, step);
  }
}

describe.each([PLACES[0], PLACES[1]])('any sequence of operations: $name', (place) => {
  it('says what the model says, keeps every HWPT of an IOAS alike, misses no page and leaves nothing behind', () => {
    fc.assert(
      fc.property(fc.array(operation, { minLength: 20, maxLength: 60 }), (steps) => {
        const made = rig({}, place);
        const { usedBytes } = made.core.usage;
        const driven = new Driven(made);
        take(driven, { op: 'ioasAlloc' });
        take(driven, { op: 'ioasAlloc' });
        for (const step of steps) take(driven, step);
        driven.checkMappings();
        for (const hwpt of driven.model.hwpts) driven.report(hwpt);
        made.fd.close();
        // The second IOMMU stays, as the first does.
        const left = made.core.usage.usedBytes - usedBytes - secondIommu(place);
        expect([driven.wrong, made.space.pinnedBytes, left]).toEqual([[], 0n, 0]);
      }),
      { numRuns: runs(place.budget === 1 ? 50 : 250) },
    );
  });
});

function secondIommu(place: (typeof PLACES)[number]): number {
  const { core } = rig({}, place);
  const { usedBytes } = core.usage;
  core.iommu();
  return core.usage.usedBytes - usedBytes;
}
