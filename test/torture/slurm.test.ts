import { slurm } from './groups/slurm.js';
import { fastShare } from './suite.js';

fastShare('a sweep on Slurm survives', [slurm]);
