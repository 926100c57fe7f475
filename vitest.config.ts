import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/seed.ts'],
    testTimeout: 60_000,
    // Vitest would leave one core free, which of two is half the machine.
    maxWorkers: '100%',
    // Files share a worker's modules: compiling the core and loading everything anew took a third of the time. Nothing may be left
    // behind in a module that another file would see.
    isolate: false,
    coverage: { provider: 'v8', include: ['src/**/*.ts'], exclude: ['src/wasm/binary.ts'] },
  },
});
