import { diskFull, syncErrors, writeErrors } from './groups/disk-errors.js';
import { killRandom, killRepair, killWrite } from './groups/kill.js';
import { fastShare } from './suite.js';

fastShare('no fault of process or disk loses, tears or doubles a result:', [
  killWrite,
  killRandom,
  killRepair,
  writeErrors,
  syncErrors,
  diskFull,
]);
