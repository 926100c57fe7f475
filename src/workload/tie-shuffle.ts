import { Prng } from '../random/prng.ts';
import type { EventBatch } from './recording.ts';

/**
 * Shuffles the order of events of different devices that carry the same time stamp; the order within a device stays. Every
 * interleaving is equally likely, and follows from the seed and the time stamp alone, whatever part of a recording is read.
 * A tie that is longer than a batch is shuffled in parts.
 */
export class TieShuffle {
  readonly #seed: number;
  readonly #prng: Prng;
  /** Per device the index of its next event within the tie, -1 for none; all -1 between ties. */
  readonly #head: Int32Array;
  /** Per event the index of the same device's next one. */
  readonly #next: Int32Array;
  readonly #op: Uint8Array;
  readonly #address: Float64Array;
  readonly #length: Float64Array;
  readonly #gpa: Float64Array;
  readonly #access: Uint8Array;

  /** `seed`: an integer in [1, 2^32); `capacity`: that of the batches. */
  constructor(seed: number, capacity: number) {
    this.#prng = new Prng(seed);
    this.#seed = seed;
    this.#head = new Int32Array(2 ** 16).fill(-1);
    this.#next = new Int32Array(capacity);
    this.#op = new Uint8Array(capacity);
    this.#address = new Float64Array(capacity);
    this.#length = new Float64Array(capacity);
    this.#gpa = new Float64Array(capacity);
    this.#access = new Uint8Array(capacity);
  }

  /**
   * Shuffles the ties of `batch` and returns how many events are ready. When `more` events follow, the last tie may go on
   * in them, and is left for later unless it fills the batch.
   */
  apply(batch: EventBatch, more: boolean): number {
    const { timeNs, count } = batch;
    let begin = 0;
    while (begin < count) {
      let end = begin + 1;
      while (end < count && timeNs[end] === timeNs[begin]) end++;
      if (more && end === count && begin > 0) return begin;
      this.#shuffle(batch, begin, end);
      begin = end;
    }
    return count;
  }

  #shuffle(batch: EventBatch, begin: number, end: number): void {
    const { device, op, address, length, mapping } = batch;
    let mixed = false;
    for (let i = begin + 1; i < end && !mixed; i++) mixed = device[i] !== device[begin];
    if (!mixed) return;
    for (let i = end - 1; i >= begin; i--) {
      this.#next[i] = this.#head[device[i]];
      this.#head[device[i]] = i;
      this.#op[i] = op[i];
      this.#address[i] = address[i];
      this.#length[i] = length[i];
      if (mapping === undefined) continue;
      this.#gpa[i] = mapping.gpa[i];
      this.#access[i] = mapping.access[i];
    }
    this.#startAt(batch.timeNs[begin]);
    for (let left = end - begin; left > 1; left--) {
      const last = begin + left - 1;
      const pick = begin + this.#prng.below(left);
      const moved = device[pick];
      device[pick] = device[last];
      device[last] = moved;
    }
    for (let i = begin; i < end; i++) {
      const from = this.#head[device[i]];
      this.#head[device[i]] = this.#next[from];
      op[i] = this.#op[from];
      address[i] = this.#address[from];
      length[i] = this.#length[from];
      if (mapping === undefined) continue;
      mapping.gpa[i] = this.#gpa[from];
      mapping.access[i] = this.#access[from];
    }
  }

  #startAt(timeNs: number): void {
    this.#prng.reset(this.#seed);
    this.#prng.reset(this.#prng.nextU32() ^ (timeNs % 2 ** 32));
    this.#prng.reset(this.#prng.nextU32() ^ Math.floor(timeNs / 2 ** 32));
  }
}
