import { describe, expect, it } from 'vitest';
import type { Type1Options } from '../../src/type1/type1-options.ts';
import { codeOf } from '../core/builds.ts';
import { MISSING, PAGE, RAM, READ, READ_ONLY, RW, WRITE, backed, rig } from './rig.ts';
import { MAPPED, TYPE1, TYPE1V2, invalidate } from './errno-cases.ts';

describe('type1 pins and dma_rw: errnos in the kernel’s order', () => {
  const MORE = { flags: READ, vaddr: READ_ONLY, iova: 0x20_0000n, size: 16n * PAGE };

  function opened(type = TYPE1V2, options: Partial<Type1Options> = {}) {
    const its = rig(options);
    const group = its.container.attach({ emulated: true });
    its.container.setIommu(type);
    its.container.mapDma(MAPPED);
    its.container.mapDma(MORE);
    // Nothing is pinned without an IOMMU, so a missing page shows when it is used.
    its.container.mapDma({ flags: RW, vaddr: MISSING, iova: 0x30_0000n, size: PAGE });
    its.container.mapDma({ flags: WRITE, vaddr: RAM, iova: 0x40_0000n, size: PAGE });
    return { ...its, group, device: group.openDevice({ dmaUnmap: () => undefined }) };
  }

  it('pin_pages', () => {
    const { device, group } = opened();
    const silent = group.openDevice();
    const old = opened(TYPE1).device;
    const { device: limited, space } = opened(TYPE1V2, { lockedPagesLimit: 2 });
    const closed = opened().device;
    closed.close();
    const codes = [
      () => closed.pinPages(MAPPED.iova, 1, READ),
      () => silent.pinPages(MAPPED.iova, 1, READ),
      () => device.pinPages(MAPPED.iova, 0, READ),
      () => device.pinPages(MAPPED.iova + 8n, 1, READ),
      () => old.pinPages(MAPPED.iova, 513, READ),
      () => old.pinPages(0, 1, READ),
      () => device.pinPages(0, 1, READ),
      () => device.pinPages(MAPPED.iova, 17, RW),
      () => device.pinPages(MORE.iova, 1, RW),
      () => device.pinPages(0x30_0000, 1, RW),
      () => limited.pinPages(MAPPED.iova, 3, RW),
      () => limited.pinPages(MAPPED.iova, 2, RW),
      () => device.pinPages(MAPPED.iova, 1, 4),
      () => device.pinPages(MAPPED.iova, 16, RW),
      () => device.pinPages(MORE.iova, 16, READ),
      () => device.unpinPages(MAPPED.iova, 17),
      () => device.unpinPages(MAPPED.iova, 513),
      () => old.unpinPages(MAPPED.iova, 1),
      () => device.unpinPages(MAPPED.iova, 16),
      () => device.unpinPages(MAPPED.iova, 1),
    ].map(codeOf);
    expect(space.pinnedBytes).toBe(2n * PAGE);
    expect(codes).toEqual([
      'EBADF',
      'EINVAL',
      'EINVAL',
      'EINVAL',
      'E2BIG',
      'EACCES',
      'EINVAL',
      'EINVAL',
      'EPERM',
      'EFAULT',
      'ENOMEM',
      'none',
      'EINVAL',
      'none',
      'none',
      'EINVAL',
      'E2BIG',
      'EACCES',
      'none',
      'EINVAL',
    ]);
  });

  it('dma_rw', () => {
    const { device, space } = opened();
    const bytes = (n: number) => Uint8Array.from({ length: n }, (_, i) => i + 1);
    const codes = [
      () => device.dmaRw(MAPPED.iova, new Uint8Array(0), true),
      () => device.dmaRw(0, bytes(1), false),
      () => device.dmaRw(MORE.iova, bytes(1), true),
      () => device.dmaRw(MORE.iova, bytes(1), false),
      () => device.dmaRw(0x40_0000, bytes(1), true),
      () => device.dmaRw(0x40_0000, bytes(1), false),
      () => device.dmaRw(0x30_0000, bytes(1), true),
      () => device.dmaRw(0x30_0000, bytes(1), false),
      () => device.dmaRw(MAPPED.iova + 16n * PAGE - 2n, bytes(4), true),
    ].map(codeOf);
    // What came before the end of the mapping is written.
    const landed = new Uint8Array(2);
    space.read(RAM + 16n * PAGE - 2n, landed);
    expect([codes, [...landed]]).toEqual([
      ['EINVAL', 'EINVAL', 'EPERM', 'none', 'EPERM', 'EPERM', 'EFAULT', 'EFAULT', 'EINVAL'],
      [1, 2],
    ]);
  });

  it('refuse invalid user addresses', () => {
    const its = rig();
    const group = its.container.attach(backed(its));
    its.container.setIommu(TYPE1V2);
    its.container.mapDma(MAPPED);
    const device = group.openDevice({ dmaUnmap: () => undefined });
    invalidate(its);
    const codes = [
      () => device.pinPages(0, 1, RW),
      () => device.dmaRw(0, new Uint8Array(1), false),
      () => its.container.attach({ emulated: true }),
      () => its.container.mapDma({ ...MAPPED, flags: 4, vaddr: RAM + PAGE }),
      () => device.pinPages(MAPPED.iova, 1, RW),
    ].map(codeOf);
    expect(codes).toEqual(['EBUSY', 'EBUSY', 'EBUSY', 'none', 'none']);
  });
});
