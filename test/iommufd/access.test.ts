import { describe, expect, it } from 'vitest';
import { codeOf } from '../core/builds.ts';
import { FIXED, MAX, MIB, MISSING, PAGE, RAM, READABLE, READ_ONLY, RW, behind, rig } from './rig.ts';

function world(pinsPages = true) {
  const made = rig();
  const { fd } = made;
  const { outIoasId: ioasId } = fd.ioasAlloc();
  const asked: [bigint, bigint][] = [];
  const held: [bigint, bigint][] = [];
  const access = fd.createAccess({
    pinsPages,
    unmap: (iova, length) => {
      asked.push([iova, length]);
      for (const [at, bytes] of held.splice(0)) access.unpin({ iova: at, length: bytes });
    },
  });
  const map = (iova: bigint, userVa: bigint, length: bigint, flags = RW) =>
    fd.ioasMap({ flags: flags | FIXED, ioasId, userVa, length, iova });
  map(0n, RAM + MIB, 4n * PAGE);
  map(4n * PAGE, RAM, 4n * PAGE);
  map(16n * PAGE, READ_ONLY, PAGE, READABLE);
  map(32n * PAGE, MISSING, PAGE);
  return { ...made, ioasId, access, asked, held, map };
}

describe('access objects', () => {
  it('pins pages over areas, and gives their frames', () => {
    const { access, ioasId, fd } = world();
    access.attach(ioasId);
    expect(fd.pinnedBytes).toBe(0n);
    expect(access.pin({ iova: 3n * PAGE, length: 2n * PAGE, write: true })).toEqual([
      { pa: RAM + MIB + 3n * PAGE, length: PAGE },
      { pa: RAM, length: PAGE },
    ]);
    expect(fd.pinnedBytes).toBe(2n * PAGE);
    access.pin({ iova: 3n * PAGE, length: 2n * PAGE });
    expect(fd.pinnedBytes).toBe(2n * PAGE);
    access.unpin({ iova: 3n * PAGE, length: 2n * PAGE });
    expect(codeOf(() => access.unpin({ iova: 3n * PAGE, length: PAGE }))).toBe('EINVAL');
    access.unpin({ iova: 3n * PAGE, length: 2n * PAGE });
    expect(fd.pinnedBytes).toBe(0n);
  });

  it('refuses in the kernel order, with nothing pinned', () => {
    const { access, ioasId, fd } = world();
    const pin = (iova: bigint, length: bigint, write = false) => codeOf(() => access.pin({ iova, length, write }));
    expect([pin(0n, 0n), pin(MAX, 2n), pin(0n, PAGE)]).toEqual(['EINVAL', 'EOVERFLOW', 'ENOENT']);
    access.attach(ioasId);
    const codes = [
      pin(7n * PAGE, 2n * PAGE),
      pin(8n * PAGE, PAGE),
      pin(16n * PAGE, PAGE, true),
      pin(32n * PAGE, PAGE),
      pin(1n, PAGE),
    ];
    expect(codes).toEqual(['ENOENT', 'ENOENT', 'EPERM', 'EFAULT', 'EINVAL']);
    expect([pin(16n * PAGE, PAGE), fd.pinnedBytes]).toEqual(['none', PAGE]);
    const bytes = fd.createAccess();
    bytes.attach(ioasId);
    expect(codeOf(() => bytes.pin({ iova: 0, length: PAGE }))).toBe('EINVAL');
  });

  it('reads and writes bytes over areas', () => {
    const { access, ioasId, space } = world(false);
    const bytes = Uint8Array.of(1, 2, 3, 4);
    expect(codeOf(() => access.read(0, new Uint8Array(1)))).toBe('ENOENT');
    access.attach(ioasId);
    access.write(4n * PAGE - 2n, bytes);
    const [tail, head, all] = [new Uint8Array(2), new Uint8Array(2), new Uint8Array(4)];
    space.read(RAM + MIB + 4n * PAGE - 2n, tail);
    space.read(RAM, head);
    access.read(4n * PAGE - 2n, all);
    expect([[...tail], [...head], [...all]]).toEqual([[1, 2], [3, 4], [...bytes]]);
    const codes = [
      () => access.read(0, new Uint8Array(0)),
      () => access.read(8n * PAGE - 1n, all),
      () => access.write(16n * PAGE, all),
      () => access.read(16n * PAGE, all),
      () => access.read(32n * PAGE, all),
    ].map(codeOf);
    expect(codes).toEqual(['EINVAL', 'ENOENT', 'EPERM', 'none', 'EFAULT']);
  });

  it('is asked to unpin before an area goes', () => {
    const { access, ioasId, fd, asked, held } = world();
    access.attach(ioasId);
    access.pin({ iova: 0, length: PAGE });
    held.push([0n, PAGE]);
    fd.ioasUnmap({ ioasId, iova: 4n * PAGE, length: 4n * PAGE });
    expect(asked).toEqual([]);
    expect(fd.ioasUnmap({ ioasId, iova: 0, length: 4n * PAGE })).toEqual({ length: 4n * PAGE });
    expect([asked, fd.pinnedBytes]).toEqual([[[0n, 4n * PAGE]], 0n]);
  });

  it('blocks what it does not unpin, and the IOAS stays as it was', () => {
    const { access, ioasId, fd, asked } = world();
    access.attach(ioasId);
    access.pin({ iova: 0, length: PAGE });
    const everything = { ioasId, iova: 0, length: MAX };
    expect(codeOf(() => fd.ioasUnmap(everything))).toBe('EDEADLOCK');
    expect(asked.length).toBe(101);
    expect(codeOf(() => access.detach())).toBe('EDEADLOCK');
    expect(codeOf(() => access.pin({ iova: PAGE, length: PAGE }))).toBe('none');
    access.unpin({ iova: PAGE, length: PAGE });
    access.unpin({ iova: 0, length: PAGE });
    expect(fd.ioasUnmap(everything)).toEqual({ length: 10n * PAGE });
  });

  it('holds its IOAS, raises its alignment, and moves to another', () => {
    const { access, ioasId, fd, map, asked } = world();
    const other = fd.ioasAlloc().outIoasId;
    expect(codeOf(() => access.replace(other))).toBe('ENOENT');
    expect(codeOf(() => access.detach())).toBe('EINVAL');
    expect(codeOf(() => access.attach(access.id))).toBe('ENOENT');
    map(64n * PAGE, RAM, 1n);
    expect(codeOf(() => access.attach(ioasId))).toBe('EADDRINUSE');
    fd.ioasUnmap({ ioasId, iova: 64n * PAGE, length: 1 });
    access.attach(ioasId);
    expect(codeOf(() => access.attach(other))).toBe('EINVAL');
    expect(codeOf(() => map(64n * PAGE, RAM, 1n))).toBe('EINVAL');
    expect(codeOf(() => fd.destroy({ id: ioasId }))).toBe('EBUSY');
    access.replace(other);
    expect([access.ioasId, asked]).toEqual([other, [[0n, MAX]]]);
    expect(codeOf(() => fd.destroy({ id: other }))).toBe('EBUSY');
    expect(codeOf(() => map(64n * PAGE, RAM, 1n))).toBe('none');
    expect(codeOf(() => fd.destroy({ id: access.id }))).toBe('EBUSY');
    access.detach();
    expect(codeOf(() => fd.destroy({ id: other }))).toBe('none');
    access.close();
    expect(codeOf(() => fd.destroy({ id: access.id }))).toBe('ENOENT');
  });

  it('makes nothing dirty', () => {
    const made = world();
    const { fd, access, ioasId } = made;
    fd.ioasUnmap({ ioasId, iova: 32n * PAGE, length: PAGE });
    const device = fd.bind(behind(made));
    const { outHwptId: hwptId } = fd.hwptAlloc({ flags: 2, devId: device.devId, ptId: ioasId });
    fd.hwptSetDirtyTracking({ flags: 1, hwptId });
    access.attach(ioasId);
    access.pin({ iova: 0, length: PAGE, write: true });
    access.write(0, Uint8Array.of(1));
    const data = new Uint8Array(1);
    fd.hwptGetDirtyBitmap({ hwptId, iova: 0, length: 8n * PAGE, pageSize: PAGE, data });
    expect(data[0]).toBe(0);
  });

  it('loses its pins when it is closed', () => {
    const { access, ioasId, fd, space } = world();
    access.attach(ioasId);
    access.pin({ iova: 0, length: 8n * PAGE });
    access.close();
    expect([space.pinnedBytes, fd.pinnedBytes]).toEqual([0n, 0n]);
    expect(fd.ioasUnmap({ ioasId, iova: 0, length: MAX })).toEqual({ length: 10n * PAGE });
  });
});
