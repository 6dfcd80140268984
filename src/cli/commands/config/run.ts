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
import { jsonLine } from '../../../core/text/json.js';
import { shownUrl } from '../../../core/text/shown-urls.js';
import type { TreeTrust } from '../../../local/config/trust.js';
import { unitContext } from '../../../local/unit/context.js';
import type { Flags } from '../../command.js';
import { configFlags } from '../../options.js';
import type { Terminal } from '../../terminal/streams.js';
import { renderTable } from '../../terminal/table.js';
import type { schema } from './config.schema.js';

// A pipe has no width: output that a program reads is not cut.
const WIDE = 10_000;

/** `qrun config [DIR]`: prints the configuration in force and where each value comes from; never a password. */
export async function configCommand(directory: string, flags: Flags, terminal: Terminal): Promise<number> {
  const context = unitContext(directory, configFlags(flags), terminal);
  const { config, sources, unit, root, logPath, dataDirectory, configFile, timeZone } = context;
  const { passwordSource, trust } = context;
  const password = passwordSource !== undefined;
  const values = { ...config, url: config.url?.map(shownUrl) };
  if (flags.json === true) {
    const paths = {
      unit,
      root,
      config_file: configFile ?? null,
      log: logPath,
      data_dir: dataDirectory,
      time_zone: timeZone ?? null,
      trusted: trust.trusted(),
    };
    const secret = { password_set: password, password_source: passwordSource ?? null };
    const ofEach = (value: (key: ConfigKey) => unknown): Record<string, unknown> =>
      Object.fromEntries(CONFIG_KEYS.map(key => [tomlName(key), value(key)]));
    const shown = {
      config: ofEach(key => jsonValue(key, values[key])),
      sources: ofEach(key => sources[key] ?? 'default'),
    };
    terminal.out.write(jsonLine<Output<typeof schema>>({ ...paths, ...shown, ...secret }));
    return 0;
  }
  const style = terminal.outStyle;
  const rows = TOML_KEYS.map(key => {
    const value = values[key];
    const environment = environmentName(key);
    return [tomlName(key), shownValue(key, value), sources[key] ?? 'default', environment ?? ''];
  });
  const secret = password ? '(set, not shown)' : '-';
  rows.push(['password', secret, passwordSource ?? '', 'CLICKHOUSE_PASSWORD']);
  const columns = [
    { title: 'key' },
    { title: 'value', shrink: 'end' as const },
    { title: 'from' },
    { title: 'environment' },
  ];
  terminal.out.write(
    [
      `unit         ${style.foreign(unit)}`,
      `sweep root   ${style.foreign(root)}`,
      `qrun.toml    ${configFile === undefined ? 'none' : style.foreign(configFile)}`,
      `log          ${style.foreign(logPath)}`,
      `data         ${style.foreign(dataDirectory)}`,
      ...(timeZone === undefined ? [] : [`time zone    ${timeZone}`]),
      `trusted      ${style.foreign(trustOf(trust))}`,
      ...context.notices.map(notice => `note         ${style.foreign(notice)}`),
      '',
      `${renderTable(columns, rows, terminal.proc.stdout.isTTY === true ? style : { ...style, columns: WIDE })}`,
      '',
    ].join('\n'),
  );
  return 0;
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
