import { describe, expect, it } from 'vitest';
import { open } from '../../src/core/core.ts';
import { DeviceLoggingTracker } from '../../src/tracker/device-logging.ts';
import { MLX5_DEVICE } from '../../src/vfio/device-profile.ts';

const MIB = 2 ** 20;

describe('ranges of a device log', () => {
  const make = async (ranges: { iova: number; last: number }[]) =>
    new DeviceLoggingTracker({
      core: await open({ memory: '16MiB' }),
      profile: { ...MLX5_DEVICE, maxRanges: 2 },
      ramBytes: 4 * MIB,
      devices: 1,
      pageSize: 4096,
      ranges,
    });

  it('are combined by smallest gap to what the device takes', async () => {
    const tracker = await make([
      { iova: 0, last: 4 * MIB - 1 },
      { iova: 8 * MIB, last: 9 * MIB - 1 },
      { iova: 10 * MIB, last: 11 * MIB - 1 },
    ]);
    expect(tracker.ranges).toEqual([
      { iova: 0, last: 4 * MIB - 1 },
      { iova: 8 * MIB, last: 11 * MIB - 1 },
    ]);
    expect(tracker.mappedBytes).toBe(7 * MIB);
  });

  it('must be as much address space as the device tracks, rounded up to a power of two', async () => {
    const core = await open({ memory: '16MiB' });
    const logging = (ramBytes: number) =>
      new DeviceLoggingTracker({
        core,
        profile: { ...MLX5_DEVICE, minSpace: 2 * MIB, maxSpace: 4 * MIB },
        ramBytes,
        devices: 1,
        pageSize: 4096,
      });
    expect(() => logging(MIB)).toThrowError(expect.objectContaining({ code: 'EOPNOTSUPP' }));
    expect(() => logging(5 * MIB)).toThrowError(expect.objectContaining({ code: 'EOPNOTSUPP' }));
    expect(logging(MIB + 4096).mappedBytes).toBe(MIB + 4096);
    expect(logging(4 * MIB).mappedBytes).toBe(4 * MIB);
  });

  it('must cover RAM', async () => {
    await expect(make([{ iova: 0, last: 2 * MIB - 1 }])).rejects.toMatchObject({
      code: 'EINVAL',
      message: expect.stringContaining(`${2 * MIB}`),
    });
  });
});
