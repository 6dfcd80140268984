import { isUtf8 } from 'node:buffer';

/** Bytes without the byte order mark of UTF-8, which editors on Windows put before a text and which is none of it. */
export function withoutMark(bytes: Buffer): Buffer {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes;
}

/**
 * What keeps bytes from being read as a text in UTF-8, in words that can follow "cannot read x: "; `undefined` when
 * nothing does. `lenient`: bytes that are not UTF-8 may stand in it, for texts that are only read in part.
 */
export function textProblem(bytes: Buffer, lenient = false): string | undefined {
  const [first, second] = bytes;
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)) {
    return 'it is UTF-16: save it as UTF-8';
  }
  const nul = bytes.indexOf(0);
  if (nul !== -1) return `it holds a NUL byte at offset ${nul}: if it is UTF-16, save it as UTF-8`;
  return lenient || isUtf8(bytes) ? undefined : 'it is not UTF-8: save it as UTF-8';
}
