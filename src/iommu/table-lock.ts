import type { Steps } from '../schedule/step.ts';

/**
 * Keeps changes of leaf sizes away from everything else that software does with the tables, as iommufd's iova_rwsem keeps changes of
 * areas away from reads. Devices know no lock.
 */
export class TableLock {
  #shared = 0;
  #exclusive = false;

  /** Whether nobody has it. */
  get free(): boolean {
    return this.#shared === 0 && !this.#exclusive;
  }

  /** `work` beside others of its kind, but not beside a change of sizes. */
  *shared<T>(work: Steps<T>): Steps<T> {
    // What the first step is must be known before it is taken, and nothing may happen until then.
    const first = work.next();
    if (first.done) return first.value;
    const { what, ready } = first.value;
    yield { what, ready: () => !this.#exclusive && (ready?.() ?? true) };
    this.#shared++;
    try {
      return yield* work;
    } finally {
      this.#shared--;
    }
  }

  /** `work` beside nothing else. */
  *exclusive<T>(work: Steps<T>): Steps<T> {
    yield { what: 'lock', ready: () => !this.#exclusive && this.#shared === 0 };
    this.#exclusive = true;
    try {
      return yield* work;
    } finally {
      this.#exclusive = false;
    }
  }
}
