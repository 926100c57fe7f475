import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as layout from '../../assembly/layout.ts';
import { errnoName } from '../../src/errno/errno.ts';
import { PLACES, Site, codeOf } from '../core/builds.ts';
import { runs } from '../runs.ts';

const { CREATE_SIGNED, CREATE_TRACKED } = layout;

/** Format, input and output bits, flags: the formats that take turns. */
const OTHERS: readonly [number, number, number, number][] = [
  [layout.FORMAT_ARMV8_S1_4K, 36, 48, CREATE_TRACKED],
  [layout.FORMAT_ARMV8_S1_16K, 48, 48, CREATE_TRACKED],
  [layout.FORMAT_ARMV8_S1_64K, 40, 48, CREATE_TRACKED],
  [layout.FORMAT_ARMV8_S2_4K, 25, 48, CREATE_TRACKED],
  [layout.FORMAT_ARMV8_S2_16K, 47, 48, 0],
  [layout.FORMAT_ARMV8_S2_64K, 42, 52, CREATE_TRACKED],
  [layout.FORMAT_X86_64, 57, 52, CREATE_TRACKED | CREATE_SIGNED],
  [layout.FORMAT_RISCV, 39, 56, CREATE_TRACKED | CREATE_SIGNED],
  [layout.FORMAT_MOCK2K, 30, 52, CREATE_TRACKED],
];

describe.each(PLACES)('the boundary: $name', (place) => {
  const instance = new Site(place, 1).instance();
  const at = layout.MAIL0;

  it('carries 64-bit values both ways, as numbers where that is exact', () => {
    for (const value of [0, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1]) {
      instance.store64(at, value);
      expect([instance.load64(at), instance.loadBig(at), instance.loadAddress(at)]).toEqual([
        value,
        BigInt(value),
        value,
      ]);
      instance.store64(at, BigInt(value));
      expect(instance.load64(at)).toBe(value);
    }
    for (const value of [2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]) {
      instance.store64(at, value);
      expect([instance.loadBig(at), instance.loadAddress(at)]).toEqual([value, value]);
      expect(codeOf(() => instance.load64(at))).toBe('EOVERFLOW');
    }
  });

  it('names the errno and explains it', () => {
    const explained = [layout.EBADF, layout.EBUSY, layout.ENOMEM, layout.EINVAL].map((errno) => {
      try {
        return instance.check(-errno, 'op');
      } catch (error) {
        return (error as Error).message;
      }
    });
    expect(explained).toEqual([
      'op: the object was closed, or belongs to another core (EBADF)',
      'op: the object is still in use (EBUSY)',
      expect.stringMatching(/^op: the core's 1 MiB are used up; open it with at least \d+ MiB \(ENOMEM\)$/),
      'op: refused by the core (EINVAL)',
    ]);
    expect(() => instance.check(-layout.EINVAL, 'op', () => 'because')).toThrow('op: because (EINVAL)');
    expect(instance.check(layout.MORE, 'op')).toBe(layout.MORE);
  });

  it('answers nonsense from outside with an errno, never with a trap', () => {
    const number = fc.oneof(
      fc.constantFrom(0, 1, 2, 3, 11, 12, 30, 48, 64, 0x10000, 0x7fffffff, -1, -0x80000000),
      fc.integer(),
    );
    const word = fc.oneof(
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      fc
        .tuple(fc.nat(63), fc.integer({ min: -1, max: 1 }))
        .map(([n, d]) => BigInt.asUintN(64, 2n ** BigInt(n) + BigInt(d))),
      fc.nat(64).map((page) => BigInt(page) * 4096n),
      fc.constant(0x7ffff000n),
    );
    const names = Object.keys(instance.raw).filter((name) => name !== 'memory' && name !== 'init');
    const call = fc.record({
      name: fc.constantFrom(...names),
      handle: fc.nat(8),
      others: fc.tuple(fc.oneof(fc.nat(8), number), number, fc.integer({ min: 0, max: 5000 }), number),
      mail: fc.array(word, { minLength: 8, maxLength: 8 }),
    });
    fc.assert(
      fc.property(fc.nat(OTHERS.length - 1), fc.array(call, { maxLength: 40 }), (which, calls) => {
        const { raw, base, transfer } = instance;
        raw.init(base, instance.bytes / 2 ** layout.UNIT_SHIFT);
        for (let mail = 0; mail < 8; mail++) instance.store64(layout.MAIL0 + 8 * mail, 0);
        instance.store64(transfer, 0);
        instance.store64(transfer + 8, 0xffff);
        const domainOf = (format: number, inputBits: number, outputBits: number, flags: number) => {
          const create = [2n ** 64n - 1n, outputBits, 0, 2n ** 64n - 1n] as const;
          create.forEach((value, i) => instance.store64(layout.MAIL0 + 8 * i, value));
          return raw.domainCreate(base, iommu, format, inputBits, flags | layout.CREATE_FITTING);
        };
        const iommu = raw.iommuCreate(base, 2, 2, 4, 2, 2, 2, 1);
        const other = domainOf(...OTHERS[which]);
        const handles = [0, iommu, domainOf(layout.FORMAT_AMDV1, 64, 52, 1), other];
        instance.store64(layout.MAIL0, 0);
        handles.push(raw.deviceCreate(base, iommu, 1, 0), raw.bitmapCreate(base, 64, 12), raw.logCreate(base, 12, 1));
        handles.push(raw.bitmapCreate(base, 2, 63), domainOf(layout.FORMAT_VTDSS, 39, 52, 0));
        const exports = raw as unknown as Record<string, (...args: number[]) => number>;
        const statuses = calls.map(({ name, handle, others: [a, b, c, d], mail }) => {
          mail.forEach((value, i) => instance.store64(layout.MAIL0 + 8 * i, value));
          return exports[name](base, handles[handle], a >= 0 && a < 9 ? handles[a] : a, b, c, d);
        });
        const known = statuses.every((status) => status >= 0 || errnoName(-status) !== undefined);
        expect([handles.slice(1).every((handle) => handle > 0), known]).toEqual([true, true]);
      }),
      { numRuns: runs(250) },
    );
  });
});
