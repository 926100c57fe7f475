import { PageSet } from './page-set.ts';
import { changeMappings, GuestMappings } from './guest-mappings.ts';
import { MappedSpans, type MappedSpan } from './mapped-spans.ts';
import { FIRST_READ_OP, MAP_OP, type Recording } from './recording.ts';
import { TraceError } from './trace-error.ts';

/** The rights that DMA needs of a mapping. */
const READS = 1;
const WRITES = 2;

/** What a guest's own IOMMU driver does in a recording. */
export interface MappingFigures {
  /** Those that map and unmap. */
  readonly events: number;
  /** DMA that met an IOVA without a mapping, or without the right; what came before that in its range has landed. */
  readonly faults: number;
  /** The IOVA space that was ever mapped, by device. */
  readonly spans: readonly (readonly MappedSpan[])[];
}

/** Figures of a whole recording. With mappings only what lands is written. */
export interface Survey {
  /** Those that map and unmap included. */
  readonly events: number;
  /** Events that write guest RAM, those of length 0 included. */
  readonly writeEvents: number;
  readonly bytesWritten: number;
  /** Distinct 4 KiB pages that devices wrote. */
  readonly pagesWritten: number;
  /** The latest of the stated duration, the last event and the end of the last CPU window, ns. */
  readonly endNs: number;
  /** There for a recording with mappings. */
  readonly mappings?: MappingFigures;
}

/** Reads `recording` once from start to end. */
export async function survey(recording: Recording): Promise<Survey> {
  const pages = new PageSet();
  let events = 0;
  let writeEvents = 0;
  let bytesWritten = 0;
  let endNs = recording.durationNs ?? 0;
  const mappings = recording.hasMappings ? new GuestMappings() : undefined;
  const spans = new MappedSpans();
  let mappingEvents = 0;
  let faults = 0;
  for await (const segment of recording.segments()) {
    if (segment.kind === 'cpu') {
      endNs = Math.max(endNs, segment.endNs);
      continue;
    }
    events += segment.count;
    for (let i = 0; i < segment.count; i++) {
      const { address, length } = segment;
      if (mappings && changeMappings(mappings, segment, i)) {
        mappingEvents++;
        if (segment.op[i] === MAP_OP) spans.add(segment.device[i], address[i], length[i]);
        continue;
      }
      const writes = segment.op[i] < FIRST_READ_OP;
      if (writes) writeEvents++;
      else if (!mappings) continue;
      if (mappings) {
        const device = segment.device[i];
        const reaches = mappings.translate(device, address[i], length[i], writes ? WRITES : READS, (gpa, bytes) => {
          if (!writes) return;
          bytesWritten += bytes;
          addPages(pages, gpa, bytes);
        });
        if (!reaches) faults++;
      } else {
        bytesWritten += length[i];
        addPages(pages, address[i], length[i]);
      }
    }
    endNs = Math.max(endNs, segment.timeNs[segment.count - 1]);
  }
  if (bytesWritten > Number.MAX_SAFE_INTEGER) {
    throw new TraceError(recording.name, 'the devices write 2^53 bytes or more; counts are exact only below that');
  }
  const figures = { events, writeEvents, bytesWritten, pagesWritten: pages.size, endNs };
  if (!mappings) return figures;
  return {
    ...figures,
    mappings: { events: mappingEvents, faults, spans: recording.devices.map((_, device) => spans.of(device)) },
  };
}

function addPages(pages: PageSet, address: number, length: number): void {
  if (length === 0) return;
  pages.add(Math.floor(address / 4096), Math.floor((address + length - 1) / 4096));
}
