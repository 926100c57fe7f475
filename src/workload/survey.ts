import { PageSet } from './page-set.ts';
import { changeMappings, GuestMappings } from './guest-mappings.ts';
import { FIRST_READ_OP, type Recording } from './recording.ts';
import { TraceError } from './trace-error.ts';

/** The right that a write needs of a mapping. */
const WRITES = 2;

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
}

/** Reads `recording` once from start to end. */
export async function survey(recording: Recording): Promise<Survey> {
  const pages = new PageSet();
  let events = 0;
  let writeEvents = 0;
  let bytesWritten = 0;
  let endNs = recording.durationNs ?? 0;
  const mappings = recording.hasMappings ? new GuestMappings() : undefined;
  for await (const segment of recording.segments()) {
    if (segment.kind === 'cpu') {
      endNs = Math.max(endNs, segment.endNs);
      continue;
    }
    events += segment.count;
    for (let i = 0; i < segment.count; i++) {
      if (mappings && changeMappings(mappings, segment, i)) continue;
      if (segment.op[i] >= FIRST_READ_OP) continue;
      writeEvents++;
      const { address, length } = segment;
      if (mappings) {
        const device = segment.device[i];
        mappings.translate(device, address[i], length[i], WRITES, (gpa, bytes) => {
          bytesWritten += bytes;
          addPages(pages, gpa, bytes);
        });
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
  return { events, writeEvents, bytesWritten, pagesWritten: pages.size, endNs };
}

function addPages(pages: PageSet, address: number, length: number): void {
  if (length === 0) return;
  pages.add(Math.floor(address / 4096), Math.floor((address + length - 1) / 4096));
}
