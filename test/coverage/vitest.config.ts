import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/coverage/log-execution.ts'],
    testTimeout: 600_000,
  },
});
