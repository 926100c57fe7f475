/**
 * A workload as the comparison sees it: DMA events of numbered devices and the pages that the guest's CPUs wrote, on one
 * clock that starts at 0.
 */

/** What an event did. 0 to 2 write guest RAM, 3 and 4 read it. The names are those of the recording's own format. */
export const OPS = ['wblob', 'wfield', 'wzero', 'rblob', 'rfield'] as const;

/** The first op number that reads: an event writes guest RAM when `op < FIRST_READ_OP`. */
export const FIRST_READ_OP = 3;

/**
 * What a guest's own IOMMU driver does, with the numbers behind those of `OPS`; in recordings with `hasMappings` alone. A mapping is
 * one of the device that the event names, and of no other.
 */
export const MAPPING_OPS = ['map', 'unmap'] as const;

export const MAP_OP = 5;
export const UNMAP_OP = 6;

/** The first op number that is no DMA. */
export const FIRST_MAPPING_OP = MAP_OP;

/** A span of the recording with a name. It ends where the next phase starts, the last one at the recording's end. */
export interface Phase {
  readonly label: string;
  /** Start on the recording's clock, in nanoseconds. */
  readonly startNs: number;
}

/** DMA events, in time order, as columns. The columns are reused: a batch is valid until the next one is asked for. */
export interface EventBatch {
  readonly kind: 'dma';
  /** How many events the columns hold; what lies behind is left over from earlier batches. */
  count: number;
  /** Recording clock, ns, never descending. */
  readonly timeNs: Float64Array;
  /** Index into `Recording.devices`. */
  readonly device: Uint16Array;
  /** Index into `OPS`, or MAP_OP, UNMAP_OP. */
  readonly op: Uint8Array;
  /** Guest-physical address of the first byte; in recordings with mappings an IOVA of the device. */
  readonly address: Float64Array;
  /** Bytes, possibly 0. `address + length` never exceeds `ramBytes`; of IOVAs it stays below 2^53. */
  readonly length: Float64Array;
  /** There in recordings with mappings; what it holds of other events than `map` means nothing. */
  readonly mapping?: MappingColumns;
}

/** Where `map` events lead. */
export interface MappingColumns {
  /** Guest-physical address of the first byte; `gpa + length` never exceeds `ramBytes`. */
  readonly gpa: Float64Array;
  /** What devices may do: 1 read, 2 write, 3 both. */
  readonly access: Uint8Array;
}

/** Pages that the CPUs wrote at an unknown moment within [startNs, endNs). */
export interface CpuWindow {
  readonly kind: 'cpu';
  readonly startNs: number;
  readonly endNs: number;
  /** Pairs (first 4 KiB page, pages), ascending; `runCount` pairs are valid, and only until the next segment is asked for. */
  readonly runs: Uint32Array;
  readonly runCount: number;
}

/** What a recording yields, in time order. No batch reaches past the start of the next CPU window. */
export type Segment = EventBatch | CpuWindow;

/** Which part of a recording to read. */
export interface SegmentOptions {
  /** First moment, ns; events before it are passed over, a CPU window that it cuts is clipped to it. Default 0. */
  readonly fromNs?: number;
  /** End, exclusive, ns. Default: to the end. */
  readonly toNs?: number;
  /** Order of events of different devices that carry the same time stamp: 0 as recorded, else shuffled by this seed. */
  readonly seed?: number;
}

/** A workload that can be read any number of times, always with the same result. */
export interface Recording {
  /** The trace's file name without folder. */
  readonly name: string;
  /** Guest RAM is [0, ramBytes). */
  readonly ramBytes: number;
  /** Device names by number. A CSV names its devices as it is read, so this list may grow until the first full read. */
  readonly devices: readonly string[];
  readonly phases: readonly Phase[];
  /** End of the recording's clock, ns, where the recording states it; else undefined, and the last event is the end. */
  readonly durationNs: number | undefined;
  /** Whether there is a CPU log. */
  readonly hasCpuLog: boolean;
  /** Whether devices name IOVAs, and the guest maps and unmaps those (MAPPING_OPS). Default false. */
  readonly hasMappings?: boolean;
  /** With mappings, a reading that begins later begins with a `map` event for each that is there at `fromNs`. */
  segments(options?: SegmentOptions): AsyncIterable<Segment>;
}
