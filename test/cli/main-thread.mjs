// Runs the built command line in this thread, once per message: its modules are loaded once, `main.js` itself anew each time.

import { workerData } from 'node:worker_threads';

const { main, port, ended } = workerData;
let runs = 0;

/** What is written to `stream` from now on, as one array. */
function written(stream) {
  const texts = [];
  stream.write = (text) => texts.push(text) > 0;
  return texts;
}

async function run(args) {
  const [out, err] = [written(process.stdout), written(process.stderr)];
  process.argv = [process.execPath, main, ...args];
  process.exitCode = undefined;
  await import(`${main}?run=${++runs}`);
  process.stdout.removeAllListeners('error');
  return { code: process.exitCode ?? 0, out: out.join(''), err: err.join('') };
}

port.on('message', (args) => {
  void run(args)
    .catch((error) => ({ code: null, out: '', err: String(error.stack) }))
    .then((outcome) => {
      process.exitCode = undefined;
      port.postMessage(outcome);
      Atomics.store(ended, 0, 1);
      Atomics.notify(ended, 0);
    });
});
