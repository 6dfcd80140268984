import { cliCommand } from '../../command.js';
import { UNIT_OPTIONS } from '../../options.js';

/** `qrun unit DIR`. */
export const unit = cliCommand({
  name: 'unit',
  description: 'run a directory of SQL files and record every result',
  argument: [
    '<dir>',
    'directory of *.sql files (with subdirectories; names that begin with "_" do not count)',
  ],
  options: UNIT_OPTIONS,
  help: `Examples:
  qrun unit ./sql -P16
  CLICKHOUSE_PASSWORD=... qrun unit ./sql --url https://ch.example:8443 --user sweep --setup
  qrun unit ./sql --include '2down/**' --shard 2/8 --param symbol=BTCUSDT --set max_threads=2

A query file may set its own limits in its first line: -- qrun: timeout=30s rows=3 retries=1
Run it again to resume: a query runs again only if its SQL, parameters or settings changed, or if it failed.`,
  load: () => import('./run.js'),
});
