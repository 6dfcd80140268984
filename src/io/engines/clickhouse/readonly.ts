import { fixedSetting } from '../../../core/engines/engine-settings.js';
import type { Failure } from '../../../core/engines/failure.js';
import { QrunError } from '../../../core/errors.js';
import type { Settings } from '../../../core/model.js';
import type { HttpEndpoint } from './http/endpoint.js';

// READONLY and SETTING_CONSTRAINT_VIOLATION.
const SETTING_REFUSED: ReadonlySet<number> = new Set([164, 452]);

const UNKNOWN_SETTING = 115;

/** Whether the user may not give a setting the value that was asked for. */
export function refusesSetting({ code }: Failure): boolean {
  return SETTING_REFUSED.has(code);
}

// No value changes by them, so that a run goes on without; and what it is then like.
const DISPENSABLE: ReadonlyMap<string, string | undefined> = new Map([
  [
    'output_format_json_escape_forward_slashes',
    'slashes in texts are recorded as \\/, which is the same text',
  ],
  // Who may not change settings may not insert either.
  ['wait_for_async_insert', undefined],
]);

/** What a user who may not change settings (`readonly = 1`, constraints) leaves of those that qrun wants. */
export interface AllowedSettings {
  readonly settings: Settings;
  /** `true` where max_execution_time cannot be set either. */
  readonly executionTimeRefused: boolean;
  /** For the person who starts the run. */
  readonly notices: readonly string[];
}

/** How a server is asked: for one setting, whether it may be set (the failure if not), and for its value in force. */
export interface SettingsProbe {
  trySetting(name: string, value: string): Promise<Failure | undefined>;
  valueInForce(name: string): Promise<string | undefined>;
}

/**
 * Asks for each of the wanted settings whether the user may set it; those that have the value already may be set by
 * everybody, so that what is left out stands otherwise on the server.
 *
 * Errors: QrunError `ENGINE_REFUSED` that names all settings that change what is recorded, their values in force, and
 * what helps.
 */
export async function allowedSettings(
  wanted: Settings,
  probe: SettingsProbe,
  { url, user = 'default' }: HttpEndpoint,
): Promise<AllowedSettings> {
  const settings: Record<string, string> = {};
  const problems: { text: string; accept: string | undefined }[] = [];
  const notices: string[] = [];
  for (const [name, value] of Object.entries(wanted)) {
    const failure = await probe.trySetting(name, value);
    // A name that the server does not know is left out; any other trouble is not about one setting, and comes again.
    if (failure?.code === UNKNOWN_SETTING) continue;
    if (failure === undefined || !refusesSetting(failure)) {
      settings[name] = value;
      continue;
    }
    const without = DISPENSABLE.get(name);
    if (without !== undefined) notices.push(`the user "${user}" may not set ${name}: ${without}`);
    if (DISPENSABLE.has(name)) continue;
    const inForce = await probe.valueInForce(name);
    problems.push({
      text: `${name} must be ${value}, and is ${inForce ?? 'not known'}`,
      accept:
        inForce === undefined || fixedSetting(name) !== undefined ? undefined : `--set ${name}=${inForce}`,
    });
  }
  if (problems.length > 0) throw refused(problems, url, user);
  const limit = await probe.trySetting('max_execution_time', '3600');
  const executionTimeRefused = limit !== undefined && refusesSetting(limit);
  if (executionTimeRefused) {
    notices.push(
      `the user "${user}" may not set max_execution_time: a query that times out or is cancelled may run on at the server`,
    );
  }
  return { settings, executionTimeRefused, notices };
}

function refused(
  problems: readonly { text: string; accept: string | undefined }[],
  url: string,
  user: string,
): QrunError {
  const [first, ...details] = problems.map(({ text }) => text);
  const accepts = problems.map(({ accept }) => accept);
  const accept = accepts.includes(undefined)
    ? ''
    : `; or take them as they are, which is part of what a result depends on: ${accepts.join(' ')}`;
  return new QrunError(
    'ENGINE_REFUSED',
    `the user "${user}" may not change settings on ${url}, and they are not as qrun records results: ${first}`,
    {
      details,
      hint: `let these values be set in the profile of the user, or give it readonly = 2 in place of 1${accept}`,
    },
  );
}
