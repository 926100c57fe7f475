import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { IDEAL_DEVICE } from '../../src/vfio/device-profile.ts';
import { VfioDevice } from '../../src/vfio/device.ts';
import type { Quirks } from '../../src/iommu/quirks.ts';
import { VFIO_QUIRKS } from '../../src/vfio/quirks.ts';
import { PLACES, codeOf, siteAt } from '../core/builds.ts';
import { userMemory, MISSING, READ_ONLY, WRITABLE } from './doors.ts';

const WRITE = 2;

function start(quirks: Quirks) {
  const { core } = siteAt(PLACES[0], 2).core();
  const requester = core.iommu().attach(1);
  const space = userMemory();
  const logging = { core, requester, profile: { ...IDEAL_DEVICE, maxSpace: 2 ** 40 } };
  return { requester, space, vfio: new VfioDevice({ logging, addressSpace: space, quirks }) };
}

/** What a START comes to: the page size in use, or the errno. */
function startCode(quirks: Quirks, pageSize: number, ...ranges: [iova: number, length: number][]): string {
  const { vfio } = start(quirks);
  let used = 0n;
  const list = ranges.map(([iova, length]) => ({ iova, length }));
  const code = codeOf(() => (used = vfio.dmaLoggingStart({ pageSize, ranges: list }).pageSize));
  return code === 'none' ? `${used}` : code;
}

describe('quirks of VFIO devices', () => {
  it('log page size as a mask', () => {
    const both = (pageSize: number, iova: number, length: number) =>
      (['strict', 'linux-6.12'] as const).map((quirks) => startCode(quirks, pageSize, [iova, length]));
    expect(both(0x3000, 0x1000, 0x4000)).toEqual(['EINVAL', '8192']);
    expect(both(0x3000, 0x2000, 0x4000)).toEqual(['EINVAL', 'EINVAL']);
    expect(both(0, 0, 0x4000)).toEqual(['EINVAL', 'EINVAL']);
    expect(both(1, 0x1001, 0x4001)).toEqual(['4096', '4096']);
  });

  it('empty log range', () => {
    const both = (...ranges: [number, number][]) =>
      (['strict', 'linux-6.12'] as const).map((quirks) => startCode(quirks, 4096, ...ranges));
    expect(both([0x1000, 0])).toEqual(['EINVAL', '4096']);
    expect(both([0x1000, 0], [0x8000, 0x1000])).toEqual(['EINVAL', '4096']);
    // At 0 it is the whole space, which is more than the device tracks, and overlaps all others.
    expect(both([0, 0])).toEqual(['EINVAL', 'EOPNOTSUPP']);
    expect(both([0x8000, 0x1000], [0, 0])).toEqual(['EINVAL', 'EINVAL']);
    const { vfio, requester } = start('linux-6.12');
    vfio.dmaLoggingStart({ pageSize: 4096, ranges: [{ iova: 0x1000, length: 0 }] });
    requester.access(0x1000, 1, WRITE);
    const bitmap = new Uint8Array(1);
    vfio.dmaLoggingReport({ iova: 0, length: 0x8000, pageSize: 4096, bitmap });
    expect([...bitmap]).toEqual([0]);
    vfio.dmaLoggingStop();
    expect(vfio.logging!.active).toBe(false);
  });

  it('log bitmap that cannot be written', () => {
    const outcome = (quirks: Quirks) => {
      const { vfio, requester, space } = start(quirks);
      vfio.dmaLoggingStart({ pageSize: 4096, ranges: [{ iova: 0, length: 0x20000 }] });
      requester.access(0, 0x20000, WRITE);
      const report = (bitmap: bigint | Uint8Array) =>
        codeOf(() => vfio.dmaLoggingReport({ iova: 0, length: 0x20000, pageSize: 4096, bitmap }));
      const codes = [report(READ_ONLY - 2n), report(MISSING)];
      const [written, later] = [new Uint8Array(4), new Uint8Array(4)];
      space.read(READ_ONLY - 2n, written);
      report(later);
      space.read(WRITABLE, new Uint8Array(1));
      return { codes, written: [...written], later: [...later], pinned: space.pinnedBytes };
    };
    expect(outcome('strict')).toEqual({
      codes: ['EFAULT', 'EFAULT'],
      written: [0, 0, 0, 0],
      later: [255, 255, 255, 255],
      pinned: 0n,
    });
    expect(outcome('linux-6.12')).toEqual({
      codes: ['none', 'none'],
      written: [255, 255, 0, 0],
      later: [0, 0, 0, 0],
      pinned: 0n,
    });
  });

  it('are all shown here, once', () => {
    const text = readFileSync(new URL(import.meta.url), 'utf8');
    const missing = VFIO_QUIRKS.filter(({ test }) => !text.includes(`it('${test}'`)).map(({ name }) => name);
    const names = VFIO_QUIRKS.map(({ name }) => name);
    expect([missing, new Set(names).size]).toEqual([[], names.length]);
  });
});
