import { Interleaver, type Agent } from './interleaver.ts';

/** The choices of one interleaving, and how many agents could go at each of them. */
interface Path {
  readonly choices: number[];
  readonly widths: number[];
}

function follow(interleaver: Interleaver, path: Path): void {
  let depth = 0;
  interleaver.run((runnable) => {
    const at = depth++;
    if (at === path.choices.length) {
      path.choices.push(0);
      path.widths.push(runnable);
    } else if (path.widths[at] !== runnable) {
      throw new Error(
        `choice ${at} had ${path.widths[at]} runnable agents and now has ${runnable}; agents must start afresh every time`,
      );
    }
    return path.choices[at];
  });
}

/** Moves to the next path, depth first; false after the last one. */
function advance({ choices, widths }: Path): boolean {
  for (let last = choices.pop(); last !== undefined; last = choices.pop()) {
    const width = widths.pop()!;
    if (last + 1 < width) {
      choices.push(last + 1);
      widths.push(width);
      return true;
    }
  }
  return false;
}

/**
 * Runs every interleaving of the agents that `start` makes, each from scratch: `start` must build the same world every time.
 * `ended` is called after each of them, before the next `start`. Returns how many there are. RangeError: more than `most`;
 * errors of a run pass through.
 */
export function enumerateInterleavings(
  start: () => readonly Agent[],
  ended: (interleaver: Interleaver) => void,
  most = 1_000_000,
): number {
  const path: Path = { choices: [], widths: [] };
  let count = 0;
  do {
    if (count === most) throw new RangeError(`there are more than ${most} interleavings; make the programs shorter`);
    const interleaver = new Interleaver(start());
    follow(interleaver, path);
    count++;
    ended(interleaver);
  } while (advance(path));
  return count;
}
