// What the scripts that write transcripts and numbers into the docs share.
import { readFileSync, writeFileSync } from 'node:fs';

/** Puts a text into a document, between `<!-- name -->` and `<!-- /name -->`. */
export function writePart(document, name, text) {
  const whole = readFileSync(document, 'utf8');
  const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const [before, rest] = whole.split(begin);
  const after = rest?.split(end)[1];
  if (after === undefined) throw new Error(`${document} has no place for ${name}`);
  writeFileSync(document, `${before}${begin}\n${text}\n${end}${after}`);
}

/** Returns the median of several runs in milliseconds; work that adds something can be run only once. */
export async function timed(work, runs = 1) {
  const times = [];
  while (times.length < runs) {
    const since = performance.now();
    await work();
    times.push(performance.now() - since);
  }
  return times.sort((a, b) => a - b)[times.length >> 1];
}

/** Returns milliseconds as seconds, for a table. */
export function seconds(ms) {
  return `${(ms / 1000).toFixed(2)} s`;
}
