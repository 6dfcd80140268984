import { NO_SPACE_BYTES } from '../../machine/free-space.js';
import { formatSize } from '../../text/bytes.js';
import { pasteableCommand } from '../../text/shell.js';
import { type HostFinding, problem } from '../check.js';
import type { Host } from '../host.js';
import { directorySaid, type NearestDirectory, SAY, SAY_DIRECTORY, saidLines } from '../look.js';
import { isVersionName, nameInLink, PLACE } from './version-name.js';

/** Where a copy of qrun would go on a host, with the nearest directory there or above it, and what it would run on. */
export interface DeployPlace extends NearestDirectory {
  /** The directory of deployed versions, absolute. */
  readonly place: string;
  /** What would run it: its version, and what its native parts must fit; `undefined` if there is none. */
  readonly node: NodeThere | undefined;
  /** Whether it belongs to somebody else, or can be written by somebody else. */
  readonly isForeign: boolean;
  /** What is at the link: nothing, the name of a version, or something that is not of qrun. */
  readonly current: string | undefined | { readonly strange: true };
  /** The names of the versions that are there. */
  readonly versions: readonly string[];
}

/** A Node, and the system that it runs on. */
export interface NodeThere {
  readonly version: string;
  /** Such as `linux x64`, and the version of glibc where there is one. */
  readonly system: string;
  readonly glibc: string;
}

const BEGIN = 'qrun-place 1';

// What Node says about itself: version, system, and the C library that native parts need.
const ABOUT_NODE =
  'const r=process.report;r.excludeNetwork=true;const h=r.getReport().header;[process.versions.node,process.platform,process.arch,h.glibcVersionRuntime||"-"].join(" ")';

/** Returns the words of the command that looks where a copy of qrun would go. It changes nothing. `node`: Node there. */
export function placeCommand(node: string): readonly string[] {
  return ['sh', '-c', SCRIPT, 'qrun-place', node, ABOUT_NODE];
}

// On one line, because csh cannot quote another.
const SCRIPT = [
  'n=$1; a=$2',
  `p="$HOME/${PLACE}"`,
  SAY,
  `printf "%s\\n" "${BEGIN}"`,
  'say place "$p"',
  'say node "$("$n" -p "$a" 2>/dev/null)"',
  'o=; for d in "$p" "$p/versions"; do if [ -d "$d" ]; then [ -O "$d" ] || o=yes; case "$(ls -ld "$d")" in ?????w*|????????w*) o=yes;; esac; fi; done',
  'say foreign "$o"',
  'k=; if [ -L "$p/current" ]; then k=$(readlink "$p/current"); elif [ -e "$p/current" ]; then k=?; fi',
  'say current "$k"',
  'say versions "$(ls -1 "$p/versions" 2>/dev/null | tr "\\n" " ")"',
  'd=$p/versions; while [ ! -e "$d" ] && [ "$d" != / ]; do d=$(dirname "$d"); done',
  ...SAY_DIRECTORY,
].join('; ');

/** Returns what {@link placeCommand} printed; `undefined` if it is not the output of the script. */
export function parsePlace(stdout: string): DeployPlace | undefined {
  const said = saidLines(stdout, BEGIN);
  const place = said?.get('place') ?? '';
  if (said === undefined || !place.startsWith('/')) return undefined;
  const text = (name: string): string => said.get(name) ?? '';
  const node = /^(\d+\.\d+\.\d+\S*) (\w+ \w+) (\S+)$/.exec(text('node'));
  const link = text('current');
  return {
    place,
    node:
      node === null
        ? undefined
        : { version: node[1] ?? '', system: node[2] ?? '', glibc: node[3] === '-' ? '' : (node[3] ?? '') },
    isForeign: text('foreign') !== '',
    ...directorySaid(said),
    current: link === '' ? undefined : (nameInLink(link) ?? { strange: true }),
    versions: text('versions').split(' ').filter(isVersionName),
  };
}

// As bin/qrun.cjs says it.
const OLDEST_NODE = [20, 18, 1] as const;

/** Returns why a copy of the qrun here could not run at a place, or not be put there. `here`: what it runs on here. */
export function placeFindings(host: Host, found: DeployPlace, here: NodeThere): HostFinding[] {
  const { node, place, nearest } = found;
  const look = pasteableCommand(['ssh', host.ssh, 'ls', '-la', place]);
  const findings: HostFinding[] = [];
  if (node === undefined) {
    findings.push(
      problem(
        'node',
        `there is no ${nodeOf(host)} in the PATH that ssh gives`,
        `install Node ${OLDEST_NODE.join('.')} or later there, or name it: qrun = ["/PATH/node", "${place}/current/bin/qrun.cjs"] of this host`,
      ),
    );
  } else if (isOlder(node.version)) {
    const says = `Node ${node.version} is too old: ${OLDEST_NODE.join('.')} or later is needed`;
    findings.push(problem('node', says, 'install a later one there'));
  } else if (node.system !== here.system || (node.glibc === '') !== (here.glibc === '')) {
    const says = `it is ${systemOf(node)}, and this is ${systemOf(here)}: what is native in qrun here does not fit there`;
    const mend = `let npm bring what fits it: ${pasteableCommand(['ssh', host.ssh, 'npm', 'install', '--global', 'qrun'])}`;
    findings.push(problem('system', says, mend));
  }
  if (found.isForeign) {
    const says = `${place} can be written by others: whoever can decides what runs there`;
    const mend = pasteableCommand(['ssh', host.ssh, 'chmod', 'go-w', place, `${place}/versions`]);
    findings.push(problem('place', says, mend, 23));
  }
  if (!found.writable) {
    findings.push(problem('place', `nothing can be written in ${nearest}`, look, 23));
  }
  if (typeof found.current === 'object') {
    const says = `${place}/current is no link to one of its versions: deploy did not make it`;
    findings.push(problem('place', says, `look at it, and move it away: ${look}`, 23));
  }
  if (found.freeBytes !== undefined && found.freeBytes < NO_SPACE_BYTES) {
    const says = `${formatSize(found.freeBytes)} free on the disk of ${nearest}`;
    findings.push(problem('disk', says, 'free space there', 23));
  }
  return findings;
}

/** Returns what an installation runs on, for people. */
export function systemOf({ system, glibc }: NodeThere): string {
  return glibc === '' ? system : `${system} with glibc ${glibc}`;
}

/** Returns the program that runs qrun on a host: the first of several words of its `qrun`, else node in its PATH. */
export function nodeOf({ qrun: [program = '', ...others] }: Host): string {
  return others.length > 0 && /(?:^|\/)node[^/]*$/.test(program) ? program : 'node';
}

function isOlder(version: string): boolean {
  const numbers = version.split('.').map(part => Number.parseInt(part, 10));
  for (const [index, least] of OLDEST_NODE.entries()) {
    const number = numbers[index] ?? 0;
    if (number !== least) return number < least;
  }
  return false;
}
