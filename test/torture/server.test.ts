import { proxyCuts } from './groups/network.js';
import { restart, serverLimits } from './groups/server.js';
import { fastShare } from './suite.js';

fastShare('no fault of server or network loses, tears or doubles a result:', [
  proxyCuts,
  restart,
  serverLimits,
]);
