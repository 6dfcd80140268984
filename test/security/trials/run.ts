import { CODE } from './code.js';
import { FILES } from './files.js';
import { INPUT } from './input.js';
import { packageTrials } from './package.js';
import { SECRETS } from './secrets.js';
import { SERVER } from './server.js';
import { type Trial, type Verdict, World } from './world.js';

/** All trials, by what they are about. */
export function trialsOf(root: string): readonly Trial[] {
  return [...SECRETS, ...FILES, ...CODE, ...SERVER, ...INPUT, ...packageTrials(root)];
}

/** What came of one trial. */
export interface Tried extends Verdict {
  readonly name: string;
  readonly seconds: number;
}

/** Where the command is, where servers listen, and which trials run. */
export interface TrialsOptions {
  readonly root: string;
  readonly qrun: string;
  readonly host: string;
  /** Only those whose name holds this text. */
  readonly only?: string | undefined;
}

// They wait for processes most of the time.
const AT_ONCE = 3;

/** Tries all again, each in a directory of its own; `onEnd` gets each when it has ended. An exception counts as open. */
export async function tryAll(options: TrialsOptions, onEnd: (tried: Tried) => void): Promise<void> {
  const { root, qrun, host, only } = options;
  const wanted = trialsOf(root).filter(({ name }) => only === undefined || name.includes(only));
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let trial = wanted[next++]; trial !== undefined; trial = wanted[next++]) {
      const since = performance.now();
      const world = new World(qrun, host);
      let verdict: Verdict;
      try {
        verdict = await trial.run(world);
      } catch (error) {
        verdict = { state: 'open', saw: `the trial failed: ${String(error).split('\n')[0]}` };
      }
      await world.close();
      onEnd({ name: trial.name, ...verdict, seconds: (performance.now() - since) / 1000 });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
}
