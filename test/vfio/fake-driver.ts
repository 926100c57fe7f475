import type { ErrnoCode } from '../../src/errno/errno.ts';
import { IommuError } from '../../src/errno/error.ts';
import type { Step } from '../../src/schedule/step.ts';
import { DRIVER_ARCS } from '../../src/vfio/driver-arcs.ts';
import type { MigrationDriver, ResumeStream, SaveStream } from '../../src/vfio/migration-driver.ts';

/** What a fake driver does beside writing down what it was asked. */
export interface FakeOptions {
  readonly flags?: number;
  /** Which of the arcs performed fails, counted from 0 since the driver was armed, and how. */
  readonly failAt?: number;
  readonly code?: ErrnoCode;
  /** Whether that leaves the device in no defined state. */
  readonly breaks?: boolean;
  readonly temporaryEnd?: 'ENOMSG' | 'zero';
  /** Whether hooks take a step in the middle. */
  readonly steps?: boolean;
}

/** A driver of a device whose state is a queue of bytes. Armed, it fails on purpose. */
export class FakeDriver {
  readonly flags: number;
  readonly temporaryEnd: 'ENOMSG' | 'zero' | undefined;
  /** The hooks that succeeded, `reset` included. */
  readonly calls: string[] = [];
  /** What a save yields next. */
  toSave: number[] = [];
  /** What was taken in. */
  taken: number[] = [];
  /** Most bytes of one read or write. */
  chunk = Infinity;
  armed = false;
  inError = false;
  resetFails = false;
  info = { initialBytes: 100 as number | bigint, dirtyBytes: 0 as number | bigint };
  #performed = 0;

  constructor(options: FakeOptions = {}) {
    this.flags = options.flags ?? 7;
    this.temporaryEnd = options.temporaryEnd;
    for (const { hook } of DRIVER_ARCS) {
      const perform = () => this.#perform(hook, options);
      (this as unknown as Record<string, unknown>)[hook] = options.steps
        ? function* (): Generator<Step, unknown, void> {
            yield { what: `inside ${hook}` };
            return perform();
          }
        : perform;
    }
  }

  /** It, as what it is: the hooks are made when it is. */
  get driver(): MigrationDriver {
    return this as unknown as MigrationDriver;
  }

  dataSize(): number {
    return this.toSave.length;
  }

  reset(): void {
    if (this.resetFails) throw new IommuError('EIO', 'reset', 'the device does not answer');
    this.inError = false;
    this.calls.push('reset');
  }

  #perform(hook: string, options: FakeOptions): SaveStream | ResumeStream | undefined {
    if (this.armed && this.#performed++ === (options.failAt ?? -1)) {
      this.inError = options.breaks ?? false;
      throw new IommuError(options.code ?? 'EIO', hook, 'as the test wants it');
    }
    this.calls.push(hook);
    if (hook === 'stopToResuming') return { write: (from) => this.#take(from) };
    if (!['stopToStopCopy', 'runningToPreCopy', 'runningP2pToPreCopyP2p'].includes(hook)) return undefined;
    return { read: (into) => this.#give(into), precopyInfo: () => this.info };
  }

  #give(into: Uint8Array): number {
    const bytes = this.toSave.splice(0, Math.min(into.length, this.chunk));
    into.set(bytes);
    return bytes.length;
  }

  #take(from: Uint8Array): number {
    const count = Math.min(from.length, this.chunk);
    if (this.taken.length + count > 64) throw new IommuError('ENOMEM', 'resume', 'at most 64 bytes');
    this.taken.push(...from.subarray(0, count));
    return count;
  }
}
