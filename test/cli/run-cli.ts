import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { MessageChannel, Worker, receiveMessageOnPort } from 'node:worker_threads';

const MAIN = new URL('../../dist/src/cli/main.js', import.meta.url);
const LIMIT_MS = 60_000;

/** What a run of the command line came to. */
export interface Outcome {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

const { port1: port, port2: theirs } = new MessageChannel();
const ended = new Int32Array(new SharedArrayBuffer(4));
const thread = new Worker(new URL('./main-thread.mjs', import.meta.url), {
  workerData: { main: MAIN.href, port: theirs, ended },
  transferList: [theirs],
});
thread.unref();
port.unref();

/**
 * Runs the built command line, in a thread that all runs of a test file share: to start a process takes twenty times as long.
 * That a process of its own comes to the same is what test/cli/cli.test.ts looks at.
 */
export function cli(...args: string[]): Outcome {
  Atomics.store(ended, 0, 0);
  port.postMessage(args);
  if (Atomics.wait(ended, 0, 0, LIMIT_MS) === 'timed-out')
    throw new Error(`${args.join(' ')}: no end in ${LIMIT_MS} ms`);
  return (receiveMessageOnPort(port) as { message: Outcome }).message;
}

/** Runs the built command line as a process of its own. */
export function cliProcess(...args: string[]): Outcome {
  const { status, stdout, stderr } = spawnSync(process.execPath, [fileURLToPath(MAIN), ...args], {
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  return { code: status, out: stdout, err: stderr };
}
