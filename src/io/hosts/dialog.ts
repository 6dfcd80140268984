import { execa } from 'execa';
import { ProcessTree } from '../machine/process-tree.js';
import type { ProgramEnd } from '../machine/program.js';

// What is kept of stderr, for the words of a failure: the last characters.
const STDERR_KEPT = 64 * 1024;
// A program that is asked to end does so at once; ssh waits for nobody.
const GRACE_MS = 2_000;

/**
 * A program that answers each line of its stdin with one line of stdout, for as long as it lives: one start for many
 * questions. Lines that are no answers (a greeting of a login) are passed over. One question at a time.
 */
export class Dialog {
  readonly #running;
  readonly #tree: ProcessTree;
  readonly #isAnswer: (line: string) => boolean;
  readonly #ended: Promise<void>;
  /** What has been read of the present line. */
  #parts: string[] = [];
  #stderr = '';
  #timedOut = false;
  #settle: ((end: ProgramEnd) => void) | undefined;
  #end: ProgramEnd | undefined;

  constructor(
    program: string,
    args: readonly string[],
    env: Readonly<Record<string, string>>,
    isAnswer: (line: string) => boolean,
  ) {
    this.#isAnswer = isAnswer;
    this.#running = execa(program, args, {
      env,
      extendEnv: false,
      stdin: 'pipe',
      buffer: false,
      reject: false,
    });
    this.#tree = new ProcessTree(this.#running);
    const { stdin, stdout, stderr } = this.#running;
    // It has ended; how is known from its end.
    stdin.on('error', () => {});
    stdout.setEncoding('utf8').on('data', (text: string) => this.#read(text));
    stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_KEPT);
    });
    this.#ended = this.#watch();
  }

  /** Whether a question has no answer yet. */
  get isBusy(): boolean {
    return this.#settle !== undefined;
  }

  /** Whether it can answer nothing any more. */
  get hasEnded(): boolean {
    return this.#end !== undefined;
  }

  /**
   * Asks a question, a line with its end, and resolves with the answer as stdout of a program that ended well; or with
   * how the program ended instead. After `timeoutMs` it is stopped.
   */
  async ask(line: string, timeoutMs: number): Promise<ProgramEnd> {
    if (this.#end !== undefined) return this.#end;
    const answer = new Promise<ProgramEnd>(resolve => {
      this.#settle = resolve;
    });
    const timer = setTimeout(() => {
      this.#timedOut = true;
      this.#stop();
    }, timeoutMs);
    this.#running.stdin.write(line);
    try {
      return await answer;
    } finally {
      clearTimeout(timer);
      this.#settle = undefined;
    }
  }

  /** Ends the program; what it was doing for a question is not waited for. */
  async close(): Promise<void> {
    this.#running.stdin.end();
    this.#stop();
    await this.#ended;
  }

  #stop(): void {
    void this.#tree.stop('SIGTERM', GRACE_MS);
  }

  #read(text: string): void {
    let from = 0;
    for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', from)) {
      const line = [...this.#parts, text.slice(from, at)].join('');
      this.#parts = [];
      from = at + 1;
      if (this.#isAnswer(line)) this.#settle?.(endOf({ ok: true, stdout: line, exitCode: 0 }));
    }
    this.#parts.push(text.slice(from));
  }

  async #watch(): Promise<void> {
    const result = await this.#running;
    this.#end = endOf({
      ok: false,
      stdout: this.#parts.join(''),
      stderr: this.#stderr,
      exitCode: result.exitCode,
      killedBy: result.signal,
      startError: result.code,
      timedOut: this.#timedOut,
      message: result.shortMessage ?? '',
    });
    this.#settle?.(this.#end);
  }
}

function endOf(known: Partial<ProgramEnd> & Pick<ProgramEnd, 'ok' | 'stdout' | 'exitCode'>): ProgramEnd {
  return { stderr: '', killedBy: undefined, startError: undefined, timedOut: false, message: '', ...known };
}
