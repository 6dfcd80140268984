import { cliCommand } from '../../command.js';

/** `qrun trust [DIR]`. */
export const trust = cliCommand({
  name: 'trust',
  description: 'show what a tree says about its server, and allow secrets from outside to be sent there',
  argument: ['[dir]', 'directory of the sweep, with its qrun.toml or .env', '.'],
  options: [
    ['--remove', 'stop trusting it'],
    ['--list', 'what is trusted'],
    ['--json', 'as one JSON line'],
  ],
  help: `A password from the environment or from a file of yours goes to a server that you name (--url, CLICKHOUSE_URL),
to this machine, or to one that a trusted qrun.toml or .env names. Trust ends when what it says about the connection
changes. In CI: QRUN_TRUST=/path/of/the/tree, or --trust. docs/trust.md has the details.`,
  load: () => import('./run.js'),
});
