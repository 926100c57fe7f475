import type { ByteWindow } from './byte-window.ts';
import type { GuestMappings } from './guest-mappings.ts';
import type { EventBatch } from './recording.ts';
import { TraceError, type TracePlace } from './trace-error.ts';

/** Why a decoder stopped: the batch is full, the next event is not before the stop, or the window has no whole record. */
export type Outcome = 'full' | 'stop' | 'starved';

/** Where a decoder stands between two events; resuming from it gives the same events as having read up to it. */
export interface DecoderState {
  readonly offset: number;
  /** Number of the next record, as errors count it. */
  readonly record: number;
  /** Events before this one. */
  readonly events: number;
  readonly timeNs: number;
  /** Per device the end of its last access, in formats that count from it. */
  readonly ends: Float64Array | null;
}

/** Decodes the events of one format, in order, from a window. */
export interface EventDecoder {
  readonly window: ByteWindow;
  /** Events decoded so far, passed-over ones included. */
  readonly events: number;
  /** The mappings of this moment, in traces with mappings. */
  readonly mappings?: GuestMappings | undefined;
  /** Appends events before `stopNs` at `batch.count`. The event at which it stops is not consumed. */
  decode(batch: EventBatch, stopNs: number): Outcome;
  /** Where the next record starts, for an error. */
  place(): TracePlace;
  state(): DecoderState;
  /** Goes to a state that was taken over the same bytes. The window must hold them all. */
  resume(state: DecoderState): void;
}

/** What every decoder checks events against. */
export interface EventLimits {
  /** The file's name, for messages. */
  readonly source: string;
  /** Events must lie in [0, ramBytes). */
  readonly ramBytes: number;
}

/** Fills `batch` from `batch.count` on with events before `stopNs`. At the end of the stream, `expected` events must have come. */
export async function readEvents(
  decoder: EventDecoder,
  batch: EventBatch,
  stopNs: number,
  source: string,
  expected: number | undefined,
): Promise<'full' | 'stop' | 'end'> {
  for (;;) {
    const outcome = decoder.decode(batch, stopNs);
    if (outcome !== 'starved') return outcome;
    if (decoder.window.final) break;
    await decoder.window.fill();
  }
  if (decoder.window.failure !== null) throw damagedGzip(decoder.window, source, decoder.place());
  if (expected !== undefined && decoder.events !== expected) {
    const reason = `the trace ends after ${decoder.events} events, but its meta file says ${expected}`;
    throw new TraceError(source, reason, decoder.place());
  }
  return 'end';
}

/** The error for a stream that ends because it does not decompress further. */
export function damagedGzip(window: ByteWindow, source: string, place: TracePlace): TraceError {
  return new TraceError(source, `the gzip data are damaged or truncated: ${window.failure?.message}`, place);
}

/** The reason of an event that does not lie in RAM. */
export function outsideRam(address: number, length: number, ramBytes: number): string {
  const from = address < 0 ? `-0x${(-address).toString(16)}` : `0x${address.toString(16)}`;
  return `an access to ${length} bytes at ${from} does not lie in RAM, which is [0, 0x${ramBytes.toString(16)})`;
}
