import { hosts } from './groups/hosts.js';
import { fastShare } from './suite.js';

fastShare('a sweep over two hosts loses and doubles nothing', [hosts]);
