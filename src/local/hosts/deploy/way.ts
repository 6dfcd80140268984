import type { DeployedHost, DeployStep } from '../../../core/hosts/deploy/deploy.js';
import type { DeployPlace } from '../../../core/hosts/deploy/place.js';
import type { Host } from '../../../core/hosts/host.js';
import { localEngines } from '../../../io/engines/registry.js';

/** What the steps need to know. */
export interface StepsRequest {
  /** Whether it stops before anything is sent. */
  readonly dryRun: boolean;
  /** A directory on each host that gets a link `qrun` to the current version. */
  readonly link?: string | undefined;
  /** Whether old versions are removed that nothing needs. */
  readonly prune: boolean;
  /** Called with each step of each host, when all hosts have done or ended it. */
  readonly onStep?: ((host: string, step: DeployStep) => void) | undefined;
}

/** What is known of one host on the way. */
export interface Way {
  readonly host: Host;
  readonly steps: DeployStep[];
  place?: DeployPlace;
  /** Where the copy goes, absolute. */
  target?: string;
  sentBytes?: number;
  path?: string;
  before?: string | undefined;
  switched: boolean;
  removed: readonly string[];
  words?: readonly string[];
}

/** Returns what became of a host. */
export function wayAsHost(way: Way): DeployedHost {
  const { host, steps, place, switched, removed, words } = way;
  const current = typeof place?.current === 'string' ? place.current : null;
  return {
    name: host.name,
    ssh: host.ssh,
    steps,
    before: way.before ?? current,
    path: way.path ?? null,
    switched,
    sent_bytes: way.sentBytes ?? null,
    qrun: words ?? null,
    removed: [...removed],
  };
}

/** Returns the packages of engines that need no server. */
export function enginePackages(): string[] {
  return localEngines().map(engine => engine.package);
}
