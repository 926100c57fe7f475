import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { READ, WRITE } from '../../src/iommu/access.ts';
import { IommuGroup } from '../../src/iommufd/iommu-group.ts';
import { codeOf, PLACES } from '../core/builds.ts';
import { runs } from '../runs.ts';
import { DOORS } from './doors.ts';
import {
  CD,
  CD_BITS,
  cdWord,
  dataTypeOf,
  dirtyPages,
  GUEST,
  guestRig,
  KIB,
  KINDS,
  nest,
  words,
  type GuestRig,
} from './guest-rig.ts';
import { BUFFER, PAGE } from './rig.ts';

const MIB = 1024 * KIB;
const RW = READ | WRITE;
const IOVA = 0x1234_0000;
const AT = 2 * MIB;
const leafOf = (granule?: string) => (granule === '64K' ? 64 * KIB : 4 * KIB);

type Requester = GuestRig['device']['requester'];

/** Where a DMA lands: an address, or why it does not. */
function lands(requester: Requester, iova: number, access: number = READ): unknown {
  if (requester.access(iova, 8, access) < 0) return [requester.fault!.reason, requester.fault!.stage];
  return requester.extentAddress(0);
}

const EACH = PLACES.flatMap((place) => KINDS.map((kind) => ({ ...kind, place, name: `${kind.name}, ${place.name}` })));

describe.each(EACH)('a nested HWPT translates: $name', (kind) => {
  const leaf = leafOf(kind.granule);
  const open = () => guestRig(kind, { place: kind.place });

  it.each(DOORS)('DMA lands where both tables say, through $name', (door) => {
    const rig = open();
    rig.table.map({ iova: IOVA, gpa: AT, length: 2 * leaf, access: RW });
    const data = rig.dataOf(rig.table.root);
    rig.space.write(BUFFER, data);
    const { device, parent } = rig;
    const args = {
      devId: device.devId,
      ptId: parent,
      dataType: dataTypeOf(kind),
      dataLen: data.length,
      dataUptr: BUFFER,
    };
    const { code, out } = door.call(rig, 'hwptAlloc', args);
    const hwptId = out.outHwptId as number;
    expect([code, device.attach(hwptId), device.hwptId]).toEqual(['none', hwptId, hwptId]);
    expect(lands(device.requester, IOVA + leaf + 24, WRITE)).toBe(GUEST.pa + AT + leaf + 24);
    expect(lands(device.requester, IOVA + 2 * leaf)).toEqual(['translation', 1]);
    const state = rig.fd.nestedStateOf(hwptId);
    expect(state?.kind === 'translate' && state.domain.translate(IOVA)?.pa).toBe(GUEST.pa + AT);
  });

  it('what devices write is dirty in the nest parent, before and after tracking is switched on', () => {
    // Small leaves, so that the bitmap says which page.
    const domain = { format: kind.second, leafSizes: [4096] };
    const rig = guestRig(kind, { place: kind.place, bind: { domain } });
    const { table, device, fd, parent } = rig;
    table.map({ iova: IOVA, gpa: AT, length: 4 * leaf, access: RW });
    device.attach(nest(rig));
    device.requester.access(IOVA, 8, WRITE);
    fd.hwptSetDirtyTracking({ flags: 1, hwptId: parent });
    const own = (pages: number[]) => pages.filter((page) => page >= AT / 4096 && page < (AT + 4 * leaf) / 4096);
    expect(own(dirtyPages(rig))).toEqual([]);
    device.requester.access(IOVA, 8, WRITE);
    device.requester.access(IOVA + 2 * leaf, 8, WRITE);
    expect(own(dirtyPages(rig))).toEqual([AT / 4096, (AT + 2 * leaf) / 4096]);
    // Attached later, through a table of its own.
    const other = rig.tableAt(512 * KIB);
    other.map({ iova: 0, gpa: AT + leaf, length: leaf, access: RW });
    rig.setCd(cdWord(kind.granule, 8n), BigInt(other.root));
    const late = rig.bound({ requesterId: 0x20 });
    late.attach(nest(rig, rig.dataOf(other.root)));
    device.requester.access(IOVA, 8, WRITE);
    late.requester.access(0, 8, WRITE);
    expect(own(dirtyPages(rig))).toEqual([AT / 4096, (AT + leaf) / 4096]);
    expect(own(dirtyPages(rig))).toEqual([]);
  });

  it('an unmap of the IOAS reaches what is cached of both stages', () => {
    const rig = open();
    rig.table.map({ iova: IOVA, gpa: AT, length: leaf, access: RW });
    rig.device.attach(nest(rig));
    expect(lands(rig.device.requester, IOVA)).toBe(GUEST.pa + AT);
    rig.fd.ioasUnmap({ ioasId: rig.ioasId, iova: 0, length: GUEST.bytes });
    expect(lands(rig.device.requester, IOVA)).toEqual(['translation', 2]);
  });

  it('is replaced and left at once, both ways', () => {
    const rig = open();
    const { device, fd, parent, table } = rig;
    table.map({ iova: IOVA, gpa: AT, length: leaf, access: RW });
    const hwptId = nest(rig);
    device.attach(parent);
    const used = rig.core.usage.usedBytes;
    expect(lands(device.requester, AT)).toBe(GUEST.pa + AT);
    expect(device.replace(hwptId)).toBe(hwptId);
    expect([lands(device.requester, IOVA), lands(device.requester, AT)]).toEqual([
      GUEST.pa + AT,
      [expect.any(String), 1],
    ]);
    expect([codeOf(() => fd.destroy({ id: hwptId })), codeOf(() => device.attach(hwptId))]).toEqual([
      'EBUSY',
      'EINVAL',
    ]);
    device.replace(parent);
    expect([fd.nestedStateOf(hwptId), rig.core.usage.usedBytes, lands(device.requester, AT)]).toEqual([
      undefined,
      used,
      GUEST.pa + AT,
    ]);
    device.replace(hwptId);
    device.detach();
    expect(lands(device.requester, IOVA)).toEqual(['translation', expect.any(Number)]);
    fd.destroy({ id: hwptId });
    fd.destroy({ id: parent });
  });

  it('agrees with both tables, whatever is attached, replaced, mapped and unmapped', () => {
    const step = fc.oneof(
      fc.record({ what: fc.constantFrom('map', 'unmap', 'dma'), page: fc.nat(7), to: fc.nat(7), write: fc.boolean() }),
      fc.record({
        what: fc.constantFrom('nested', 'parent', 'detach'),
        page: fc.nat(7),
        to: fc.nat(7),
        write: fc.boolean(),
      }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 24 }), (steps) => {
        const rig = open();
        const { device, table } = rig;
        const hwptId = nest(rig);
        const wanted = new Map<number, number>();
        const found: unknown[] = [];
        const right: unknown[] = [];
        for (const { what, page, to, write } of steps) {
          const iova = IOVA + page * leaf;
          if (what === 'map' && !wanted.has(page)) {
            table.map({ iova, gpa: AT + to * leaf, length: leaf, access: RW });
            wanted.set(page, AT + to * leaf);
          } else if (what === 'unmap' && wanted.delete(page)) {
            table.unmap(iova, leaf);
            const state = rig.fd.nestedStateOf(hwptId);
            if (state?.kind === 'translate') state.domain.invalidate(iova, leaf);
          } else if (what === 'detach') {
            if (device.hwptId !== undefined) device.detach();
          } else if (what === 'nested' || what === 'parent') {
            const target = what === 'nested' ? hwptId : rig.parent;
            if (device.hwptId === undefined) device.attach(target);
            else device.replace(target);
          } else if (what === 'dma') {
            const there = lands(device.requester, iova, write ? WRITE : READ);
            found.push(typeof there === 'number' ? there : 'refused');
            const to = device.hwptId === hwptId ? wanted.get(page) : undefined;
            right.push(to === undefined ? 'refused' : GUEST.pa + to);
          }
        }
        rig.fd.close();
        expect([found, rig.ram.pinnedBytes]).toEqual([right, 0n]);
      }),
      { numRuns: runs(15) },
    );
  });
});

describe('HWPT_INVALIDATE of VT-d', () => {
  const command = (addr: bigint, npages: bigint, flags = 0n) => words(addr, npages, flags);
  const all = 2n ** 64n - 1n;

  /** A device that has cached two pages which the guest has unmapped since. */
  function stale() {
    const rig = guestRig(KINDS[0]);
    const { table, device } = rig;
    table.map({ iova: IOVA, gpa: AT, length: 2 * 4096, access: RW });
    const hwptId = nest(rig);
    device.attach(hwptId);
    const cached = () => [IOVA, IOVA + 4096].map((iova) => typeof lands(device.requester, iova) === 'number');
    cached();
    table.unmap(IOVA, 2 * 4096);
    return { ...rig, hwptId, cached };
  }

  it.each(
    DOORS.flatMap((door) => [
      { door, what: 'one page', list: [command(BigInt(IOVA), 1n)], after: [false, true] },
      { door, what: 'one page, leaves only', list: [command(BigInt(IOVA), 1n, 1n)], after: [false, true] },
      {
        door,
        what: 'two pages in two commands',
        list: [command(BigInt(IOVA), 1n), command(BigInt(IOVA + 4096), 1n)],
        after: [false, false],
      },
      { door, what: 'all pages', list: [command(0n, all)], after: [false, false] },
      { door, what: 'pages beyond the top', list: [command(BigInt(IOVA + 4096), all - 1n)], after: [true, false] },
      { door, what: 'no pages', list: [command(BigInt(IOVA), 0n)], after: [true, true] },
      { door, what: 'none', list: [], after: [true, true] },
    ]),
  )('$what, through $door.name', ({ door, list, after }) => {
    const rig = stale();
    rig.space.write(BUFFER, Uint8Array.from(list.flatMap((bytes) => [...bytes])));
    const args = { hwptId: rig.hwptId, dataUptr: BUFFER, dataType: 0, entryLen: 24, entryNum: list.length };
    expect(rig.cached()).toEqual([true, true]);
    expect(door.call(rig, 'hwptInvalidate', args)).toMatchObject({ code: 'none', out: { entryNum: list.length } });
    expect(rig.cached()).toEqual(after);
  });

  it.each(DOORS)('stops at the first bad command and counts those before, through $name', (door) => {
    const rig = stale();
    const list = [command(BigInt(IOVA), 1n), command(BigInt(IOVA + 4096) + 8n, 1n), command(BigInt(IOVA + 4096), 1n)];
    rig.space.write(BUFFER, Uint8Array.from(list.flatMap((bytes) => [...bytes])));
    const args = { hwptId: rig.hwptId, dataUptr: BUFFER, dataType: 0, entryLen: 24, entryNum: 3 };
    expect(door.call(rig, 'hwptInvalidate', args)).toMatchObject({ code: 'EINVAL', out: { entryNum: 1 } });
    expect(rig.cached()).toEqual([false, true]);
  });

  it('drops what devices cache too, and does nothing while none is attached', () => {
    const rig = guestRig(KINDS[0], { bind: { device: { ats: { sets: 4, ways: 2 } } } });
    rig.table.map({ iova: IOVA, gpa: AT, length: 4096, access: RW });
    const hwptId = nest(rig);
    const run = () =>
      rig.fd.hwptInvalidate({ hwptId, dataUptr: command(0n, all), dataType: 0, entryLen: 24, entryNum: 1 });
    expect(run()).toEqual({ entryNum: 1 });
    rig.device.attach(hwptId);
    expect(lands(rig.device.requester, IOVA)).toBe(GUEST.pa + AT);
    rig.table.unmap(IOVA, 4096);
    expect(lands(rig.device.requester, IOVA)).toBe(GUEST.pa + AT);
    run();
    expect(rig.device.requester.access(IOVA, 8, READ)).toBe(-1);
  });
});

describe('stage 1 of VT-d is checked when a device is attached', () => {
  const attach = (rig: GuestRig, flags: bigint, root: bigint, width: bigint) =>
    codeOf(() => {
      rig.device.attach(nest(rig, words(flags, root, width)));
      rig.device.detach();
    });

  it('its width, and what the IOMMU says that it has', () => {
    const rig = guestRig(KINDS[0]);
    const free = [48n, 57n, 39n, 0n, 47n, 64n].map((width) => attach(rig, 7n, 0n, width));
    expect(free).toEqual(['none', 'none', 'EINVAL', 'EINVAL', 'EINVAL', 'EINVAL']);
    const with_ = (cap: bigint, ecap: bigint) =>
      guestRig(KINDS[0], { bind: { hwInfo: { type: 1, data: words(0n, cap, ecap) } } });
    const bare = with_(0n, 0n);
    const [sre, eafe, wpe] = [1n, 2n, 4n];
    expect([attach(bare, 0n, 0n, 48n), attach(bare, wpe, 0n, 48n), attach(bare, 0n, 0n, 57n)]).toEqual([
      'none',
      'none',
      'EINVAL',
    ]);
    expect([attach(bare, sre, 0n, 48n), attach(bare, eafe, 0n, 48n)]).toEqual(['EINVAL', 'EINVAL']);
    expect(attach(with_(1n << 60n, (1n << 31n) | (1n << 34n)), sre | eafe, 0n, 57n)).toBe('none');
  });

  it('its dirty bits are always kept: a write to the page of the guest table', () => {
    const rig = guestRig(KINDS[0]);
    rig.table.map({ iova: IOVA, gpa: AT, length: 4096, access: RW });
    const written = rig.core.bitmap({ start: GUEST.pa, length: GUEST.bytes });
    rig.iommu.logTableWrites(written);
    rig.device.attach(nest(rig));
    lands(rig.device.requester, IOVA, READ);
    const before = written.count();
    lands(rig.device.requester, IOVA, WRITE);
    expect([before, written.count()]).toEqual([0, 1]);
  });

  it('for each device that joins', () => {
    const rig = guestRig(KINDS[0]);
    const hwptId = nest(rig, words(1n, 0n, 57n));
    rig.device.attach(hwptId);
    const weak = rig.bound({ requesterId: 0x20, hwInfo: { type: 1, data: words(0n, 0n, 0n) } });
    expect([codeOf(() => weak.attach(hwptId)), weak.hwptId]).toEqual(['EINVAL', undefined]);
    expect(rig.fd.nestedStateOf(hwptId)?.kind).toBe('translate');
  });

  it('a table of five levels, and the low bits of its address, which do not count', () => {
    const rig = guestRig(KINDS[0]);
    const table = rig.tableAt(512 * KIB, 57);
    table.map({ iova: 2 ** 50, gpa: AT, length: 4096, access: RW });
    rig.device.attach(nest(rig, words(0n, BigInt(table.root) + 0x123n, 57n)));
    expect(lands(rig.device.requester, 2 ** 50)).toBe(GUEST.pa + AT);
  });

  it('nothing is changed where it is refused', () => {
    const rig = guestRig(KINDS[0], { bind: { reservedRegions: [{ first: 2 ** 40, last: 2 ** 40 + 4095 }] } });
    const bad = nest(rig, words(0n, 0n, 39n));
    const used = rig.core.usage.usedBytes;
    const ranges = () => rig.fd.ioasIovaRanges({ ioasId: rig.ioasId, numIovas: 9, allowedIovas: new Uint8Array(144) });
    const before = ranges();
    expect(codeOf(() => rig.device.attach(bad))).toBe('EINVAL');
    expect([rig.device.hwptId, rig.core.usage.usedBytes, ranges()]).toEqual([undefined, used, before]);
    rig.device.attach(nest(rig));
    expect(ranges().numIovas).toBe(before.numIovas + 1);
    expect(codeOf(() => rig.device.replace(bad))).toBe('EINVAL');
    expect(rig.fd.nestedStateOf(rig.device.hwptId!)?.kind).toBe('translate');
    rig.fd.destroy({ id: bad });
  });
});

describe('a nested HWPT takes devices', () => {
  it('with its stage 1, its IOMMU and dirty bits, if it has them', () => {
    const rig = guestRig(KINDS[0]);
    const { fd, core, ram, iommu } = rig;
    const hwptId = nest(rig);
    const attach = (more: object) => {
      const options = { iommu, requesterId: 9, domain: { format: 'vtdss' as const }, capabilities: {}, ...more };
      return codeOf(() => fd.bind(options).attach(hwptId));
    };
    const nesting = 'vtd-s1' as const;
    expect(attach({})).toBe('EINVAL');
    expect(attach({ capabilities: { nesting, dirtyTracking: false } })).toBe('EINVAL');
    expect(attach({ capabilities: { nesting }, iommu: core.iommu({ ram }) })).toBe('EINVAL');
    expect(attach({ capabilities: { nesting } })).toBe('none');
  });

  it('of a group together, and lets go of stage 1 with the last', () => {
    const rig = guestRig(KINDS[0], { bind: { group: new IommuGroup() } });
    rig.table.map({ iova: IOVA, gpa: AT, length: 4096, access: RW });
    const [first, second] = [rig.device, rig.bound({ requesterId: 0x20 })];
    const hwptId = nest(rig);
    first.attach(hwptId);
    expect(codeOf(() => second.attach(rig.parent))).toBe('EINVAL');
    second.attach(hwptId);
    expect([first, second].map(({ requester }) => lands(requester, IOVA))).toEqual([GUEST.pa + AT, GUEST.pa + AT]);
    first.replace(rig.parent);
    expect([first.hwptId, second.hwptId, rig.fd.nestedStateOf(hwptId)]).toEqual([rig.parent, rig.parent, undefined]);
    second.replace(hwptId);
    first.detach();
    expect(rig.fd.nestedStateOf(hwptId)?.kind).toBe('translate');
    second.detach();
    expect(rig.fd.nestedStateOf(hwptId)).toBe(undefined);
  });

  it('by PASID, each with a table of its own, if all of them were made for that', () => {
    const rig = guestRig(KINDS[0], { fd: { uapi: 'next' }, bind: { capabilities: { pasidBits: 8 } } });
    const { device, fd, table } = rig;
    const other = rig.tableAt(512 * KIB);
    table.map({ iova: IOVA, gpa: AT, length: 4096, access: RW });
    other.map({ iova: IOVA, gpa: AT + 4096, length: 4096, access: RW });
    const [whole, own] = [table, other].map(({ root }) => nest(rig, rig.dataOf(root), { flags: 8 }));
    const plain = nest(rig);
    expect([codeOf(() => device.attachPasid(5, plain)), device.attach(whole)]).toEqual(['EINVAL', whole]);
    device.attachPasid(5, own);
    expect([lands(device.requester, IOVA), lands(device.pasidRequester(5)!, IOVA)]).toEqual([
      GUEST.pa + AT,
      GUEST.pa + AT + 4096,
    ]);
    fd.hwptSetDirtyTracking({ flags: 1, hwptId: rig.parent });
    lands(device.pasidRequester(5)!, IOVA, WRITE);
    expect(dirtyPages(rig)).toContain(AT / 4096 + 1);
    expect(codeOf(() => device.replace(plain))).toBe('EINVAL');
    expect(device.replacePasid(5, whole)).toBe(whole);
    expect(lands(device.pasidRequester(5)!, IOVA)).toBe(GUEST.pa + AT);
    device.detachPasid(5);
    expect([device.pasidRequester(5), codeOf(() => device.replace(plain))]).toEqual([undefined, 'none']);
  });

  it('and forgets stage 1 where a PASID cannot be had after all', () => {
    const rig = guestRig(KINDS[0], { fd: { uapi: 'next' }, bind: { capabilities: { pasidBits: 8 } } });
    const { device, fd, core } = rig;
    const [hwptId, other] = [0, 1].map(() => nest(rig, undefined, { flags: 8 }));
    const taken = device.requester.pasid(5, null);
    const used = core.usage.usedBytes;
    expect(codeOf(() => device.attachPasid(5, hwptId))).toBe('EEXIST');
    expect([fd.nestedStateOf(hwptId), core.usage.usedBytes]).toEqual([undefined, used]);
    taken.close();
    device.attachPasid(5, hwptId);
    // Closed behind its back, so that it cannot be moved.
    device.pasidRequester(5)!.close();
    expect(codeOf(() => device.replacePasid(5, other))).not.toBe('none');
    expect([fd.nestedStateOf(other), fd.nestedStateOf(hwptId)?.kind]).toEqual([undefined, 'translate']);
  });

  it('nth step of attach and replace fails: everything is as it was', () => {
    let left = Infinity;
    const rig = guestRig(KINDS[0], { fd: { fail: () => (left-- === 0 ? 'EIO' : undefined) } });
    const { device, core, fd } = rig;
    rig.table.map({ iova: IOVA, gpa: AT, length: 4096, access: RW });
    const hwptId = nest(rig);
    const state = () => [
      device.hwptId,
      core.usage.usedBytes,
      fd.nestedStateOf(hwptId)?.kind,
      lands(device.requester, IOVA),
    ];
    let failures = 0;
    for (const run of [() => device.attach(hwptId), () => device.replace(rig.parent), () => device.replace(hwptId)]) {
      for (let n = 0, done = false; !done; n++) {
        const before = state();
        left = n;
        done = codeOf(run) === 'none';
        left = Infinity;
        if (!done) expect([failures++, ...state()]).toEqual([failures - 1, ...before]);
      }
    }
    expect([failures > 0, device.hwptId]).toEqual([true, hwptId]);
  });

  it('not where the IOMMU reads no tables of guests, and not that of the selftest', () => {
    const rig = guestRig({ nesting: 'selftest', first: 'x86_64', second: 'vtdss' });
    const { device, fd, parent } = rig;
    const args = { devId: device.devId, ptId: parent, dataType: 0xdead, dataLen: 4, dataUptr: new Uint8Array(4) };
    expect(codeOf(() => device.attach(fd.hwptAlloc(args).outHwptId))).toBe('EOPNOTSUPP');
    const { core } = rig;
    const bare = fd.bind({
      iommu: core.iommu(),
      requesterId: 7,
      domain: { format: 'vtdss' },
      capabilities: { nesting: 'vtd-s1' },
    });
    const { outHwptId } = fd.hwptAlloc({ flags: 1, devId: bare.devId, ptId: rig.ioasId });
    const data = { dataType: 1, dataLen: 24, dataUptr: words(0n, 0n, 48n) };
    const hwptId = fd.hwptAlloc({ devId: bare.devId, ptId: outHwptId, ...data }).outHwptId;
    expect(codeOf(() => bare.attach(hwptId))).toBe('EOPNOTSUPP');
  });
});

describe('the stream table entry of an SMMUv3', () => {
  const [VALID, BYPASS, S1] = [1n, 4n << 1n, 5n << 1n];
  const arm = (options = {}) => guestRig(KINDS[2], options);
  const pasids = { bind: { capabilities: { pasidBits: 4 } } };
  /** What a device behind the entry meets. */
  const meets = (rig: GuestRig, ste: readonly bigint[]) => {
    rig.table.map({ iova: IOVA, gpa: AT, length: 4096, access: RW });
    const hwptId = nest(rig, words(...ste));
    rig.device.attach(hwptId);
    const state = rig.fd.nestedStateOf(hwptId)!;
    return {
      kind: state.kind,
      why: state.kind === 'abort' ? state.why : '',
      one: lands(rig.device.requester, IOVA),
      two: lands(rig.device.requester, AT),
    };
  };
  const both = { one: GUEST.pa + AT };
  const stage2 = { two: GUEST.pa + AT };
  const cdMax = (bits: bigint) => bits << 59n;
  const at = BigInt(CD);

  it.each([
    { name: 'is not valid', ste: [0n, 0n], found: { kind: 'abort', why: 'STE.V is 0', one: ['translation', 2] } },
    { name: 'aborts', ste: [VALID, 0n], found: { kind: 'abort', why: 'STE.Config is 0' } },
    { name: 'bypasses stage 1', ste: [VALID | BYPASS, 0n], found: { kind: 'bypass', ...stage2 } },
    { name: 'translates', ste: [VALID | S1 | at, 0n], found: { kind: 'translate', ...both } },
    {
      name: 'has substreams that its device has not',
      ste: [VALID | S1 | at | cdMax(4n), 0n],
      found: { kind: 'translate', ...both },
    },
    {
      name: 'terminates without a substream',
      ste: [VALID | S1 | at | cdMax(4n), 0n],
      ...pasids,
      found: { kind: 'abort', why: /S1DSS is 0/ },
    },
    {
      name: 'bypasses without a substream',
      ste: [VALID | S1 | at | cdMax(4n), 1n],
      ...pasids,
      found: { kind: 'bypass', ...stage2 },
    },
    {
      name: 'uses substream 0',
      ste: [VALID | S1 | at | cdMax(4n), 2n],
      ...pasids,
      found: { kind: 'translate', ...both },
    },
    {
      name: 'has too many substreams',
      ste: [VALID | S1 | at | cdMax(5n), 2n],
      ...pasids,
      found: { kind: 'abort', why: /S1CDMax is 5/ },
    },
    {
      name: 'points where stage 2 does not',
      ste: [VALID | S1 | 0xff_0000_0000n, 0n],
      found: { kind: 'abort', why: /cannot be read/ },
    },
    {
      name: 'points beyond what stage 2 can',
      ste: [VALID | S1 | (1n << 50n), 0n],
      found: { kind: 'abort', why: /cannot be read/ },
    },
  ])('$name', ({ ste, bind, found }: { ste: bigint[]; bind?: object; found: Record<string, unknown> }) => {
    const { why, ...rest } = found;
    const seen = meets(arm(bind ? { bind } : {}), ste);
    expect(seen).toMatchObject(rest);
    expect(seen.why).toMatch((why as string | RegExp | undefined) ?? '');
  });

  it('finds descriptor 0 through a table of two levels', () => {
    const rig = arm(pasids);
    const ste = [VALID | S1 | (1n << 4n) | BigInt(CD + 8192) | cdMax(4n), 2n];
    expect(meets(rig, ste)).toMatchObject({ kind: 'abort', why: expect.stringContaining('not valid') as string });
    rig.device.detach();
    rig.memory.write(BigInt(CD + 8192), words(BigInt(CD) | 1n));
    rig.device.attach(nest(rig, words(...ste)));
    expect(lands(rig.device.requester, IOVA)).toBe(GUEST.pa + AT);
  });
});

describe('the context descriptor of an SMMUv3', () => {
  const { epd0, endi, epd1, valid, tbi0, aa64, hd, ha, stall, record, abort } = CD_BITS;
  const good = cdWord();
  /** A device behind a descriptor; the stream table entry's second double word is `ste1`. */
  const behind = (word0: bigint, { word1 = 0n, ste1 = 0n, device = {} } = {}) => {
    const rig = guestRig(KINDS[2], { bind: { device } });
    rig.table.map({ iova: IOVA, gpa: AT, length: 4096, access: READ });
    rig.setCd(word0, BigInt(rig.table.root) | word1);
    const hwptId = nest(rig, words(1n | (5n << 1n) | BigInt(CD), ste1));
    const code = codeOf(() => rig.device.attach(hwptId));
    return { ...rig, hwptId, code, state: rig.fd.nestedStateOf(hwptId) };
  };
  const t0sz = (bits: bigint) => (good & ~63n) | bits;

  it.each([
    ['V is 0', good & ~valid, /CD.V/],
    ['T0SZ is too small', t0sz(15n), /T0SZ is 15/],
    ['T0SZ is too large', t0sz(40n), /T0SZ is 40/],
    ['TG0 is reserved', good | (3n << 6n), /TG0/],
    ['tables are big endian', good | endi, /ENDI/],
    ['there is no table', good | epd0, /EPD0/],
  ])('aborts all where %s', (_, word0, why) => {
    const { code, state, device } = behind(word0);
    expect([code, state?.kind, lands(device.requester, IOVA)]).toEqual(['none', 'abort', ['translation', 2]]);
    expect(state?.kind === 'abort' && state.why).toMatch(why);
  });

  it('aborts all where TTB0 lies beyond IPS, or stalls are disabled and asked for', () => {
    const narrow = good & ~(7n << 32n);
    expect(behind(narrow).state?.kind).toBe('translate');
    expect(behind(narrow, { word1: 1n << 32n }).state?.kind).toBe('abort');
    expect(behind(good | stall, { ste1: 1n << 27n }).state?.kind).toBe('abort');
    expect(behind(good, { ste1: 1n << 27n }).state?.kind).toBe('translate');
  });

  it.each([
    ['AArch32 tables', good & ~aa64],
    ['TTB1', good & ~epd1],
    ['tags in the top byte', good | tbi0],
  ])('is refused where the model lacks what it asks for: %s', (_, word0) => {
    const { code, device, state } = behind(word0);
    expect([code, device.hwptId, state]).toEqual(['EOPNOTSUPP', undefined, undefined]);
  });

  it('A, R and S say what requests that stage 1 refuses get', () => {
    const device = { pcie: false };
    const bits = good & ~(abort | record | stall);
    const outcome = (word0: bigint) => {
      const rig = behind(word0, { device });
      rig.device.requester.access(IOVA, 8, WRITE);
      return [rig.device.requester.fault!.response, rig.iommu.takeFaults().faults.length];
    };
    expect([bits, bits | record, bits | abort, bits | abort | record].map(outcome)).toEqual([
      ['ignored', 0],
      ['ignored', 1],
      ['abort', 0],
      ['abort', 1],
    ]);
    expect([bits | stall, bits | stall | abort | record].map(outcome)).toEqual([
      ['stalled', 1],
      ['stalled', 1],
    ]);
  });

  it('HA and HD together keep dirty bits in the guest table, and neither alone', () => {
    const dirty = (more: bigint) => {
      const rig = guestRig(KINDS[2]);
      const { table, device, core, iommu } = rig;
      rig.setCd(good | more, BigInt(table.root));
      table.map({ iova: IOVA, gpa: AT, length: 4096, access: RW });
      const written = core.bitmap({ start: GUEST.pa, length: GUEST.bytes });
      iommu.logTableWrites(written);
      device.attach(nest(rig));
      const state = rig.fd.nestedStateOf(device.hwptId!)!;
      const ipa = BigInt((state.kind === 'translate' && state.domain.walk(IOVA).steps.at(-1)!.ipa) || 0);
      const entry = new Uint8Array(8);
      rig.memory.read(ipa, entry);
      const view = new DataView(entry.buffer);
      // DBM, and read-only in name: writable and clean.
      view.setBigUint64(0, view.getBigUint64(0, true) | (1n << 51n) | (1n << 7n), true);
      rig.memory.write(ipa, entry);
      return [lands(device.requester, IOVA, WRITE), written.count()];
    };
    expect([0n, ha, hd, ha | hd].map(dirty)).toEqual([0, 0, 0, 1].map((pages) => [GUEST.pa + AT, pages]));
  });

  it('is read when the first device is attached, and again after the last has left', () => {
    const rig = behind(good);
    const other = rig.tableAt(512 * KIB);
    other.map({ iova: IOVA, gpa: AT + 4096, length: 4096, access: RW });
    rig.setCd(good, BigInt(other.root));
    expect(lands(rig.device.requester, IOVA)).toBe(GUEST.pa + AT);
    rig.device.detach();
    rig.device.attach(rig.hwptId);
    expect(lands(rig.device.requester, IOVA)).toBe(GUEST.pa + AT + 4096);
  });

  it('names the ASID; 0 gets one that nobody has', () => {
    const asid = (word0: bigint) => {
      const { state } = behind(word0);
      return state?.kind === 'translate' ? state.domain.asid : undefined;
    };
    expect([asid(cdWord('4K', 77n)), asid(cdWord('4K', 0n)) !== 0]).toEqual([77, true]);
  });

  it('a root table that is smaller than a page lies at any multiple of its size', () => {
    const rig = guestRig(KINDS[2]);
    // 32 bits of input: a root of four entries, at level 1.
    const table = rig.tableAt(512 * KIB, 32);
    table.map({ iova: 2 ** 30, gpa: AT, length: 4096, access: RW });
    rig.setCd(t0sz(32n), BigInt(table.root));
    rig.device.attach(nest(rig));
    expect(lands(rig.device.requester, 2 ** 30)).toBe(GUEST.pa + AT);
    rig.device.detach();
    rig.setCd(t0sz(32n), BigInt(table.root) + 32n);
    expect(codeOf(() => rig.device.attach(nest(rig)))).toBe('EOPNOTSUPP');
  });

  it('PASIDs are the guest’s own business', () => {
    const rig = guestRig(KINDS[2], { bind: { capabilities: { pasidBits: 4 } } });
    expect(codeOf(() => nest(rig, rig.dataOf(0), { flags: 8 }))).toBe('EOPNOTSUPP');
    expect(codeOf(() => rig.device.attachPasid(1, nest(rig)))).toBe('EINVAL');
  });
});

it('pages are found dirty through the ioctl door too', () => {
  const rig = guestRig(KINDS[0]);
  rig.table.map({ iova: IOVA, gpa: AT, length: 4096, access: RW });
  rig.device.attach(nest(rig));
  const [, ioctl] = DOORS;
  const set = { flags: 1, hwptId: rig.parent };
  expect(ioctl.call(rig, 'hwptSetDirtyTracking', set).code).toBe('none');
  rig.device.requester.access(IOVA, 8, WRITE);
  const query = { hwptId: rig.parent, iova: BigInt(AT), length: 2n * BigInt(MIB), pageSize: PAGE, data: BUFFER };
  expect(ioctl.call(rig, 'hwptGetDirtyBitmap', query).code).toBe('none');
  const found = new Uint8Array(1);
  rig.space.read(BUFFER, found);
  expect(found[0] & 1).toBe(1);
});
