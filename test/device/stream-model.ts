import { crc32c, recordOf } from '../state/record-model.ts';

/** State streams in plain TypeScript, frame by frame, as docs/device-state.md says. */

export interface Frame {
  readonly type: number;
  readonly payload: Uint8Array;
  /** Where it differs from the frame's place. */
  readonly sequence?: number;
}

export function u32Bytes(...values: number[]): Uint8Array {
  const bytes = new Uint8Array(4 * values.length);
  const view = new DataView(bytes.buffer);
  values.forEach((value, i) => view.setUint32(4 * i, value, true));
  return bytes;
}

export function frameBytes({ type, payload, sequence = 0 }: Frame): Uint8Array {
  const covered = Buffer.concat([u32Bytes(type, sequence, payload.length), payload]);
  return Buffer.concat([covered, u32Bytes(crc32c(covered))]);
}

/** The stream of these frames; an end frame without payload gets the right one. */
export function streamOf(frames: readonly Frame[]): Buffer {
  let stream = Buffer.alloc(0);
  frames.forEach(({ type, payload, sequence }, i) => {
    const own = type === 5 && payload.length === 0 ? u32Bytes(stream.length, 0) : payload;
    stream = Buffer.concat([stream, frameBytes({ type, payload: own, sequence: sequence ?? i })]);
  });
  return stream;
}

export interface PlainState {
  readonly type: number;
  /** Pages of local memory. */
  readonly pages: readonly Uint8Array[];
  /** Words of each queue: base low, base high, size, head, tail. */
  readonly queues: readonly (readonly number[])[];
  /** Hidden words of each queue. */
  readonly engines: readonly (readonly number[])[];
  readonly scratch?: number;
}

/** The frames of a device that was stopped before its state was read. */
export function framesOf({ type, pages, queues, engines, scratch = 0 }: PlainState): Frame[] {
  const head = Buffer.concat([
    Buffer.from('WIOMDEVS'),
    u32Bytes(1, 0x40001, type, queues.length, pages.length * 4096, 0, 4096, 0),
  ]);
  const registers = u32Bytes(type, 1, 0, 0, 0, queues.length, pages.length, scratch);
  const banks = queues.flatMap((words) => [...words, 0, 0, 0]);
  return [
    { type: 1, payload: head },
    { type: 2, payload: Buffer.concat(pages.map((page, i) => recordOf(i, page, null))) },
    { type: 3, payload: Buffer.concat([registers, new Uint8Array(256 - registers.length), u32Bytes(...banks)]) },
    { type: 4, payload: u32Bytes(...engines.flat()) },
    { type: 5, payload: new Uint8Array(0) },
  ];
}
