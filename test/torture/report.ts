import { cpus, release, totalmem } from 'node:os';
import type { Mutant } from './mutate.js';
import { failed, type RowResult } from './tally.js';

const FAULT_COLUMNS = 64;

/** A line of the report as it is printed when it is there, with its first violations below. */
export function liveLine(row: RowResult): string {
  const state = row.leftOut !== undefined ? 'left out' : failed(row) ? 'FAILED' : 'ok';
  const numbers =
    row.leftOut ??
    `${count(row.trials)} trials ${count(row.injected)} injected ${row.violations.length} violations`;
  const idle = row.idle > 0 ? `, nothing injected in ${row.idle}` : '';
  const note = row.note === undefined ? '' : ` (${row.note})`;
  const line = `${state.padEnd(9)}${row.fault.padEnd(FAULT_COLUMNS)} ${numbers}${idle} ${seconds(row.seconds)}${note}`;
  return [line, ...row.violations.slice(0, 8).map(text => `         ${text}`)].join('\n');
}

/** A mutation as it is printed. */
export function mutationLine({ name, red, killedBy, seconds: s, problem }: Mutant): string {
  return `${(red ? 'red' : 'FAILED').padEnd(9)}${name.padEnd(FAULT_COLUMNS)} ${problem ?? killedBy} ${seconds(s)}`;
}

/** What is said at the end. */
export function summaryLine(rows: readonly RowResult[], mutants: readonly Mutant[], s: number): string {
  const sum = (pick: (row: RowResult) => number): number => rows.reduce((total, row) => total + pick(row), 0);
  const bad = rows.filter(row => failed(row));
  const left = rows.filter(row => row.leftOut !== undefined);
  const red = mutants.filter(mutant => mutant.red).length;
  return [
    ...bad.map(row => `FAILED: ${row.fault}`),
    ...left.map(row => `left out: ${row.fault}: ${row.leftOut}`),
    `${sum(row => row.trials)} trials, ${sum(row => row.injected)} faults injected, ` +
      `${sum(row => row.violations.length)} violations` +
      `${mutants.length === 0 ? '' : `; ${red} of ${mutants.length} mutations red`}; ${(s / 60).toFixed(1)} minutes`,
  ].join('\n');
}

/** The machine in one line. */
export function machineText(diskType: string): string {
  const memory = Math.round(totalmem() / 2 ** 30);
  const model = cpus()[0]?.model.trim() ?? 'unknown processor';
  return `${cpus().length} x ${model}, ${memory} GB, ${process.platform} ${release()}, ${diskType} and tmpfs, Node ${process.versions.node}`;
}

/** A whole run, for the report. */
export interface WholeRun {
  readonly startedAt: Date;
  readonly seconds: number;
  readonly seed: number;
  readonly diskType: string;
  readonly rows: readonly RowResult[];
  readonly mutants: readonly Mutant[];
}

/** The report as Markdown. */
export function reportText({ startedAt, seconds: s, seed, diskType, rows, mutants }: WholeRun): string {
  return `# Proof that no fault loses, tears or doubles a result

\`npm run torture\` runs everything below; \`npm run test:all\` includes a part of it, with fewer trials and 2,000 of
the simulated histories. This file is written by \`node scripts/torture.mjs --report docs/torture.md\`.

Run of ${startedAt.toISOString().slice(0, 16).replace('T', ' ')} UTC, ${(s / 60).toFixed(1)} minutes, seed ${seed}.
Machine: ${machineText(diskType)}.

${summaryLine(rows, mutants, s).split('\n').at(-1)}.

## How it is judged

Every acknowledgement is noted outside the file system under test. After each trial a checker with its own reader
(it uses nothing of qrun's scanner) says whether:

- each acknowledged query is there, whole, with the right rows, exactly once; every other query at most once;
- no line is bad and no group is split;
- log and side files together hold every byte that was ever written, in its place (where the calls are traced: from
  a replay of all of them; otherwise from copies of the log made between the faults). The one exception is a batch
  that its own writer takes back because one of its writes failed;
- no acknowledgement came before a sync that began after the write of its group;
- exit code and stderr name the fault.

After an import every group also has the bytes that a host has written, what any host has settled is settled, no old
text of a query follows its present one, importing the same again changes nothing, and the sources are as they were.

A sweep over two hosts ends when both are well again and the audit here is content. Then the log of each unit here has one
result of each text of a query, the last of them of the present text, each with the bytes of a host; collecting again
appends nothing; and no byte that was in a log, here or there, is gone. The server is a real one, and stays within reach of
a host whose network to this machine is cut.

A trial in which the fault did not occur counts as failed, except where its moment is left to chance.

## Faults

| fault | trials | injected | violations | time | |
|---|--:|--:|--:|--:|---|
${rows.map(tableRow).join('\n')}

## Mutation check

A proof that cannot fail is not a proof. Each of these safety lines is removed from a copy of the sources, and the named
part of the proof must turn red. The same part is green without the mutation.

| safety line that is removed | file | red | by |
|---|---|---|---|
${mutants.map(mutant => `| ${mutant.name} | \`${mutant.file}\` | ${mutant.red ? 'yes' : '**no**'} | ${mutant.problem ?? mutant.killedBy} |`).join('\n')}

## What is simulated

The rows "simulated" run qrun's own code from the session of a unit down to the log, with a simulated disk (page cache,
syncs that fail and lose data, power loss that cuts off, undoes or fills with NULs what was not synced), a simulated lock,
server and clock, and up to three processes. A seed decides everything; \`node scripts/torture.mjs --only simulation
--seed N\` replays it and prints its history.

## What this does not show

- A real power loss. It is simulated; the order of write, sync and acknowledgement that matters for it is checked on
  the traced system calls of real runs.
- Bytes that change inside a row that stays valid JSON: records have a length, not a checksum.
- A shell writer that appends right after the torn end of a killed qrun. Its line is glued to the torn end; qrun names
  the place and refuses to go on. Nothing is lost, but a person has to separate the two lines. If qrun comes first, it
  sets the torn end aside itself.
- A disk that fails a sync, then a process that is killed before it has written the same bytes again (its next step),
  then a power loss. The kernel keeps the unwritten bytes as if they were written, the next run believes them, and the
  power loss takes them. Any two of the three lose nothing.
- Network file systems.
`;
}

function tableRow(row: RowResult): string {
  if (row.leftOut !== undefined) return `| ${row.fault} | | | | | left out: ${row.leftOut} |`;
  const { fault, trials, injected, violations, note = '' } = row;
  return `| ${fault} | ${count(trials)} | ${count(injected)} | ${violations.length} | ${seconds(row.seconds)} | ${note} |`;
}

function count(n: number): string {
  return n.toLocaleString('en-US');
}

function seconds(s: number): string {
  return s < 100 ? `${s.toFixed(1)} s` : `${(s / 60).toFixed(1)} min`;
}
