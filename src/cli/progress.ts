import type { Progress } from '../compare/options.ts';
import { formatDuration } from '../units/quantity.ts';

const FIRST_MS = 2000;
const EVERY_MS = 200;

/** A line on standard error, on a terminal only, from two seconds on; `done` takes it away. */
export class ProgressLine {
  readonly #start = performance.now();
  #last = 0;
  #shown = false;

  readonly update = ({ rows, rowsDone, simulatedNs }: Progress): void => {
    const now = performance.now();
    if (!process.stderr.isTTY || now - this.#start < FIRST_MS || now - this.#last < EVERY_MS) return;
    this.#last = now;
    this.#shown = true;
    const seconds = formatDuration(Math.floor(simulatedNs / 1e9) * 1e9);
    process.stderr.write(`\r\x1b[Kcomparing: ${rowsDone} of ${rows} rows have their verdict, ${seconds} replayed`);
  };

  done(): void {
    if (this.#shown) process.stderr.write('\r\x1b[K');
  }
}
