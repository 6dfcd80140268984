import { deaths } from './groups/deaths.js';
import { memory } from './groups/memory.js';
import { unitDisk, unitKill, unitOwner } from './groups/units.js';
import { fastShare } from './suite.js';

fastShare('qrun unit survives what its log survives:', [unitKill, unitOwner, unitDisk, deaths, memory]);
