import { ERRNO, type ErrnoCode } from './errno.ts';

/**
 * What every control operation throws: the errno that the kernel would have returned, the operation that failed, and a
 * message that says which argument was wrong, what it was, and what would be right.
 */
export class IommuError extends Error {
  /** The errno's name, for example `'EINVAL'`. */
  readonly code: ErrnoCode;
  /** The errno's number, for example 22. */
  readonly errno: number;
  /** The operation that failed, for example `'domain.map'`. */
  readonly op: string;

  constructor(code: ErrnoCode, op: string, message: string) {
    super(`${op}: ${message} (${code})`);
    this.name = 'IommuError';
    this.code = code;
    this.errno = ERRNO[code];
    this.op = op;
  }
}
