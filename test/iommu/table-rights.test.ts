import { describe, expect, it } from 'vitest';
import { open } from '../../src/core/core.ts';
import { READ, WRITE } from '../../src/iommu/access.ts';
import { PLACES, WASM } from '../core/builds.ts';

/** The bit of a table entry that lets writes through, by format; the other formats have none that is used. */
const WRITE_BIT = { amdv1: 62n, vtdss: 1n, x86_64: 1n, mock2k: 2n } as const;

describe.each([...new Set(PLACES.map(({ build }) => build))])('rights of tables, %s', (build) => {
  it.each(Object.entries(WRITE_BIT) as [keyof typeof WRITE_BIT, bigint][])(
    '%s: a write needs them all the way down',
    async (format, bit) => {
      const memory = new WebAssembly.Memory({ initial: 64 });
      const core = await open({ memory, wasm: WASM[build] });
      const iommu = core.iommu();
      const domain = iommu.domain({ format });
      const [length, leaf] = format === 'mock2k' ? [4096, 2048] : [8192, 4096];
      domain.map({ iova: 0, pa: 0x100000, length, access: READ | WRITE, leafSizes: [leaf] });
      const entries = new BigUint64Array(memory.buffer);
      const tables = domain.walk(leaf).slice(0, -1);
      const seen = tables.map(({ table, index }) => {
        const at = table / 8 + index;
        entries[at] &= ~(1n << bit);
        domain.invalidate(0, length);
        const device = iommu.attach(1, domain);
        const found = [domain.translate(leaf)?.access, device.access(leaf, 8, READ), device.access(leaf, 8, WRITE)];
        const reason = device.fault?.reason;
        device.close();
        entries[at] |= 1n << bit;
        return [...found, reason];
      });
      expect(tables.length).toBeGreaterThan(1);
      expect(seen).toEqual(tables.map(() => [READ, 1, -1, 'permission']));
      domain.invalidate(0, length);
      expect(domain.translate(leaf)?.access).toBe(READ | WRITE);
    },
  );
});
