import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Bus, type BarTarget, type FrameMemory } from '../../src/device/bus.ts';
import { codeOf } from '../core/builds.ts';
import { runs } from '../runs.ts';

/** Bytes of someone, from `start` on. */
class Part implements BarTarget, FrameMemory {
  readonly bytes: Uint8Array;
  readonly start: bigint;
  readonly answers: boolean;

  constructor(start: bigint, length: number, answers = true) {
    this.start = start;
    this.bytes = new Uint8Array(length);
    this.answers = answers;
  }

  barRead(offset: number, into: Uint8Array): boolean {
    into.set(this.bytes.subarray(offset, offset + into.length));
    return this.answers;
  }

  barWrite(offset: number, from: Uint8Array): boolean {
    if (this.answers) this.bytes.set(from, offset);
    return this.answers;
  }

  readFrame(pa: bigint, into: Uint8Array): boolean {
    return this.barRead(Number(pa - this.start), into);
  }

  writeFrame(pa: bigint, from: Uint8Array): boolean {
    return this.barWrite(Number(pa - this.start), from);
  }
}

describe('bus', () => {
  it('splits what crosses windows, as an array of owners says, at the end of the address space too', () => {
    const access = fc.record({ at: fc.nat(90), length: fc.integer({ min: 1, max: 40 }), write: fc.boolean() });
    fc.assert(
      fc.property(
        fc.constantFrom(0n, 2n ** 53n, 2n ** 64n - 128n),
        fc.array(access, { maxLength: 12 }),
        (origin, accesses) => {
          const ram = new Part(origin, 128);
          const bus = new Bus(ram);
          const parts = [new Part(origin + 20n, 10), new Part(origin + 30n, 1), new Part(origin + 60n, 20, false)];
          for (const part of parts) bus.place(part.start, part.bytes.length, part);
          const bytes = new Uint8Array(128);
          const silent = (i: number) => i >= 60 && i < 80;
          const strange: unknown[] = [];
          accesses.forEach(({ at, length, write }, n) => {
            const places = Array.from({ length: Math.min(length, 128 - at) }, (_, i) => at + i);
            const data = Uint8Array.from(places, (place) => (write ? 16 * n + place : 0));
            const answered = write ? bus.write(origin + BigInt(at), data) : bus.read(origin + BigInt(at), data);
            if (write) places.forEach((place, i) => !silent(place) && (bytes[place] = data[i]));
            const wanted = places.map((place, i) => (write ? data[i] : silent(place) ? 255 : bytes[place]));
            if (answered === places.some(silent) || Buffer.compare(data, Uint8Array.from(wanted)) !== 0)
              strange.push(n);
          });
          const held = [...parts].reverse().reduce((all, part) => {
            if (part.answers) all.set(part.bytes, Number(part.start - origin));
            return all;
          }, ram.bytes.slice());
          held.fill(0, 60, 80);
          expect([strange, Buffer.compare(held, bytes)]).toEqual([[], 0]);
        },
      ),
      { numRuns: runs(200) },
    );
  });

  it('gives a place to one target only, until that is removed', () => {
    const ram = new Part(0n, 64);
    const bus = new Bus(ram);
    const target = new Part(16n, 16);
    bus.place(16, 16, target);
    const others: [number | bigint, number][] = [
      [16, 16],
      [31, 1],
      [0, 17],
      [20, 2],
      [0, 0],
      [2n ** 64n - 1n, 2],
      [-1, 4],
    ];
    const codes = others.map(([pa, length]) => codeOf(() => bus.place(pa, length, new Part(0n, 0))));
    expect(codes).toEqual(['EEXIST', 'EEXIST', 'EEXIST', 'EEXIST', 'EINVAL', 'EOVERFLOW', 'EINVAL']);
    expect([codeOf(() => bus.place(32, 1, target)), codeOf(() => bus.place(15, 1, ram))]).toEqual(['none', 'none']);
    bus.write(31, Uint8Array.of(5));
    bus.remove(target);
    bus.write(31, Uint8Array.of(6));
    expect([target.bytes[15], ram.bytes[31]]).toEqual([5, 6]);
  });
});
