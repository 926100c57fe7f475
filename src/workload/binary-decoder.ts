import { PADDING, type ByteWindow } from './byte-window.ts';
import {
  damagedGzip,
  outsideRam,
  type DecoderState,
  type EventDecoder,
  type EventLimits,
  type Outcome,
} from './event-decoder.ts';
import { OPS, type EventBatch } from './recording.ts';
import { TraceError, type TracePlace } from './trace-error.ts';
import { VarintReader } from './varint.ts';

const OVERLONG = 'a varint is longer than 8 bytes or not below 2^53';

/**
 * The recording's own format (examples/traces/README.md): per event four unsigned LEB128 varints, dt_us since the previous
 * event, `device << 3 | op`, zigzag(gpa - end of the same device's previous access), length in bytes.
 */
export class BinaryDecoder implements EventDecoder {
  readonly window: ByteWindow;
  events = 0;
  readonly #limits: EventLimits;
  readonly #ends: Float64Array;
  readonly #varint = new VarintReader();
  #timeNs = 0;

  constructor(window: ByteWindow, limits: EventLimits, devices: number) {
    this.window = window;
    this.#limits = limits;
    this.#ends = new Float64Array(devices);
  }

  decode(batch: EventBatch, stopNs: number): Outcome {
    const { window } = this;
    const { bytes, end } = window;
    const { timeNs, device, op, address, length } = batch;
    const varint = this.#varint;
    const ends = this.#ends;
    const tagLimit = ends.length * 8;
    const { ramBytes } = this.#limits;
    // Four varints are at most PADDING bytes, so that none of the reads below leaves the array.
    const limit = window.final ? end : end - PADDING + 1;
    let outcome: Outcome = 'starved';
    let now = this.#timeNs;
    let at = window.position;
    let n = batch.count;
    const first = n;
    while (at < limit) {
      if (n === timeNs.length) {
        outcome = 'full';
        break;
      }
      const start = at;
      let dt = bytes[at++];
      if (dt > 127) {
        dt = varint.read(bytes, at - 1);
        if (dt < 0) throw this.#fault(start, n - first, OVERLONG);
        at = varint.end;
      }
      const time = now + dt * 1000;
      if (time >= stopNs && at <= end) {
        at = start;
        outcome = 'stop';
        break;
      }
      let tag = bytes[at++];
      if (tag > 127) {
        tag = varint.read(bytes, at - 1);
        if (tag < 0) throw this.#fault(start, n - first, OVERLONG);
        at = varint.end;
      }
      let delta = bytes[at++];
      if (delta > 127) {
        delta = varint.read(bytes, at - 1);
        if (delta < 0) throw this.#fault(start, n - first, OVERLONG);
        at = varint.end;
      }
      let size = bytes[at++];
      if (size > 127) {
        size = varint.read(bytes, at - 1);
        if (size < 0) throw this.#fault(start, n - first, OVERLONG);
        at = varint.end;
      }
      if (at > end || tag >= tagLimit) throw this.#invalid(start, at, n - first, tag, time, 0, 0);
      const dev = tag >>> 3;
      const gpa = ends[dev] + (delta < 0x80000000 ? (delta >>> 1) ^ -(delta & 1) : unzigzag(delta));
      const after = gpa + size;
      if ((tag & 7) >= OPS.length || gpa < 0 || after > ramBytes || time > Number.MAX_SAFE_INTEGER) {
        throw this.#invalid(start, at, n - first, tag, time, gpa, size);
      }
      ends[dev] = after;
      now = time;
      timeNs[n] = time;
      device[n] = dev;
      op[n] = tag & 7;
      address[n] = gpa;
      length[n] = size;
      n++;
    }
    window.position = at;
    batch.count = n;
    this.#timeNs = now;
    this.events += n - first;
    return outcome;
  }

  place(): TracePlace {
    return { unit: 'event', record: this.events, byteOffset: this.window.offset };
  }

  state(): DecoderState {
    const offset = this.window.offset;
    return { offset, record: this.events, events: this.events, timeNs: this.#timeNs, ends: this.#ends.slice() };
  }

  resume(state: DecoderState): void {
    this.window.position = state.offset;
    this.events = state.events;
    this.#timeNs = state.timeNs;
    this.#ends.set(state.ends!);
  }

  #invalid(start: number, at: number, read: number, tag: number, time: number, gpa: number, size: number): TraceError {
    if (at > this.window.end) {
      return this.#fault(start, read, 'the file ends in the middle of this event', this.window.failure !== null);
    }
    const device = Math.floor(tag / 8);
    const devices = this.#ends.length;
    if (device >= devices) {
      return this.#fault(start, read, `device ${device} is not one of the meta file's devices 0 to ${devices - 1}`);
    }
    if (tag % 8 >= OPS.length) {
      return this.#fault(start, read, `op ${tag % 8} is not one of 0 to ${OPS.length - 1} (${OPS.join(', ')})`);
    }
    if (time > Number.MAX_SAFE_INTEGER) return this.#fault(start, read, 'the time passes 2^53 ns (104 days)');
    return this.#fault(start, read, outsideRam(gpa, size, this.#limits.ramBytes));
  }

  /** An error in the event that starts at `start`, `read` events after those that are counted already. */
  #fault(start: number, read: number, reason: string, gzip = false): TraceError {
    this.window.position = start;
    this.events += read;
    const { source } = this.#limits;
    return gzip ? damagedGzip(this.window, source, this.place()) : new TraceError(source, reason, this.place());
  }
}

function unzigzag(value: number): number {
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
}
