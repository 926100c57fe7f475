import type { DomainOptions } from '../../src/iommu/domain-options.ts';
import type { AttachOptions } from '../../src/iommu/attach-options.ts';
import type { IommuOptions } from '../../src/iommu/iommu-options.ts';
import { siteAt, type Place } from '../core/builds.ts';

/** A machine with one domain and a device in it. */
export function machine(place: Place, options: DomainOptions, hardware: IommuOptions = {}, kind: AttachOptions = {}) {
  const { core, instance } = siteAt(place, 4).core();
  const iommu = core.iommu(hardware);
  const domain = iommu.domain(options);
  return { core, instance, iommu, domain, device: iommu.attach(1, domain, kind) };
}

type Machine = ReturnType<typeof machine>;

/** The level of the leaf that maps `iova`, and `count` entries from the one that the walk ends at. */
export function entriesAt({ domain, instance }: Machine, iova: number | bigint, count = 1) {
  const { level, table, index } = domain.walk(iova).at(-1)!;
  const entries = Array.from({ length: count }, (_, i) => instance.loadBig(table + 8 * (index + i)));
  return { level, entries };
}

/** Which entries a walk reads, and what it found in each but the last: with the address of the next table taken out. */
export function tablesOn({ domain, instance }: Machine, iova: number | bigint, inPpn = false) {
  const path = domain.walk(iova);
  return path.slice(0, -1).map(({ table, index, entry }, i) => {
    const next = BigInt(path[i + 1].table);
    return {
      index,
      inMemory: instance.loadBig(table + 8 * index) === entry,
      bits: entry - (inPpn ? next >> 2n : next),
    };
  });
}

/** The dirty runs of the first `length` bytes, in pages of `pageSize`, cleared. */
export function dirtyRuns({ core, domain }: Machine, length: number, pageSize = 4096) {
  const into = core.bitmap({ length, pageSize });
  domain.readAndClearDirty({ iova: 0, length, into });
  const runs = [...into.pageRuns()].map(({ page, pages }) => [page, pages]);
  into.close();
  return runs;
}
