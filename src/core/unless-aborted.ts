/**
 * Returns what a promise resolves with, or `undefined` if the signal is aborted first: for work that may never end,
 * such as a read from a disk that does not answer. The work is not cancelled. Rejects as the promise does.
 */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => resolve(undefined);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    void work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
