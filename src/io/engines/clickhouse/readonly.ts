import { fixedSetting } from '../../../core/engines/engine-settings.js';
import type { Failure } from '../../../core/engines/failure.js';
import { QrunError } from '../../../core/errors.js';
import type { Settings } from '../../../core/model.js';
import type { HttpEndpoint } from './http/endpoint.js';

// READONLY and SETTING_CONSTRAINT_VIOLATION.
const SETTING_REFUSED: ReadonlySet<number> = new Set([164, 452]);

const UNKNOWN_SETTING = 115;

/** Whether the failure says that the user may not give a setting the requested value. */
export function refusesSetting({ code }: Failure): boolean {
  return SETTING_REFUSED.has(code);
}

// Settings that change no value, so that a run can go on without them; each with the notice about its effect.
const DISPENSABLE: ReadonlyMap<string, string | undefined> = new Map([
  [
    'output_format_json_escape_forward_slashes',
    'slashes in strings are recorded as \\/, which is the same string',
  ],
  // A user who may not change settings may not insert either.
  ['wait_for_async_insert', undefined],
]);

/** Which of qrun's settings remain for a user who may not change settings (`readonly = 1`, constraints). */
export interface AllowedSettings {
  /** Those that the server knows and the user may set, without those that the user has given. */
  readonly settings: Settings;
  /** `true` if max_execution_time cannot be set either; `false` if that is not known yet. */
  readonly executionTimeRefused: boolean;
  /** For the person who starts the run. */
  readonly notices: readonly string[];
}

/** Asks a server whether a setting may be set (returns the failure if not), and for its value in force. */
export interface SettingsProbe {
  trySetting(name: string, value: string): Promise<Failure | undefined>;
  valueInForce(name: string): Promise<string | undefined>;
}

/**
 * Asks for each of the wanted settings whether the user may set it. Everybody may set a setting to the value that it
 * already has, so those that are left out have another value on the server.
 *
 * Errors: QrunError `ENGINE_REFUSED`, which names all settings that change what is recorded, their values in force, and
 * what to do.
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
    // A name that the server does not know is left out. Any other failure is not about one setting, and will recur.
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
      `the user "${user}" may not set max_execution_time: a query that times out or is cancelled may continue on the server`,
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
    : `; or accept them as they are, which becomes part of what a result depends on: ${accepts.join(' ')}`;
  return new QrunError(
    'ENGINE_REFUSED',
    `the user "${user}" may not change settings on ${url}, and they differ from those with which qrun records results: ${first}`,
    {
      details,
      hint: `have these values set in the profile of the user, or give it readonly = 2 instead of 1${accept}`,
    },
  );
}
