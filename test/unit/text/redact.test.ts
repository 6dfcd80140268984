import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseQuery } from '../../../src/core/sql/parse.js';
import { redactMessage, redactText } from '../../../src/core/text/redact.js';

const S = 'Sq1-seCret';
const sent = (
  sql: string,
  parameters: Record<string, string> = {},
  settings: Record<string, string> = {},
) => ({
  query: parseQuery(sql),
  parameters,
  settings,
});
const redacted = (sql: string, message: string, parameters = {}, settings = {}): string =>
  redactMessage(message, sent(sql, parameters, settings));

// Each holds the secret at one place, and nothing else that is hidden.
const WITH_SECRET = [
  `CREATE USER bob IDENTIFIED WITH sha256_password BY '${S}'`,
  `CREATE USER bob IDENTIFIED BY '${S}' HOST LOCAL`,
  `CREATE USER bob IDENTIFIED BY'${S}'`,
  `ALTER USER bob IDENTIFIED WITH plaintext_password BY 'Other-pass1', bcrypt_password BY '${S}'`,
  `CREATE USER bob IDENTIFIED WITH sha256_hash BY 'a' SALT '${S}'`,
  `CREAT USER bob IDENTIFED BY '${S}'`,
  `CREATE USER bob IDENTIFIED BY $$${S}$$`,
  `SELECT * FROM s3('https://b/x', 'AKIDKEY', '${S}', 'CSV', 'a String')`,
  `SELECT * FROM s3('https://b/x', '${S}', 'other-key')`,
  `SELECT * FROMM s3Cluster('c', 'https://b/x', 'id', '${S}', 'CSV')`,
  `SELECT * FROM gcs('https://b/x', 'id', '${S}')`,
  `SELECT * FROM iceberg('https://b/x', 'id', '${S}')`,
  `SELECT * FROM deltaLake('https://b/x', 'id', '${S}')`,
  `SELECT * FROM hudi('https://b/x', 'id', '${S}')`,
  `SELECT * FROM cosn('https://b/x', 'id', '${S}')`,
  `SELECT * FROM oss('https://b/x', 'id', '${S}')`,
  `SELECT * FROM azureBlobStorage('https://a', 'box', 'path', 'name', '${S}', 'CSV')`,
  `SELECT * FROM azureBlobStorage('DefaultEndpointsProtocol=https;AccountKey=${S};Suffix=x', 'box', 'path')`,
  `SELECT * FROM mysql('h:3306', 'db', 'table', 'me', '${S}')`,
  `SELECT * FROM postgresql('h:5432', 'db', 'table', 'me', '${S}', 'public')`,
  `SELECT * FROM mongodb('h:27017', 'db', 'c', 'me', '${S}', 'a String')`,
  `SELECT * FROM mongodb('mongodb://me:${S}@h:27017/db', 'c', 'a String')`,
  `SELECT * FROM redis('h:6379', 'k', 'a String', 0, '${S}')`,
  `SELECT * FROM remote('h', 'db', 'table', 'me', '${S}')`,
  `SELECT * FROM remote('h', db.t, 'me', '${S}')`,
  `SELECT * FROM remoteSecure('h', db, t, 'me', '${S}', rand())`,
  `SELECT * FROM url('https://h/x', CSV, 'a String', headers('X-Whatever' = '${S}'))`,
  `SELECT * FROM url('https://h/x', CSV, headers('Authorization' = 'Bearer ${S}'))`,
  `SELECT * FROM url('https://me:${S}@h/x', CSV)`,
  `SELECT * FROM url('https://h/x?a=1&X-Amz-Signature=${S}&b=2', CSV)`,
  `SELECT * FROM jdbc('jdbc:mysql://h/db?user=root&password=${S}', 't')`,
  `SELECT * FROM odbc('DSN=x;UID=me;PWD=${S}', 'db', 't')`,
  `CREATE TABLE t (a Int8) ENGINE = S3('https://b/x', 'id', '${S}', 'CSV')`,
  `CREATE TABLE t (a Int8) ENGINE = MySQL('h', 'db', 'table', 'me', '${S}')`,
  `CREATE DATABASE d ENGINE = MySQL('h', 'db', 'me', '${S}')`,
  `CREATE DATABASE d ENGINE = PostgreSQL('h', 'db', 'me', '${S}', 'public')`,
  `CREATE DATABASE d ENGINE = MaterializedPostgreSQL('h', 'db', 'me', '${S}')`,
  `CREATE TABLE t (a Int8) ENGINE = Redis('h:6379', 0, '${S}') PRIMARY KEY a`,
  `CREATE TABLE t (a Int8) ENGINE = ExternalDistributed('MySQL', 'h', 'db', 't', 'me', '${S}')`,
  `CREATE TABLE t (a Int8) ENGINE = Kafka SETTINGS kafka_broker_list = 'h', kafka_sasl_password = '${S}'`,
  `CREATE TABLE t (a Int8) ENGINE = RabbitMQ SETTINGS rabbitmq_password = '${S}'`,
  `CREATE TABLE t (a Int8) ENGINE = NATS SETTINGS nats_token = '${S}'`,
  `CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = s3, endpoint = 'https://b', secret_access_key = '${S}')`,
  `CREATE DICTIONARY d (k UInt64) PRIMARY KEY k SOURCE(CLICKHOUSE(HOST 'h' USER 'me' PASSWORD '${S}' DB 'x'))`,
  `CREATE DICTIONARY d (k UInt64) PRIMARY KEY k SOURCE(MYSQL(port 3306 password '${S}')) LAYOUT(FLAT())`,
  `CREATE DICTIONARY d (k UInt64) PRIMARY KEY k SOURCE(HTTP(url 'http://h' headers(header(name 'X-K' value '${S}'))))`,
  `CREATE NAMED COLLECTION c AS url = 'https://b', whatever = '${S}'`,
  `ALTER NAMED COLLECTION c SET whatever = '${S}' NOT OVERRIDABLE`,
  `SELECT * FROM mysql(creds, password = '${S}')`,
  `BACKUP TABLE t TO S3('https://b/x', 'id', '${S}')`,
  `BACKUP TABLE t TO Disk('d', 'x') SETTINGS password = '${S}'`,
  `SELECT encrypt('aes-256-gcm', 'text', '${S}', 'iv')`,
  `SELECT 1 FROM t WHERE api_key = '${S}'`,
  `SELECT 1 /* IDENTIFIED BY '${S}' */ FROM t`,
  `SELECT 1 -- password: '${S}'\nFROM t`,
  `SET param_password = '${S}'`,
];

describe('the credential of a query is in no message', () => {
  it.each(WITH_SECRET)('%s', sql => {
    const { statements } = parseQuery(sql);
    const text = statements.map(one => one.text).join(';');
    for (const message of [
      `Code: 62. DB::Exception: Syntax error: failed at position 1 (line 1, col 1): ${text}. Expected one of: a, b`,
      `Code: 36. DB::Exception: bad argument ${S}: While executing. (BAD_ARGUMENTS)`,
      `Code: 36. DB::Exception: bad argument '${S}'`,
      `In scope ${text.slice(0, text.indexOf(S) + 7)}`,
      `In scope ${text.slice(0, text.indexOf(S) + 5)}. Expected one of: x`,
      `before: ${text.slice(Math.max(0, text.indexOf(S) - 1))}`,
    ]) {
      const shown = redacted(sql, message);
      expect(shown).not.toContain(S.slice(0, 4));
      expect(shown).not.toContain(S.slice(-5));
    }
  });

  it('however the server writes it', () => {
    const value = "it's a\\long\nsecret";
    const sql = `CREATE USER b IDENTIFIED BY 'it\\'s a\\\\long\\nsecret'`;
    for (const form of [
      value,
      "it\\'s a\\\\long\\nsecret",
      "it''s a\\long\nsecret",
      value.replace('\n', ' '),
      JSON.stringify(value),
    ]) {
      expect(redacted(sql, `x '${form}' y`)).not.toMatch(/long|secret/);
    }
  });

  it('with bytes that are not UTF-8 in it', () => {
    const sql = "CREATE USER b IDENTIFIED BY 'geh\udce4im-wort'";
    expect(redacted(sql, "near 'geh\ufffdim-wort'")).toBe("near '...'");
  });

  it.each(['x', 'abc', 'abcd', '1234'])('when it is as short as %s', secret => {
    const sql = `CREATE USER b IDENTIFIED BY '${secret}'`;
    expect(redacted(sql, `before: BY '${secret}' HOST`)).toBe("before: BY '...' HOST");
    expect(redacted(sql, `before: BY '${secret}`)).toBe("before: BY '...'");
  });

  it('when a parameter gives it', () => {
    const sql = "SELECT * FROM s3('https://b', 'id', {k:String})";
    expect(redacted(sql, `bad ${S}`, { k: S })).toBe("bad '...'");
    expect(redacted('SELECT {db_password:String}', `bad ${S}`, { db_password: S })).toBe("bad '...'");
    expect(redacted('SELECT 1', `bad ${S}`, {}, { some_secret: S })).toBe("bad '...'");
  });

  it('when it is of a view or table that the file does not hold', () => {
    expect(redactText(`While executing CREATE TABLE x ENGINE = MySQL('h', 'd', 't', 'u', '${S}'). (X)`)).toBe(
      "While executing CREATE TABLE x ENGINE = MySQL('h', 'd', 't', 'u', '...'). (X)",
    );
    expect(redactText(`can't do: IDENTIFIED BY '${S}' (version 1)`)).toBe(
      "can't do: IDENTIFIED BY '...' (version 1)",
    );
  });
});

it.each([
  ['AKIAIOSFODNN7EXAMPLE is no key', '... is no key'],
  ['token ghp_0123456789abcdefghij!', 'token ...!'],
  ['eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-def', '...'],
  ['a -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- b', "a '...' b"],
  ['a -----BEGIN PRIVATE KEY-----\nMIIE', "a '...'"],
  ['to http://me:p@ss/w@h:1/x failed', 'to http://***@h:1/x failed'],
  ['GET https://h/x?id=1&sig=abc&n=2', 'GET https://h/x?id=1&sig=...&n=2'],
  ['Authorization: Bearer abc.def-123', 'Authorization: Bearer ...'],
])('a text with the form of a key is hidden: %s', (text, shown) => expect(redactText(text)).toBe(shown));

it.each([
  "Code: 62. DB::Exception: Syntax error: failed at position 8 ('FROM') (line 1, col 8): FROM t ORDER BY 'a'. Expected one of: token, Comma, number",
  "Code: 47. DB::Exception: Missing columns: 'password' while processing query: 'SELECT password FROM t', required columns: 'password'. (UNKNOWN_IDENTIFIER)",
  "Code: 62. DB::Exception: Syntax error: Unrecognized token: ''abc'",
  'Code: 516. DB::Exception: me: Authentication failed: password is incorrect, or there is no user with such name. (AUTHENTICATION_FAILED)',
  "Code: 60. DB::Exception: Table db.t doesn't exist. Maybe you meant 'db.u'?",
  'Code: 241. DB::Exception: Memory limit (for query) exceeded: would use 1.00 GiB',
])('a message without a credential stays as it is: %s', message => {
  expect(
    redacted(
      "SELECT a, 'a', token, count() FROM remote('h', db, t) GROUP BY token, 'FROM' ORDER BY 'a'",
      message,
    ),
  ).toBe(message);
});

it('does not hide formats, structures and hosts', () => {
  const sql = "SELECT * FROM s3('https://b/x', 'CSVWithNames', 'a String, b UInt8', 'gzip')";
  const message = "Unknown format 'CSVWithNames' of 'https://b/x' with 'a String, b UInt8' in 'gzip'";
  expect(redacted(sql, message)).toBe(message);
});

it('hides all of a message of a query with more secrets than can be looked for', () => {
  const sql = `CREATE USER ${Array.from({ length: 300 }, (_, n) => `u${n} IDENTIFIED BY 'secret-${n}-x'`).join(', ')}`;
  expect(redacted(sql, `Code: 62. DB::Exception: Syntax error: ${sql}`)).toMatch(
    /^Code: 62. DB::Exception: \.\.\. \(hidden/,
  );
});

it('any secret behind IDENTIFIED BY, whole or cut off anywhere', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary', minLength: 4, maxLength: 40 }).filter(s => /^[\p{L}\p{N}]{4}/u.test(s)),
      fc.nat({ max: 60 }),
      (secret, cut) => {
        const literal = `'${secret.replace(/[\\']/g, '\\$&').replaceAll('\0', '\\0')}'`;
        const sql = `CREATE USER b IDENTIFIED BY ${literal}`;
        const whole = `failed: ${sql}`;
        const message = whole.slice(0, Math.max(0, whole.length - cut));
        const begins = message.indexOf(literal.slice(0, 5));
        const shown = redacted(sql, message);
        if (begins !== -1) expect(shown.slice(0, begins + 5)).not.toContain(literal.slice(0, 5));
        expect(shown.startsWith('failed: CREATE USER b IDENTIFIED BY ')).toBe(cut <= literal.length);
      },
    ),
    { numRuns: 300 },
  );
});
