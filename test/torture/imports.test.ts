import { importKill } from './groups/imports.js';
import { fastShare } from './suite.js';

fastShare('no import loses, tears or doubles a result:', [importKill]);
