/** What `TraceError.record` counts: events and CPU windows from 0, lines of a CSV from 1 (as editors show them). */
export type RecordUnit = 'event' | 'window' | 'line';

/** Where in a file a `TraceError` stands. */
export interface TracePlace {
  readonly unit: RecordUnit;
  readonly record: number;
  readonly byteOffset: number;
}

/**
 * Damaged, truncated or foreign input. The message names the source, the record and the byte offset, and says what is
 * wrong there. For a file that does not decompress, the place is the first record that did not come out whole.
 */
export class TraceError extends Error {
  /** Name of the file that is at fault. */
  readonly source: string;
  /** What `record` counts; null where the fault lies in no record (a meta file). */
  readonly unit: RecordUnit | null;
  /** Number of the record, from 0 for events and CPU windows, from 1 for lines; null where the fault lies in none. */
  readonly record: number | null;
  /** Offset of the record's first byte in the decompressed stream, or null. */
  readonly byteOffset: number | null;

  constructor(source: string, reason: string, place?: TracePlace) {
    super(
      place === undefined
        ? `${source}: ${reason}`
        : `${source}: ${place.unit} ${place.record} at byte ${place.byteOffset}: ${reason}`,
    );
    this.name = 'TraceError';
    this.source = source;
    this.unit = place?.unit ?? null;
    this.record = place?.record ?? null;
    this.byteOffset = place?.byteOffset ?? null;
  }
}
