import * as layout from '../../assembly/layout.ts';
import { IommuError } from '../errno/error.ts';
import type { Instance } from '../wasm/instance.ts';

// A snapshot: "WIOMSNAP", u32 version, u32 FNV-1a of the bytes, then the core's bytes up to the last chunk in use.
const TAG = [0x57, 0x49, 0x4f, 0x4d, 0x53, 0x4e, 0x41, 0x50];
const HEAD_BYTES = 16;

function checksum(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i], 0x01000193);
  return hash >>> 0;
}

/** The bytes of `core` with a head that says what they are. */
export function writeSnapshot(core: Instance): Uint8Array {
  const bytes = core.view(0, core.usedChunks * 2 ** layout.CHUNK_SHIFT);
  const snapshot = new Uint8Array(HEAD_BYTES + bytes.length);
  snapshot.set(TAG);
  snapshot.set(bytes, HEAD_BYTES);
  const head = new DataView(snapshot.buffer);
  head.setUint32(8, layout.VERSION, true);
  head.setUint32(12, checksum(bytes), true);
  return snapshot;
}

/** Core offset of the slot with this index, undefined where its block does not exist. */
function slotAt(core: Instance, index: number): number | undefined {
  const block = core.load32(layout.SLOT_DIRECTORY + 4 * Math.floor(index / layout.SLOTS_PER_BLOCK));
  return block === 0 ? undefined : block + (index % layout.SLOTS_PER_BLOCK) * layout.SLOT_BYTES;
}

/** The highest generation that each slot has ever had. */
function issuedGenerations(core: Instance): number[] {
  const count = core.load32(layout.CORE_SLOTS);
  return Array.from({ length: count }, (_, index) => core.load32(slotAt(core, index)! + layout.SLOT_ISSUED));
}

/** Keeps the generations that were given out before a load from being given out again: a handle names one object ever. */
function keepIssued(core: Instance, issued: readonly number[]): void {
  issued.forEach((generation, index) => {
    const slot = slotAt(core, index);
    const at = slot === undefined ? layout.CORE_ISSUED : slot + layout.SLOT_ISSUED;
    core.words(at, 1)[0] = Math.max(core.load32(at), generation);
  });
}

function refuse(message: string): never {
  throw new IommuError('EINVAL', 'load', message);
}

/** Puts the bytes of a snapshot into `core`, which has the size of the one they come from. EINVAL; then unchanged. */
export function readSnapshot(core: Instance, snapshot: Uint8Array): void {
  if (snapshot.length < HEAD_BYTES || TAG.some((byte, i) => snapshot[i] !== byte))
    refuse('this is no snapshot of a core');
  const head = new DataView(snapshot.buffer, snapshot.byteOffset, HEAD_BYTES);
  const version = head.getUint32(8, true);
  if (version !== layout.VERSION) refuse(`the snapshot has version ${version}; this build reads ${layout.VERSION}`);
  const bytes = snapshot.subarray(HEAD_BYTES);
  if (checksum(bytes) !== head.getUint32(12, true)) refuse('the snapshot is damaged: its checksum differs');
  if (bytes.length === 0 || bytes.length % 2 ** layout.CHUNK_SHIFT !== 0) refuse('the snapshot is cut short');
  const units = new DataView(bytes.buffer, bytes.byteOffset).getUint32(layout.CORE_UNITS, true);
  if (units !== core.load32(layout.CORE_UNITS)) {
    refuse(`the snapshot is of a core of ${units / layout.UNITS_PER_CHUNK} MiB; open one of that size to load it`);
  }
  if (bytes.length > core.bytes) refuse('the snapshot is longer than the core that it says it is of');
  const issued = issuedGenerations(core);
  core.view(bytes.length, core.bytes - bytes.length).fill(0);
  core.view(0, bytes.length).set(bytes);
  keepIssued(core, issued);
}
