import { describe, expect, it } from 'vitest';
import { open } from '../../src/index.ts';
import { WASM, codeOf } from './builds.ts';

const MIB = 2 ** 20;

async function messageOf(options: Parameters<typeof open>[0]): Promise<string> {
  return open(options).then(
    () => 'none',
    (error: Error) => error.message,
  );
}

function memoryOf(mebibytes: number): WebAssembly.Memory {
  return new WebAssembly.Memory({ initial: mebibytes * 16, maximum: mebibytes * 32 });
}

describe('open', () => {
  it('takes sizes as people write them, and 64 MiB by default', async () => {
    expect((await open()).usage.bytes).toBe(64 * MIB);
    expect((await open({ memory: '2MiB' })).usage.bytes).toBe(2 * MIB);
    expect((await open({ memory: 3 * MIB })).usage.bytes).toBe(3 * MIB);
  });

  it('lies where a host says: by default as far as whole MiB go', async () => {
    const memory = memoryOf(4);
    expect((await open({ memory })).usage.bytes).toBe(4 * MIB);
    expect((await open({ memory, base: 4096 })).usage.bytes).toBe(3 * MIB);
    expect((await open({ memory, base: 2 * MIB, size: MIB })).usage.bytes).toBe(MIB);
  });

  it('says which option does not fit', async () => {
    const memory = memoryOf(4);
    expect(await messageOf({ memory: 'plenty' })).toMatch(/^open: .*memory.*plenty.* \(EINVAL\)$/);
    for (const bytes of [0, 1000, MIB + 1, 2 ** 32, 2 ** 32 + MIB, NaN, -MIB, 1.5]) {
      expect(await messageOf({ memory: bytes })).toMatch(
        /^open: memory is .* bytes; it must be a multiple of 1 MiB, from 1 MiB to 4095 MiB \(EINVAL\)$/,
      );
    }
    expect(await messageOf({ memory: MIB, base: 4096 })).toMatch(/base is 4096; it goes with a host's memory/);
    expect(await messageOf({ memory: MIB, size: MIB })).toMatch(/size is 1048576; it goes with a host's memory/);
    for (const base of [2048, -4096, 0.5, NaN]) {
      expect(await messageOf({ memory, base })).toMatch(/base is .*; it must be a multiple of 4096/);
    }
    expect(await messageOf({ memory, base: 4 * MIB })).toMatch(/size is 0 bytes/);
    expect(await messageOf({ memory, base: 8 * MIB })).toMatch(/size is -4194304 bytes/);
    expect(await messageOf({ memory, size: 5 * MIB })).toMatch(/size 5242880 is beyond the memory's 4194304 bytes/);
    expect(await messageOf({ memory, base: 4096, size: 4 * MIB })).toMatch(/beyond the memory/);
    for (const budget of [0, -1, 1.5, 2 ** 32, NaN]) {
      expect(await messageOf({ memory, budget })).toMatch(/budget is .*; it must be an integer from 1 to 2\^31/);
    }
  });

  it('runs the build that it is given', async () => {
    for (const wasm of [WASM.release, WASM.debug]) {
      const core = await open({ memory: '1MiB', wasm });
      const bitmap = core.bitmap({ length: 8192 });
      bitmap.mark(4096, 1);
      expect([...bitmap.runs()]).toEqual([{ start: 4096, length: 4096 }]);
    }
  });

  it('embeds the release build', async () => {
    const { CORE_WASM } = await import('../../src/wasm/binary.ts');
    expect(Buffer.from(CORE_WASM, 'base64').equals(WASM.release)).toBe(true);
  });

  it('goes on when a host grows its memory', async () => {
    const memory = memoryOf(2);
    const core = await open({ memory, size: MIB, base: 65536 });
    const bitmap = core.bitmap({ length: 65536 });
    bitmap.mark(0, 1);
    memory.grow(16);
    bitmap.mark(8192, 1);
    bitmap.markList(Uint32Array.of(9));
    expect([...bitmap.pageRuns()].map(({ page }) => page)).toEqual([0, 2, 9]);
    expect(bitmap.words()[0]).toBe(1 + 4 + 512);
  });

  it('lets two cores lie side by side in one memory', async () => {
    const memory = memoryOf(3);
    const cores = [await open({ memory, size: MIB }), await open({ memory, base: MIB, size: MIB })];
    const bitmaps = cores.map((core) => core.bitmap({ length: 2 ** 27 }));
    bitmaps[0].markPages(0, 5);
    bitmaps[1].markPages(0, 3);
    cores[0].close();
    const tail = new Uint8Array(memory.buffer, 2 * MIB);
    expect([bitmaps[1].count(), tail.every((byte) => byte === 0)]).toEqual([3, true]);
  });

  it('closed, refuses everything and never touches the memory again', async () => {
    const memory = memoryOf(2);
    const core = await open({ memory });
    const iommu = core.iommu();
    const device = iommu.attach(1);
    const bitmap = core.bitmap({ length: 4096 });
    const domain = iommu.domain({ format: 'vtdss' });
    core.close();
    const bytes = new Uint8Array(memory.buffer).fill(0xff);
    const calls = [
      () => core.bitmap({ length: 1 }),
      () => core.iommu(),
      () => core.save(),
      () => core.usage,
      () => core.close(),
      () => core.load(new Uint8Array(16)),
      () => core.deviceLog({ ranges: [] }),
      () => bitmap.mark(0, 1),
      () => bitmap.words(),
      () => bitmap.count(),
      () => iommu.run(),
      () => iommu.takeFaults(),
      () => iommu.domain({ format: 'vtdss' }),
      () => domain.map({ iova: 0, pa: 0, length: 4096, access: 3 }),
      () => domain.usage,
      () => device.access(0, 1, 1),
      () => device.close(),
    ];
    expect(calls.map(codeOf)).toEqual(calls.map(() => 'EBADF'));
    device.post(0, 4096, 2);
    expect(bytes.every((byte) => byte === 0xff)).toBe(true);
  });
});
