import { IommuError } from '../errno/error.ts';

/** An atomic step that an operation is about to take. */
export interface Step {
  /** What the step does, for witnesses: `clear`, `invalidate`, `complete`, `translate`, `land`, … */
  readonly what: string;
  /** A step that waits (a completion) may be taken only once this is true. */
  readonly ready?: () => boolean;
}

/**
 * An operation as a resumable sequence of atomic steps: it yields what comes next, and each resumption does it. Whoever
 * resumes decides what runs between two steps.
 */
export type Steps<T> = Generator<Step, T, void>;

/**
 * Takes all steps at once, as where nothing else runs. EBUSY: a step would have to wait, for DMA that is taken step by
 * step; the operation is given up there.
 */
export function runWhole<T>(steps: Steps<T>): T {
  for (let next = steps.next(); ; next = steps.next()) {
    if (next.done) return next.value;
    if (next.value.ready && !next.value.ready()) {
      steps.return(undefined as T);
      throw new IommuError(
        'EBUSY',
        'runWhole',
        `step '${next.value.what}' waits for something that is still under way; take the steps of both in turn`,
      );
    }
  }
}
