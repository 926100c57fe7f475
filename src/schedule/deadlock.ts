/** A step that an agent is about to take or has taken. */
export interface AgentStep {
  /** Name of the agent. */
  readonly agent: string;
  /** What the step does, as the operation calls it. */
  readonly what: string;
}

/** Agents are left, and each of them waits for something that only another one could bring about. */
export class DeadlockError extends Error {
  /** The steps that wait, in the order of the agents. */
  readonly waiting: readonly AgentStep[];

  /** @param taken How many steps had been taken before. */
  constructor(waiting: readonly AgentStep[], taken: number) {
    const steps = waiting.map(({ agent, what }) => `'${agent}' waits at '${what}'`).join(', ');
    super(`deadlock after ${taken} steps: ${steps}`);
    this.name = 'DeadlockError';
    this.waiting = waiting;
  }
}
