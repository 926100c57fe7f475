import { IommuError } from '../errno/error.ts';
import { hex } from '../wasm/address.ts';
import { ADDRESS_MAX, gaps, intersection, merged, type Interval } from './interval.ts';

/** A mapping that wants an IOVA. */
export interface PlacementRequest {
  /** User address of the first byte; 0 for memory without one. */
  readonly address: bigint;
  /** Bytes, at least 1. */
  readonly length: bigint;
  /** What the IOAS demands, a power of two of at most PAGE_SIZE. */
  readonly alignment: bigint;
  /** Where IOVAs may be taken from; empty: anywhere. */
  readonly allowed: readonly Interval[];
  /** What is taken or reserved at an IOVA and behind, ascending by `first`. */
  readonly usedFrom: (iova: bigint) => Iterable<Interval>;
  /** An earlier search, if no IOVA has become free since. */
  readonly searched: Searched | undefined;
  /** PAGE_SIZE of the host. */
  readonly pageSize: bigint;
}

/** A search that found nothing below `from`, for this length, alignment and offset in the page. */
export interface Searched {
  readonly length: bigint;
  readonly align: bigint;
  readonly offset: bigint;
  readonly from: bigint;
}

function powerOfTwoFrom(value: bigint): bigint {
  return 1n << BigInt((value - 1n).toString(2).length - (value === 1n ? 1 : 0));
}

/** Alignment that keeps what the user address has, so that huge pages stay huge. */
function alignmentOf({ address, length, pageSize }: PlacementRequest): bigint {
  const wanted = powerOfTwoFrom(length);
  const own = address === 0n ? wanted : address & -address;
  const least = own < wanted ? own : wanted;
  // A transparent huge page is a page full of table entries: 2 MiB with pages of 4 KiB.
  const hugePage = (pageSize * pageSize) / 8n;
  return least < hugePage ? least : hugePage;
}

/**
 * Finds the lowest IOVA that fits, `from` of the result, congruent to the user address within a page (iopt_alloc_iova,
 * drivers/iommu/iommufd/io_pagetable.c). EOVERFLOW: 2^63 - 1 bytes or more; EINVAL: less aligned than the IOAS demands;
 * ENOSPC.
 */
export function placeIova(op: string, request: PlacementRequest): Searched {
  const { address, length, alignment, allowed, usedFrom, pageSize } = request;
  if (length >= (1n << 63n) - 1n) {
    throw new IommuError('EOVERFLOW', op, `length is ${hex(length)}; an IOVA is found for less than 2^63 - 1 bytes`);
  }
  const align = alignmentOf(request);
  if (align < alignment) {
    const what = `address ${hex(address)} and length ${hex(length)} are aligned to ${hex(align)}`;
    throw new IommuError('EINVAL', op, `${what}; the IOAS has an IOVA alignment of ${hex(alignment)}`);
  }
  const offset = address % pageSize;
  // IOVA 0 is never given, nor the last page.
  const known = startOf(request.searched, length, align, offset);
  const searched: Interval = { first: known > pageSize ? known : pageSize, last: ADDRESS_MAX - pageSize };
  for (const span of allowed.length ? merged(allowed) : [searched]) {
    const part = intersection(span, searched);
    if (!part) continue;
    for (const hole of gaps(usedFrom(part.first), part)) {
      const candidate = ((hole.first + align - 1n) & -align) | offset;
      // A candidate on the hole's last byte is refused even where one byte would do.
      if (candidate < hole.last && hole.last - candidate >= length - 1n) {
        return { length, align, offset, from: candidate };
      }
    }
  }
  throw new IommuError('ENOSPC', op, `no IOVA is free for ${hex(length)} bytes aligned to ${hex(align)}`);
}

/**
 * What did not fit a smaller or less aligned request does not fit this one; with an offset in the page that would not
 * hold.
 */
function startOf(known: Searched | undefined, length: bigint, align: bigint, offset: bigint): bigint {
  const smaller = known && known.length <= length && known.align <= align && known.offset === 0n;
  return smaller && offset === 0n ? known.from : 0n;
}
