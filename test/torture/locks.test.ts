import { lockHolder, mixed, stampede } from './groups/locks.js';
import { damage, tails, twice } from './groups/tails.js';
import { fastShare } from './suite.js';

fastShare('no other writer and no broken log loses, tears or doubles a result:', [
  lockHolder,
  stampede,
  mixed,
  tails,
  damage,
  twice,
]);
