import { join, relative } from 'node:path';
import { QrunError } from '../../../core/errors.js';
import type { Output } from '../../../core/schema.js';
import { formatSize } from '../../../core/text/bytes.js';
import { jsonLine } from '../../../core/text/json.js';
import { type Pruned, pruneBeneath } from '../../../local/unit/prune.js';
import type { Flags } from '../../command.js';
import type { Terminal } from '../../terminal/streams.js';
import { renderTable } from '../../terminal/table.js';
import type { schema } from './prune.schema.js';

// A pipe has no width: output that a program reads is not cut.
const WIDE = 10_000;

/**
 * `qrun prune [ROOT]`: lists what qrun keeps beneath a sweep's root and nothing needs any more; with `--remove`
 * removes it. Returns 0, or 2 when something could not be removed.
 *
 * Errors: QrunError `CONFIG`, `UNIT_NOT_FOUND`.
 */
export async function pruneCommand(directory: string, flags: Flags, terminal: Terminal): Promise<number> {
  if (flags.remove === true && flags.dryRun === true) {
    throw new QrunError('USAGE', '--remove and --dry-run exclude each other', {
      hint: 'leave one of them out',
    });
  }
  const request = { remove: flags.remove === true, all: flags.all === true, trust: flags.trust === true };
  const { root, pruned } = await pruneBeneath(directory, request, terminal);
  if (flags.json === true)
    terminal.out.write(jsonLine<Output<typeof schema>>({ root, leftovers: pruned.map(asJson) }));
  else terminal.out.write(render(pruned, root, terminal));
  return pruned.some(({ fate }) => fate === 'failed') ? 2 : 0;
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
