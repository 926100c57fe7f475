import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import * as layout from '../../assembly/layout.ts';
import { Bitmap } from '../../src/bitmap/bitmap.ts';
import { StateBuffer } from '../../src/device/state-buffer.ts';
import type { Instance } from '../../src/wasm/instance.ts';
import { PLACES, Site, codeOf, siteAt } from '../core/builds.ts';
import { runs } from '../runs.ts';
import { crc32c, delta, record, recordOf } from './record-model.ts';

const PAGE = 4096;
const PAGES = 6;
const SPACE = layout.TRANSFER_BYTES;

/** What a page is made of: a base, and bytes changed from place to place. */
const pageContents = fc
  .tuple(
    fc.constantFrom('zero', 'ramp', 'noise'),
    fc.array(fc.tuple(fc.nat(PAGE - 1), fc.nat(255)), { maxLength: 12 }),
    // Enough changed words that a delta is longer than the page, or nearly.
    fc.constantFrom(0, 0, 0, 1, 407, 408, 409, 410, 511, 512),
    // Runs of words anywhere, and every so manieth word.
    fc.array(fc.tuple(fc.nat(511), fc.oneof(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 400 }))), {
      maxLength: 6,
    }),
    fc.constantFrom(0, 0, 0, 0, 2, 3, 63, 64, 255, 256, 257),
  )
  .map(([base, bytes, words, stretches, every]) => {
    const page = new Uint8Array(PAGE);
    if (base === 'ramp') page.forEach((_, i) => (page[i] = i >>> 3));
    if (base === 'noise') page.forEach((_, i) => (page[i] = (Math.imul(i + 1, 0x9e3779b1) >>> 24) ^ i));
    for (const [at, value] of bytes) page[at] = value;
    for (let word = 0; word < words; word++) page[8 * word] ^= 0x55;
    for (const [first, length] of stretches) {
      for (let word = first; word < Math.min(first + length, PAGE / 8); word++) page[8 * word + 7] ^= 0x33;
    }
    for (let word = every - 1; every > 0 && word < PAGE / 8; word += every) page[8 * word + 3] ^= 0x0f;
    return page;
  });
const contents = fc.array(pageContents, { minLength: PAGES, maxLength: PAGES });

function bufferOf(core: Instance, pages: readonly Uint8Array[]): StateBuffer {
  const buffer = new StateBuffer(core, pages.length);
  pages.forEach((page, i) => buffer.view(i * PAGE, PAGE).set(page));
  return buffer;
}

function bytesOf(buffer: StateBuffer): Buffer {
  return Buffer.from(buffer.view(0, buffer.pages * PAGE));
}

function put(core: Instance, bytes: Uint8Array): void {
  core.view(core.transfer, bytes.length).set(bytes);
}

/** Reads all that `dirty` marks, `room` bytes at a time; where not even one record fits, as many as that takes. */
function encodeAll(core: Instance, source: StateBuffer, last: StateBuffer | null, dirty: Bitmap, room: number): Buffer {
  const parts: Buffer[] = [];
  for (let page = 0, size = room; page < source.pages; page = source.nextPage) {
    const end = source.encode(last, dirty, page, 0, size);
    parts.push(Buffer.from(core.view(core.transfer, end)));
    size = end === 0 ? Math.max(room, core.load32(layout.MAIL3)) : room;
  }
  return Buffer.concat(parts);
}

describe.each(PLACES)('page records: $name', (place) => {
  const site = new Site(place, 1);
  afterAll(() => expect(site.strayWrites()).toEqual([]));

  it('have the checksum of RFC 3720', () => {
    const core = site.instance();
    const buffer = new StateBuffer(core, 1);
    const ascending = Uint8Array.from({ length: 32 }, (_, i) => i);
    const vectors: [Uint8Array, number][] = [
      [new Uint8Array(0), 0],
      [new TextEncoder().encode('123456789'), 0xe3069283],
      [new Uint8Array(32), 0x8a9136aa],
      [new Uint8Array(32).fill(0xff), 0x62a8ab43],
      [ascending, 0x46dd794e],
      [ascending.slice().reverse(), 0x113fdb5c],
      [new Uint8Array(PAGE), layout.ZERO_PAGE_CRC32C],
    ];
    const got = vectors.map(([bytes]) => {
      put(core, bytes);
      return buffer.checksum(bytes.length);
    });
    expect(got).toEqual(vectors.map(([, crc]) => crc));
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        put(core, bytes);
        expect(buffer.checksum(bytes.length)).toBe(crc32c(bytes));
      }),
      { numRuns: runs(100) },
    );
    // Whole pages, and what remains behind them, go other ways.
    const lengths = fc.oneof(fc.integer({ min: 3700, max: 4500 }), fc.integer({ min: 8100, max: 12400 }));
    fc.assert(
      fc.property(lengths, fc.integer(), (length, seed) => {
        const bytes = Uint8Array.from({ length }, (_, i) => Math.imul(i + seed, 0x9e3779b1) >>> 24);
        put(core, bytes);
        expect(buffer.checksum(length)).toBe(crc32c(bytes));
      }),
      { numRuns: runs(50) },
    );
  });

  it('are those of the plain model, whatever source, last copy and room, and rebuild the source', () => {
    const room = fc.oneof(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 200, max: 9000 }), fc.constant(SPACE));
    const marks = fc.array(fc.boolean(), { minLength: PAGES, maxLength: PAGES });
    fc.assert(
      fc.property(contents, contents, marks, fc.boolean(), room, (now, before, marked, hasLast, size) => {
        const core = site.instance();
        const source = bufferOf(core, now);
        const last = hasLast ? bufferOf(core, before) : null;
        const target = bufferOf(core, before);
        const dirty = new Bitmap(core, { length: PAGES * PAGE });
        marked.forEach((mark, i) => mark && dirty.markPages(i, 1));
        const stream = encodeAll(core, source, last, dirty, size);
        const wanted = now.flatMap((page, i) => (marked[i] ? [recordOf(i, page, hasLast ? before[i] : null)] : []));
        const after = Buffer.concat(now.map((page, i) => (marked[i] ? page : before[i])));
        put(core, stream);
        target.apply(0, stream.length);
        const kinds = [0, 1, 2, 3].map((kind) => wanted.filter((bytes) => bytes[4] === kind).length);
        const { sent } = source;
        const got = {
          stream: Buffer.compare(stream, Buffer.concat(wanted)),
          target: Buffer.compare(bytesOf(target), after),
          last: last ? Buffer.compare(bytesOf(last), after) : 0,
          source: Buffer.compare(bytesOf(source), Buffer.concat(now)),
          left: dirty.count(),
          kinds: [sent.zero, sent.unchanged, sent.delta, sent.whole],
        };
        expect(got).toEqual({ stream: 0, target: 0, last: 0, source: 0, left: 0, kinds });
      }),
      { numRuns: runs(60) },
    );
  });

  it('are the smallest that there is: delta up to 4095 bytes, and kinds in the order of their sizes', () => {
    const core = site.instance();
    const last = new Uint8Array(PAGE).fill(1);
    // n isolated words take 10 bytes each: 409 of them are the last delta.
    const isolated = (words: number) => last.map((byte, i) => (i % 16 === 0 && i / 16 < words ? 2 : byte));
    const dense = (words: number) => last.map((byte, i) => (i < 8 * words ? 2 : byte));
    const pages = [new Uint8Array(PAGE), last, isolated(1), isolated(256), dense(510), dense(511), dense(512)];
    const source = bufferOf(core, pages);
    const copy = bufferOf(
      core,
      pages.map(() => last),
    );
    const dirty = new Bitmap(core, { length: pages.length * PAGE });
    dirty.markPages(0, pages.length);
    const stream = encodeAll(core, source, copy, dirty, SPACE);
    const sizes: [number, number][] = [];
    for (let at = 0; at < stream.length; at += 16 + sizes.at(-1)![1]) {
      sizes.push([stream.readUInt16LE(at + 4), stream.readUInt16LE(at + 6)]);
    }
    expect(sizes).toEqual([
      [0, 0],
      [1, 0],
      [2, 10],
      [2, 2560],
      [2, 4084],
      [2, 4094],
      [3, 4096],
    ]);
  });

  it('are refused after every truncation and every flip of a bit, and then their page is unchanged', () => {
    const core = site.instance();
    const before = Array.from({ length: 4 }, (_, i) => new Uint8Array(PAGE).fill(i * 3));
    const now = before.map((page, i) => page.map((byte, at) => (i === 2 && at % 700 === 5 ? byte ^ 0x40 : byte)));
    before[0].fill(9);
    const source = bufferOf(core, now);
    const last = bufferOf(core, before);
    const dirty = new Bitmap(core, { length: 4 * PAGE });
    dirty.markPages(0, 4);
    const stream = encodeAll(core, source, last, dirty, SPACE);
    const starts = [0, 16, 32, stream.length - 16, stream.length];
    const target = bufferOf(core, before);
    const pagesBefore = bytesOf(target);
    const whole = Buffer.concat(now);
    const strange: string[] = [];
    const attempt = (what: string, bytes: Uint8Array, at: number) => {
      target.view(0, 4 * PAGE).set(pagesBefore);
      put(core, bytes);
      const code = codeOf(() => target.apply(0, bytes.length));
      // What precedes the record at fault has been applied.
      const good = starts.filter((start) => start > 0 && start <= at).length * PAGE;
      const wanted = Buffer.concat([whole.subarray(0, good), pagesBefore.subarray(good)]);
      if (code === 'none' || Buffer.compare(bytesOf(target), wanted) !== 0) strange.push(`${what}: ${code}`);
    };
    expect(stream.length).toBe(16 * 4 + 6 * 10);
    for (let length = 1; length < stream.length; length++) {
      if (!starts.includes(length)) attempt(`cut to ${length}`, stream.subarray(0, length), length);
    }
    for (let bit = 0; bit < stream.length * 8; bit++) {
      const flipped = Buffer.from(stream);
      flipped[bit >> 3] ^= 1 << (bit & 7);
      attempt(`bit ${bit}`, flipped, bit >> 3);
    }
    expect(strange).toEqual([]);
  });

  it('of a whole page are refused after flips of bits all over it', () => {
    const core = site.instance();
    const page = Uint8Array.from({ length: PAGE }, (_, i) => Math.imul(i + 3, 2654435761) >>> 23);
    const bytes = recordOf(0, page, null);
    const target = new StateBuffer(core, 1);
    const accepted: number[] = [];
    for (let bit = 0; bit < bytes.length * 8; bit += bit < 128 ? 1 : 37) {
      const flipped = Buffer.from(bytes);
      flipped[bit >> 3] ^= 1 << (bit & 7);
      put(core, flipped);
      if (codeOf(() => target.apply(0, flipped.length)) === 'none') accepted.push(bit);
    }
    expect([accepted, bytesOf(target).every((byte) => byte === 0)]).toEqual([[], true]);
  });

  it('with right checksums are refused where they make no sense', () => {
    const core = site.instance();
    const base = new Uint8Array(PAGE).fill(5);
    const target = bufferOf(core, [base]);
    const none = new Uint8Array(0);
    const zero = crc32c(new Uint8Array(PAGE));
    const one = Uint8Array.of(0, 1, 5, 5, 5, 5, 5, 5, 5, 6);
    const changed = base.slice();
    changed[7] = 6;
    const right = crc32c(changed);
    const behind = Uint8Array.of(255, 0, 255, 0, 2, ...one.subarray(1));
    const cases: [string, Uint8Array, string][] = [
      ['the right one', record(0, 2, one, right), 'none'],
      ['another result', record(0, 2, one, right + 1), 'EINVAL'],
      ['a page beyond', record(1, 0, none, zero), 'ERANGE'],
      ['a page far beyond', record(0xffffffff, 0, none, zero), 'ERANGE'],
      ['another kind', record(0, 4, none, zero), 'EINVAL'],
      ['a zero page with payload', record(0, 0, one, zero), 'EINVAL'],
      ['a zero page with other contents', record(0, 0, none, 7), 'EINVAL'],
      ['an unchanged page that differs', record(0, 1, none, zero), 'EINVAL'],
      ['a short whole page', record(0, 3, base.subarray(1), crc32c(base)), 'EINVAL'],
      ['an empty delta', record(0, 2, none, crc32c(base)), 'EINVAL'],
      ['half a run', record(0, 2, one.subarray(0, 9), right), 'EINVAL'],
      ['half a head', record(0, 2, Uint8Array.of(...one, 0), right), 'EINVAL'],
      ['no words', record(0, 2, Uint8Array.of(3, 0, ...one), right), 'EINVAL'],
      ['no words at the end', record(0, 2, Uint8Array.of(...one, 255, 0), right), 'EINVAL'],
      ['words behind the page', record(0, 2, behind, right), 'EINVAL'],
      ['a word behind the page with its checksum', record(0, 2, behind, crc32c(base, behind.subarray(6))), 'EINVAL'],
      ['the last word', record(0, 2, Uint8Array.of(255, 0, 255, 0, 1, ...one.subarray(1)), 0), 'EINVAL'],
    ];
    const got = cases.map(([what, bytes, code]) => {
      target.view(0, PAGE).set(base);
      put(core, bytes);
      const result = codeOf(() => target.apply(0, bytes.length));
      const unchanged = Buffer.compare(bytesOf(target), base) === 0;
      return [what, result, unchanged === (code !== 'none')];
    });
    expect(got).toEqual(cases.map(([what, , code]) => [what, code, true]));
    expect(Buffer.compare(delta(changed, base), one)).toBe(0);
  });

  it('are not written or read beyond what they are given: errno, and nothing changes', () => {
    const core = site.instance();
    const { raw, base } = core;
    const source = bufferOf(core, [new Uint8Array(PAGE).fill(1), new Uint8Array(PAGE)]);
    const other = new StateBuffer(core, 3);
    const same = new StateBuffer(core, 2);
    const dirty = new Bitmap(core, { length: 2 * PAGE });
    dirty.markPages(0, 2);
    const bitmaps = [
      new Bitmap(core, { length: 3 * PAGE }),
      new Bitmap(core, { length: 2 * 8192, pageSize: 8192 }),
      new Bitmap(core, { start: PAGE, length: 2 * PAGE }),
    ];
    const mails = (first: bigint, second: bigint, third = 0n) => {
      [first, second, third].forEach((value, i) => core.store64(layout.MAIL0 + 8 * i, value));
    };
    const encode = (from: number, last: number, bitmap: number, at = 0n, end = BigInt(SPACE), page = 0n) => {
      mails(page, at, end);
      return raw.stateEncode(base, from, last, bitmap, 9);
    };
    const apply = (target: number, at: bigint, end: bigint) => {
      mails(at, end);
      return raw.stateApply(base, target, 9);
    };
    const gone = new StateBuffer(core, 1);
    gone.close();
    const { handle } = source;
    const { EBADF, EINVAL } = layout;
    const calls: [number, number][] = [
      [raw.stateCreate(base, 0), EINVAL],
      [raw.stateCreate(base, layout.STATE_MAX_PAGES + 1), EINVAL],
      [raw.stateCreate(base, 0xffffffff), EINVAL],
      [raw.stateCreate(base, layout.STATE_MAX_PAGES), layout.ENOMEM],
      [raw.stateDestroy(base, gone.handle), EBADF],
      [raw.stateDestroy(base, dirty.handle), EBADF],
      [raw.stateChecksum(base, gone.handle, 0), EBADF],
      [raw.stateChecksum(base, handle, SPACE + 1), EINVAL],
      [encode(gone.handle, 0, dirty.handle), EBADF],
      [encode(handle, gone.handle, dirty.handle), EBADF],
      [encode(handle, 0, same.handle), EBADF],
      [encode(handle, handle, dirty.handle), EINVAL],
      [encode(handle, other.handle, dirty.handle), EINVAL],
      ...bitmaps.map((bitmap): [number, number] => [encode(handle, 0, bitmap.handle), EINVAL]),
      [encode(handle, 0, dirty.handle, 2n, 1n), EINVAL],
      [encode(handle, 0, dirty.handle, 0n, BigInt(SPACE) + 1n), EINVAL],
      [encode(handle, 0, dirty.handle, 1n << 32n, (1n << 32n) + 9n), EINVAL],
      [apply(gone.handle, 0n, 0n), EBADF],
      [apply(handle, 1n, 0n), EINVAL],
      [apply(handle, 0n, BigInt(SPACE) + 1n), EINVAL],
    ];
    expect(calls.map(([status]) => -status)).toEqual(calls.map(([, errno]) => errno));
    expect([dirty.count(), source.sent.whole]).toEqual([2, 0]);
    expect([encode(handle, 0, dirty.handle, 0n, 4111n), core.load32(layout.MAIL1)]).toEqual([1, 0]);
    // Pages beyond the last: nothing to do. No room at all: the size that would do.
    expect([encode(handle, 0, dirty.handle, 0n, 9n, 1n << 40n), core.load32(layout.MAIL1)]).toEqual([0, 0]);
    expect([encode(handle, 0, dirty.handle, 7n, 7n), core.load32(layout.MAIL1), core.load32(layout.MAIL3)]).toEqual([
      1, 7, 4112,
    ]);
  });

  it('give their memory back', () => {
    const core = site.instance();
    new Bitmap(core, { length: PAGE }).close(); // the block of slots stays
    const used = core.usedBytes;
    const buffers = [1, 2, 16].map((pages) => new StateBuffer(core, pages));
    expect(core.usedBytes).toBeGreaterThan(used);
    for (const buffer of buffers) buffer.close();
    expect(core.usedBytes).toBe(used);
    expect(() => new StateBuffer(core, 4096)).toThrow(/used up; open it with at least/);
    expect(core.usedBytes).toBe(used);
    expect(() => new StateBuffer(core, 0)).toThrow(/pages is 0/);
    expect(codeOf(() => buffers[0].view(0, 1))).toBe('EBADF');
    expect(codeOf(() => new StateBuffer(core, 1).view(1, PAGE))).toBe('ERANGE');
  });
});

describe('page records', () => {
  it('fit a buffer of several MiB: the last page is as good as the first', () => {
    const core = siteAt(PLACES[0], 12).instance();
    const pages = 1200;
    const source = new StateBuffer(core, pages);
    const target = new StateBuffer(core, pages);
    const dirty = new Bitmap(core, { length: pages * PAGE });
    for (let page = 0; page < pages; page++) source.view(page * PAGE + (page % 4096), 1).fill(1 + (page % 255));
    dirty.markPages(0, pages);
    const stream = encodeAll(core, source, null, dirty, SPACE);
    for (let at = 0; at < stream.length;) {
      let end = at;
      while (end < stream.length && end + 4112 - at <= SPACE) end += 16 + stream.readUInt16LE(end + 6);
      put(core, stream.subarray(at, end));
      target.apply(0, end - at);
      at = end;
    }
    expect(Buffer.compare(bytesOf(target), bytesOf(source))).toBe(0);
  });

  it('are drawn in the layout: fields are aligned and do not overlap', () => {
    const fields = [layout.STATE_PAGES, layout.STATE_DATA, layout.STATE_TABLES, layout.STATE_SENT];
    expect(fields).toEqual([16, 20, 24, 32]);
    expect(layout.STATE_SENT + 8 * layout.RECORD_KINDS).toBeLessThanOrEqual(layout.SLOT_ISSUED);
    const kinds = [layout.KIND_BITMAP, layout.KIND_LOG, layout.KIND_IOMMU, layout.KIND_DOMAIN, layout.KIND_DEVICE];
    expect(kinds).not.toContain(layout.KIND_STATE);
  });
});
