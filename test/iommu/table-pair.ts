import fc from 'fast-check';
import type { Domain } from '../../src/iommu/domain.ts';
import type { Requester } from '../../src/iommu/requester.ts';
import { codeOf, type Site } from '../core/builds.ts';
import { TableModel, type Leaf } from './table-model.ts';
import { SHAPES, domainOptions, shapeOf, type TableShape } from './table-shape.ts';

/** A format as random sequences run it. */
export interface Variant {
  readonly title: string;
  readonly shape: TableShape;
  readonly inputBits: number;
  readonly signed: boolean;
  readonly contiguous: boolean;
}

function variant(shape: TableShape, inputBits: number, signed: boolean, contiguous: boolean): Variant {
  const title = `${shape.title}, ${inputBits} bits${signed ? ' signed' : ''}${contiguous ? ', contiguous' : ''}`;
  return { title, shape, inputBits, signed, contiguous };
}

/** Every format, its contiguous sizes, and the shapes of roots: few entries, concatenated tables, half a range. */
export const VARIANTS: readonly Variant[] = [
  ...SHAPES.map((shape) => variant(shape, 48, shape.signed, shape.format.contiguousSizes.length > 0)),
  variant(shapeOf('x86_64'), 47, false, false),
  variant(shapeOf('riscv'), 39, true, false),
  variant(shapeOf('armv8-s1 4K'), 39, false, false),
  variant(shapeOf('armv8-s2 4K'), 42, false, true),
  variant(shapeOf('armv8-s2 64K'), 46, false, false),
];

/** Where ranges lie, in granules: around the ends of tables of both lower levels, and at the ends of input ranges. */
function windowsOf({ shape, inputBits, signed }: Variant): number[] {
  const { granule, entries, large } = shape;
  const end = 2 ** inputBits / granule;
  const windows = [0, entries - 20, 3 * entries, large / granule - 30, end - 2 * entries];
  return signed ? [...windows, end / 2 - 2 * entries, end / 2, end / 2] : windows;
}

interface Place {
  readonly window: number;
  readonly at: number;
}

export type Op =
  | { op: 'map'; place: Place; length: number; shift: number; access: number; sizes: number }
  | { op: 'large'; which: number; index: number; head: number; tail: number; access: number }
  | { op: 'unmap'; place: Place; length: number; inside: number }
  | { op: 'access'; place: Place; byte: number; length: number; access: number; batch: boolean }
  | { op: 'read'; place: Place; length: number; pageShift: number; clear: boolean }
  | { op: 'split'; place: Place; leaf: number; size: number }
  | { op: 'merge'; leaf: number; size: number; blocks: number }
  | { op: 'set dirty'; place: Place; leaf: number; byte: number };

const place = fc.record({ window: fc.nat(7), at: fc.oneof(fc.nat(40), fc.nat(1100)) });
const length = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 1200 }));
const access = fc.integer({ min: 1, max: 3 });
/** A leaf that there is, by its place in the list, or -1: none in particular. */
const leaf = fc.oneof(fc.nat(2000), fc.constant(-1));

function one<T extends Op['op']>(op: T, fields: object, weight: number) {
  return { weight, arbitrary: fc.record({ op: fc.constant(op), ...fields }) as unknown as fc.Arbitrary<Op> };
}

export const operation: fc.Arbitrary<Op> = fc.oneof(
  one(
    'map',
    {
      place,
      length,
      shift: fc.constantFrom(0, 0, 0, 1, 16, 512),
      access: fc.constantFrom(1, 2, 3, 3, 3),
      sizes: fc.oneof(fc.constant(0), fc.nat(2 ** 19 - 1)),
    },
    4,
  ),
  one(
    'large',
    { which: fc.nat(2), index: fc.nat(3), head: fc.nat(20), tail: fc.nat(20), access: fc.constantFrom(2, 3) },
    1,
  ),
  one('unmap', { place, length, inside: fc.constantFrom(0, 0, 0, 5) }, 2),
  one(
    'access',
    { place, byte: fc.nat(70_000), length: fc.integer({ min: 1, max: 90_000 }), access, batch: fc.boolean() },
    4,
  ),
  one(
    'read',
    {
      place,
      length: fc.integer({ min: 1, max: 1500 }),
      pageShift: fc.constantFrom(0, 0, 1, 4, 9),
      clear: fc.boolean(),
    },
    3,
  ),
  one('split', { place, leaf, size: fc.nat(40) }, 2),
  one('merge', { leaf, size: fc.nat(40), blocks: fc.constantFrom(1, 1, 2) }, 2),
  one('set dirty', { place, leaf, byte: fc.nat(70_000) }, 2),
);

/** More leaves than these take a test too long to look at one by one. */
const MOST_PIECES = 4096;

/** The same operation on the core and on the model; what each says of it. */
export class Pair {
  readonly said: unknown[] = [];
  readonly wanted: unknown[] = [];
  readonly variant: Variant;
  readonly core: ReturnType<Site['core']>['core'];
  readonly domain: Domain;
  readonly device: Requester;
  readonly model: TableModel;
  readonly #windows: number[];
  readonly #run: () => unknown;

  constructor(site: Site, variant: Variant, tracked: boolean) {
    this.variant = variant;
    this.core = site.core().core;
    this.#windows = windowsOf(variant);
    const { shape, inputBits, signed, contiguous } = variant;
    const iommu = this.core.iommu({ iotlb: { sets: 2, ways: 4 }, requests: 4, events: 4 });
    const options = { ...domainOptions(shape), dirtyTracking: tracked, inputBits, signed, contiguous };
    this.domain = iommu.domain(options);
    this.device = iommu.attach(0x10, this.domain);
    this.model = new TableModel({ ...variant, tracked });
    this.#run = () => {
      iommu.run();
      return iommu.takeFaults().faults.map(({ reason, iova }) => [reason, BigInt(iova)])[0];
    };
  }

  #say(said: unknown, wanted: unknown): void {
    this.said.push(said);
    this.wanted.push(wanted);
  }

  #iova({ window, at }: Place): number {
    const iova = (this.#windows[window % this.#windows.length] + at) * this.variant.shape.granule;
    return Math.min(iova, this.model.end - this.variant.shape.granule);
  }

  #sizes(mask: number): number[] {
    const chosen = this.model.sizes.filter((_, i) => (mask >> (i % 19)) & 1);
    return chosen.length ? chosen : [...this.model.sizes];
  }

  /** An operation that may run out of memory, and then must have changed nothing. */
  #change(run: () => void, wanted: () => unknown): void {
    const before = this.core.usage.usedBytes;
    const code = codeOf(run);
    if (code === 'ENOMEM') this.#say(this.core.usage.usedBytes, before);
    else this.#say(code, wanted());
  }

  /** With the sizes that `mask` chooses; 0: those of the domain. */
  #map(iova: number, pa: number, bytes: number, access: number, mask: number): void {
    const sizes = this.#sizes(mask);
    const options = { iova: this.model.outside(iova), pa, length: bytes, access };
    this.#change(
      () => this.domain.map(mask ? { ...options, leafSizes: sizes } : options),
      () => this.model.map(iova, pa, bytes, access, sizes),
    );
  }

  perform(op: Op): void {
    const { shape } = this.variant;
    const { granule } = shape;
    switch (op.op) {
      case 'map': {
        const iova = this.#iova(op.place);
        const pa = (iova % 2 ** 40) + op.shift * granule;
        this.#map(iova, pa, op.length * granule, op.access, op.sizes);
        break;
      }
      case 'large': {
        const large = shape.larges[op.which % shape.larges.length];
        const iova = large * op.index + (op.index ? large - op.head * granule : 0);
        const bytes = large + (op.tail + (op.index ? op.head : 0)) * granule;
        // A large leaf that the domain has not would be very many small ones.
        if (this.model.sizes.includes(large)) this.#map(iova, iova + 4 * large, bytes, op.access, 0);
        break;
      }
      case 'unmap': {
        const iova = this.#iova(op.place) + op.inside;
        let said: unknown;
        const code = codeOf(() => (said = this.domain.unmap(this.model.outside(iova), op.length * granule)));
        this.#say(said ?? code, this.model.unmap(iova, op.length * granule));
        break;
      }
      case 'access':
        this.#access(this.#iova(op.place) + op.byte, op);
        break;
      case 'read':
        this.#read(this.#iova(op.place), op);
        break;
      default:
        this.#resize(op);
    }
    this.#say(this.domain.usage, this.model.usage);
  }

  #resize(op: Op & { op: 'split' | 'merge' | 'set dirty' }): void {
    const { model, domain } = this;
    const chosen = op.leaf < 0 ? undefined : model.leaves[op.leaf % model.leaves.length];
    const size = op.op === 'set dirty' ? 0 : model.sizes[op.size % model.sizes.length];
    if (op.op === 'merge') {
      const at = chosen?.iova ?? 0;
      const iova = at - (at % size);
      const run = () => domain.merge(model.outside(iova), op.blocks * size, size);
      this.#change(run, () => model.merge(iova, op.blocks * size, size));
      return;
    }
    const iova = chosen?.iova ?? this.#iova(op.place);
    if (op.op === 'set dirty') {
      const at = Math.min(iova + op.byte, model.end - 1);
      this.#say(
        codeOf(() => domain.setDirty(model.outside(at))),
        model.setDirty(at),
      );
      return;
    }
    // From within the first leaf, or to within the last one.
    const bytes = this.variant.shape.granule * (1 + (op.size % 3));
    if (model.piecesOf(iova, bytes, size) > MOST_PIECES) return;
    const run = () => domain.split(model.outside(iova), bytes, size);
    this.#change(run, () => model.split(iova, bytes, size));
  }

  #access(iova: number, op: Op & { op: 'access' }): void {
    // Beyond the last of 64-bit addresses there is nothing to ask for.
    const most = this.model.outside(iova) === iova ? Infinity : this.model.end - iova;
    const at = Math.min(iova, this.model.signed ? this.model.end - 1 : Infinity);
    const bytes = Math.max(1, Math.min(op.length, most));
    const { extents, fault } = this.model.access(at, bytes, op.access);
    const wanted = fault && [fault[0], BigInt(this.#seen(at, fault[1]))];
    if (op.batch) {
      this.device.post(this.model.outside(at), bytes, op.access);
      this.#say(this.#run(), wanted);
      return;
    }
    const count = this.device.access(this.model.outside(at), bytes, op.access);
    const reached = this.device.extents;
    const said = Array.from({ length: reached }, (_, i) => [this.device.extentAddress(i), this.device.extentLength(i)]);
    const why = this.device.fault;
    const ended = why && [why.reason, BigInt(why.iova)];
    // It is recorded as well; here so that the next batch begins with an empty queue.
    this.#say(this.#run(), wanted);
    this.#say([count, said, ended], [fault ? -1 : extents.length, extents, wanted]);
  }

  /** The address that lies as far behind `from` as in the model: beyond a lower half there is no upper one. */
  #seen(from: number, at: number): bigint {
    return BigInt(this.model.outside(from)) + BigInt(at - from);
  }

  #read(at: number, op: Op & { op: 'read' }): void {
    const pageSize = 4096 * 2 ** op.pageShift;
    const end = this.model.lastFrom(at) + 1;
    const iova = Math.min(at - (at % pageSize), end - pageSize);
    const bytes = Math.min(op.length * pageSize, end - iova);
    const start = this.model.outside(iova);
    const dirty = this.core.bitmap({ start, length: bytes, pageSize });
    const read = { iova: start, length: bytes, into: dirty, clear: op.clear };
    const code = codeOf(() => this.domain.readAndClearDirty(read));
    const runs = [...dirty.pageRuns()].map(({ page, pages }) => ({ page: page + iova / pageSize, pages }));
    dirty.close();
    if (this.model.tracked) this.#say([code, runs], ['none', this.model.readDirty(iova, bytes, pageSize, op.clear)]);
    else this.#say([code, runs], ['EOPNOTSUPP', []]);
  }

  /** What translate says of both ends of every leaf, and of the addresses beside them. */
  translations(): void {
    const { model, domain } = this;
    const seen = ({ pa, size, access, dirty }: Leaf, offset: number) => ({
      pa: pa + offset,
      leafSize: size,
      access,
      dirty,
    });
    for (const leaf of model.leaves) {
      for (const offset of [0, 5, leaf.size - 1]) {
        this.#say(domain.translate(model.outside(leaf.iova + offset)), seen(leaf, offset));
      }
      for (const beside of [leaf.iova - 1, leaf.iova + leaf.size]) {
        if (beside < 0 || beside >= model.end || model.at(beside)) continue;
        this.#say(domain.translate(model.outside(beside)), undefined);
      }
    }
  }

  /** Takes everything out; what is in use then. */
  empty(): [number, number, unknown] {
    for (const { iova, size } of this.model.leaves) this.domain.unmap(this.model.outside(iova), size);
    return [this.core.usage.usedBytes, this.domain.usage.tables, this.domain.usage.mappedBytes];
  }
}
