import { unreachedHost } from '../../../core/hosts/check.js';
import {
  blockers,
  type DeployStep,
  decision,
  otherProblem,
  stepDone,
  stepNote,
  stepProblem,
  tomlLine,
  wordsFor,
} from '../../../core/hosts/deploy/deploy.js';
import {
  type InstallStep,
  type InstallSteps,
  parseInstallReply,
} from '../../../core/hosts/deploy/install.js';
import {
  nodeOf,
  parsePlace,
  placeCommand,
  placeFindings,
  systemOf,
} from '../../../core/hosts/deploy/place.js';
import { partialName } from '../../../core/hosts/deploy/version-name.js';
import type { Host } from '../../../core/hosts/host.js';
import { type HostProblem, sshProblem } from '../../../core/hosts/ssh-failure.js';
import {
  newBytesOf,
  TRANSFER_LIMIT_MS,
  TRANSFER_OPTIONS,
  transferOf,
  transferProblem,
} from '../../../core/hosts/transfer.js';
import { NO_SPACE_BYTES } from '../../../core/machine/free-space.js';
import { formatSize } from '../../../core/text/bytes.js';
import { pasteableCommand } from '../../../core/text/shell.js';
import { lockMechanism } from '../../../io/files/flock.js';
import type { Installation } from '../../../io/hosts/installation.js';
import type { HostConnections } from '../../../io/hosts/ssh.js';
import { nodeHere } from '../../../io/machine/this-process.js';
import { lookAtHost } from '../check.js';
import { enginePackages, type StepsRequest, type Way } from './way.js';

// What a login, a look and small works may take; a trial of an engine takes longer.
const LOOK_LIMIT_MS = 30_000;
const TEST_LIMIT_MS = 300_000;
// As many as rsync takes.
const MOST_LINKED = 20;

/** The steps of a deployment, each on all hosts at once. Errors of each: as `deployToHosts`. */
export class Deployment {
  readonly #sent: Installation;
  readonly #request: StepsRequest;
  readonly #connections: HostConnections;

  constructor(sent: Installation, request: StepsRequest, connections: HostConnections) {
    this.#sent = sent;
    this.#request = request;
    this.#connections = connections;
  }

  /** Step by step, on all hosts at once, with those that have come so far. */
  async all(ways: readonly Way[]): Promise<void> {
    await this.#step(ways, way => this.#audit(way));
    if (this.#request.dryRun) {
      await this.#step(ways, async way => {
        const says = `${formatSize(this.#sent.sizeBytes)} at most, into ${way.target}; then tried there, and switched to`;
        way.steps.push({ ...stepDone('upload', says), state: 'would' });
      });
      return;
    }
    const { directory, remove } = this.#sent.stage();
    try {
      await this.#step(ways, way => this.#upload(way, directory));
    } finally {
      remove();
    }
    await this.#step(ways, way => this.#verify(way));
    await this.#step(ways, way => this.#switch(way));
    await this.#step(ways, way => this.#reach(way));
  }

  async #step(ways: readonly Way[], work: (way: Way) => Promise<void>): Promise<void> {
    const { onStep } = this.#request;
    const going = ways.filter(({ steps }) => steps.every(({ state }) => state !== 'problem'));
    const before = new Map(going.map(way => [way, way.steps.length]));
    await Promise.all(going.map(work));
    const added = going.map(way => way.steps.slice(before.get(way)));
    // By step and then by host, as they are read.
    for (let index = 0; added.some(steps => steps.length > index); index += 1) {
      for (const [position, way] of going.entries()) {
        const step = added[position]?.[index];
        if (step !== undefined) onStep?.(way.host.name, step);
      }
    }
  }

  async #audit(way: Way): Promise<void> {
    const { host, steps } = way;
    const looked = await lookAtHost(host, this.#connections);
    const check = 'check' in looked ? looked.check : unreachedHost(host, looked.unreached);
    const [blocked] = blockers(check);
    if (blocked !== undefined) {
      steps.push(
        stepProblem('audit', { ...blocked, says: `${blocked.what}: ${blocked.says}` }, blocked.exit_code),
      );
      return;
    }
    const end = await this.#connections.run(host, placeCommand(nodeOf(host)), LOOK_LIMIT_MS);
    const found = parsePlace(end.stdout);
    if (found === undefined) {
      steps.push(stepProblem('audit', sshProblem(host, end) ?? strange(host, end.stderr), 26));
      return;
    }
    const here = nodeHere();
    const [finding] = placeFindings(host, found, here);
    if (finding !== undefined) {
      steps.push(stepProblem('audit', finding, finding.exit_code));
      return;
    }
    way.place = found;
    const versions = `${found.place}/versions`;
    // What is there under its name is whole. Sending again then mends what somebody has changed in it.
    const isThere = found.versions.includes(this.#sent.name);
    way.target = `${versions}/${isThere ? this.#sent.name : partialName(host.name, this.#sent.name)}`;
    const free = found.freeBytes === undefined ? '' : `, ${formatSize(found.freeBytes)} free`;
    const its = check.qrun === null ? 'no qrun' : `qrun ${check.qrun}`;
    const system = found.node === undefined ? '' : `Node ${found.node.version}, ${systemOf(found.node)}`;
    const says = `${system}${free}; ${its}`;
    const missing = otherProblem(check);
    const noted = `${says}. No sweep can run there yet: ${missing?.what}: ${missing?.says}`;
    steps.push(missing === undefined ? stepDone('audit', says) : stepNote('audit', noted, missing.mend));
    steps.push(stepDone('decide', decision(check)));
  }

  async #upload(way: Way, directory: string): Promise<void> {
    const { host, steps, place, target } = way;
    if (place === undefined || target === undefined) return;
    const sinceMs = performance.now();
    const made = await this.#connections.run(
      host,
      ['sh', '-c', 'umask 077; mkdir -p "$1"', 'qrun-make', target],
      LOOK_LIMIT_MS,
    );
    if (!made.ok) {
      steps.push(stepProblem('upload', sshProblem(host, made) ?? unmade(host, target, made.stderr), 23));
      return;
    }
    const full = await this.#room(way, directory);
    if (full !== undefined) {
      steps.push(full);
      return;
    }
    const end = await this.#rsync(way, directory);
    const problem = transferProblem(host, end, { to: 'there', into: `${place.place}/versions` });
    if (problem !== undefined) {
      steps.push(await this.#notSent(way, problem));
      return;
    }
    way.sentBytes = transferOf(end.stdout).bytes;
    const seconds = ((performance.now() - sinceMs) / 1000).toFixed(1);
    const much = `${formatSize(way.sentBytes)} sent in ${seconds} s`;
    steps.push(
      stepDone('upload', `${much}, beside what is there: ${place.place}/versions/${this.#sent.name}`),
    );
  }

  async #notSent(way: Way, { code, says, mend }: HostProblem): Promise<DeployStep> {
    if (code !== 'WRITE_FAILED') {
      const again = `${mend}; then deploy again: what has arrived is not sent again`;
      return stepProblem('upload', { says, mend: again }, 26);
    }
    // A disk that is full would end the runs on that host.
    await this.#discard(way);
    return stepProblem('upload', { says: `${says}; what had arrived was removed`, mend }, 23);
  }

  // Whether what is new there fits on its disk, with something left for the logs of what runs.
  async #room(way: Way, directory: string): Promise<DeployStep | undefined> {
    const { place } = way;
    const free = place?.freeBytes;
    if (free === undefined || free >= this.#sent.sizeBytes + NO_SPACE_BYTES) return undefined;
    // What older versions have too takes no room. Without a number, because it does not answer, the upload says why.
    const { stdout } = await this.#rsync(way, directory, ['--dry-run']);
    const needed = newBytesOf(stdout) + NO_SPACE_BYTES;
    if (free >= needed) return undefined;
    await this.#discard(way);
    const says = `${formatSize(free)} free on the disk of ${place?.nearest}, and ${formatSize(needed)} are needed`;
    const mend = 'free space there, or leave the engine out (--without-chdb) if its sweeps use a server';
    return stepProblem('upload', { says, mend }, 23);
  }

  async #rsync({ host, place, target = '' }: Way, cwd: string, more: readonly string[] = []) {
    const { current, versions = [], place: at = '' } = place ?? {};
    // Files that an older version has too are linked to it there, and not sent.
    const older = [...(typeof current === 'string' ? [current] : []), ...versions]
      .filter((name, index, all) => all.indexOf(name) === index && name !== this.#sent.name)
      .slice(0, MOST_LINKED);
    const options = [
      // No times: packages of npm have all the same one, so that only the content tells.
      ...['--recursive', '--copy-links', '--perms', '--chmod=D755,Fu+rw,Fgo+r,Fgo-w', '--checksum'],
      ...['--delete', '--partial-dir=.rsync-partial', '--compress', ...TRANSFER_OPTIONS],
      ...older.map(name => `--link-dest=${at}/versions/${name}`),
      ...more,
    ];
    return await this.#connections.send(host, { cwd, options, paths: ['./'], to: target }, TRANSFER_LIMIT_MS);
  }

  async #discard({ host, target }: Way): Promise<void> {
    if (target === undefined || !target.includes('/.partial-')) return;
    await this.#connections.run(host, ['rm', '-rf', target], LOOK_LIMIT_MS);
  }

  async #verify(way: Way): Promise<void> {
    const locks = (await lockMechanism()) ?? null;
    const engine = enginePackages().some(name => this.#sent.packages.has(name));
    const got = await this.#install(way, way.target, 'test', { locks, engine }, TEST_LIMIT_MS);
    if ('problem' in got) {
      await this.#discard(way);
      const says = `${got.problem.says}. Nothing was switched`;
      way.steps.push(stepProblem('verify', { ...got.problem, says }, 26));
      return;
    }
    const { tried, byLink } = got.returns;
    const says = `it starts and locks; ${tried === 'run' ? 'a unit ran there, and its audit is complete' : 'a unit was planned there (no engine was sent)'}`;
    way.steps.push(stepDone('verify', says));
    if (byLink > 0) {
      const what = `${byLink} tasks name the link and not a version: those that wait will run this one`;
      way.steps.push(stepNote('verify', what, 'submit-all gives tasks the path of a version'));
    }
  }

  async #switch(way: Way): Promise<void> {
    const { host, steps, place } = way;
    const ask = { name: this.#sent.name, link: this.#request.link ?? null };
    const got = await this.#install(way, way.target, 'switch', ask, TEST_LIMIT_MS);
    if ('problem' in got) {
      steps.push(stepProblem('switch', got.problem, got.problem.code === 'WRITE_FAILED' ? 23 : 26));
      return;
    }
    const { before, path } = got.returns;
    way.before = before ?? undefined;
    way.path = path;
    way.switched = true;
    const from =
      before === null ? '' : before === this.#sent.name ? ', as before' : `; before: ${before}, which stays`;
    steps.push(stepDone('switch', `${place?.place}/current -> versions/${this.#sent.name}${from}`));
    if (!this.#request.prune) return;
    const pruned = await this.#install(way, path, 'prune', {}, TEST_LIMIT_MS);
    if ('problem' in pruned) {
      steps.push(
        stepNote('switch', `no old version was removed: ${pruned.problem.says}`, pruned.problem.mend),
      );
      return;
    }
    way.removed = pruned.returns.removed;
    const { length } = way.removed;
    const kept = `${pruned.returns.kept.length} kept on ${host.name}`;
    steps.push(
      stepDone('switch', `${length === 0 ? 'no old version' : way.removed.join(', ')} removed, ${kept}`),
    );
  }

  // Whether qrun.toml leads to what was brought.
  async #reach(way: Way): Promise<void> {
    const { host, steps, place, path } = way;
    const looked = await lookAtHost(host, this.#connections);
    const its = 'look' in looked ? looked.look?.qrun : undefined;
    const here = its !== undefined && 'here' in its ? its.here : undefined;
    if (here !== undefined && here.program === path) {
      steps.push(stepDone('resubmit', 'what is submitted from now on runs it'));
      return;
    }
    way.words = wordsFor(host, place?.place ?? '');
    const found =
      here === undefined ? 'not there, or does not answer' : (here.program ?? `qrun ${here.version}`);
    const says = `${host.qrun.join(' ')} there is ${found}, and not what was brought`;
    steps.push(
      stepNote('resubmit', says, `in qrun.toml, below [[hosts]] of ${host.name}: ${tomlLine(way.words)}`),
    );
  }

  async #install<S extends InstallStep>(
    { host }: Way,
    directory: string | undefined,
    step: S,
    ask: InstallSteps[S]['asks'],
    limitMs: number,
  ): Promise<{ readonly returns: InstallSteps[S]['returns'] } | { readonly problem: HostProblem }> {
    const words = [nodeOf(host), `${directory}/bin/qrun.cjs`, 'hosts', 'install'];
    const end = await this.#connections.run(
      host,
      words,
      limitMs,
      `${JSON.stringify({ install: step, ask })}\n`,
    );
    const unreached = sshProblem(host, end);
    if (unreached !== undefined) return { problem: unreached };
    const reply = parseInstallReply(end.stdout, step);
    if (reply === undefined) return { problem: strange(host, end.stderr) };
    if ('returns' in reply) return { returns: reply.returns };
    const { code, says, hint } = reply.refusal;
    return { problem: { code, says, mend: hint ?? look(host) } };
  }
}

function unmade(host: Host, directory: string, stderr: string): HostProblem {
  const [first = ''] = stderr.trim().split('\n');
  return {
    code: 'WRITE_FAILED',
    says: `${directory} cannot be made: ${first.slice(0, 200)}`,
    mend: look(host),
  };
}

function look({ ssh }: Host): string {
  return `look there: ${pasteableCommand(['ssh', ssh])}`;
}

function strange(host: Host, stderr: string): HostProblem {
  const [first = ''] = stderr.trim().split('\n');
  const says = first === '' ? 'it printed nothing' : first.slice(0, 300);
  return { code: 'HOST_FAILED', says: `what was asked of it failed: ${says}`, mend: look(host) };
}
