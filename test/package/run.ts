import { spawnSync } from 'node:child_process';

/** How a program ended. */
export interface Outcome {
  /** Exit code; null where it was ended by a signal, as by the time limit. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `node` with these arguments to its end, without input. */
export function runNode(args: readonly string[], cwd: string): Outcome {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd,
    encoding: 'utf8',
    input: '',
    timeout: 60_000,
    maxBuffer: 2 ** 26,
  });
  return { code: status, stdout, stderr };
}
