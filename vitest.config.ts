import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['node_modules/**'],
    globalSetup: ['test/build-once.ts'],
    retry: 0,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    pool: 'forks',
  },
});
