import { describe, expect, it } from 'vitest';
import { VfioDevice, type VfioDeviceOptions } from '../../src/vfio/device.ts';
import type { FeatureData } from '../../src/vfio/device-feature.ts';
import { IDEAL_DEVICE } from '../../src/vfio/device-profile.ts';
import { FileTable } from '../../src/vfio/file-table.ts';
import { PLACES, codeOf, siteAt } from '../core/builds.ts';
import {
  DEVICE_FEATURE,
  DEVICE_RESET,
  GET,
  MISSING,
  PROBE,
  READ_ONLY,
  SET,
  WRITABLE,
  binary,
  codeOfResult,
  poke,
  request,
  typed,
  userMemory,
} from './doors.ts';
import { FakeDriver, type FakeOptions } from './fake-driver.ts';
import { PUBLISHED_PATHS } from './published.ts';

const [MIGRATION, DEVICE_STATE, START, STOP_LOG, REPORT, DATA_SIZE] = [1, 2, 6, 7, 8, 9];
const [STOP, RUNNING, STOP_COPY, RESUMING, PRE_COPY] = [1, 2, 3, 4, 6];
const U32 = 2 ** 32 - 1;

/** A device with everything, in user memory. */
function device(options: Partial<VfioDeviceOptions> & { fake?: FakeOptions } = {}) {
  const { core } = siteAt(PLACES[0], 2).core();
  const requester = core.iommu().attach(1);
  const fake = new FakeDriver(options.fake);
  const space = userMemory();
  const parts = { migration: fake.driver, logging: { core, requester, profile: IDEAL_DEVICE } };
  return { fake, space, requester, vfio: new VfioDevice({ ...parts, addressSpace: space, ...options }) };
}

function ranges(...list: [iova: bigint, length: bigint][]): Uint8Array {
  const bytes = new Uint8Array(16 * list.length);
  const view = new DataView(bytes.buffer);
  list.flat().forEach((value, i) => view.setBigUint64(8 * i, value, true));
  return bytes;
}

const START_DATA = { pageSize: 4096n, numRanges: 1, ranges: WRITABLE };
const REPORT_DATA = { iova: 0n, length: 65536n, pageSize: 4096n, bitmap: WRITABLE + 256n };
const NO_PARTS = { migration: undefined, logging: undefined } as unknown as VfioDeviceOptions;

describe('DEVICE_FEATURE, order of checks', () => {
  // Each request is wrong in the way that is named, and in every later way that it can be.
  const cases: [string, Partial<VfioDeviceOptions>, number, string][] = [
    ['not bound, before unknown bits', { bound: false }, 1 << 19, 'EINVAL'],
    ['not bound, before a feature that there is not', { bound: false }, GET | 100, 'EINVAL'],
    ['an unknown bit', {}, (1 << 19) | GET | SET | 100, 'EINVAL'],
    ['the highest bit', {}, 2 ** 31 + GET + MIGRATION, 'EINVAL'],
    ['GET and SET', {}, GET | SET | 100, 'EINVAL'],
    ['no such feature', {}, GET | 100, 'ENOTTY'],
    ['no such feature, PROBE', {}, PROBE | 100, 'ENOTTY'],
    ['a feature that is not modelled', {}, PROBE | GET | 3, 'ENOTTY'],
    ['feature 0', {}, SET, 'ENOTTY'],
    ...[MIGRATION, DEVICE_STATE, START, STOP_LOG, REPORT, DATA_SIZE].flatMap((id): typeof cases => [
      ['a part that it lacks', NO_PARTS, GET | id, 'ENOTTY'],
      ['a part that it lacks, PROBE', NO_PARTS, PROBE | GET | SET | id, 'ENOTTY'],
      ['none of GET, SET and PROBE', {}, id, 'EINVAL'],
      ['PROBE alone', {}, PROBE | id, 'none'],
    ]),
    ...[MIGRATION, REPORT, DATA_SIZE].flatMap((id): typeof cases => [
      ['SET of what is GET only', {}, SET | id, 'EINVAL'],
      ['PROBE of SET of what is GET only', {}, PROBE | SET | id, 'EINVAL'],
      ['PROBE of GET and SET of what is GET only', {}, PROBE | GET | SET | id, 'EINVAL'],
      ['PROBE of GET', {}, PROBE | GET | id, 'none'],
    ]),
    ...[START, STOP_LOG].flatMap((id): typeof cases => [
      ['GET of what is SET only', {}, GET | id, 'EINVAL'],
      ['PROBE of GET of what is SET only', {}, PROBE | GET | id, 'EINVAL'],
      ['PROBE of SET', {}, PROBE | SET | id, 'none'],
    ]),
    ['PROBE of GET and SET of what is both', {}, PROBE | GET | SET | DEVICE_STATE, 'none'],
  ];

  it.each(cases)('%s: %o, %i is %s, through both doors', (_, options, flags, code) => {
    expect([typed(device(options).vfio, flags), binary(device(options).vfio, flags)]).toMatchObject([
      { code },
      { code },
    ]);
  });

  it('finds a header that cannot be read, then its argsz, before anything else', () => {
    const { space, vfio } = device();
    poke(space, READ_ONLY + 4089n, new Uint8Array(7));
    const at = (arg: Uint8Array | bigint) => codeOfResult(vfio.ioctl(DEVICE_FEATURE, arg));
    expect([at(0n), at(MISSING), at(READ_ONLY + 4089n), at(new Uint8Array(7))]).toEqual(Array(4).fill('EFAULT'));
    expect([0, 7].map((argsz) => at(request(GET | 100, {}, argsz)))).toEqual(['EINVAL', 'EINVAL']);
    expect(at(request(GET | 100, {}, 8))).toBe('ENOTTY');
  });

  it('finds an argsz that is too small for the data, then data that cannot be read or written', () => {
    const sizes: [flags: number, size: number, data: FeatureData][] = [
      [GET | MIGRATION, 8, {}],
      [GET | DEVICE_STATE, 8, {}],
      [SET | DEVICE_STATE, 8, { deviceState: RUNNING }],
      [SET | START, 24, START_DATA],
      [GET | REPORT, 32, REPORT_DATA],
      [GET | DATA_SIZE, 8, {}],
    ];
    const outcomes = sizes.map(([flags, size, data]) => {
      const { vfio } = device();
      vfio.dmaLoggingStart({ pageSize: 4096, ranges: [{ iova: 0, length: 65536 }] });
      if (flags === (SET | START)) vfio.dmaLoggingStop();
      const whole = request(flags, data);
      const short = whole.slice(0, whole.length - 1);
      const at = (arg: Uint8Array) => codeOfResult(vfio.ioctl(DEVICE_FEATURE, arg));
      return [whole.length - 8 === size, at(request(flags, data, 7 + size)), at(short), vfio.logging!.active];
    });
    expect(outcomes).toEqual(sizes.map(([flags]) => [true, 'EINVAL', 'EFAULT', flags !== (SET | START)]));
  });

  it('takes an argsz that is larger, PROBE with a header alone, and a request in user memory', () => {
    const { space, vfio } = device();
    expect(codeOfResult(vfio.ioctl(DEVICE_FEATURE, request(GET | DATA_SIZE, {}, U32)))).toBe('none');
    expect(codeOfResult(vfio.ioctl(DEVICE_FEATURE, request(PROBE | 8, {}, 8).slice(0, 8)))).toBe('none');
    space.write(WRITABLE, request(GET | MIGRATION));
    const out = new Uint8Array(16);
    expect([vfio.ioctl(DEVICE_FEATURE, WRITABLE), space.read(WRITABLE, out), out[8]]).toEqual([0, true, 7]);
    poke(space, READ_ONLY, request(GET | MIGRATION));
    expect(codeOfResult(vfio.ioctl(DEVICE_FEATURE, READ_ONLY))).toBe('EFAULT');
  });

  it('knows no other request, and nothing after close', () => {
    const { vfio } = device();
    expect([0, 0x3b74, 0x3b76, 0x3b79].map((nr) => codeOfResult(vfio.ioctl(nr)))).toEqual(Array(4).fill('ENOTTY'));
    vfio.close();
    expect(codeOfResult(vfio.ioctl(DEVICE_FEATURE, 0n))).toBe('EBADF');
    expect([() => vfio.reset(), () => vfio.migration(), () => vfio.close()].map(codeOf)).toEqual(
      Array(3).fill('EBADF'),
    );
  });

  it('gives access once it is bound', () => {
    const { vfio } = device({ bound: false });
    expect([codeOf(() => vfio.migration()), codeOfResult(vfio.ioctl(DEVICE_RESET))]).toEqual(['EINVAL', 'EINVAL']);
    vfio.bind();
    expect(vfio.migration()).toEqual({ flags: 7n });
  });
});

describe('migration features', () => {
  it('tell flags, state and size, through both doors', () => {
    const { fake, vfio } = device({ fake: { flags: 5 } });
    fake.toSave = [1, 2, 3];
    expect([vfio.migration(), vfio.migDeviceState(), vfio.migDataSize()]).toEqual([
      { flags: 5n },
      { deviceState: RUNNING, dataFd: -1 },
      { stopCopyLength: 3n },
    ]);
    for (const flags of [GET | MIGRATION, GET | DEVICE_STATE, GET | DATA_SIZE]) {
      expect(binary(vfio, flags)).toEqual(typed(vfio, flags));
    }
  });

  it('tell the size in every state, and what the driver says instead', () => {
    const { vfio } = device();
    for (const deviceState of [1, 2, 3, 4, 5, 6, 7]) {
      vfio.setMigDeviceState({ deviceState });
      expect(vfio.migDataSize()).toEqual({ stopCopyLength: 0n });
    }
    const { fake, vfio: broken } = device();
    fake.dataSize = () => fake.reset() as unknown as number;
    fake.resetFails = true;
    expect([typed(broken, GET | DATA_SIZE).code, binary(broken, GET | DATA_SIZE).code]).toEqual(['EIO', 'EIO']);
  });

  it('hand out streams by the lowest free number', () => {
    const { vfio } = device();
    const opened = vfio.setMigDeviceState({ deviceState: STOP_COPY });
    expect([opened.dataFd, vfio.files.get(3) === opened.stream]).toEqual([3, true]);
    expect(vfio.setMigDeviceState({ deviceState: STOP })).toEqual({ dataFd: -1 });
    expect(vfio.setMigDeviceState({ deviceState: RESUMING }).dataFd).toBe(4);
    opened.stream!.close();
    expect(codeOf(() => vfio.files.get(3))).toBe('EBADF');
    vfio.setMigDeviceState({ deviceState: STOP });
    expect(binary(vfio, SET | DEVICE_STATE, { deviceState: STOP_COPY }).out).toEqual({
      deviceState: STOP_COPY,
      dataFd: 3,
    });
  });

  it('are EMFILE where no number is free, with the state reached', () => {
    for (const door of [typed, binary]) {
      const { vfio } = device({ files: new FileTable({ first: 3, limit: 3 }) });
      expect(door(vfio, SET | DEVICE_STATE, { deviceState: STOP_COPY }).code).toBe('EMFILE');
      expect([vfio.migDeviceState().deviceState, vfio.machine!.session?.closed]).toEqual([STOP_COPY, true]);
    }
  });

  it.each([typed, binary])('pass the errno of an arc that fails on, and GET tells where the device is: %o', (door) => {
    const { fake, vfio } = device({ fake: { failAt: 1, code: 'EBUSY' } });
    fake.armed = true;
    expect(door(vfio, SET | DEVICE_STATE, { deviceState: STOP_COPY }).code).toBe('EBUSY');
    expect(door(vfio, GET | DEVICE_STATE).out).toEqual({ deviceState: 5, dataFd: -1 });
    expect(door(vfio, SET | DEVICE_STATE, { deviceState: STOP_COPY }).out).toEqual({
      deviceState: STOP_COPY,
      dataFd: 3,
    });
  });

  it('stay in the last state reached where step k of any path fails, through both doors, and reset leads on', () => {
    let cases = 0;
    for (const { flags, from, to, path } of PUBLISHED_PATHS.filter((each) => each.path)) {
      for (let k = 0; k < path!.length; k++) {
        const code = (['EIO', 'EBUSY', 'ENOMEM'] as const)[cases++ % 3];
        const outcomes = [typed, binary].map((door) => {
          const fake = new FakeDriver({ flags, failAt: k, code });
          const vfio = new VfioDevice({ migration: fake.driver });
          vfio.setMigDeviceState({ deviceState: from });
          fake.armed = true;
          const failed = door(vfio, SET | DEVICE_STATE, { deviceState: to });
          const state = door(vfio, GET | DEVICE_STATE).out;
          vfio.ioctl(DEVICE_RESET);
          return { failed, state, after: door(vfio, GET | DEVICE_STATE).out };
        });
        const wanted = {
          failed: { code, out: undefined },
          state: { deviceState: [from, ...path!][k], dataFd: -1 },
          after: { deviceState: RUNNING, dataFd: -1 },
        };
        expect(outcomes).toEqual([wanted, wanted]);
      }
    }
    expect(cases).toBe(162);
  });

  it.each([typed, binary])('refuse states that there are not, and ERROR: %o', (door) => {
    const { vfio } = device({ fake: { flags: 1 } });
    const codes = [0, 5, 6, 7, 8, 9, 0xabcd, U32].map(
      (deviceState) => door(vfio, SET | DEVICE_STATE, { deviceState }).code,
    );
    expect(codes).toEqual(Array(8).fill('EINVAL'));
    expect(door(vfio, SET | DEVICE_STATE, { deviceState: RUNNING })).toEqual({
      code: 'none',
      out: { deviceState: RUNNING, dataFd: -1 },
    });
  });

  it('write data_fd -1 where a transition fails, and EFAULT where even that cannot be written', () => {
    const { space, vfio } = device();
    const bytes = request(SET | DEVICE_STATE, { deviceState: 9, dataFd: 77 });
    expect(codeOfResult(vfio.ioctl(DEVICE_FEATURE, bytes))).toBe('EINVAL');
    expect(bytes.slice(8)).toEqual(Uint8Array.of(9, 0, 0, 0, 255, 255, 255, 255));
    poke(space, READ_ONLY, bytes);
    expect(codeOfResult(vfio.ioctl(DEVICE_FEATURE, READ_ONLY))).toBe('EFAULT');
  });

  it('are EFAULT where the new stream cannot be told, with the state reached and the stream dropped', () => {
    const { space, vfio } = device();
    poke(space, READ_ONLY, request(SET | DEVICE_STATE, { deviceState: PRE_COPY }));
    expect(codeOfResult(vfio.ioctl(DEVICE_FEATURE, READ_ONLY))).toBe('EFAULT');
    expect([vfio.migDeviceState().deviceState, vfio.machine!.session?.closed]).toEqual([PRE_COPY, true]);
    expect(codeOf(() => vfio.files.get(3))).toBe('EBADF');
    poke(space, READ_ONLY, request(SET | DEVICE_STATE, { deviceState: STOP }));
    expect(codeOfResult(vfio.ioctl(DEVICE_FEATURE, READ_ONLY))).toBe('EFAULT');
    expect(vfio.migDeviceState().deviceState).toBe(STOP);
  });

  it('end streams and logging with reset and with close', () => {
    const ways: ((vfio: VfioDevice) => unknown)[] = [
      (vfio) => vfio.reset(),
      (vfio) => vfio.ioctl(DEVICE_RESET),
      (vfio) => vfio.close(),
    ];
    for (const way of ways) {
      const { vfio } = device();
      vfio.dmaLoggingStart({ pageSize: 4096, ranges: [{ iova: 0, length: 65536 }] });
      const { stream } = vfio.setMigDeviceState({ deviceState: RESUMING });
      way(vfio);
      expect([stream!.enabled, stream!.closed, vfio.logging!.active]).toEqual([false, false, false]);
    }
  });

  it('pass the errno of a reset that fails on, with nothing changed', () => {
    const { fake, vfio } = device();
    vfio.dmaLoggingStart({ pageSize: 4096, ranges: [{ iova: 0, length: 65536 }] });
    vfio.setMigDeviceState({ deviceState: STOP });
    fake.resetFails = true;
    expect([codeOf(() => vfio.reset()), codeOfResult(vfio.ioctl(DEVICE_RESET))]).toEqual(['EIO', 'EIO']);
    expect([vfio.migDeviceState().deviceState, vfio.logging!.active]).toEqual([STOP, true]);
  });

  it('let errors that are none of the device through', () => {
    const { fake, vfio } = device();
    fake.dataSize = () => {
      throw new TypeError('a bug');
    };
    expect(() => vfio.ioctl(DEVICE_FEATURE, request(GET | DATA_SIZE))).toThrow(TypeError);
  });
});

describe('DMA logging, errors in order', () => {
  const MAX = 2n ** 64n - 1n;
  const page = 4096n;
  const good: [bigint, bigint] = [0n, 65536n];
  const many = (count: number) =>
    ranges(...Array.from({ length: count }, (_, i): [bigint, bigint] => [BigInt(i) << 13n, page]));

  it.each<[string, string, FeatureData]>([
    ['no ranges, before the page size', 'EINVAL', { pageSize: 3n, numRanges: 0, ranges: MISSING }],
    ['257 ranges, before the page size', 'E2BIG', { pageSize: 3n, numRanges: 257, ranges: MISSING }],
    [
      'a page size that is no power of two, before the ranges',
      'EINVAL',
      { ...START_DATA, pageSize: 3n, ranges: MISSING },
    ],
    ['page size 0', 'EINVAL', { ...START_DATA, pageSize: 0n, ranges: ranges(good) }],
    ['ranges that cannot be read', 'EFAULT', { ...START_DATA, ranges: MISSING }],
    ['a second range that cannot be read', 'EFAULT', { ...START_DATA, numRanges: 2, ranges: ranges(good) }],
    [
      'a first range that is wrong, before a second that cannot be read',
      'EINVAL',
      { ...START_DATA, numRanges: 2, ranges: ranges([1n, page]) },
    ],
    ['iova not whole pages, before its overflow', 'EINVAL', { ...START_DATA, ranges: ranges([MAX, 8192n]) }],
    ['length not whole pages', 'EINVAL', { ...START_DATA, ranges: ranges([0n, 4097n]) }],
    ['not whole pages of the hint', 'EINVAL', { ...START_DATA, pageSize: 8192n, ranges: ranges([page, 8192n]) }],
    ['an empty range', 'EINVAL', { ...START_DATA, ranges: ranges([0n, 0n]) }],
    ['an end at 2^64', 'EOVERFLOW', { ...START_DATA, ranges: ranges([MAX - 4095n, page]) }],
    [
      'an end beyond 2^64, before an overlap',
      'EOVERFLOW',
      { ...START_DATA, numRanges: 2, ranges: ranges([MAX - 8191n, page], [MAX - 8191n, 16384n]) },
    ],
    ['an overlap', 'EINVAL', { ...START_DATA, numRanges: 2, ranges: ranges([page, 8192n], [8192n, page]) }],
    ['the same range twice', 'EINVAL', { ...START_DATA, numRanges: 2, ranges: ranges(good, good) }],
    ['the same byte twice', 'EINVAL', { pageSize: 1n, numRanges: 2, ranges: ranges([5n, 1n], [5n, 1n]) }],
    ['ranges that touch', 'none', { ...START_DATA, numRanges: 2, ranges: ranges([page, page], [0n, page]) }],
    ['256 ranges', 'none', { ...START_DATA, numRanges: 256, ranges: many(256) }],
    ['the last page but one', 'none', { ...START_DATA, ranges: ranges([MAX - 8191n, page]) }],
  ])('START with %s is %s, through both doors', (_, code, data) => {
    const [first, second] = [device(), device()];
    const inMemory = { ...data };
    if (data.ranges instanceof Uint8Array) {
      // The binary door takes an address: the ranges lie before the page that is missing.
      inMemory.ranges = MISSING - BigInt(data.ranges.length);
      poke(second.space, inMemory.ranges as bigint, data.ranges);
    }
    const codes = [typed(first.vfio, SET | START, data).code, binary(second.vfio, SET | START, inMemory).code];
    expect(codes).toEqual([code, code]);
    expect([first.vfio.logging!.active, second.vfio.logging!.active]).toEqual(Array(2).fill(code === 'none'));
  });

  it('START is EINVAL where it logs already, after the checks of the ranges', () => {
    for (const door of [typed, binary]) {
      const { space, vfio } = device();
      poke(space, WRITABLE, ranges(good));
      expect(door(vfio, SET | START, START_DATA)).toMatchObject({ code: 'none', out: { pageSize: 4096n } });
      expect(door(vfio, SET | START, { ...START_DATA, numRanges: 257 }).code).toBe('E2BIG');
      expect(door(vfio, SET | START, START_DATA).code).toBe('EINVAL');
      expect([door(vfio, SET | STOP_LOG).code, door(vfio, SET | STOP_LOG).code]).toEqual(['none', 'none']);
      expect(door(vfio, SET | START, START_DATA).code).toBe('none');
    }
  });

  it('START is EFAULT where its answer cannot be written, and logging is stopped again', () => {
    const { space, vfio } = device();
    poke(space, WRITABLE, ranges(good));
    poke(space, READ_ONLY, request(SET | START, START_DATA));
    expect([codeOfResult(vfio.ioctl(DEVICE_FEATURE, READ_ONLY)), vfio.logging!.active]).toEqual(['EFAULT', false]);
  });

  it.each<[string, string, FeatureData, 'logging' | 'not logging']>([
    ['a page size below 4096', 'EINVAL', { ...REPORT_DATA, pageSize: 2048n, length: MAX }, 'logging'],
    ['a page size that is no power of two', 'EINVAL', { ...REPORT_DATA, pageSize: 12288n }, 'logging'],
    ['page size 0', 'EINVAL', { ...REPORT_DATA, pageSize: 0n }, 'logging'],
    [
      'an end at 2^64, before it does not log',
      'EOVERFLOW',
      { ...REPORT_DATA, iova: page, length: MAX - 4095n },
      'not logging',
    ],
    ['an end beyond 2^64', 'EOVERFLOW', { ...REPORT_DATA, iova: MAX, length: page }, 'logging'],
    ['a device that does not log, before the bitmap', 'EINVAL', { ...REPORT_DATA, bitmap: MISSING }, 'not logging'],
    ['a bitmap that is missing', 'EFAULT', { ...REPORT_DATA, bitmap: MISSING }, 'logging'],
    ['a bitmap that is read-only', 'EFAULT', { ...REPORT_DATA, bitmap: READ_ONLY }, 'logging'],
    ['a bitmap of which the last byte is', 'EFAULT', { ...REPORT_DATA, bitmap: READ_ONLY - 1n }, 'logging'],
    ['a bitmap up to there', 'none', { ...REPORT_DATA, bitmap: READ_ONLY - 2n }, 'logging'],
    ['length 0 and no bitmap', 'none', { ...REPORT_DATA, length: 0n, bitmap: MISSING }, 'logging'],
  ])('REPORT with %s is %s, through both doors', (_, code, data, state) => {
    const codes = [typed, binary].map((door) => {
      const { vfio } = device();
      if (state === 'logging') vfio.dmaLoggingStart({ pageSize: 4096, ranges: [{ iova: 0, length: 65536 }] });
      return door(vfio, GET | REPORT, data).code;
    });
    expect(codes).toEqual([code, code]);
  });

  it.each([typed, binary])(
    'REPORT is EIO after a failure of the device, until the log is started again: %o',
    (door) => {
      const { space, vfio } = device();
      poke(space, WRITABLE, ranges(good));
      vfio.logging!.fail();
      door(vfio, SET | START, START_DATA);
      expect(door(vfio, GET | REPORT, REPORT_DATA).code).toBe('none');
      vfio.logging!.fail('an error completion');
      expect([0, 1].map(() => door(vfio, GET | REPORT, REPORT_DATA).code)).toEqual(['EIO', 'EIO']);
      expect(door(vfio, GET | REPORT, { ...REPORT_DATA, pageSize: 1n }).code).toBe('EINVAL');
      expect(door(vfio, GET | REPORT, { ...REPORT_DATA, bitmap: MISSING }).code).toBe('EIO');
      expect(() => vfio.dmaLoggingReport(REPORT_DATA)).toThrow(/an error completion; all memory counts as dirty.*EIO/);
      door(vfio, SET | STOP_LOG);
      expect(door(vfio, GET | REPORT, REPORT_DATA).code).toBe('EINVAL');
      door(vfio, SET | START, START_DATA);
      expect(door(vfio, GET | REPORT, REPORT_DATA).code).toBe('none');
    },
  );
});
