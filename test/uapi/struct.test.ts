import fc from 'fast-check';
import { describe, expect, expectTypeOf, it } from 'vitest';
import { defineStruct, type StructInput, type StructOf } from '../../src/uapi/struct.ts';
import type { UserPointer } from '../../src/uapi/user-pointer.ts';
import { runs } from '../runs.ts';

const Inner = defineStruct('inner', { id: 'u16', version: 'u16', next: 'u32' });
const All = defineStruct('all', {
  size: 'u32',
  out_fd: 's32',
  small: 'u8',
  __reserved: { array: 'u8', length: 3 },
  half: 'u16',
  __reserved2: 'u16',
  header: Inner,
  user_va: 'u64',
  data_uptr: 'ptr',
  ste: { array: 'u64', length: 2 },
});

const U64_MAX = 2n ** 64n - 1n;
const u64 = fc.bigInt({ min: 0n, max: U64_MAX });
const u32 = fc.nat(2 ** 32 - 1);
const u16 = fc.nat(65535);
const byte = fc.nat(255);
const value = fc.record({
  size: u32,
  outFd: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  small: byte,
  __reserved: fc.array(byte, { minLength: 3, maxLength: 3 }),
  half: u16,
  __reserved2: u16,
  header: fc.record({ id: u16, version: u16, next: u32 }),
  userVa: u64,
  dataUptr: u64,
  ste: fc.array(u64, { minLength: 2, maxLength: 2 }),
});

describe('struct', () => {
  it('lays its fields out one after the other', () => {
    expect(All.fields.map(({ name, key, offset, size }) => [name, key, offset, size])).toEqual([
      ['size', 'size', 0, 4],
      ['out_fd', 'outFd', 4, 4],
      ['small', 'small', 8, 1],
      ['__reserved', '__reserved', 9, 3],
      ['half', 'half', 12, 2],
      ['__reserved2', '__reserved2', 14, 2],
      ['header', 'header', 16, 8],
      ['user_va', 'userVa', 24, 8],
      ['data_uptr', 'dataUptr', 32, 8],
      ['ste', 'ste', 40, 16],
    ]);
    expect([All.name, All.size, All.align, All.offsetOf('dataUptr')]).toEqual(['all', 56, 8, 32]);
  });

  it('is little endian', () => {
    const bytes = new Uint8Array(8);
    Inner.encode({ id: 0x0102, version: 0x0304, next: 0x05060708 }, bytes);
    expect([...bytes]).toEqual([2, 1, 4, 3, 8, 7, 6, 5]);
    expect(Inner.decode(Uint8Array.of(9, ...bytes), 1)).toEqual({ id: 0x0102, version: 0x0304, next: 0x05060708 });
  });

  it('decodes what it encoded, at any offset', () => {
    fc.assert(
      fc.property(value, fc.nat(9), (fields, at) => {
        const bytes = new Uint8Array(at + All.size + 3);
        All.encode(fields, bytes, at);
        expect([All.decode(bytes, at), bytes.slice(0, at), bytes.slice(at + All.size)]).toEqual([
          fields,
          new Uint8Array(at),
          new Uint8Array(3),
        ]);
      }),
      { numRuns: runs(100) },
    );
  });

  it('encodes only the fields that are given', () => {
    const bytes = new Uint8Array(8).fill(0xaa);
    Inner.encode({ version: 7, next: undefined }, bytes);
    expect([...bytes]).toEqual([0xaa, 0xaa, 7, 0, 0xaa, 0xaa, 0xaa, 0xaa]);
  });

  it('makes a whole struct of what a caller wrote', () => {
    const bytes = new Uint8Array(4);
    expect(All.of({ userVa: 5, dataUptr: bytes, header: { id: 1 }, ste: [1, 2n] }, 'call')).toEqual({
      size: 56,
      outFd: 0,
      small: 0,
      __reserved: [0, 0, 0],
      half: 0,
      __reserved2: 0,
      header: { id: 1, version: 0, next: 0 },
      userVa: 5n,
      dataUptr: bytes,
      ste: [1n, 2n],
    });
    expect(All.of({ size: 8 }, 'call').size).toBe(8);
    expect(defineStruct('later', { argsz: 'u32', flags: 'u32' }).of({}, 'call').argsz).toBe(8);
    expect(defineStruct('not_first', { flags: 'u32', size: 'u32' }).of({}, 'call').size).toBe(0);
  });

  it('refuses values that do not fit', () => {
    const cases: [StructInput<typeof All>, RegExp][] = [
      [{ size: -1 }, /^call: size is -1; it must be an integer from 0 to 2\^32 - 1 \(EINVAL\)/],
      [{ size: 2 ** 32 }, /size is 4294967296/],
      [{ size: 1.5 }, /size is 1.5/],
      [{ outFd: 2 ** 31 }, /outFd is 2147483648; it must be a signed integer of 32 bits/],
      [{ small: 256 }, /small is 256; it must be an integer from 0 to 2\^8 - 1/],
      [{ half: 65536 }, /half is 65536/],
      [{ __reserved: [0, 0] }, /__reserved has 2 elements; it must have 3/],
      [{ __reserved: [0, 300, 0] }, /__reserved\[1\] is 300/],
      [{ header: { id: 65536 } }, /id is 65536/],
      [{ userVa: 2n ** 64n }, /userVa is 18446744073709551616; .* as a bigint or, up to 2\^53 - 1, a number/],
      [{ userVa: 2 ** 53 }, /userVa is 9007199254740992/],
      [{ dataUptr: -1n }, /dataUptr is -1/],
    ];
    for (const [input, message] of cases) expect(() => All.of(input, 'call')).toThrow(message);
    expect(() => All.encode({ half: 65536 }, new Uint8Array(56))).toThrow(/^all: half is 65536/);
    expect(() => All.encode({ dataUptr: new Uint8Array(1) }, new Uint8Array(56))).toThrow(/bytes have no address/);
    expect(() => All.decode(new Uint8Array(55))).toThrow(RangeError);
  });

  it('refuses padding that is not spelt out', () => {
    expect(() => defineStruct('gap', { a: 'u32', b: 'u64' })).toThrow('gap.b lies at 4, which is no multiple of 8');
    expect(() => defineStruct('tail', { a: 'u64', b: 'u32' })).toThrow('tail has 12 bytes, which is no multiple of 8');
    expect(() => defineStruct('nested', { a: 'u16', b: Inner })).toThrow('nested.b lies at 2');
    expect(() => defineStruct('list', { a: 'u8', b: { array: 'u16', length: 2 } })).toThrow('list.b lies at 1');
  });

  it('has the types of its fields', () => {
    expectTypeOf<StructOf<typeof All>>().toEqualTypeOf<{
      size: number;
      outFd: number;
      small: number;
      __reserved: readonly number[];
      half: number;
      __reserved2: number;
      header: { id: number; version: number; next: number };
      userVa: bigint;
      dataUptr: UserPointer;
      ste: readonly bigint[];
    }>();
    expectTypeOf<StructInput<typeof All>['userVa']>().toEqualTypeOf<number | bigint | undefined>();
    expectTypeOf<StructInput<typeof All>['dataUptr']>().toEqualTypeOf<UserPointer | number | undefined>();
    // The names as they come out at run time are those of the types.
    expect(Object.keys(All.of({}, 'call'))).toEqual(Object.keys(All.decode(new Uint8Array(56))));
  });
});
