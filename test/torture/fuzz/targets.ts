import { ANSWERS } from './answers.js';
import { LOGS } from './logs.js';
import { SETTINGS } from './settings.js';
import { SQL } from './sql.js';
import { STATE_FILES } from './state-files.js';
import { TEXTS } from './texts.js';
import type { Target } from './trial.js';

/** Everything that reads what somebody else wrote: files of a tree, answers of a server, logs, names, flags. */
export const TARGETS: readonly Target[] = [
  ...SQL,
  ...LOGS,
  ...ANSWERS,
  ...SETTINGS,
  ...STATE_FILES,
  ...TEXTS,
];
