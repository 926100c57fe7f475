import { BinaryDecoder } from './binary-decoder.ts';
import type { ByteWindow } from './byte-window.ts';
import { CpuLogDecoder, type CpuLogState } from './cpu-log-decoder.ts';
import { CsvDecoder } from './csv-decoder.ts';
import type { DeviceNames } from './device-names.ts';
import { createEventBatch, moveToFront } from './event-batch.ts';
import { readEvents, type DecoderState, type EventDecoder, type EventLimits } from './event-decoder.ts';
import type { GuestMappings } from './guest-mappings.ts';
import {
  MAP_OP,
  type CpuWindow,
  type EventBatch,
  type Phase,
  type Recording,
  type Segment,
  type SegmentOptions,
} from './recording.ts';
import { TieShuffle } from './tie-shuffle.ts';
import type { TraceBytes } from './trace-bytes.ts';

/** `iova-csv`: a CSV in which devices name IOVAs, with `map` and `unmap` events. */
export type TraceFormat = 'binary' | 'csv' | 'iova-csv';

/** What a recording is made of. */
export interface RecordingParts {
  readonly name: string;
  readonly ramBytes: number;
  readonly devices: DeviceNames;
  readonly phases: readonly Phase[];
  readonly durationNs: number | undefined;
  /** Events that the trace must have, or undefined. */
  readonly events: number | undefined;
  readonly format: TraceFormat;
  readonly trace: TraceBytes;
  readonly cpuLog: TraceBytes | null;
}

interface Mark<State> {
  readonly fromNs: number;
  readonly state: State;
}

/** The part of a recording that one reading covers. */
interface Span {
  readonly fromNs: number;
  readonly toNs: number;
  readonly seed: number;
}

/**
 * A recording in files. Each `segments()` reads on its own, so several may run at once; where the bytes are kept in
 * memory, the place of the last `fromNs` is remembered, so that a phase can be repeated without reading what is before it.
 */
export class StoredRecording implements Recording {
  readonly name: string;
  readonly ramBytes: number;
  readonly phases: readonly Phase[];
  readonly durationNs: number | undefined;
  readonly hasCpuLog: boolean;
  readonly hasMappings: boolean;
  readonly #parts: RecordingParts;
  #eventMark: Mark<DecoderState> | null = null;
  #cpuMark: Mark<CpuLogState> | null = null;

  constructor(parts: RecordingParts) {
    this.name = parts.name;
    this.ramBytes = parts.ramBytes;
    this.phases = parts.phases;
    this.durationNs = parts.durationNs;
    this.hasCpuLog = parts.cpuLog !== null;
    this.hasMappings = parts.format === 'iova-csv';
    this.#parts = parts;
  }

  get devices(): readonly string[] {
    return this.#parts.devices.names;
  }

  /**
   * Throws a RangeError for options out of range, at once; a `TraceError` for damaged input, when it is reached. Events with
   * one time stamp that exceed a batch (8192) are shuffled in parts.
   */
  segments(options: SegmentOptions = {}): AsyncIterable<Segment> {
    return this.#read(spanOf(options));
  }

  async *#read(span: Span): AsyncGenerator<Segment> {
    const { trace, cpuLog } = this.#parts;
    const events = await trace.open();
    let pages: ByteWindow | null = null;
    try {
      pages = cpuLog === null ? null : await cpuLog.open();
      const batch = createEventBatch(undefined, this.hasMappings);
      const shuffle = span.seed === 0 ? null : new TieShuffle(span.seed, batch.timeNs.length);
      const decoder = this.#eventDecoder(events);
      await this.#seekEvents(decoder, batch, span.fromNs);
      if (decoder.mappings && span.fromNs > 0 && span.fromNs < span.toNs) {
        yield* mappingsThen(decoder.mappings, batch, span.fromNs);
      }
      const log = pages === null ? null : new CpuLogDecoder(pages, this.#limits(cpuLog!));
      let more = log !== null && (await this.#seekCpuLog(log, span.fromNs));
      while (more && log!.current.startNs < span.toNs) {
        yield* this.#eventsBefore(decoder, batch, log!.current.startNs, shuffle);
        yield clipped(log!.current, span);
        more = log!.nextStartNs < span.toNs && (await log!.next());
      }
      yield* this.#eventsBefore(decoder, batch, span.toNs, shuffle);
    } finally {
      await events.close();
      await pages?.close();
    }
  }

  /** The events from where `decoder` stands up to `stopNs`, in batches. */
  async *#eventsBefore(
    decoder: EventDecoder,
    batch: EventBatch,
    stopNs: number,
    shuffle: TieShuffle | null,
  ): AsyncGenerator<EventBatch> {
    const { trace, events } = this.#parts;
    batch.count = 0;
    for (;;) {
      const more = (await readEvents(decoder, batch, stopNs, trace.name, events)) === 'full';
      const { count } = batch;
      const ready = shuffle === null ? count : shuffle.apply(batch, more);
      batch.count = ready;
      if (ready > 0) yield batch;
      if (!more) return;
      moveToFront(batch, ready, count);
    }
  }

  async #seekEvents(decoder: EventDecoder, batch: EventBatch, fromNs: number): Promise<void> {
    if (fromNs === 0) return;
    const { trace, events } = this.#parts;
    // Where there are mappings, the events before tell which.
    const mark = this.hasMappings ? null : this.#eventMark;
    if (trace.kept && mark !== null && mark.fromNs <= fromNs) decoder.resume(mark.state);
    do batch.count = 0;
    while ((await readEvents(decoder, batch, fromNs, trace.name, events)) === 'full');
    if (trace.kept) this.#eventMark = { fromNs, state: decoder.state() };
  }

  /** Goes to the first CPU window that ends after `fromNs`; false if there is none. */
  async #seekCpuLog(log: CpuLogDecoder, fromNs: number): Promise<boolean> {
    const { kept } = this.#parts.cpuLog!;
    const mark = this.#cpuMark;
    if (kept && mark !== null && mark.fromNs <= fromNs) log.resume(mark.state);
    const state = await log.seek(fromNs);
    if (kept && state !== null) this.#cpuMark = { fromNs, state };
    return state !== null;
  }

  #eventDecoder(window: ByteWindow): EventDecoder {
    const { devices, format, trace } = this.#parts;
    const limits = this.#limits(trace);
    return format === 'binary'
      ? new BinaryDecoder(window, limits, devices.names.length)
      : new CsvDecoder(window, limits, devices, this.hasMappings);
  }

  #limits(bytes: TraceBytes): EventLimits {
    return { source: bytes.name, ramBytes: this.ramBytes };
  }
}

/** All mappings of the moment `timeNs` as `map` events, in batches. */
function* mappingsThen(mappings: GuestMappings, batch: EventBatch, timeNs: number): Generator<EventBatch> {
  batch.count = 0;
  for (let device = 0; device < mappings.devices; device++) {
    for (const { iova, gpa, length, access } of mappings.of(device)) {
      const n = batch.count++;
      batch.timeNs[n] = timeNs;
      batch.device[n] = device;
      batch.op[n] = MAP_OP;
      batch.address[n] = iova;
      batch.length[n] = length;
      batch.mapping!.gpa[n] = gpa;
      batch.mapping!.access[n] = access;
      if (batch.count < batch.timeNs.length) continue;
      yield batch;
      batch.count = 0;
    }
  }
  if (batch.count > 0) yield batch;
}

/** `window` itself, or what `span` leaves of it. */
function clipped(window: CpuWindow, span: Span): CpuWindow {
  if (window.startNs >= span.fromNs && window.endNs <= span.toNs) return window;
  const startNs = Math.max(window.startNs, span.fromNs);
  return { ...window, startNs, endNs: Math.min(window.endNs, span.toNs) };
}

function spanOf({ fromNs = 0, toNs = Infinity, seed = 0 }: SegmentOptions): Span {
  if (!Number.isSafeInteger(fromNs) || fromNs < 0) {
    throw new RangeError(`segments: fromNs is ${fromNs}; it must be a whole number of nanoseconds below 2^53`);
  }
  if (toNs !== Infinity && (!Number.isSafeInteger(toNs) || toNs < fromNs)) {
    throw new RangeError(
      `segments: toNs is ${toNs}; it must be a whole number of nanoseconds, at least fromNs (${fromNs})`,
    );
  }
  if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) {
    throw new RangeError(`segments: seed is ${seed}; it must be a whole number from 0 to 2^32 - 1`);
  }
  return { fromNs, toNs, seed };
}
