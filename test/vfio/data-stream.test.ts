import { describe, expect, it } from 'vitest';
import { PlainAddressSpace } from '../../src/address-space/plain-address-space.ts';
import { errnoName } from '../../src/errno/errno.ts';
import type { DataStream } from '../../src/vfio/data-stream.ts';
import { MigrationMachine } from '../../src/vfio/migration-machine.ts';
import { codeOf } from '../core/builds.ts';
import { FakeDriver, type FakeOptions } from './fake-driver.ts';

const [STOP, RUNNING, STOP_COPY, RESUMING, PRE_COPY, PRE_COPY_P2P] = [1, 2, 3, 4, 6, 7];
const GET_PRECOPY_INFO = 0x3b79;

function start(state: number, options: FakeOptions = {}) {
  const fake = new FakeDriver(options);
  const space = new PlainAddressSpace();
  space.mmap({ va: 0x1000, length: 4096 });
  space.mmap({ va: 0x2000, length: 4096, writable: false });
  const machine = new MigrationMachine(fake.driver, space);
  return { fake, space, machine, stream: machine.set(state)! };
}

/** Reads once into `length` bytes. */
function read(stream: DataStream, length: number): number[] {
  const into = new Uint8Array(length);
  return [...into.subarray(0, stream.read(into))];
}

function bytes(...values: number[]): Uint8Array {
  return Uint8Array.from(values);
}

/** The name of the errno that an ioctl returns; `none` for 0. */
function ioctl(stream: DataStream, request: number, arg: Uint8Array | bigint): string {
  const result = stream.ioctl(request, arg);
  return result === 0 ? 'none' : (errnoName(-result) ?? String(result));
}

/** The 24 bytes of a vfio_precopy_info. */
function info(argsz: number, flags = 0): Uint8Array {
  const into = new Uint8Array(24);
  new DataView(into.buffer).setUint32(0, argsz, true);
  new DataView(into.buffer).setUint32(4, flags, true);
  return into;
}

describe('data stream, read side', () => {
  it('gives what there is, as much as fits, and in STOP_COPY then ends for good', () => {
    const { fake, stream } = start(STOP_COPY);
    fake.toSave = [1, 2, 3, 4, 5, 6, 7];
    fake.chunk = 3;
    expect([stream.direction, read(stream, 2), read(stream, 0), read(stream, 9)]).toEqual([
      'read',
      [1, 2],
      [],
      [3, 4, 5],
    ]);
    expect([read(stream, 9), read(stream, 9)]).toEqual([[6, 7], []]);
    fake.toSave = [8];
    expect(read(stream, 9)).toEqual([]);
  });

  it.each([PRE_COPY, PRE_COPY_P2P])('says ENOMSG in state %i where there is nothing now, and goes on', (state) => {
    const { fake, stream } = start(state);
    expect([codeOf(() => read(stream, 4)), read(stream, 0)]).toEqual(['ENOMSG', []]);
    fake.toSave = [1];
    expect([read(stream, 4), codeOf(() => read(stream, 4))]).toEqual([[1], 'ENOMSG']);
  });

  it('says 0 there with drivers that do, which is not the end', () => {
    const { fake, stream } = start(PRE_COPY, { temporaryEnd: 'zero' });
    expect(read(stream, 4)).toEqual([]);
    fake.toSave = [1];
    expect(read(stream, 4)).toEqual([1]);
  });

  it('goes on from pre-copy into STOP_COPY, what was not read before first', () => {
    const { fake, machine, stream } = start(PRE_COPY);
    fake.toSave = [1, 2, 3];
    expect(read(stream, 2)).toEqual([1, 2]);
    machine.set(PRE_COPY_P2P);
    machine.set(STOP_COPY);
    fake.toSave.push(4);
    expect([read(stream, 9), read(stream, 9)]).toEqual([[3, 4], []]);
  });
});

describe('data stream, write side', () => {
  it('takes bytes cut in any way, as many as the driver does', () => {
    const { fake, stream } = start(RESUMING);
    fake.chunk = 3;
    expect([stream.direction, stream.write(bytes(1, 2, 3, 4)), stream.write(bytes(4)), stream.write(bytes())]).toEqual([
      'write',
      3,
      1,
      0,
    ]);
    expect(fake.taken).toEqual([1, 2, 3, 4]);
  });

  it('passes on what the driver says: ENOMEM beyond what it takes', () => {
    const { fake, stream } = start(RESUMING);
    stream.write(new Uint8Array(60));
    expect([codeOf(() => stream.write(new Uint8Array(5))), fake.taken.length]).toEqual(['ENOMEM', 60]);
  });
});

describe('data stream, errors', () => {
  const at = (state: number) => start(state).stream;
  const over = (state: number) => {
    const { machine, stream } = start(state);
    machine.set(STOP);
    return stream;
  };
  const closed = (stream: DataStream) => {
    stream.close();
    return stream;
  };

  it.each<[string, string, () => unknown]>([
    ['pread', 'ESPIPE', () => at(STOP_COPY).read(bytes(0), 0)],
    ['pwrite', 'ESPIPE', () => at(RESUMING).write(bytes(0), 5)],
    ['pread at a negative offset', 'EINVAL', () => at(STOP_COPY).read(bytes(0), -1)],
    ['read of a stream to be written', 'EBADF', () => at(RESUMING).read(bytes(0))],
    ['write to a stream to be read', 'EBADF', () => at(PRE_COPY).write(bytes(0))],
    ['pread before the direction', 'ESPIPE', () => at(RESUMING).read(bytes(0), 0)],
    ['read after the session', 'ENODEV', () => over(STOP_COPY).read(bytes(0))],
    ['read of nothing after the session', 'ENODEV', () => over(STOP_COPY).read(bytes())],
    ['write after the session', 'ENODEV', () => over(RESUMING).write(bytes(0))],
    ['pread after the session', 'ESPIPE', () => over(STOP_COPY).read(bytes(0), 0)],
    ['write to a stream to be read after the session', 'EBADF', () => over(STOP_COPY).write(bytes(0))],
    ['read after close', 'EBADF', () => closed(at(STOP_COPY)).read(bytes(0))],
    ['pread after close', 'EBADF', () => closed(at(STOP_COPY)).read(bytes(0), 0)],
    ['pread after close at a negative offset', 'EINVAL', () => closed(at(STOP_COPY)).read(bytes(0), -1)],
    ['write after close', 'EBADF', () => closed(at(RESUMING)).write(bytes(0))],
    ['precopy info after close', 'EBADF', () => closed(at(PRE_COPY)).precopyInfo()],
    ['second close', 'EBADF', () => closed(closed(at(STOP_COPY)))],
  ])('%s is %s', (_, code, call) => {
    expect(codeOf(call)).toBe(code);
  });

  it('come after a reset as after the session', () => {
    for (const state of [STOP_COPY, RESUMING, PRE_COPY]) {
      const { machine, stream } = start(state);
      machine.reset();
      expect(codeOf(() => (state === RESUMING ? stream.write(bytes(0)) : stream.read(bytes(0))))).toBe('ENODEV');
    }
  });

  it('close leaves the device and its session alone', () => {
    const { machine, stream } = start(PRE_COPY);
    stream.close();
    expect([machine.state, machine.set(STOP_COPY), machine.session === stream]).toEqual([PRE_COPY, undefined, true]);
  });

  it('blame a driver that counts more than there is', () => {
    const lies = { read: () => 5, write: () => -1 };
    const hooks = { stopToStopCopy: () => lies, stopToResuming: () => ({ write: lies.write }) };
    const machine = new MigrationMachine({ ...hooks, flags: 1, dataSize: () => 0, reset: () => undefined });
    expect(() => machine.set(STOP_COPY)!.read(bytes(0, 0))).toThrow('the driver says 5 bytes of 2');
    expect(() => machine.set(RESUMING)!.write(bytes(0, 0))).toThrow('the driver says -1 bytes of 2');
  });
});

describe('MIG_GET_PRECOPY_INFO', () => {
  it.each([PRE_COPY, PRE_COPY_P2P])('tells what is to be read, through both doors, in state %i', (state) => {
    const { fake, space, stream } = start(state);
    fake.info = { initialBytes: 2n ** 40n + 5n, dirtyBytes: 7 };
    expect(stream.precopyInfo()).toEqual({ initialBytes: 2n ** 40n + 5n, dirtyBytes: 7n });
    const arg = info(32, 9);
    const wanted = bytes(32, 0, 0, 0, 9, 0, 0, 0, 5, 0, 0, 0, 0, 1, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0);
    expect([ioctl(stream, GET_PRECOPY_INFO, arg), arg]).toEqual(['none', wanted]);
    space.write(0x1010n, info(32, 9));
    const back = new Uint8Array(24);
    expect([ioctl(stream, GET_PRECOPY_INFO, 0x1010n), space.read(0x1010n, back), back]).toEqual(['none', true, wanted]);
  });

  it('finds errors in the order ENOTTY, EFAULT, argsz, state, session', () => {
    const ended = () => {
      const { machine, stream } = start(PRE_COPY);
      machine.set(RUNNING);
      return { machine, stream };
    };
    const secondSession = () => {
      const { machine, stream } = ended();
      machine.set(PRE_COPY);
      return stream;
    };
    const stopCopy = () => start(STOP_COPY).stream;
    const cases: [string, DataStream, number, Uint8Array | bigint][] = [
      ['ENOTTY', start(PRE_COPY).stream, 0x3b75, 0n],
      ['ENOTTY', start(RESUMING).stream, GET_PRECOPY_INFO, info(24)],
      ['EFAULT', start(PRE_COPY).stream, GET_PRECOPY_INFO, 0n],
      ['EFAULT', start(PRE_COPY).stream, GET_PRECOPY_INFO, info(24).subarray(0, 23)],
      ['EFAULT', stopCopy(), GET_PRECOPY_INFO, 0x3000n - 23n],
      ['EINVAL', start(PRE_COPY).stream, GET_PRECOPY_INFO, info(23)],
      ['EINVAL', secondSession(), GET_PRECOPY_INFO, info(23)],
      ['EINVAL', stopCopy(), GET_PRECOPY_INFO, info(24)],
      ['EINVAL', ended().stream, GET_PRECOPY_INFO, info(24)],
      ['ENODEV', secondSession(), GET_PRECOPY_INFO, info(24)],
    ];
    expect(cases.map(([, stream, request, arg]) => ioctl(stream, request, arg))).toEqual(cases.map(([code]) => code));
    const typed = [start(RESUMING).stream, stopCopy(), ended().stream, secondSession()];
    expect(typed.map((stream) => codeOf(() => stream.precopyInfo()))).toEqual(['ENOTTY', 'EINVAL', 'EINVAL', 'ENODEV']);
  });

  it('is EFAULT where it cannot be written back, and ENOTTY with a driver that cannot tell', () => {
    const { space, stream } = start(PRE_COPY);
    space.mprotect({ va: 0x2000, length: 4096, writable: true });
    space.write(0x2000n, info(24));
    space.mprotect({ va: 0x2000, length: 4096, writable: false });
    expect(ioctl(stream, GET_PRECOPY_INFO, 0x2000n)).toBe('EFAULT');
    const mute = new MigrationMachine({
      flags: 5,
      stopToStopCopy: () => ({ read: () => 0 }),
      stopToResuming: () => ({ write: () => 0 }),
      dataSize: () => 0,
      reset: () => undefined,
      runningToPreCopy: () => ({ read: () => 0 }),
    }).set(PRE_COPY)!;
    expect([ioctl(mute, GET_PRECOPY_INFO, info(24)), codeOf(() => mute.precopyInfo())]).toEqual(['ENOTTY', 'ENOTTY']);
  });
});
