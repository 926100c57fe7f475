import { IommuError } from '../errno/error.ts';
import { PageSet } from '../oracle/page-set.ts';
import { VFIO_MIGRATION_P2P, VFIO_MIGRATION_PRE_COPY, VFIO_MIGRATION_STOP_COPY } from '../uapi/vfio.ts';
import type { MigrationDriver, PrecopyInfo, ResumeStream, SaveStream } from '../vfio/migration-driver.ts';
import { PAGE_BYTES } from './page-bytes.ts';

/** What a page of state takes in the stream: itself, a record and a frame around it (docs/device-state.md). */
export const STATE_PAGE_BYTES = PAGE_BYTES + 32;

/** What the stream has before its pages, and behind them once the device is stopped: registers, one queue, end. */
export const STATE_HEAD_BYTES = 56;
export const STATE_TAIL_BYTES = 304 + 48 + 24;

/**
 * The state of a device of which only the size counts: how many bytes of it are still to be read, with no contents, as a
 * driver that can be migrated away. A page of local memory counts as a whole one.
 */
export class LocalState implements MigrationDriver {
  readonly flags: number;
  /** Bytes of local memory. */
  readonly bytes: number;
  readonly #changed: PageSet;
  /** Bytes of the stream that were never read, and of those that were and are to be read again. */
  #initial = 0;
  #again = 0;
  /** Bytes behind the pages, which wait until the device is stopped. */
  #tail = 0;
  #stopped = false;
  #saving = false;

  /** `bytes`: whole pages of 4 KiB. Without `preCopy` all of it is left for STOP_COPY. */
  constructor(bytes: number, preCopy: boolean) {
    this.flags = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P | (preCopy ? VFIO_MIGRATION_PRE_COPY : 0);
    this.bytes = bytes;
    this.#changed = new PageSet(bytes / PAGE_BYTES);
  }

  /** `length` bytes of local memory from `offset` on change; it is gone through from its start again behind its end. */
  change(offset: number, length: number): void {
    const first = Math.floor((offset % this.bytes) / PAGE_BYTES);
    const { pages } = this.#changed;
    const last = first + Math.ceil(((offset % PAGE_BYTES) + length) / PAGE_BYTES) - 1;
    if (last - first >= pages - 1) return this.#changed.add(0, pages - 1);
    this.#changed.add(first, Math.min(last, pages - 1));
    if (last >= pages) this.#changed.add(0, last - pages);
  }

  dataSize(): number {
    if (!this.#saving) return this.#whole + STATE_TAIL_BYTES;
    const { initialBytes, dirtyBytes } = this.#info();
    return initialBytes + dirtyBytes + this.#tail;
  }

  reset(): void {
    this.#end();
  }

  stopToStopCopy(): SaveStream {
    this.#stopped = true;
    return this.#begin();
  }

  /** There is nothing that it could be resumed from: its stream has no contents. */
  stopToResuming(): ResumeStream {
    throw new IommuError('EOPNOTSUPP', 'RESUMING', 'a state of which only the size is known can be saved only');
  }

  runningToPreCopy(): SaveStream {
    return this.#begin();
  }

  runningP2pToPreCopyP2p(): SaveStream {
    return this.#begin();
  }

  preCopyToRunning(): void {
    this.#end();
  }

  preCopyP2pToRunningP2p(): void {
    this.#end();
  }

  preCopyP2pToStopCopy(): void {
    this.#stopped = true;
  }

  stopCopyToStop(): void {
    this.#end();
  }

  /** Bytes of head and pages. */
  get #whole(): number {
    return STATE_HEAD_BYTES + this.#changed.pages * STATE_PAGE_BYTES;
  }

  #begin(): SaveStream {
    this.#saving = true;
    this.#changed.clear();
    this.#initial = this.#whole;
    this.#tail = STATE_TAIL_BYTES;
    this.#again = 0;
    return { read: (into) => this.#read(into.length), precopyInfo: () => this.#info() };
  }

  #end(): void {
    this.#saving = this.#stopped = false;
    this.#initial = this.#again = this.#tail = 0;
  }

  #info(): PrecopyInfo & { initialBytes: number; dirtyBytes: number } {
    return { initialBytes: this.#initial, dirtyBytes: this.#again + this.#changed.count() * STATE_PAGE_BYTES };
  }

  /** What was never read first, then what has changed, and once it is stopped the end. */
  #read(most: number): number {
    const initial = Math.min(most, this.#initial);
    this.#initial -= initial;
    if (initial > 0) return initial;
    this.#again += this.#changed.count() * STATE_PAGE_BYTES;
    this.#changed.clear();
    const again = Math.min(most, this.#again);
    this.#again -= again;
    if (again > 0 || !this.#stopped) return again;
    const tail = Math.min(most, this.#tail);
    this.#tail -= tail;
    return tail;
  }
}
