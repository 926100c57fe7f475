/** The page records in plain TypeScript: what docs/device-state.md says, word for word, and nothing of the core. */

const PAGE = 4096;
const WORDS = 512;
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  return crc;
});

/** CRC32C of `bytes`, a byte at a time. */
export function crc32c(...parts: readonly Uint8Array[]): number {
  let crc = 0xffffffff;
  for (const part of parts) for (const byte of part) crc = (crc >>> 8) ^ TABLE[(crc ^ byte) & 0xff];
  return ~crc >>> 0;
}

export const KIND = { zero: 0, unchanged: 1, delta: 2, whole: 3 } as const;
export type Kind = (typeof KIND)[keyof typeof KIND];

/** A record with right checks over what it is given. */
export function record(page: number, kind: number, payload: Uint8Array, contents: number): Uint8Array {
  const bytes = new Uint8Array(16 + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, page, true);
  view.setUint16(4, kind, true);
  view.setUint16(6, payload.length, true);
  view.setUint32(8, contents, true);
  const covered = kind === KIND.delta ? [bytes.subarray(0, 12), payload] : [bytes.subarray(0, 12)];
  view.setUint32(12, crc32c(...covered), true);
  bytes.set(payload, 16);
  return bytes;
}

/** The delta from `last` to `page`. */
export function delta(page: Uint8Array, last: Uint8Array): Uint8Array {
  const word = (bytes: Uint8Array, i: number) => Buffer.from(bytes.subarray(8 * i, 8 * i + 8)).toString('hex');
  const changed = Array.from({ length: WORDS }, (_, i) => i).filter((i) => word(page, i) !== word(last, i));
  const out: number[] = [];
  let at = 0;
  while (changed.length > 0) {
    let count = 1;
    while (count < 255 && changed[count] === changed[0] + count) count++;
    for (; changed[0] - at > 255; at += 255) out.push(255, 0);
    out.push(changed[0] - at, count, ...page.subarray(8 * changed[0], 8 * (changed[0] + count)));
    at = changed[0] + count;
    changed.splice(0, count);
  }
  return Uint8Array.from(out);
}

/** The record for page number `number` that holds `page`, of which `last` was sent last. */
export function recordOf(number: number, page: Uint8Array, last: Uint8Array | null): Uint8Array {
  const none = new Uint8Array(0);
  const contents = crc32c(page);
  if (page.every((byte) => byte === 0)) return record(number, KIND.zero, none, contents);
  if (last && Buffer.compare(page, last) === 0) return record(number, KIND.unchanged, none, contents);
  const changes = last ? delta(page, last) : page;
  if (changes.length < PAGE) return record(number, KIND.delta, changes, contents);
  return record(number, KIND.whole, page, contents);
}
