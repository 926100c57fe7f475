import { IommuError } from '../errno/error.ts';
import type { DataStream } from './data-stream.ts';

/** The open files of a process, as far as they are data streams. Devices of one process share one. */
export class FileTable {
  readonly #first: number;
  readonly #limit: number;
  readonly #files = new Map<number, DataStream>();

  /** Numbers from `first` (default 3) on, below `limit` (default 1024, RLIMIT_NOFILE's usual value). */
  constructor({ first = 3, limit = 1024 }: { first?: number; limit?: number } = {}) {
    this.#first = first;
    this.#limit = limit;
  }

  /** Gives a stream the lowest number that is free. EMFILE: there is none. */
  open(stream: DataStream): number {
    for (let fd = this.#first; fd < this.#limit; fd++) {
      if (this.#files.get(fd)?.closed === false) continue;
      this.#files.set(fd, stream);
      return fd;
    }
    throw new IommuError('EMFILE', 'open', `all file numbers below ${this.#limit} are in use; close one`);
  }

  /** The stream with this number. EBADF: there is none, or it was closed. */
  get(fd: number): DataStream {
    const stream = this.#files.get(fd);
    if (stream && !stream.closed) return stream;
    throw new IommuError('EBADF', 'open file', `${fd} is no open file`);
  }
}
