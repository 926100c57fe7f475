import { describe, expect, it } from 'vitest';
import { WasmAddressSpace } from '../../src/address-space/wasm-address-space.ts';
import { codeOf } from '../core/builds.ts';
import { describeAddressSpace } from './conformance.ts';

const PAGE = 4096;

describeAddressSpace('in a WebAssembly memory', () => {
  const memory = new WebAssembly.Memory({ initial: 2 });
  const va = 2n ** 64n - 2n ** 16n;
  const space = new WasmAddressSpace({ memory, offset: 12, length: 16 * PAGE, va: va - 0x1000n, pa: 0x7000_0000n });
  return { space, va: va - 0x1000n, pages: 16, missing: va - 0x2000n, pinnedBytes: () => space.pinnedBytes };
});

describeAddressSpace('in a WebAssembly memory, at 0', () => {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const space = new WasmAddressSpace({ memory, length: 16 * PAGE });
  return { space, va: 0n, pages: 16, missing: 0x10000n, pinnedBytes: () => space.pinnedBytes };
});

describe('address space in a WebAssembly memory', () => {
  it('is bytes of the memory, also after it grew', () => {
    const memory = new WebAssembly.Memory({ initial: 1 });
    const space = new WasmAddressSpace({ memory, offset: 100, length: 2 * PAGE, va: 0x4000, pa: 0x9000 });
    const [run] = space.pin(0x5000n, 4096n, true)!;
    expect(run).toEqual({ pa: 0xa000n, length: 4096n });
    space.write(0x5001n, Uint8Array.of(7));
    memory.grow(1);
    const bytes = new Uint8Array(memory.buffer);
    expect(bytes[100 + PAGE + 1]).toBe(7);
    bytes[100 + PAGE + 2] = 8;
    const into = new Uint8Array(2);
    expect([space.readFrame(0xa001n, into), [...into]]).toEqual([true, [7, 8]]);
    memory.grow(1);
    expect([space.write(0x4000n, Uint8Array.of(3)), new Uint8Array(memory.buffer)[100]]).toEqual([true, 3]);
    expect([space.read(0x3fffn, into), space.read(0x5fffn, into)]).toEqual([false, false]);
  });

  it('works with a shared memory', () => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 2, shared: true });
    const space = new WasmAddressSpace({ memory, length: PAGE });
    memory.grow(1);
    space.write(5n, Uint8Array.of(9));
    expect(new Uint8Array(memory.buffer)[5]).toBe(9);
  });

  it.each<[string, { offset?: number; length: number; va?: bigint | number; pa?: bigint }, string]>([
    ['beyond the memory', { length: 17 * PAGE }, 'EINVAL'],
    ['beyond the memory by its offset', { offset: 1, length: 16 * PAGE }, 'EINVAL'],
    ['no whole page', { length: 100 }, 'EINVAL'],
    ['va within a page', { va: 1, length: PAGE }, 'EINVAL'],
    ['pa within a page', { pa: 1n, length: PAGE }, 'EINVAL'],
    ['negative offset', { offset: -1, length: PAGE }, 'EINVAL'],
    ['va beyond 2^64', { va: 2n ** 64n - 4096n, length: 2 * PAGE }, 'EOVERFLOW'],
    ['pa beyond 2^64', { pa: 2n ** 64n - 4096n, length: 2 * PAGE }, 'EOVERFLOW'],
  ])('refuses: %s', (_, options, code) => {
    const memory = new WebAssembly.Memory({ initial: 1 });
    expect(codeOf(() => new WasmAddressSpace({ memory, ...options }))).toBe(code);
  });
});
