import { type ConfigKey, environmentName, flagName, TOML_KEYS } from '../../../core/config/config.js';
import { formatSize } from '../../../core/text/bytes.js';
import { formatDuration } from '../../../core/text/duration.js';
import { jsonLine } from '../../../core/text/json.js';
import { shownUrl } from '../../../core/text/shown-urls.js';
import { formatHalt } from '../../../core/unit/halt.js';
import type { TreeTrust } from '../../../local/config/trust.js';
import { unitContext } from '../../../local/unit/context.js';
import { configFlags, type Flags } from '../../options.js';
import type { Terminal } from '../../terminal/streams.js';
import { renderTable } from '../../terminal/table.js';

// A pipe has no width: what is read by a program is not cut.
const WIDE = 10_000;
const DURATIONS: ReadonlySet<ConfigKey> = new Set(['timeout', 'max_outage']);

/** `qrun config [DIR]`: prints the configuration in force and where each value comes from; never a password. */
export async function configCommand(directory: string, flags: Flags, terminal: Terminal): Promise<number> {
  const context = unitContext(directory, configFlags(flags), terminal, flagName);
  const { config, sources, unit, root, logPath, dataDirectory, configFile, timeZone } = context;
  const { passwordSource, trust } = context;
  const password = passwordSource !== undefined;
  const values = {
    ...config,
    url: config.url === undefined ? undefined : shownUrl(config.url),
    halt: formatHalt(config.halt),
  };
  if (flags.json === true) {
    const keys = Object.keys(values) as ConfigKey[];
    const allSources = Object.fromEntries(keys.map(key => [key, sources[key] ?? 'default']));
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
    terminal.out.write(jsonLine({ ...paths, config: values, sources: allSources, ...secret }));
    return 0;
  }
  const style = terminal.outStyle;
  const rows = TOML_KEYS.map(key => {
    const value = values[key];
    const environment = environmentName(key);
    return [key, shownValue(key, value), sources[key] ?? 'default', environment ?? ''];
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
  if (key === 'max_result' && value === undefined) return 'half of the free space, at most 16G';
  if (value === undefined) return '-';
  if (DURATIONS.has(key) && typeof value === 'number') return formatDuration(value);
  if ((key === 'memory_max' || key === 'max_result') && typeof value === 'number') return formatSize(value);
  if (key === 'umask' && typeof value === 'number') return value.toString(8).padStart(4, '0');
  return typeof value === 'string' ? value : JSON.stringify(value);
}
