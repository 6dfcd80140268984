import { formatSize } from '../../core/bytes.js';
import { CONFIG_KEYS, type ConfigKey, environmentName } from '../../core/config.js';
import { formatDuration } from '../../core/duration.js';
import { formatHalt } from '../../core/halt.js';
import { jsonLine } from '../../core/json.js';
import { unitContext } from '../context.js';
import { configFlags, type Flags, flagName } from '../options.js';
import { renderTable } from '../render/table.js';
import { shownUrl } from '../secrets.js';
import type { Terminal } from '../terminal.js';

// A pipe has no width: what is read by a program is not cut.
const WIDE = 10_000;
const DURATIONS: ReadonlySet<ConfigKey> = new Set(['timeout', 'max_outage']);

/** `qrun config [DIR]`: prints the configuration in force and where each value comes from; never a password. */
export async function configCommand(directory: string, flags: Flags, terminal: Terminal): Promise<number> {
  const context = unitContext(directory, configFlags(flags), terminal, flagName);
  const { config, sources, unit, root, logPath, dataDirectory, configFile, timeZone } = context;
  const password = context.password() !== undefined;
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
    };
    terminal.out.write(jsonLine({ ...paths, config: values, sources: allSources, password_set: password }));
    return 0;
  }
  const style = terminal.outStyle;
  const rows = CONFIG_KEYS.map(key => {
    const value = values[key];
    const environment = environmentName(key);
    return [key, shownValue(key, value), sources[key] ?? 'default', environment ?? ''];
  });
  rows.push(['password', password ? '(set, not shown)' : '-', '', 'CLICKHOUSE_PASSWORD']);
  const columns = [
    { title: 'key' },
    { title: 'value', shrink: 'end' as const },
    { title: 'from' },
    { title: 'environment' },
  ];
  terminal.out.write(
    [
      `unit         ${style.foreign(unit)}`,
      `sweep root   ${root}`,
      `qrun.toml    ${configFile ?? 'none'}`,
      `log          ${logPath}`,
      `data         ${dataDirectory}`,
      ...(timeZone === undefined ? [] : [`time zone    ${timeZone}`]),
      '',
      `${renderTable(columns, rows, terminal.proc.stdout.isTTY === true ? style : { ...style, columns: WIDE })}`,
      '',
    ].join('\n'),
  );
  return 0;
}

function shownValue(key: ConfigKey, value: unknown): string {
  if (value === undefined) return '-';
  if (DURATIONS.has(key) && typeof value === 'number') return formatDuration(value);
  if (key === 'memory_max' && typeof value === 'number') return formatSize(value);
  if (key === 'umask' && typeof value === 'number') return value.toString(8).padStart(4, '0');
  return typeof value === 'string' ? value : JSON.stringify(value);
}
