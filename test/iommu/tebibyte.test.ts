import { describe, expect, it } from 'vitest';
import { open } from '../../src/core/core.ts';

const TIB = 2 ** 40;
const KIB = 2 ** 10;
const GIB = 2 ** 30;

describe('a domain of 1 TiB', () => {
  // Leaves, and the tables that they need, by level from the smallest; bytes of the root.
  it.each([
    { format: 'amdv1', size: GIB, tables: [2], root: 4096 },
    { format: 'vtdss', size: GIB, tables: [2], root: 4096 },
    { format: 'x86_64', size: GIB, tables: [2], root: 4096 },
    { format: 'armv8-s1', size: GIB, tables: [2], root: 4096 },
    { format: 'armv8-s2', size: GIB, tables: [2], root: 4096 },
    { format: 'riscv', size: GIB, tables: [2], root: 4096 },
    { format: 'amdv1', size: 2 ** 21, tables: [1024, 2], root: 4096 },
    { format: 'mock2k', size: 2 ** 20, tables: [2048, 4, 1], root: 2048 },
  ] as const)('$format, leaves of $size bytes: works, and has the tables that it needs', async (row) => {
    const { format, size, tables, root } = row;
    const core = await open({ memory: '16MiB' });
    const iommu = core.iommu();
    const domain = iommu.domain({ format, inputBits: 48, dirtyTracking: true });
    domain.map({ iova: 0, pa: 0, length: TIB, access: 3, leafSizes: [size] });
    const count = tables.reduce((sum, n) => sum + n, 0) + 1;
    expect(domain.usage).toEqual({ tables: count, tableBytes: (count - 1) * 4096 + root, mappedBytes: TIB });
    domain.clearDirty();
    const device = iommu.attach(1, domain);
    for (const iova of [0, TIB / 2, TIB - 1]) expect(device.access(iova, 1, 2)).toBe(1);
    const into = core.bitmap({ length: TIB, pageSize: size });
    domain.readAndClearDirty({ iova: 0, length: TIB, into });
    expect([...into.pageRuns()].map(({ page }) => page * size)).toEqual([0, TIB / 2, TIB - size]);
    expect([domain.unmap(0, TIB), domain.usage.tables]).toEqual([TIB, 1]);
  });

  // 2 GiB of tables take seconds to make: in the long form only.
  it.runIf(process.env.SOAK)(
    'of 4 KiB leaves works, and has the tables that it needs',
    { timeout: 120_000 },
    async () => {
      const core = await open({ memory: '2100MiB' });
      const iommu = core.iommu();
      const domain = iommu.domain({ format: 'amdv1', inputBits: 48, dirtyTracking: true });
      const before = core.usage.usedBytes;
      domain.map({ iova: 0, pa: 0, length: TIB, access: 3, leafSizes: [4 * KIB] });
      const leafTables = TIB / (4 * KIB) / 512;
      const tables = leafTables + leafTables / 512 + leafTables / 512 ** 2 + 1;
      expect(domain.usage).toEqual({ tables, tableBytes: tables * 4096, mappedBytes: TIB });
      // 2 GiB of leaf tables, and nothing beside the tables.
      expect(core.usage.usedBytes - before).toBe((tables - 1) * 4096);
      const device = iommu.attach(1, domain);
      for (const iova of [0, TIB / 2 + 5, TIB - 1]) expect(device.access(iova, 1, 2)).toBe(1);
      const into = core.bitmap({ length: TIB });
      domain.readAndClearDirty({ iova: 0, length: TIB, into });
      expect([...into.pageRuns()].map(({ page }) => page * 4 * KIB)).toEqual([0, TIB / 2, TIB - 4 * KIB]);
      into.close();
      expect([domain.unmap(0, TIB), core.usage.usedBytes]).toEqual([TIB, before]);
    },
  );
});
