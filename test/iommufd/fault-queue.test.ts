import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { READ, WRITE } from '../../src/iommu/access.ts';
import {
  IOMMU_FAULT_QUEUE_ALLOC,
  IommuFaultAlloc,
  IommuHwptPageResponse,
  IommuHwptPgfault,
} from '../../src/uapi/iommufd.ts';
import { codeOf, PLACES } from '../core/builds.ts';
import { runs } from '../runs.ts';
import { asking, IOVA, PAGE } from './asking.ts';
import { codeOfResult } from './doors.ts';
import { nest } from './guest-rig.ts';
import { ARGS, BUFFER, BUFFER_BYTES } from './rig.ts';

const [SUCCESS, INVALID] = [0, 1];
/** Bytes of the two structs. */
const [FAULT, RESPONSE] = [IommuHwptPgfault.size, IommuHwptPageResponse.size];
/** The end of the memory with buffers. */
const EDGE = BUFFER + BUFFER_BYTES;

const pagesOf = (faults: readonly { addr: bigint }[]) => faults.map(({ addr }) => (Number(addr) - IOVA) / PAGE);

describe.each(PLACES)('a fault queue: $name', (place) => {
  it('gives what a device asks for, which goes on once the page is there', () => {
    const { queue, device, ask, map, iommu, written } = asking({}, place);
    expect([queue.ready, queue.read()]).toEqual([false, []]);
    ask(3, WRITE);
    const [fault] = queue.read();
    const [{ index }] = iommu.pageRequests();
    const same = { devId: device.devId, pasid: 0, __reserved: 0, length: 0 };
    expect(fault).toEqual({ ...same, flags: 2, grpid: index, perm: 2, addr: BigInt(IOVA + 3 * PAGE), cookie: 1 });
    expect([queue.ready, queue.read(), written()]).toEqual([false, [], []]);
    map(3);
    expect([queue.write([{ cookie: 1, code: SUCCESS }]), written(), iommu.pageRequests()]).toEqual([1, [3], []]);
  });

  it('the device asks again where the page is still not there, and gives up where it is told to', () => {
    const { queue, ask, map, iommu, written } = asking({}, place);
    ask(1, WRITE);
    ask(2, READ);
    expect(queue.read(1).concat(queue.read())).toMatchObject([
      { cookie: 1, perm: 2 },
      { cookie: 2, perm: 1 },
    ]);
    queue.write([
      { cookie: 1, code: SUCCESS },
      { cookie: 2, code: INVALID },
    ]);
    iommu.run();
    const again = queue.read();
    expect([pagesOf(again), again[0].cookie]).toEqual([[1], 1]);
    map(1);
    queue.write([{ cookie: 1, code: INVALID }]);
    expect([written(), iommu.pageRequests()]).toEqual([[], []]);
  });

  it('through bytes, as through values', () => {
    const { queue, ask, map, space, written } = asking({}, place);
    for (const page of [0, 4, 5]) ask(page, WRITE);
    const into = new Uint8Array(2 * FAULT);
    expect([queue.readBytes(into, 2 * FAULT), queue.readBytes(BUFFER, 3 * FAULT)]).toEqual([2 * FAULT, FAULT]);
    const third = new Uint8Array(FAULT);
    space.read(BUFFER, third);
    const faults = [
      IommuHwptPgfault.decode(into),
      IommuHwptPgfault.decode(into, FAULT),
      IommuHwptPgfault.decode(third),
    ];
    expect([pagesOf(faults), faults.map(({ cookie }) => cookie)]).toEqual([
      [0, 4, 5],
      [1, 2, 3],
    ]);
    expect([queue.readBytes(BUFFER, FAULT), queue.readBytes(BUFFER, 0)]).toEqual([0, 0]);
    for (const page of [0, 4, 5]) map(page);
    const answers = new Uint8Array(2 * RESPONSE);
    IommuHwptPageResponse.encode({ cookie: 3, code: SUCCESS }, answers);
    IommuHwptPageResponse.encode({ cookie: 1, code: INVALID }, answers, RESPONSE);
    expect([queue.writeBytes(answers, 2 * RESPONSE), written()]).toEqual([2 * RESPONSE, [5]]);
    space.write(BUFFER, new Uint8Array(new Uint32Array([2, SUCCESS]).buffer));
    expect([queue.writeBytes(BUFFER, RESPONSE), written()]).toEqual([RESPONSE, [4]]);
  });
});

describe('what a fault queue refuses', () => {
  it('bytes that are no whole structs, or cannot be had', () => {
    const { queue, ask } = asking();
    ask(0);
    const codes = (run: () => number) => codeOfResult(run());
    expect([1, FAULT - 1, FAULT + 8, -FAULT].map((n) => codes(() => queue.readBytes(BUFFER, n)))).toEqual(
      Array(4).fill('ESPIPE'),
    );
    expect([1, 7, 12].map((n) => codes(() => queue.writeBytes(BUFFER, n)))).toEqual(Array(3).fill('ESPIPE'));
    expect(codes(() => queue.readBytes(EDGE - 8n, FAULT))).toBe('EFAULT');
    expect([codes(() => queue.writeBytes(EDGE, RESPONSE)), queue.read().length]).toEqual(['EFAULT', 1]);
  });

  it('answers to nothing, twice, or with no such code', () => {
    const { queue, ask } = asking();
    ask(0);
    ask(1);
    queue.read();
    const code = (...list: [cookie: number, code: number][]) =>
      codeOf(() => queue.write(list.map(([cookie, code]) => ({ cookie, code }))));
    const bad = [code([3, SUCCESS]), code([0, SUCCESS]), code([1, 2]), code([1, SUCCESS], [1, SUCCESS])];
    expect(bad).toEqual(Array(4).fill('EINVAL'));
    expect([code([2, INVALID], [1, INVALID]), code([1, INVALID]), queue.write([])]).toEqual(['none', 'EINVAL', 0]);
  });

  it('everything once it is closed; then it can be destroyed', () => {
    const { fd, queue, faultId, hwptId, descriptor, device, ask } = asking();
    ask(0);
    expect(codeOf(() => fd.destroy({ id: faultId }))).toBe('EBUSY');
    device.detach();
    fd.destroy({ id: hwptId });
    expect(codeOf(() => fd.destroy({ id: faultId }))).toBe('EBUSY');
    queue.close();
    const closed = [() => queue.read(), () => queue.write([]), () => queue.close(), () => fd.faultFile(descriptor)];
    expect([...closed.map(codeOf), codeOfResult(queue.readBytes(BUFFER, 0)), queue.ready]).toEqual([
      ...Array(5).fill('EBADF'),
      false,
    ]);
    fd.destroy({ id: faultId });
  });

  it('to be left behind by an ioctl whose reply cannot be written', () => {
    const { fd, space } = asking();
    const bytes = new Uint8Array(IommuFaultAlloc.size);
    IommuFaultAlloc.encode({ size: IommuFaultAlloc.size }, bytes);
    const at = ARGS + 15n * 4096n;
    space.write(at, bytes);
    space.mprotect({ va: at, length: 4096, writable: false });
    const first = fd.faultQueueAlloc();
    fd.faultFile(first.outFaultFd).close();
    fd.destroy({ id: first.outFaultId });
    expect(codeOfResult(fd.ioctl(IOMMU_FAULT_QUEUE_ALLOC, at))).toBe('EFAULT');
    expect(codeOf(() => fd.faultFile(first.outFaultFd + 1))).toBe('EBADF');
    expect(fd.faultQueueAlloc().outFaultId).toBe(first.outFaultId);
  });
});

describe('a device that leaves an HWPT with a fault queue', () => {
  it.each(['detach', 'replace', 'unbind'] as const)('gives up all that it waits for: %s', (how) => {
    const { queue, device, ask, iommu, parent, map, written } = asking();
    ask(0, WRITE);
    queue.read();
    ask(1, WRITE);
    map(0);
    map(1);
    device[how](parent);
    expect([iommu.pageRequests(), queue.ready]).toEqual([[], false]);
    expect(codeOf(() => queue.write([{ cookie: 1, code: SUCCESS }]))).toBe('EINVAL');
    expect(written()).toEqual([]);
  });

  it('of two on one queue leaves the other one alone', () => {
    const rig = asking();
    const { queue, device, ask, iommu, hwptId } = rig;
    const other = rig.bound({ requesterId: 0x20 });
    other.attach(hwptId);
    ask(0);
    ask(0, READ, other.requester);
    expect(queue.read().map(({ devId }) => devId)).toEqual([device.devId, other.devId]);
    device.detach();
    expect(iommu.pageRequests().map(({ requesterId }) => requesterId)).toEqual([0x20]);
    expect(queue.write([{ cookie: 2, code: INVALID }])).toBe(1);
  });

  it('and goes to another queue asks there', () => {
    const rig = asking();
    const { fd, queue, device, ask } = rig;
    const next = fd.faultQueueAlloc();
    device.replace(nest(rig, undefined, { flags: 4, faultId: next.outFaultId }));
    ask(0);
    expect([queue.ready, fd.faultFile(next.outFaultFd).read().length]).toEqual([false, 1]);
  });
});

describe('page faults', () => {
  it('of PASIDs name them', () => {
    const rig = asking({ uapi: 'next' });
    const { queue, device, ask, hwptId, faultId, iommu } = rig;
    const [whole, own] = [hwptId, 0].map(() => nest(rig, undefined, { flags: 12, faultId }));
    device.replace(whole);
    device.attachPasid(7, own);
    ask(1, READ, device.pasidRequester(7));
    ask(2);
    expect(queue.read()).toMatchObject([
      { flags: 3, pasid: 7, devId: device.devId, cookie: 1 },
      { flags: 2, pasid: 0, devId: device.devId, cookie: 2 },
    ]);
    device.detachPasid(7);
    expect([iommu.pageRequests().length, queue.write([{ cookie: 2, code: INVALID }])]).toEqual([1, 1]);
  });

  it('come in the order in which they were asked', () => {
    const rig = asking();
    const { queue, ask } = rig;
    const other = rig.bound({ requesterId: 0x20 });
    other.attach(rig.hwptId);
    // The ring of 8 requests has gone around by then.
    for (let i = 0; i < 6; i++) ask(i);
    queue.write(queue.read().map(({ cookie }) => ({ cookie, code: INVALID })));
    for (const page of [5, 0, 3]) {
      ask(page, READ, other.requester);
      ask(page + 1);
    }
    expect(pagesOf(queue.read())).toEqual([5, 6, 0, 1, 3, 4]);
  });

  it('of an HWPT without stage 1 come with uapi next', () => {
    const rig = asking({ uapi: 'next' });
    const { fd, ioasId, device, faultId, queue, ask } = rig;
    const { outHwptId } = fd.hwptAlloc({ flags: 4, devId: device.devId, ptId: ioasId, faultId });
    device.replace(outHwptId);
    ask(0);
    expect(pagesOf(queue.read())).toEqual([0]);
  });

  it('of an HWPT without a queue stay with the IOMMU', () => {
    const { queue, device, ask, iommu, parent } = asking();
    device.replace(parent);
    ask(0);
    expect([queue.ready, iommu.pageRequests().length]).toEqual([false, 1]);
  });

  it('of devices with one requester id are given once, as the older one asking', () => {
    const { queue, bound, hwptId, device, ask } = asking();
    const twin = bound();
    twin.attach(hwptId);
    ask(0, READ, twin.requester);
    expect(queue.read()).toMatchObject([{ devId: device.devId }]);
  });

  it('want a device that has them', () => {
    const rig = asking();
    const plain = rig.bound({ requesterId: 0x30, device: {} });
    expect(codeOf(() => plain.attach(rig.hwptId))).toBe('ENODEV');
    const able = { nesting: 'vtd-s1', faults: true } as const;
    const options = { iommu: rig.iommu, requesterId: 0x31, domain: { format: 'vtdss', leafSizes: [PAGE] } as const };
    expect(codeOf(() => rig.fd.bind({ ...options, capabilities: able }).attach(rig.hwptId))).toBe('none');
  });

  it('answered elsewhere are forgotten here', () => {
    const { queue, ask, iommu } = asking();
    ask(0);
    const [{ cookie }] = queue.read();
    iommu.answerPageRequest(iommu.pageRequests()[0].index, 'failure');
    expect(codeOf(() => queue.write([{ cookie, code: SUCCESS }]))).toBe('EINVAL');
    ask(1);
    expect(queue.read()).toMatchObject([{ cookie: 1 }]);
  });

  it('each is given once and answered once, whatever comes when', () => {
    const step = fc.tuple(fc.constantFrom('ask', 'read', 'answer', 'move'), fc.nat(7), fc.boolean());
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const rig = asking();
        const { queue, device, ask, iommu, parent, hwptId } = rig;
        const given = new Map<number, number>();
        const waiting: number[] = [];
        let wrong = 0;
        for (const [what, n, flag] of steps) {
          if (what === 'ask' && device.hwptId === hwptId && waiting.length + given.size < 8) {
            ask(n);
            waiting.push(n);
          } else if (what === 'read') {
            const faults = queue.read(flag ? 1 : Infinity);
            for (const [i, page] of pagesOf(faults).entries()) {
              const at = waiting.indexOf(page);
              if (at < 0 || given.has(faults[i].cookie)) wrong++;
              waiting.splice(at, 1);
              given.set(faults[i].cookie, page);
            }
            if (!flag && waiting.length > 0) wrong++;
          } else if (what === 'answer' && given.size > 0) {
            const cookie = [...given.keys()][n % given.size];
            wrong += 1 - queue.write([{ cookie, code: INVALID }]);
            given.delete(cookie);
          } else if (what === 'move') {
            device.replace(device.hwptId === hwptId ? parent : hwptId);
            waiting.length = 0;
            given.clear();
          }
          if (iommu.pageRequests().length !== waiting.length + given.size) wrong++;
        }
        rig.fd.close();
        expect([wrong, iommu.pageRequests()]).toEqual([0, []]);
      }),
      { numRuns: runs(60) },
    );
  });
});
