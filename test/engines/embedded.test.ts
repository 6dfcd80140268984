import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { openEmbedded } from '../../src/io/engines/embedded/engine.js';
import { engineContract } from './contract.js';

const directory = mkdtempSync(join(tmpdir(), 'qrun-embedded-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

engineContract(
  'embedded',
  options =>
    openEmbedded(
      {
        dataDirectory: join(directory, 'data'),
        concurrency: options?.concurrency ?? 16,
        spool: { directory, thresholdBytes: 1024 * 1024 },
        settings: {},
        // Servers take format_schema too.
        access: { files: true, network: false },
      },
      new AbortController().signal,
    ),
  { modern: true },
);
