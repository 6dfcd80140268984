import {
  CONFIG_KEYS,
  defaultText,
  entryOf,
  environmentName,
  TOML_KEYS,
  tomlName,
} from '../../../core/config/keys.js';
import type { ConfigKey } from '../../../core/config/table.js';
import type { Output } from '../../../core/schema.js';
import { shownUrl } from '../../../core/text/shown-urls.js';
import type { TreeTrust } from '../../../local/config/trust.js';
import { type UnitContext, unitContext } from '../../../local/unit/context.js';
import { type Call, writeResult } from '../../command.js';
import { configFlags } from '../../options.js';
import { uncutStyle } from '../../terminal/streams.js';
import type { Style } from '../../terminal/style.js';
import { renderTable } from '../../terminal/table.js';
import type { schema } from './config.schema.js';

/** `qrun config [DIR]`: prints the configuration in force and where each value comes from; never a password. */
export async function run(call: Call<string>): Promise<number> {
  const { argument: directory, flags, terminal } = call;
  const context = unitContext(directory, configFlags(flags), terminal);
  const { config, sources } = context;
  const values = { ...config, url: config.url?.map(shownUrl) };
  const ofEach = (value: (key: ConfigKey) => unknown): Record<string, unknown> =>
    Object.fromEntries(CONFIG_KEYS.map(key => [tomlName(key), value(key)]));
  const json = {
    unit: context.unit,
    root: context.root,
    config_file: context.configFile ?? null,
    log: context.logPath,
    data_dir: context.dataDirectory,
    time_zone: context.timeZone ?? null,
    trusted: context.trust.trusted(),
    config: ofEach(key => jsonValue(key, values[key])),
    sources: ofEach(key => sources[key] ?? 'default'),
    password_set: context.passwordSource !== undefined,
    password_source: context.passwordSource ?? null,
  };
  writeResult<Output<typeof schema>>(call, json, () => render(context, values, uncutStyle(terminal)));
  return 0;
}

function render(context: UnitContext, values: UnitContext['config'], style: Style): string {
  const { configFile, passwordSource, sources, timeZone } = context;
  const rows = TOML_KEYS.map(key => [
    tomlName(key),
    shownValue(key, values[key]),
    sources[key] ?? 'default',
    environmentName(key) ?? '',
  ]);
  const secret = passwordSource === undefined ? '-' : '(set, not shown)';
  rows.push(['password', secret, passwordSource ?? '', 'CLICKHOUSE_PASSWORD']);
  const columns = [
    { title: 'key' },
    { title: 'value', shrink: 'end' as const },
    { title: 'from' },
    { title: 'environment' },
  ];
  return [
    `unit         ${style.foreign(context.unit)}`,
    `sweep root   ${style.foreign(context.root)}`,
    `qrun.toml    ${configFile === undefined ? 'none' : style.foreign(configFile)}`,
    `log          ${style.foreign(context.logPath)}`,
    `data         ${style.foreign(context.dataDirectory)}`,
    ...(timeZone === undefined ? [] : [`time zone    ${timeZone}`]),
    `trusted      ${style.foreign(trustOf(context.trust))}`,
    ...context.notices.map(notice => `note         ${style.foreign(notice)}`),
    '',
    renderTable(columns, rows, style),
    '',
  ].join('\n');
}

function trustOf(trust: TreeTrust): string {
  if (trust.trusted()) return 'yes';
  return Object.keys(trust.settings).length === 0 ? 'no; the tree names no server' : `no: ${trust.command}`;
}

function shownValue(key: ConfigKey, value: unknown): string {
  const { show } = entryOf(key);
  if (value === undefined) return defaultText(key) ?? '-';
  if (show !== undefined) return show(value);
  return typeof value === 'string' ? value : JSON.stringify(value);
}

// Numbers and strings as they are; anything else as a qrun.toml would write it.
function jsonValue(key: ConfigKey, value: unknown): unknown {
  const { show } = entryOf(key);
  return typeof value === 'object' && show !== undefined ? show(value) : (value ?? null);
}
