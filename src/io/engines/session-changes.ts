import type { Statement } from '../../core/sql/statement.js';
import type { RowShape } from './result-body.js';

/** What the statements of a file have set so far in the session that they share. */
export class SessionChanges {
  /** The settings that were set by name. */
  readonly names = new Set<string>();
  /** Whether settings that were not named have changed too, or can no longer be changed. */
  others = false;

  /** Notes a statement that has succeeded. */
  note({ sets }: Statement): void {
    if (sets === undefined) return;
    for (const name of sets.names) this.names.add(name);
    this.others ||= sets.others;
  }

  /** Whether the file may have given the setting the value that `statement` runs with. */
  mayHaveSet(statement: Statement, name: string): boolean {
    return this.others || this.names.has(name) || statement.settingNames.includes(name);
  }

  /** The form that the rows of `statement` may have; `undefined` for the usual one. */
  shapeOf(statement: Statement): RowShape | undefined {
    if (!this.others && this.names.size === 0 && statement.settingNames.length === 0) {
      return undefined;
    }
    return {
      mayBeArray: this.mayHaveSet(statement, 'output_format_json_array_of_rows'),
      mayEndWithException: this.mayHaveSet(statement, 'http_write_exception_in_output_format'),
    };
  }
}
