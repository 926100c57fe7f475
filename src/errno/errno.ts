/**
 * Errno names and numbers that this model returns, as Linux numbers them
 * (include/uapi/asm-generic/errno-base.h and errno.h).
 */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EIO: 5,
  E2BIG: 7,
  EBADF: 9,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  EMFILE: 24,
  ENOTTY: 25,
  ENOSPC: 28,
  ESPIPE: 29,
  ERANGE: 34,
  EDEADLOCK: 35,
  ENOMSG: 42,
  EOVERFLOW: 75,
  EMSGSIZE: 90,
  EOPNOTSUPP: 95,
  EADDRINUSE: 98,
} as const;

/** The name of an errno, for example `'EINVAL'`. */
export type ErrnoCode = keyof typeof ERRNO;

const NAMES = new Map<number, ErrnoCode>(Object.entries(ERRNO).map(([name, value]) => [value, name as ErrnoCode]));

/** The name of errno `value` (a positive number), or undefined where this model never returns it. */
export function errnoName(value: number): ErrnoCode | undefined {
  return NAMES.get(value);
}
