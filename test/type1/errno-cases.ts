import type { Type1Options } from '../../src/type1/type1-options.ts';
import { BITMAP, PAGE, RAM, RW, backed, rig, type Rig } from './rig.ts';

/** A request that breaks one rule, and the errno that must come of it. */
export interface Case<T> {
  readonly name: string;
  readonly code: string;
  readonly call: T;
  /** The errno with uapi next, where it is another one. */
  readonly next?: string;
  readonly type?: number;
  readonly options?: Partial<Type1Options>;
  /** What comes before, on a container with one IOMMU-backed group that has 16 pages mapped at 1 MiB. */
  readonly before?: (rig: Rig) => unknown;
}

export const TOP = 2n ** 64n;
export const [TYPE1, TYPE1V2] = [1, 3];
export const [START, STOP, GET] = [1, 2, 4];
export const [GET_DIRTY, ALL, VADDR] = [1, 2, 4];
export const [GET_INFO, MAP, UNMAP, DIRTY] = [0x3b70, 0x3b71, 0x3b72, 0x3b75];

export const MAPPED = { flags: RW, vaddr: RAM, iova: 0x10_0000n, size: 16n * PAGE };
export const GOOD = { flags: RW, vaddr: RAM, iova: 0n, size: PAGE };
export const BITS = { pgsize: PAGE, size: 8n, data: BITMAP };
export const start = ({ container }: Rig) => container.dirtyPages({ flags: START });
export const emulated = ({ container }: Rig) => container.attach({ emulated: true });
export const invalidate = ({ container }: Rig) =>
  container.unmapDma({ flags: VADDR, iova: MAPPED.iova, size: MAPPED.size });

/** What GET_BITMAP asks for of it. */
export const ASK = { flags: GET, iova: MAPPED.iova, size: MAPPED.size, bitmap: BITS };

/** A container as the cases have it; what fails by option fails after all this. */
export function prepared<T>({ type = TYPE1V2, options, before }: Case<T>, uapi: '6.12' | 'next'): Rig {
  let armed = false;
  const fail = options?.fail;
  const its = rig({ uapi, ...options, ...(fail && { fail: (what) => (armed ? fail(what) : undefined) }) });
  its.container.attach(backed(its));
  its.container.setIommu(type);
  its.container.mapDma(MAPPED);
  before?.(its);
  armed = true;
  return its;
}

export const each = <T>(cases: Case<T>[]) =>
  (['6.12', 'next'] as const).flatMap((uapi) =>
    cases.map((one) => ({ ...one, uapi, wanted: (uapi === 'next' ? one.next : undefined) ?? one.code })),
  );
