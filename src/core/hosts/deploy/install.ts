import { jsonObject, lastLine } from '../../text/json.js';
import type { HostRefusal } from '../refusal.js';

/** What the qrun that was brought to a host is asked to do there, by name: what it needs to know, and what it returns. */
export interface InstallSteps {
  /** Tries itself. */
  readonly test: {
    readonly asks: {
      /** How the qrun here takes locks. */
      readonly locks: 'koffi' | 'child' | null;
      /** Whether an engine that needs no server was sent too. */
      readonly engine: boolean;
    };
    readonly returns: {
      readonly tried: 'run' | 'plan';
      /** Tasks that name the link, and so run another version after it was switched. */
      readonly byLink: number;
    };
  };
  /** Becomes the current version. */
  readonly switch: {
    readonly asks: {
      /** Of the version, under which it stays there. */
      readonly name: string;
      /** A directory there that gets a link `qrun` to the current version. */
      readonly link: string | null;
    };
    readonly returns: { readonly before: string | null; readonly path: string };
  };
  /** Removes old versions that nothing needs. */
  readonly prune: {
    readonly asks: Readonly<Record<never, never>>;
    readonly returns: { readonly removed: readonly string[]; readonly kept: readonly string[] };
  };
}

/** The name of a step there. */
export type InstallStep = keyof InstallSteps;

/** What `qrun hosts install` reads from stdin, as one line of JSON. */
export interface InstallOrder<S extends InstallStep = InstallStep> {
  readonly install: S;
  readonly ask: InstallSteps[S]['asks'];
}

/** What `qrun hosts install` prints, as one line of JSON. */
export type InstallReply<S extends InstallStep = InstallStep> =
  | { readonly install: S; readonly returns: InstallSteps[S]['returns'] }
  | { readonly install: S; readonly refusal: HostRefusal };

/** Returns the order in a line of JSON; `undefined` if it is none. */
export function parseInstallOrder(line: string): InstallOrder | undefined {
  const value = jsonObject(line);
  const known = value?.install === 'test' || value?.install === 'switch' || value?.install === 'prune';
  if (!known || typeof value.ask !== 'object' || value.ask === null) return undefined;
  return value as unknown as InstallOrder;
}

/** Returns the reply in what a host printed; `undefined` if there is none. What its login printed is passed over. */
export function parseInstallReply<S extends InstallStep>(
  stdout: string,
  step: S,
): InstallReply<S> | undefined {
  return lastLine(stdout, line => {
    const value = jsonObject(line);
    const isReply = value?.install === step && ('returns' in value || 'refusal' in value);
    return isReply ? (value as unknown as InstallReply<S>) : undefined;
  });
}
