import { join, relative, resolve } from 'node:path';
import { type Pruned, prune } from '../../../app/setup/prune.js';
import { chainOf } from '../../../app/setup/setup.js';
import { type ChainFile, type DataNote, sameChain } from '../../../core/engines/data-note.js';
import { QrunError } from '../../../core/errors.js';
import type { Output } from '../../../core/schema.js';
import { formatSize } from '../../../core/text/bytes.js';
import { jsonLine } from '../../../core/text/json.js';
import { findData, findOldData } from '../../../io/engines/embedded/data/leftovers.js';
import type { FindLeftovers } from '../../../io/log/leftovers.js';
import { findSqlDirectories } from '../../../io/unit/sweep-files.js';
import { statOf } from '../../../io/unit/unit-files.js';
import { sweepContext } from '../../../local/config/sweep-context.js';
import { engineVersion } from '../../../local/unit/open-engine.js';
import { chainAt, type ReadSetups } from '../../../local/unit/setup-files.js';
import type { Flags } from '../../command.js';
import type { Terminal } from '../../terminal/streams.js';
import { renderTable } from '../../terminal/table.js';
import type { schema } from './prune.schema.js';

// A pipe has no width: what is read by a program is not cut.
const WIDE = 10_000;

/**
 * `qrun prune [ROOT]`: lists what qrun keeps beneath a sweep's root and nothing needs any more; with `--remove`
 * removes it. Gives 0, or 2 when something could not be removed.
 *
 * Errors: QrunError `CONFIG`, `UNIT_NOT_FOUND`.
 */
export async function pruneCommand(directory: string, flags: Flags, terminal: Terminal): Promise<number> {
  if (flags.remove === true && flags.dryRun === true) {
    throw new QrunError('USAGE', '--remove and --dry-run exclude each other', {
      hint: 'leave one of them away',
    });
  }
  const root = rootOf(directory, flags, terminal);
  const store = join(root, '.qrun', 'data');
  const kinds: FindLeftovers[] = [
    () => findData(store, currentData(root)),
    () => findOldData(store, join(root, '.qrun', 'data-of')),
  ];
  const pruned = await prune(kinds, { remove: flags.remove === true, all: flags.all === true });
  if (flags.json === true)
    terminal.out.write(jsonLine<Output<typeof schema>>({ root, leftovers: pruned.map(asJson) }));
  else terminal.out.write(render(pruned, root, terminal));
  return pruned.some(({ fate }) => fate === 'failed') ? 2 : 0;
}

// Where qrun keeps something, even if no configuration and no unit says that it is a root.
function rootOf(directory: string, { trust }: Flags, terminal: Terminal): string {
  const path = resolve(terminal.cwd, directory);
  if (statOf(join(path, '.qrun'))?.isDirectory()) return path;
  return sweepContext(directory, { trust: trust === true }, terminal).root;
}

// Data is used again when some directory beneath the root has its chain, whatever the settings of a run are.
function currentData(root: string): (note: DataNote | undefined, logs: readonly string[]) => boolean {
  let chains: ChainFile[][] | undefined;
  const version = engineVersion();
  return (note, logs) => {
    // What the queries of a unit made without any setup goes with its log.
    if (note === undefined) return logs.some(log => statOf(log) !== undefined);
    chains ??= chainsBeneath(root);
    return note.engine === version && chains.some(chain => sameChain(chain, note.chain));
  };
}

function chainsBeneath(root: string): ChainFile[][] {
  const read: ReadSetups = new Map();
  // Only looked at: nothing of it is sent anywhere.
  return findSqlDirectories(root, root, null).flatMap(({ path }) => {
    try {
      return [chainOf(chainAt({ directory: join(root, path), root, linksWithin: null }, read))];
    } catch {
      // A setup file that cannot be read or parsed has made no data.
      return [];
    }
  });
}

function asJson({ leftover, fate, why }: Pruned) {
  const { kind, path, about, sizeBytes, state } = leftover;
  return { kind, path, about, size_bytes: sizeBytes, state, fate, why: why ?? null };
}

function render(pruned: readonly Pruned[], root: string, terminal: Terminal): string {
  const style = terminal.outStyle;
  if (pruned.length === 0) return `nothing is kept beneath ${join(root, '.qrun')}\n`;
  const columns = [
    { title: 'what' },
    { title: 'where' },
    { title: 'size', align: 'right' as const },
    { title: 'of', shrink: 'end' as const },
    { title: '' },
  ];
  const rows = pruned.map(({ leftover, fate, why }) => [
    leftover.kind,
    style.foreign(relative(root, leftover.path)),
    formatSize(leftover.sizeBytes),
    style.foreign(leftover.about),
    `${fate}${why === undefined ? '' : `: ${style.foreign(why)}`}`,
  ]);
  const total = (fate: Pruned['fate']): number =>
    pruned.filter(each => each.fate === fate).reduce((sum, { leftover }) => sum + leftover.sizeBytes, 0);
  const would = pruned.some(({ fate }) => fate === 'would be removed');
  const removed = pruned.some(({ fate }) => fate === 'removed');
  return [
    renderTable(columns, rows, terminal.proc.stdout.isTTY === true ? style : { ...style, columns: WIDE }),
    ...(would ? ['', `${formatSize(total('would be removed'))} would be freed: qrun prune --remove`] : []),
    ...(removed ? ['', `${formatSize(total('removed'))} freed`] : []),
    '',
  ].join('\n');
}
