import type { Group } from '../tally.js';
import { deaths } from './deaths.js';
import { diskFull, syncErrors, writeErrors } from './disk-errors.js';
import { fuzzing } from './fuzzing.js';
import { hosts } from './hosts.js';
import { importKill } from './imports.js';
import { killRandom, killRepair, killWrite } from './kill.js';
import { lockHolder, mixed, stampede } from './locks.js';
import { memory } from './memory.js';
import { proxyCuts } from './network.js';
import { restart, serverLimits } from './server.js';
import { setupKill } from './setups.js';
import { simulation } from './simulation.js';
import { slurm } from './slurm.js';
import { damage, tails, twice } from './tails.js';
import { unitDisk, unitKill, unitOwner } from './units.js';

/** All groups of trials, in the order in which they run. */
export const GROUPS: readonly Group[] = [
  killWrite,
  killRandom,
  killRepair,
  writeErrors,
  syncErrors,
  diskFull,
  lockHolder,
  stampede,
  mixed,
  tails,
  damage,
  twice,
  unitKill,
  unitOwner,
  unitDisk,
  importKill,
  hosts,
  setupKill,
  deaths,
  proxyCuts,
  restart,
  serverLimits,
  slurm,
  simulation,
  fuzzing,
  memory,
];
