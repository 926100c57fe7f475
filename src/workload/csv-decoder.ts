import type { ByteWindow } from './byte-window.ts';
import type { DeviceNames } from './device-names.ts';
import {
  damagedGzip,
  outsideRam,
  type DecoderState,
  type EventDecoder,
  type EventLimits,
  type Outcome,
} from './event-decoder.ts';
import { GuestMappings } from './guest-mappings.ts';
import { FIRST_MAPPING_OP, MAP_OP, MAPPING_OPS, OPS, type EventBatch } from './recording.ts';
import { TraceError, type TracePlace } from './trace-error.ts';

const HEADER = 't_us,dev,op,gpa,len';
/** Of a trace with mappings; DMA has the first five columns. */
const MAPPED_HEADER = 't_us,dev,op,iova,len,gpa,access';
const PAGE_BYTES = 4096;
/** Longest line, in bytes. */
const MAX_LINE = 65536;

const COMMA = 0x2c;
const SPACE = 0x20;
const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const HASH = 0x23;

const OP_NAMES: readonly (readonly [Uint8Array, number])[] = [
  ...OPS.map((name, op) => [name, op] as const),
  ['w', OPS.indexOf('wblob')] as const,
  ['write', OPS.indexOf('wblob')] as const,
  ['r', OPS.indexOf('rblob')] as const,
  ['read', OPS.indexOf('rblob')] as const,
].map(([name, op]) => [new TextEncoder().encode(name), op]);

const MAPPING_OP_NAMES: typeof OP_NAMES = MAPPING_OPS.map((name, i) => [
  new TextEncoder().encode(name),
  FIRST_MAPPING_OP + i,
]);

const ACCESS: Readonly<Record<string, number>> = { r: 1, w: 2, rw: 3 };

/**
 * Lines `t_us,dev,op,gpa,len`. `t_us` and `len` are whole numbers, `gpa` too, or hexadecimal with `0x`; `dev` is any text
 * without a comma, taken as a name; `op` is one of `OPS`, or `w`, `write` (as `wblob`), `r`, `read` (as `rblob`). There is
 * no quoting. A first line that reads like the column list is a header; empty lines and those that start with `#` are
 * passed over, as are spaces around a field. Lines end with LF or CRLF and have at most 65536 bytes.
 *
 * With mappings the columns are `t_us,dev,op,iova,len`, where devices name IOVAs, and there are two more ops: `map`, with the further
 * columns `gpa,access` (`r`, `w` or `rw`), and `unmap`. They are of the address space of `dev` alone; their numbers are
 * multiples of 4096. What is mapped already can't be mapped, and what is not mapped can't be unmapped.
 */
export class CsvDecoder implements EventDecoder {
  readonly window: ByteWindow;
  events = 0;
  readonly #limits: EventLimits;
  readonly #devices: DeviceNames;
  #line = 1;
  #timeNs = 0;
  /** Index behind the field that was read last. */
  #at = 0;
  /** The mappings of this moment, undefined for a trace without. */
  readonly mappings: GuestMappings | undefined;

  constructor(window: ByteWindow, limits: EventLimits, devices: DeviceNames, mapped = false) {
    this.window = window;
    this.mappings = mapped ? new GuestMappings() : undefined;
    this.#limits = limits;
    this.#devices = devices;
  }

  decode(batch: EventBatch, stopNs: number): Outcome {
    const { window } = this;
    for (;;) {
      if (batch.count === batch.timeNs.length) return 'full';
      const begin = window.position;
      if (begin >= window.end) return 'starved';
      let next = window.bytes.indexOf(LF, begin);
      if (next < 0 || next >= window.end) {
        if (!window.final && !window.full) return 'starved';
        if (window.failure !== null) throw damagedGzip(window, this.#limits.source, this.place());
        next = window.end;
      }
      if (next - begin > MAX_LINE || !(window.final || next < window.end))
        throw this.#fault(`the line is longer than ${MAX_LINE} bytes`);
      if (!this.#event(batch, begin, next, stopNs)) return 'stop';
      window.position = Math.min(next + 1, window.end);
      this.#line++;
    }
  }

  place(): TracePlace {
    return { unit: 'line', record: this.#line, byteOffset: this.window.offset };
  }

  state(): DecoderState {
    return { offset: this.window.offset, record: this.#line, events: this.events, timeNs: this.#timeNs, ends: null };
  }

  resume(state: DecoderState): void {
    this.window.position = state.offset;
    this.#line = state.record;
    this.events = state.events;
    this.#timeNs = state.timeNs;
  }

  /** Reads the line [begin, next); false when its event is not before `stopNs`. */
  #event(batch: EventBatch, begin: number, next: number, stopNs: number): boolean {
    const { bytes } = this.window;
    const end = trimmedEnd(bytes, begin, next);
    this.#at = this.#lineStart(begin, end);
    if (this.#at === end || bytes[this.#at] === HASH) return true;
    if (this.events === 0 && this.#isHeader(end)) return true;

    const time = this.#number(end, false) * 1000;
    if (time < 0) throw this.#badField(begin, end, 0, 'a whole number of microseconds');
    if (time > Number.MAX_SAFE_INTEGER) throw this.#fault('the time passes 2^53 ns (104 days)');
    if (time < this.#timeNs) {
      throw this.#fault(`the time goes backwards, from ${this.#timeNs / 1000} to ${time / 1000} us`);
    }
    if (time >= stopNs) return false;
    const device = this.#device(end);
    if (device < 0) throw this.#badField(begin, end, 1, 'the name of one of at most 65536 devices, in UTF-8');
    const op = this.#op(end);
    if (op < 0) throw this.#badOp(begin, end);
    const address = this.#number(end, true);
    if (address < 0) throw this.#badField(begin, end, 3, 'a whole number below 2^53, decimal or with 0x');
    const length = this.#number(end, false);
    const maps = op === MAP_OP;
    if (length < 0 || (this.#at !== end + 1) !== maps) {
      throw this.#badField(begin, end, 4, 'a whole number of bytes below 2^53', maps);
    }
    const n = batch.count;
    if (this.mappings) this.#checkMapped(batch, begin, end, device, op, address, length);
    else if (address + length > this.#limits.ramBytes) {
      throw this.#fault(outsideRam(address, length, this.#limits.ramBytes));
    }
    batch.count++;
    batch.timeNs[n] = time;
    batch.device[n] = device;
    batch.op[n] = op;
    batch.address[n] = address;
    batch.length[n] = length;
    this.#timeNs = time;
    this.events++;
    return true;
  }

  /** Index of the line's first byte that counts: behind a byte order mark, and behind spaces. */
  #lineStart(begin: number, end: number): number {
    const { bytes } = this.window;
    const marked = this.#line === 1 && bytes[begin] === 0xef && bytes[begin + 1] === 0xbb && bytes[begin + 2] === 0xbf;
    return Math.min(skipSpace(bytes, marked ? begin + 3 : begin), end);
  }

  #isHeader(end: number): boolean {
    const { bytes } = this.window;
    if ((bytes[this.#at] | 0x20) !== 0x74) return false;
    const text = new TextDecoder().decode(bytes.subarray(this.#at, end));
    return text.replaceAll(/[ \t]/g, '').toLowerCase() === (this.mappings ? MAPPED_HEADER : HEADER);
  }

  /** The number at `#at`, then the comma or the line's end; -1 if there is none, or not below 2^53. */
  #number(end: number, hex: boolean): number {
    if (this.#at > end) return -1;
    const { bytes } = this.window;
    let at = skipSpace(bytes, this.#at);
    let value = 0;
    const base = hex && bytes[at] === 0x30 && (bytes[at + 1] | 0x20) === 0x78 ? 16 : 10;
    if (base === 16) at += 2;
    const first = at;
    for (let digit = digitOf(bytes[at]); digit < base; digit = digitOf(bytes[++at])) value = value * base + digit;
    if (at === first || value > Number.MAX_SAFE_INTEGER) return -1;
    at = Math.min(skipSpace(bytes, at), end);
    if (at < end && bytes[at] !== COMMA) return -1;
    this.#at = at + 1;
    return value;
  }

  #device(end: number): number {
    const { bytes } = this.window;
    const begin = skipSpace(bytes, this.#at);
    const comma = commaFrom(bytes, begin, end);
    const last = trimmedEnd(bytes, begin, comma);
    if (comma >= end || last <= begin) return -1;
    this.#at = comma + 1;
    return this.#devices.number(bytes, begin, last);
  }

  /** Makes sure of an event of a trace with mappings, and maps and unmaps. */
  #checkMapped(
    batch: EventBatch,
    begin: number,
    end: number,
    device: number,
    op: number,
    iova: number,
    length: number,
  ): void {
    if (iova + length > Number.MAX_SAFE_INTEGER) throw this.#fault(`the IOVAs pass 2^53`);
    if (op < FIRST_MAPPING_OP) return;
    const gpa = op === MAP_OP ? this.#number(end, true) : 0;
    if (gpa < 0) throw this.#badField(begin, end, 5, 'a whole number below 2^53, decimal or with 0x', true);
    if (length === 0 || iova % PAGE_BYTES || length % PAGE_BYTES || gpa % PAGE_BYTES) {
      throw this.#fault(`iova, len and gpa must be multiples of ${PAGE_BYTES}, and len above 0`);
    }
    const where = `${length} bytes at IOVA 0x${iova.toString(16)}`;
    if (op !== MAP_OP) {
      if (!this.mappings!.unmap(device, iova, length)) throw this.#fault(`not all of ${where} is mapped`);
      return;
    }
    if (gpa + length > this.#limits.ramBytes) throw this.#fault(outsideRam(gpa, length, this.#limits.ramBytes));
    const text = new TextDecoder().decode(this.window.bytes.subarray(Math.min(this.#at, end), end)).trim();
    const access = ACCESS[text];
    if (access === undefined) throw this.#badField(begin, end, 6, 'r, w or rw', true);
    if (!this.mappings!.map(device, { iova, gpa, length, access })) {
      throw this.#fault(`of ${where} something is mapped already`);
    }
    batch.mapping!.gpa[batch.count] = gpa;
    batch.mapping!.access[batch.count] = access;
  }

  #op(end: number): number {
    const { bytes } = this.window;
    const begin = skipSpace(bytes, this.#at);
    const comma = commaFrom(bytes, begin, end);
    const length = trimmedEnd(bytes, begin, comma) - begin;
    this.#at = comma + 1;
    const known = nameIn(OP_NAMES, bytes, begin, length);
    return known >= 0 || !this.mappings ? known : nameIn(MAPPING_OP_NAMES, bytes, begin, length);
  }

  #badOp(begin: number, end: number): TraceError {
    const names = [...OPS, 'w', 'write', 'r', 'read', ...(this.mappings ? MAPPING_OPS : [])].join(', ');
    const field = new TextDecoder().decode(this.window.bytes.subarray(begin, end)).split(',')[2]?.trim();
    if (!this.mappings && MAPPING_OPS.some((name) => name === field)) {
      return this.#fault(`op is "${field}"; a trace with mappings has format 'iova-csv'`);
    }
    return this.#badField(begin, end, 2, `one of ${names}`, field === 'map');
  }

  /** The error of a field; `whole`: of a line with all columns that there are. */
  #badField(begin: number, end: number, column: number, right: string, whole = false): TraceError {
    const text = new TextDecoder().decode(this.window.bytes.subarray(begin, end));
    const fields = text.split(',');
    const header = this.mappings ? MAPPED_HEADER : HEADER;
    const columns = header.split(',').slice(0, whole ? 7 : 5);
    if (fields.length !== columns.length) {
      return this.#fault(`${fields.length} columns instead of the ${columns.length} columns ${columns.join(',')}`);
    }
    const got = JSON.stringify(fields[column].trim().slice(0, 40));
    return this.#fault(`${columns[column]} is ${got}; it must be ${right}`);
  }

  #fault(reason: string): TraceError {
    return new TraceError(this.#limits.source, reason, this.place());
  }
}

/** The number of the name of `length` bytes at `begin`, -1 for none of them. */
function nameIn(names: typeof OP_NAMES, bytes: Uint8Array, begin: number, length: number): number {
  for (let i = 0; i < names.length; i++) {
    const name = names[i][0];
    let same = 0;
    if (name.length === length) while (same < length && bytes[begin + same] === name[same]) same++;
    if (same === name.length) return names[i][1];
  }
  return -1;
}

function skipSpace(bytes: Uint8Array, at: number): number {
  while (bytes[at] === SPACE || bytes[at] === TAB) at++;
  return at;
}

/** The end of the text in [begin, end), without the spaces and the CR behind it. */
function trimmedEnd(bytes: Uint8Array, begin: number, end: number): number {
  while (end > begin && (bytes[end - 1] === SPACE || bytes[end - 1] === TAB || bytes[end - 1] === CR)) end--;
  return end;
}

function commaFrom(bytes: Uint8Array, at: number, end: number): number {
  while (at < end && bytes[at] !== COMMA) at++;
  return at;
}

/** Value of a hexadecimal digit, 16 for any other byte. */
function digitOf(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : 16;
}
