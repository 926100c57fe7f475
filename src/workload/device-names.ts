/** Devices that a recording has at most: the events' device column is 16 bits wide. */
export const MAX_DEVICES = 2 ** 16;

/** Names by number, and numbers by the bytes of the name, found without making a string. */
export class DeviceNames {
  readonly names: string[] = [];
  readonly #bytes: Uint8Array[] = [];
  /** Open addressing: number + 1 of the name whose hash leads here, 0 for none. */
  #slots = new Int32Array(64);

  constructor(names: readonly string[] = []) {
    const encoder = new TextEncoder();
    for (const name of names) this.#add(name, encoder.encode(name));
  }

  /**
   * The number of the device whose name is `bytes[begin..end)`, a new one for a new name. -1: not UTF-8, a control
   * character in it, or more than `MAX_DEVICES` names.
   */
  number(bytes: Uint8Array, begin: number, end: number): number {
    const found = this.#slots[this.#slot(bytes, begin, end)];
    if (found !== 0) return found - 1;
    const name = decoded(bytes.subarray(begin, end));
    if (name === null || this.names.length === MAX_DEVICES) return -1;
    return this.#add(name, bytes.slice(begin, end));
  }

  #add(name: string, bytes: Uint8Array): number {
    this.names.push(name);
    this.#bytes.push(bytes);
    const number = this.names.length;
    if (number * 2 > this.#slots.length) this.#grow();
    else this.#enter(bytes, number);
    return number - 1;
  }

  #grow(): void {
    this.#slots = new Int32Array(this.#slots.length * 2);
    for (let i = 0; i < this.#bytes.length; i++) this.#enter(this.#bytes[i], i + 1);
  }

  #enter(bytes: Uint8Array, number: number): void {
    const slot = this.#slot(bytes, 0, bytes.length);
    // Of equal names in a meta file the first one keeps its number.
    if (this.#slots[slot] === 0) this.#slots[slot] = number;
  }

  /** The slot that holds the name, or the empty one where it belongs. */
  #slot(bytes: Uint8Array, begin: number, end: number): number {
    const mask = this.#slots.length - 1;
    // FNV-1a.
    let hash = 0x811c9dc5 | 0;
    for (let at = begin; at < end; at++) hash = Math.imul(hash ^ bytes[at], 0x01000193);
    let slot = (hash ^ (hash >>> 15)) & mask;
    while (this.#slots[slot] !== 0 && !same(this.#bytes[this.#slots[slot] - 1], bytes, begin, end)) {
      slot = (slot + 1) & mask;
    }
    return slot;
  }
}

function same(name: Uint8Array, bytes: Uint8Array, begin: number, end: number): boolean {
  if (name.length !== end - begin) return false;
  for (let i = 0; i < name.length; i++) if (name[i] !== bytes[begin + i]) return false;
  return true;
}

function decoded(bytes: Uint8Array): string | null {
  if (bytes.some((byte) => byte < 0x20 || byte === 0x7f)) return null;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}
