import { DONE } from '../layout';

/** Writes a 64-bit result; the TypeScript side reads it as two halves. `at` is one of MAIL0 .. MAIL7. */
export function post(core: usize, at: u32, value: u64): void {
  store<u64>(core + at, value);
}

/** A 64-bit argument or cursor. */
export function mail(core: usize, at: u32): u64 {
  return load<u64>(core + at);
}

/** -errno as an export returns it. */
export function fail(errno: i32): i32 {
  return DONE - errno;
}
