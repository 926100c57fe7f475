import { describe, expect, it } from 'vitest';
import { PlainAddressSpace } from '../../src/address-space/plain-address-space.ts';
import { readUser, writeUser, type UserPointer } from '../../src/uapi/user-pointer.ts';

const TOP = 2n ** 64n - 4096n;

function site() {
  const space = new PlainAddressSpace();
  space.mmap({ va: 0x1000, length: 0x1000 });
  space.mmap({ va: TOP, length: 0x1000, writable: false, pa: 0 });
  return space;
}

describe('user pointers', () => {
  it('are addresses in the space, or bytes', () => {
    const bytes = new Uint8Array(0x1000);
    for (const pointer of [0x1000n, bytes] as UserPointer[]) {
      const space = site();
      const into = new Uint8Array(3);
      expect(writeUser(space, pointer, 5, Uint8Array.of(1, 2, 3))).toBe(true);
      expect(readUser(space, pointer, 6, into)).toBe(true);
      expect([...into]).toEqual([2, 3, 0]);
    }
    expect([...bytes.subarray(4, 9)]).toEqual([0, 1, 2, 3, 0]);
  });

  it.each<[string, UserPointer, number, number, boolean, boolean]>([
    ['the last byte', 0x1000n, 0xfff, 1, true, true],
    ['a missing page', 0x1000n, 0xfff, 2, false, false],
    ['nothing at a missing page', 0n, 0, 0, true, true],
    ['a read-only page', TOP, 0, 4096, true, false],
    ['an end beyond 2^64', TOP, 4095, 2, false, false],
    ['an offset beyond 2^64', TOP, 5000, 1, false, false],
    ['bytes that suffice', new Uint8Array(8), 4, 4, true, true],
    ['bytes that are too few', new Uint8Array(8), 4, 5, false, false],
    ['nothing behind the bytes', new Uint8Array(8), 9, 0, true, true],
  ])('fault where they must: %s', (_, pointer, offset, length, readable, writable) => {
    const bytes = new Uint8Array(length).fill(1);
    expect([readUser(site(), pointer, offset, bytes), writeUser(site(), pointer, offset, bytes)]).toEqual([
      readable,
      writable,
    ]);
  });

  it('write nothing where they fault', () => {
    const space = site();
    const bytes = new Uint8Array(4);
    writeUser(space, 0x1ffen, 0, Uint8Array.of(1, 2, 3));
    writeUser(space, bytes, 2, Uint8Array.of(1, 2, 3));
    const page = new Uint8Array(0x1000);
    space.read(0x1000n, page);
    expect([page.every((byte) => byte === 0), [...bytes]]).toEqual([true, [0, 0, 0, 0]]);
  });
});
