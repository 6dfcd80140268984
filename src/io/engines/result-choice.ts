import type { Statement } from '../../core/sql/statement.js';
import { memoryBody, type ResultBody } from './result-body.js';

/**
 * Chooses the result of a query among the answers of its statements (see `RowsOf`). It owns the answers that it is
 * given.
 */
export class ResultChoice {
  readonly #statements: readonly Statement[];
  readonly #lastAnswer: number;
  #body: ResultBody | undefined;

  constructor(statements: readonly Statement[]) {
    this.#statements = statements;
    this.#lastAnswer = statements.findLastIndex(statement => statement.rows === 'yes');
  }

  /** Whether the answer of this statement can be the result. Other answers need not be kept. */
  mayBe(index: number): boolean {
    if (index <= this.#lastAnswer) return index === this.#lastAnswer;
    return this.#statements[index]?.rows === 'maybe';
  }

  /** Takes a statement's answer, and disposes whichever is not the result: this one or the one before. */
  async take(index: number, body: ResultBody): Promise<void> {
    const isResult = this.mayBe(index) && (index === this.#lastAnswer || body.rows > 0);
    const other = isResult ? this.#body : body;
    if (isResult) this.#body = body;
    await other?.dispose();
  }

  /** Returns the result, which the caller owns from now on; an empty one if no statement returned rows. */
  async finish(): Promise<ResultBody> {
    const body = this.#body ?? memoryBody([], 0, 0);
    this.#body = undefined;
    return body;
  }

  /** Disposes what was taken but not given out. */
  async dispose(): Promise<void> {
    await this.#body?.dispose();
  }
}
