import type { ErrorCode } from '../errors.js';
import { pasteableCommand } from '../text/shell.js';
import type { Host } from './host.js';

/** Why a host could not be asked, for people. */
export interface HostProblem {
  readonly code: ErrorCode;
  readonly says: string;
  /** The command or the change that mends it. */
  readonly mend: string;
}

/** How a connection ended. */
export interface ConnectionEnd {
  readonly exitCode: number | undefined;
  readonly stderr: string;
  readonly timedOut: boolean;
}

/** How long a host may take to accept a connection. */
export const CONNECT_LIMIT_S = 5;

// What ssh itself ends with; everything else is the exit code of the command there.
const SSH_FAILED = 255;

/**
 * Returns why ssh did not reach a host; `undefined` if it did, whatever the command there ended with. What ssh prints
 * decides, because it ends with 255 whatever happened; its messages are not translated.
 */
export function sshProblem({ name, ssh }: Host, end: ConnectionEnd): HostProblem | undefined {
  const connect = pasteableCommand(['ssh', ssh]);
  if (end.timedOut) {
    return {
      code: 'HOST_UNREACHABLE',
      says: 'it stopped answering',
      mend: `look whether it is alive: ${connect}`,
    };
  }
  if (end.exitCode !== SSH_FAILED) return undefined;
  const { stderr } = end;
  if (/IDENTIFICATION HAS CHANGED|Offending \S+ key|revoked/.test(stderr)) {
    return {
      code: 'HOST_REFUSED',
      says: `its host key is not the one that is known for ${ssh}: it was set up anew, or this is another machine`,
      mend: `ask whoever runs it; if its key is a new one: ${pasteableCommand(['ssh-keygen', '-R', hostOf(ssh)])}, and then ${connect}`,
    };
  }
  if (/Host key verification failed|No \S+ host key is known/.test(stderr)) {
    return {
      code: 'HOST_REFUSED',
      says: `its host key is not known here`,
      mend: `compare and accept it once: ${connect}   (or take it as it is: qrun hosts check --accept-new --host ${name})`,
    };
  }
  if (/Could not resolve hostname/i.test(stderr)) {
    return {
      code: 'HOST_UNREACHABLE',
      says: `there is no host called ${hostOf(ssh)}`,
      mend: 'correct ssh = "..." of this host in qrun.toml, or add a Host to ~/.ssh/config',
    };
  }
  if (/Permission denied|Too many authentication failures/.test(stderr)) {
    return {
      code: 'HOST_REFUSED',
      says: `it does not let us in (${lastLine(stderr)})`,
      mend: `${pasteableCommand(['ssh-copy-id', ssh])}, or load the key: ssh-add`,
    };
  }
  return {
    code: 'HOST_UNREACHABLE',
    says: lastLine(stderr) || 'ssh failed and said nothing',
    mend: `look whether it is alive: ${connect}`,
  };
}

/** Returns the command that installs a program that reaches hosts on this machine. */
export function installCommand(program: string): string {
  return `apt-get install ${program === 'ssh' ? 'openssh-client' : program}`;
}

/** Returns what to do about a host of which not enough is known. */
export function checkHint({ name }: Pick<Host, 'name'>): string {
  return `see what is missing: qrun hosts check --host ${name}`;
}

function hostOf(ssh: string): string {
  return ssh.slice(ssh.indexOf('@') + 1);
}

// The lines before are warnings and banners.
function lastLine(text: string): string {
  const lines = text.split(/[\r\n]+/).map(line => line.trim());
  return (lines.filter(line => line !== '').at(-1) ?? '').slice(0, 300);
}
