import { join, relative } from 'node:path';
import { QrunError } from '../../../core/errors.js';
import type { Output } from '../../../core/schema.js';
import { formatSize } from '../../../core/text/bytes.js';
import { type Pruned, pruneBeneath } from '../../../local/unit/prune.js';
import { type Call, writeResult } from '../../command.js';
import { uncutStyle } from '../../terminal/streams.js';
import type { Style } from '../../terminal/style.js';
import { renderTable } from '../../terminal/table.js';
import type { schema } from './prune.schema.js';

/**
 * `qrun prune [ROOT]`: lists what qrun keeps beneath a sweep's root and nothing needs any more; with `--remove`
 * removes it. Returns 0, or 2 when something could not be removed.
 *
 * Errors: QrunError `CONFIG`, `UNIT_NOT_FOUND`.
 */
export async function run(call: Call<string>): Promise<number> {
  const { argument: directory, flags, terminal } = call;
  if (flags.remove === true && flags.dryRun === true) {
    throw new QrunError('USAGE', '--remove and --dry-run exclude each other', {
      hint: 'leave one of them out',
    });
  }
  const request = { remove: flags.remove === true, all: flags.all === true, trust: flags.trust === true };
  const { root, pruned } = await pruneBeneath(directory, request, terminal);
  const json = { root, leftovers: pruned.map(asJson) };
  writeResult<Output<typeof schema>>(call, json, () => render(pruned, root, uncutStyle(terminal)));
  return pruned.some(({ fate }) => fate === 'failed') ? 2 : 0;
}

function asJson({ leftover, fate, why }: Pruned) {
  const { kind, path, about, sizeBytes, state } = leftover;
  return { kind, path, about, size_bytes: sizeBytes, state, fate, why: why ?? null };
}

function render(pruned: readonly Pruned[], root: string, style: Style): string {
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
    renderTable(columns, rows, style),
    ...(would ? ['', `${formatSize(total('would be removed'))} would be freed: qrun prune --remove`] : []),
    ...(removed ? ['', `${formatSize(total('removed'))} freed`] : []),
    '',
  ].join('\n');
}
