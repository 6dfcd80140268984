import { QrunError } from '../../core/errors.js';
import type { Engine, UnevenTable } from '../../io/engines/engine.js';
import type { UnitSource } from '../../io/unit/unit-files.js';
import type { UnitPlan } from '../unit/plan.js';

// More lines help nobody.
const TOLD = 10;

/**
 * Refuses a run on several servers of which one lacks a table that a due query names: the query would fail or succeed
 * by chance. Tables that no query names may differ. Costs nothing if all have the same tables, otherwise one more read
 * of each due file.
 *
 * Errors: QrunError `CONFIG` with the tables, who lacks them and a query that names each; the reason of the signal.
 */
export async function refuseMissingTables(
  { source }: { readonly source: UnitSource },
  plan: UnitPlan,
  engine: Engine,
  signal: AbortSignal,
): Promise<void> {
  const tables = (await engine.uneven?.(signal)) ?? [];
  if (tables.length === 0) return;
  const left = new Map(tables.map(table => [table, namePatterns(table)]));
  const details: string[] = [];
  for (const query of plan.due.names()) {
    signal.throwIfAborted();
    const text = textOf(source, query);
    for (const [table, patterns] of [...left]) {
      if (!patterns.every(pattern => pattern.test(text))) continue;
      details.push(
        `${table.lacking} lacks the table ${table.database}.${table.name}, which ${query}.sql names`,
      );
      left.delete(table);
    }
    if (left.size === 0) break;
  }
  const [problem, ...others] = details;
  if (problem === undefined) return;
  const more = others.length - TOLD;
  throw new QrunError('CONFIG', `the servers differ: ${problem}`, {
    details: [...others.slice(0, TOLD), ...(more > 0 ? [`and ${more} more`] : [])],
    hint: 'make the table there (--setup runs the setup files on every server), or leave the server out',
  });
}

// A table of another database is meant only where that is named too.
function namePatterns({ database, name, isCurrent }: UnevenTable): RegExp[] {
  return (isCurrent ? [name] : [database, name]).map(
    word => new RegExp(`(?<![\\w$])${word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}(?![\\w$])`),
  );
}

// A file that cannot be read any more is reported when its turn comes.
function textOf(source: UnitSource, query: string): string {
  try {
    return source.read(query).toString('utf8');
  } catch {
    return '';
  }
}
