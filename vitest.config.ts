import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Fault injection is not yet part of `npm test`: npm run torture runs it.
    exclude: ['test/torture/**', 'node_modules/**'],
    globalSetup: ['test/build-once.ts'],
    retry: 0,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    pool: 'forks',
  },
});
