/** Adds `by` to the u64 counter `offset` bytes behind `at`. */
export function bump(at: usize, offset: usize, by: u64): void {
  store<u64>(at + offset, load<u64>(at + offset) + by);
}
