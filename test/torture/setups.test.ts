import { setupKill } from './groups/setups.js';
import { fastShare } from './suite.js';

fastShare('the setup of embedded data survives a kill at each of its steps:', [setupKill]);
