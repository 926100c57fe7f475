import type { Choice } from './choice.ts';
import { DeadlockError, type AgentStep } from './deadlock.ts';
import type { Step, Steps } from './step.ts';

/** Something that acts on its own: a device's queue, a migration, a driver that maps and unmaps. */
export interface Agent {
  /** For traces and errors. */
  readonly name: string;
  /** What it does. Nothing may happen before its first step is taken. */
  readonly steps: Steps<unknown>;
}

interface Pending {
  readonly agent: Agent;
  next: Step;
}

/** Runs agents against each other, one atomic step at a time; a Choice says whose turn it is. */
export class Interleaver {
  /** Agents that have not ended, in the order given, each with the step that it is about to take. */
  readonly #pending: Pending[] = [];
  readonly #trace: AgentStep[] = [];
  readonly #program: number[] = [];

  constructor(agents: readonly Agent[]) {
    for (const agent of agents) {
      const next = agent.steps.next();
      if (!next.done) this.#pending.push({ agent, next: next.value });
    }
  }

  /** The steps taken so far. */
  get trace(): readonly AgentStep[] {
    return this.#trace;
  }

  /** The choices made so far; as a program they lead here again. */
  get program(): readonly number[] {
    return this.#program;
  }

  /**
   * Takes one step of the agent that `choose` names among those that need not wait, counted in the order given; false when
   * all agents have ended. Throws DeadlockError where all that are left wait, RangeError for a choice that is none, and
   * what the step throws.
   */
  step(choose: Choice): boolean {
    if (this.#pending.length === 0) return false;
    const runnable = this.#pending.filter(({ next }) => next.ready === undefined || next.ready());
    if (runnable.length === 0) throw new DeadlockError(this.#announced(), this.#trace.length);
    const choice = choose(runnable.length);
    const pending = runnable[choice];
    if (!pending) {
      throw new RangeError(`choice ${this.#trace.length} is ${choice}; it must be from 0 to ${runnable.length - 1}`);
    }
    this.#program.push(choice);
    this.#trace.push({ agent: pending.agent.name, what: pending.next.what });
    const next = pending.agent.steps.next();
    if (next.done) this.#pending.splice(this.#pending.indexOf(pending), 1);
    else pending.next = next.value;
    return true;
  }

  /** Takes steps until all agents have ended. Errors as `step`. */
  run(choose: Choice): void {
    while (this.step(choose));
  }

  #announced(): AgentStep[] {
    return this.#pending.map(({ agent, next }) => ({ agent: agent.name, what: next.what }));
  }
}
