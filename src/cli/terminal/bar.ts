import type { Style } from './style.js';

/**
 * Returns a bar of `cells` columns, of which `share` (0 to 1) is filled. With `track` the rest is drawn as empty;
 * without it the bar ends after the filled part.
 */
export function drawBar(share: number, cells: number, style: Style, track = true): string {
  const { full, empty, parts } = style.marks;
  const steps = parts.length + 1;
  // The small surplus keeps a share such as 0.7 * 10 from falling just below a whole step.
  const filled = Math.min(cells * steps, Math.floor(share * cells * steps + 1e-9));
  const whole = Math.floor(filled / steps);
  const part = parts[(filled % steps) - 1] ?? '';
  const bar = style.paint.accent(full.repeat(whole) + part);
  const rest = cells - whole - (part === '' ? 0 : 1);
  return track ? bar + style.paint.faint(empty.repeat(rest)) : bar;
}
