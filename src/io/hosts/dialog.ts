import { type ProgramEnd, startProgram, type TalkingProgram } from '../machine/program.js';

// What is kept of stderr, for the words of a failure: the last characters.
const STDERR_KEPT = 64 * 1024;

/**
 * A program that answers each line of its stdin with one line of stdout, for as long as it lives: one start for many
 * questions. Lines that are no answers (a greeting of a login) are passed over. One question at a time.
 */
export class Dialog {
  readonly #program: TalkingProgram;
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
    this.#program = startProgram(program, args, env);
    const { stdin, stdout, stderr } = this.#program;
    // It has ended; how is known from its end.
    stdin.on('error', () => {});
    stdout.on('data', (text: string) => this.#read(text));
    stderr.on('data', (text: string) => {
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
      this.#program.stop();
    }, timeoutMs);
    this.#program.stdin.write(line);
    try {
      return await answer;
    } finally {
      clearTimeout(timer);
      this.#settle = undefined;
    }
  }

  /** Ends the program; what it was doing for a question is not waited for. */
  async close(): Promise<void> {
    this.#program.stdin.end();
    this.#program.stop();
    await this.#ended;
  }

  #read(text: string): void {
    let from = 0;
    for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', from)) {
      const line = [...this.#parts, text.slice(from, at)].join('');
      this.#parts = [];
      from = at + 1;
      if (this.#isAnswer(line)) this.#settle?.({ ...ANSWERED, stdout: line });
    }
    this.#parts.push(text.slice(from));
  }

  async #watch(): Promise<void> {
    const end = await this.#program.ended;
    // A program that was to answer has not, whatever it ended with.
    this.#end = {
      ...end,
      ...{ ok: false, stdout: this.#parts.join(''), stderr: this.#stderr, timedOut: this.#timedOut },
    };
    this.#settle?.(this.#end);
  }
}

const ANSWERED: Omit<ProgramEnd, 'stdout'> = {
  ok: true,
  stderr: '',
  exitCode: 0,
  killedBy: undefined,
  startError: undefined,
  timedOut: false,
  message: '',
};
