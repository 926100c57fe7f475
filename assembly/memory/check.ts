/** Traps in the debug build where an invariant of the core is broken; nothing in the release build. */
export function check(condition: bool): void {
  if (!ASC_NO_ASSERT && !condition) unreachable();
}
