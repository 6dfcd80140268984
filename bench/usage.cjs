'use strict';
// Preloaded into a Node process that is measured. When the process ends, it writes what the process has used, as
// getrusage counts it.
const { writeFileSync } = require('node:fs');
const path = process.env.BENCH_USAGE;
delete process.env.BENCH_USAGE;
process.on('exit', () => {
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
  writeFileSync(
    path,
    JSON.stringify({ cpuSeconds: (userCPUTime + systemCPUTime) / 1e6, peakMiB: maxRSS / 1024 }),
  );
});
