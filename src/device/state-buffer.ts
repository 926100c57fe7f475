import * as layout from '../../assembly/layout.ts';
import type { Bitmap } from '../bitmap/bitmap.ts';
import { IommuError } from '../errno/error.ts';
import type { Instance } from '../wasm/instance.ts';

/** Most pages a call into the core looks at: 2 us each where they are unchanged. */
const PAGES_PER_CALL = 1024;

/** Records by kind. */
export interface RecordCounts {
  readonly zero: number;
  readonly unchanged: number;
  readonly delta: number;
  readonly whole: number;
}

/**
 * Pages of 4 KiB in the core, all 0 at first, and their copying: as records (docs/device-state.md) of which each says
 * what becomes of one page.
 */
export class StateBuffer {
  readonly handle: number;
  readonly pages: number;
  readonly #core: Instance;
  readonly #data: number;

  /** `pages`: 1 .. 2^20 - 1. EINVAL, ENOMEM. @internal */
  constructor(core: Instance, pages: number) {
    const op = 'stateBuffer';
    if (!Number.isInteger(pages) || pages < 1 || pages > layout.STATE_MAX_PAGES) {
      throw new IommuError(
        'EINVAL',
        op,
        `pages is ${pages}; it must be an integer from 1 to ${layout.STATE_MAX_PAGES}`,
      );
    }
    this.handle = core.check(core.raw.stateCreate(core.base, pages), op);
    this.pages = pages;
    this.#core = core;
    this.#data = core.load32(core.slot(this.handle, op) + layout.STATE_DATA);
  }

  /**
   * A view of `length` bytes from byte `offset` on, valid until a host grows its memory. ERANGE; EBADF: it was closed.
   */
  view(offset: number, length: number): Uint8Array {
    const bytes = this.pages * layout.STATE_PAGE_BYTES;
    if (!(offset >= 0 && length >= 0 && offset + length <= bytes)) {
      throw new IommuError('ERANGE', 'stateBuffer.view', `bytes ${offset} + ${length} of a buffer of ${bytes}`);
    }
    this.#core.slot(this.handle, 'stateBuffer.view');
    return this.#core.view(this.#data + offset, length);
  }

  /**
   * Writes a record for each page that `dirty` marks, from page `from` on, to bytes [at, end) of the transfer buffer;
   * clears its mark, and brings `last` (the copy sent last; null: none is kept) up to it. Returns where the records
   * end; `nextPage` is where to go on, `pages` where no marked page is left. EINVAL, EBADF.
   */
  encode(last: StateBuffer | null, dirty: Bitmap, from: number, at: number, end: number): number {
    const op = 'stateBuffer.encode';
    const core = this.#core;
    const copy = last ? core.owned(last.#core, last.handle, op) : 0;
    core.store64(layout.MAIL0, from);
    core.store64(layout.MAIL1, at);
    core.store64(layout.MAIL2, end);
    const budget = Math.min(core.budget, PAGES_PER_CALL);
    let status: number;
    do {
      status = core.raw.stateEncode(core.base, this.handle, copy, dirty.handleIn(core, op), budget);
      core.check(status, op, (errno) =>
        errno === layout.EINVAL
          ? `the buffers and the bitmap must cover the same pages, and ${at} .. ${end} be bytes of the transfer buffer`
          : undefined,
      );
    } while (status === layout.MORE && core.load32(layout.MAIL3) === 0);
    this.nextPage = core.load64(layout.MAIL0);
    return core.load64(layout.MAIL1);
  }

  /** Where the last `encode` ended. */
  nextPage = 0;

  /**
   * Applies the records that lie in bytes [at, end) of the transfer buffer. EINVAL, ERANGE: one is cut short, damaged,
   * builds on another page than there is, or names a page that there is not; what precedes it has been applied, its own
   * page is unchanged.
   */
  apply(at: number, end: number): void {
    const op = 'stateBuffer.apply';
    const core = this.#core;
    core.store64(layout.MAIL0, at);
    core.store64(layout.MAIL1, end);
    const budget = Math.min(core.budget, PAGES_PER_CALL);
    let status: number;
    do status = core.raw.stateApply(core.base, this.handle, budget);
    while (status === layout.MORE);
    core.check(status, op, (errno) =>
      errno === layout.EBADF
        ? undefined
        : `the record at byte ${core.load64(layout.MAIL0)} of ${at} .. ${end} is damaged`,
    );
  }

  /** CRC32C (Castagnoli; RFC 3720, appendix B.4) of the first `length` bytes of the transfer buffer. EINVAL. */
  checksum(length: number): number {
    const core = this.#core;
    core.check(core.raw.stateChecksum(core.base, this.handle, length), 'stateBuffer.checksum');
    return core.load32(layout.MAIL0);
  }

  /** The records that were written of this buffer. */
  get sent(): RecordCounts {
    const slot = this.#core.slot(this.handle, 'stateBuffer.sent');
    const count = (kind: number) => this.#core.load64(slot + layout.STATE_SENT + 8 * kind);
    return {
      zero: count(layout.RECORD_ZERO),
      unchanged: count(layout.RECORD_UNCHANGED),
      delta: count(layout.RECORD_DELTA),
      whole: count(layout.RECORD_WHOLE),
    };
  }

  /** Gives its memory back. */
  close(): void {
    this.#core.check(this.#core.raw.stateDestroy(this.#core.base, this.handle), 'stateBuffer.close');
  }
}
