/** Bytes that are read at once: large enough that handing a read to a thread costs little beside it. */
export const READ_BYTES = 1024 * 1024;

/**
 * Reads a file from `from` to `end`, or to its end where that comes first, and calls `use` with it, piece by piece; the
 * next piece is read meanwhile. Resolves with the offset behind the last byte, once no read is under way any more,
 * also when it rejects: with what `read` rejected with, or `use` threw.
 *
 * `read` fills a buffer from an offset and resolves with the number of bytes, 0 at the end of the file. A piece is
 * valid until `use` returns. Memory: two pieces, of `pieceBytes` at most.
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
