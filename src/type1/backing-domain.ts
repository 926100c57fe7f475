import type { FrameRun } from '../address-space/address-space.ts';
import { IommuError } from '../errno/error.ts';
import { shapeOf, type DomainOptions } from '../iommu/domain-options.ts';
import type { Domain } from '../iommu/domain.ts';
import type { Iommu } from '../iommu/iommu.ts';
import type { BackedGroupOptions } from './group-options.ts';
import type { Type1Group } from './group.ts';
import type { Mapping } from './mapping.ts';
import type { Type1State } from './state.ts';
import type { IovaSpan } from './valid-ranges.ts';

/** A domain that one or more groups of a container share (vfio_domain, drivers/vfio/vfio_iommu_type1.c). */
export class BackingDomain {
  readonly domain: Domain;
  readonly groups = new Set<Type1Group>();
  /** Bit n = pages of 2^n bytes. */
  readonly pageSizes: bigint;
  /** What it can translate. */
  readonly aperture: readonly IovaSpan[];
  readonly cacheCoherent: boolean;
  readonly #iommu: Iommu;
  readonly #key: string;

  /** EINVAL, EOPNOTSUPP, ENOMEM: as Iommu.domain. */
  constructor(op: string, { iommu, domain, cacheCoherent = true }: BackedGroupOptions) {
    this.domain = iommu.domain(domain);
    this.aperture = this.domain.inputRanges.map(({ first, last }) => ({ start: BigInt(first), end: BigInt(last) }));
    this.pageSizes = pageSizes(op, domain, this.aperture);
    this.cacheCoherent = cacheCoherent;
    this.#iommu = iommu;
    this.#key = keyOf(domain);
  }

  /** Whether the groups of `other` could as well be in this one. */
  isCompatible(other: BackingDomain): boolean {
    return this.#iommu === other.#iommu && this.#key === other.#key && this.cacheCoherent === other.cacheCoherent;
  }

  /** Maps `mapping`, whose frames are `frames`, whole or not at all. The errnos of Domain.map. */
  map(state: Type1State, op: string, mapping: Mapping, frames: readonly FrameRun[]): void {
    let iova = mapping.iova;
    try {
      for (const { pa, length } of frames) {
        state.mayFail(op, 'driver', 'mapping');
        this.domain.map({ iova, pa, length, access: mapping.access });
        iova += length;
      }
    } catch (error) {
      if (iova > mapping.iova) this.domain.unmap(mapping.iova, iova - mapping.iova);
      if (!(error instanceof IommuError) || error.op === op) throw error;
      throw new IommuError(error.code, op, `the IOMMU's driver refuses: ${error.message}`);
    }
  }

  unmap(mapping: Mapping): void {
    this.domain.unmap(mapping.iova, mapping.size);
  }
}

function pageSizes(op: string, options: DomainOptions, aperture: readonly IovaSpan[]): bigint {
  const { sizes } = shapeOf(op, options);
  const most = aperture.reduce((size, { start, end }) => (end - start >= size ? end - start + 1n : size), 0n);
  let mask = 0n;
  for (let size = 4096n >> 1n; size <= most && size < 2n ** 64n; size <<= 1n) mask |= sizes & size;
  return mask;
}

/** Options as text: equal for equal options, whatever their order. */
function keyOf(options: DomainOptions): string {
  return JSON.stringify(options, (_, value: unknown) => {
    if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : `${value}n`;
    if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
