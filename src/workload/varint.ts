/** Longest varint that is read, in bytes: 56 bits of payload, of which the upper three must be 0. */
export const VARINT_BYTES = 8;

/** Reads unsigned LEB128 varints below 2^53. */
export class VarintReader {
  /** Index behind the varint that was read last. */
  end = 0;

  /**
   * The varint at `bytes[start]`, or -1 when it is longer than eight bytes or not below 2^53. Reads up to eight bytes,
   * which must exist; whether they are all part of the stream is the caller's to check, by `end`.
   */
  read(bytes: Uint8Array, start: number): number {
    const two = (bytes[start] & 127) | (bytes[start + 1] << 7);
    if (bytes[start] > 127 && two < 1 << 14) {
      this.end = start + 2;
      return two;
    }
    return this.#readAny(bytes, start);
  }

  #readAny(bytes: Uint8Array, start: number): number {
    let value = 0;
    let scale = 1;
    for (let at = start; at < start + VARINT_BYTES; at++) {
      const byte = bytes[at];
      value += (byte & 127) * scale;
      if (byte < 128) {
        this.end = at + 1;
        return value <= Number.MAX_SAFE_INTEGER ? value : -1;
      }
      scale *= 128;
    }
    this.end = start + VARINT_BYTES;
    return -1;
  }
}
