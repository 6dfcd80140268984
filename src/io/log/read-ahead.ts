/** Bytes per read: large enough that handing the read to a thread costs little in comparison. */
export const READ_BYTES = 1024 * 1024;

/**
 * Reads a file from `from` to `end`, or to the end of the file if that comes first, and calls `use` with each piece
 * while the next one is being read. Resolves with the offset after the last byte. Rejects with what `read` rejected
 * with or `use` threw. No read is under way any more when it settles.
 *
 * `read` fills a buffer from an offset and resolves with the number of bytes, 0 at the end of the file. A piece is
 * valid until `use` returns. Memory: two pieces of at most `pieceBytes`.
 */
export async function readAhead(
  read: (buffer: Buffer, length: number, position: number) => Promise<number>,
  { from, end, pieceBytes }: { readonly from: number; readonly end: number; readonly pieceBytes: number },
  use: (bytes: Buffer) => void,
): Promise<number> {
  let position = from;
  if (position >= end) return position;
  const length = Math.min(pieceBytes, end - position);
  let current: Buffer = Buffer.allocUnsafe(length);
  let other: Buffer | undefined;
  let got = await read(current, length, position);
  while (got > 0) {
    const bytes = current.subarray(0, got);
    position += got;
    if (position >= end) {
      use(bytes);
      break;
    }
    other ??= Buffer.allocUnsafe(length);
    const next = read(other, Math.min(length, end - position), position);
    try {
      use(bytes);
    } catch (error) {
      // The file may be closed as soon as this rejects.
      await next.catch(() => {});
      throw error;
    }
    got = await next;
    [current, other] = [other, current];
  }
  return position;
}
