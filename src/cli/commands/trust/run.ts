import { resolve } from 'node:path';
import { TRUSTED_KEYS } from '../../../core/config/trust.js';
import { urlsOfText } from '../../../core/config/urls.js';
import { QrunError } from '../../../core/errors.js';
import type { Output } from '../../../core/schema.js';
import { refusePasswordInUrl } from '../../../core/text/shown-urls.js';
import { type TrustRecord, TrustStore } from '../../../io/config/trust-store.js';
import { realOf, statOf } from '../../../io/files/paths.js';
import { type SweepContext, sweepContext } from '../../../local/config/sweep-context.js';
import { shownSettings } from '../../../local/config/trust.js';
import { type Call, writeResult } from '../../command.js';
import type { Terminal } from '../../terminal/streams.js';
import type { Style } from '../../terminal/style.js';
import type { listing, record as recordSchema, removal } from './trust.schema.js';

/**
 * `qrun trust [DIR]`: shows what the tree there says about its server, and remembers that it is trusted; `--remove`
 * forgets it, `--list` shows all. Returns 0, or 2 if there was nothing to forget.
 *
 * Errors: QrunError `CONFIG`, `USAGE`, `UNIT_NOT_FOUND`.
 */
export async function run(call: Call<string>): Promise<number> {
  const { argument: directory, flags, terminal } = call;
  if (flags.list === true && flags.remove === true) {
    throw new QrunError('USAGE', '--list and --remove exclude each other', {
      hint: 'leave one of them out',
    });
  }
  const store = new TrustStore(terminal.env);
  if (flags.list === true) return list(store, call);
  const path = resolve(terminal.cwd, directory);
  return flags.remove === true ? remove(store, path, call) : await remember(store, path, call);
}

async function remember(store: TrustStore, path: string, call: Call<string>): Promise<number> {
  if (statOf(path)?.isDirectory() !== true) {
    throw new QrunError('UNIT_NOT_FOUND', `there is no directory ${path}`, {
      hint: 'name the directory with the qrun.toml or .env that is to be trusted',
    });
  }
  // As a command started there sees it; that others own the tree is what is accepted here.
  const { trust } = contextAt(path, call.terminal);
  if (trust.settings.url !== undefined) urlsOfText(trust.settings.url).forEach(refusePasswordInUrl);
  const record: TrustRecord = {
    root: realOf(trust.root),
    digest: trust.digest(),
    trusted_at: new Date().toISOString(),
    settings: shownSettings(trust.settings),
  };
  await store.remember(record);
  writeResult<Output<typeof recordSchema>>(call, record, style => `trusted ${lines(record, style)}`);
  return 0;
}

function remove(store: TrustStore, path: string, call: Call<string>): number {
  // A tree that is gone or no longer usable can be forgotten by its name.
  const root = store.find(realOf(path)) === undefined ? rootAt(path, call.terminal) : realOf(path);
  const removed = store.forget(root);
  const what = removed ? 'no longer trusted' : 'was not trusted';
  writeResult<Output<typeof removal>>(call, { root, removed }, style => `${what}: ${style.foreign(root)}\n`);
  return removed ? 0 : 2;
}

function list(store: TrustStore, call: Call<string>): number {
  const trusted = store.list();
  writeResult<Output<typeof listing>>(call, { directory: store.directory, trusted }, style =>
    trusted.length === 0 ? 'nothing is trusted\n' : trusted.map(record => lines(record, style)).join(''),
  );
  return 0;
}

function lines({ root, settings }: TrustRecord, style: Style): string {
  const shown = TRUSTED_KEYS.flatMap(key =>
    settings[key] === undefined ? [] : [`  ${key.padEnd(14)}${style.foreign(short(settings[key]))}\n`],
  );
  const nothing = '  it names no server, no user and no file, and allows itself nothing\n';
  return `${style.foreign(root)}\n${shown.length === 0 ? nothing : shown.join('')}`;
}

// A value that fills the screen would push the others out of sight. In characters.
const SHOWN_END = 200;

function short(value: string): string {
  if (value.length <= 2 * SHOWN_END) return value;
  return `${value.slice(0, SHOWN_END)} ... ${value.slice(-SHOWN_END)} (${value.length} characters)`;
}

function contextAt(path: string, terminal: Terminal): SweepContext {
  return sweepContext(resolve(path, 'unit'), { trust: true }, { ...terminal, cwd: path });
}

function rootAt(path: string, terminal: Terminal): string {
  try {
    return realOf(contextAt(path, terminal).root);
  } catch {
    return realOf(path);
  }
}
