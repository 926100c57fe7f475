import { describe, expect, it } from 'vitest';
import { checkAddress, checkPowerOfTwo, hex, lastOf } from '../../src/wasm/address.ts';

describe('addresses', () => {
  it('are integers from 0 to 2^53 - 1, or bigints below 2^64', () => {
    for (const value of [0, 1, 2 ** 53 - 1, 0n, 2n ** 53n, 2n ** 64n - 1n]) {
      expect(checkAddress('op', 'iova', value)).toBe(value);
    }
    for (const value of [-1, 0.5, NaN, Infinity, 2 ** 53, -1n, 2n ** 64n]) {
      expect(() => checkAddress('op', 'iova', value)).toThrow(/^op: iova is .*; it must be .* \(EINVAL\)$/);
    }
  });

  it('have a last one, inclusive, up to the top of 2^64', () => {
    expect(lastOf('op', 0, 1)).toBe(0);
    expect(lastOf('op', 4096, 4096)).toBe(8191);
    expect(BigInt(lastOf('op', 2 ** 53 - 1, 4096))).toBe(2n ** 53n + 4094n);
    expect(lastOf('op', 2n ** 64n - 1n, 1)).toBe(2n ** 64n - 1n);
    expect(() => lastOf('op', 2n ** 64n - 1n, 2)).toThrow(
      /0xffffffffffffffff, \+ 0x2\) ends beyond 2\^64 \(EOVERFLOW\)/,
    );
    expect(() => lastOf('op', 0, 0)).toThrow(/length is 0/);
    expect(() => lastOf('op', 0n, 0n)).toThrow(/length is 0/);
  });

  it('are printed in hex', () => {
    expect([hex(0), hex(4096), hex(2n ** 64n - 1n)]).toEqual(['0x0', '0x1000', '0xffffffffffffffff']);
  });

  it('have sizes that are powers of two', () => {
    expect([4096, 2n ** 63n, 1, 2 ** 52].map((size) => checkPowerOfTwo('op', 'size', size, 0))).toEqual([
      12, 63, 0, 52,
    ]);
    for (const size of [0, 3, 4097, 2n ** 63n + 1n]) {
      expect(() => checkPowerOfTwo('op', 'size', size, 0)).toThrow(/size is \d+; it must be a power of two/);
    }
    expect(() => checkPowerOfTwo('op', 'size', 1024, 11)).toThrow(/from 2048 bytes on/);
  });
});
