import type { OutsideUse } from '../../sql/guard/unguarded.js';
import { type Failure, ownFailure } from '../failure.js';
import type { AccessNeeded } from './access.js';
import { GUARDED_SETTINGS, OUTSIDE_ENGINES } from './access.js';

/** How the engine's message begins when SQL uses the function file() although files are not allowed. */
export const FILE_FUNCTION_CLOSED = 'qrun has closed the function file()';

const ACCESS_DENIED = 497;
const CONSTRAINT = 452;
const WAYS: Readonly<Record<AccessNeeded, string>> = {
  files: 'SQL may use files only if qrun is started with --allow-files',
  network: 'SQL may use the network only if qrun is started with --allow-network',
  both: 'SQL may use it only if qrun is started with --allow-files and --allow-network',
  never: 'SQL may use it only on a server',
};

/** Returns the message for an OutsideUse: `the engine URL is not allowed here: ...`. */
export function refusalOf({ what, needed }: OutsideUse): string {
  return `${what} is not allowed here: ${WAYS[needed]}`;
}

/** Returns the failure of a statement that qrun does not pass to the embedded engine; it never started. */
export function refusedFailure(use: OutsideUse): Failure {
  const failure = ownFailure('ACCESS_DENIED', 'permanent', refusalOf(use));
  return { ...failure, code: ACCESS_DENIED, neverStarted: true };
}

/** Returns a failure of the embedded engine; if access was denied, with what would allow it. */
export function explained(failure: Failure): Failure {
  const use = deniedUse(failure);
  if (use === undefined) return failure;
  const { code, name, kind, message } = refusedFailure(use);
  return { ...failure, code, name, kind, message };
}

// It was called with one or more arguments, or is used as a table function.
const FUNCTION_OF_FILES = new RegExp(
  `${FILE_FUNCTION_CLOSED.replace('()', '\\(\\)')}|Function file expects 1 arguments|Unknown table function CAST\\b`,
);
// `... it's necessary to have the grant READ ON FILE.`, `TABLE ENGINE ON URL`, `CLUSTER ON *.*`
const GRANT = /necessary to have the grant (READ, WRITE|READ|WRITE|TABLE ENGINE|CLUSTER)(?: ON ([\w ]+))?/;
const SETTING = /Setting (\w{1,100}) should/;

function deniedUse({ code, message }: Failure): OutsideUse | undefined {
  if (FUNCTION_OF_FILES.test(message)) {
    return { what: 'the function file()', needed: 'files' };
  }
  if (code === CONSTRAINT) {
    const name = SETTING.exec(message)?.[1] ?? '';
    const needed = GUARDED_SETTINGS.get(name);
    return needed === undefined ? undefined : { what: `the setting ${name}`, needed };
  }
  if (code !== ACCESS_DENIED) return undefined;
  const [, privilege, object = ''] = GRANT.exec(message) ?? [];
  if (privilege === undefined) return undefined;
  if (privilege === 'TABLE ENGINE') {
    const needed = OUTSIDE_ENGINES.get(object.toLowerCase());
    return needed === undefined ? undefined : { what: `the engine ${object}`, needed };
  }
  if (privilege === 'CLUSTER') return { what: 'a cluster', needed: 'network' };
  const verb = privilege === 'WRITE' ? 'writing to' : 'reading from';
  if (object === 'FILE') return { what: `${verb} a file`, needed: 'files' };
  if (object === 'SQLITE') return { what: `${verb} a database of SQLite`, needed: 'files' };
  if (object === 'ODBC' || object === 'JDBC') return { what: object, needed: 'never' };
  return { what: `${verb} ${object === 'REMOTE' ? 'another server' : object}`, needed: 'network' };
}
