import { describe, expect, it } from 'vitest';
import { httpFailure, serverFailure, transportFailure } from '../../../src/core/engines/failure.js';
import { quotaEndsInMs, refusalOf } from '../../../src/core/engines/refusal.js';

const server = (code: number, message: string) => serverFailure({ code, name: `E${code}`, message });
const page = (status: number) => httpFailure({ status, body: '' }, 0);

describe('refusalOf', () => {
  it.each([
    [server(192, 'Unknown user'), 'credentials'],
    [server(193, 'Wrong password'), 'credentials'],
    [server(194, 'Password required'), 'credentials'],
    [server(195, 'It is not allowed to connect from address'), 'credentials'],
    [server(516, 'Authentication failed'), 'credentials'],
    [server(720, 'User expired'), 'credentials'],
    [server(767, 'Second factor'), 'credentials'],
    [page(401), 'credentials'],
    [page(403), 'credentials'],
    [page(407), 'credentials'],
    [server(201, 'Quota'), 'quota'],
    [server(202, 'Too many'), 'full'],
    [server(700, 'Sessions'), 'full'],
    [page(429), 'full'],
    [page(503), 'full'],
    [server(497, 'Not enough privileges'), undefined],
    [server(516, 'Received from b:9000. DB::Exception: Authentication failed'), undefined],
    [server(201, 'Received from b:9000. DB::Exception: Quota'), undefined],
    [server(202, 'Received from b:9000. DB::Exception: Too many'), undefined],
    [page(404), undefined],
    [transportFailure({ code: 'ECONNREFUSED', message: '' }), undefined],
  ])('%#', (failure, refusal) => {
    expect(refusalOf(failure)).toBe(refusal);
  });

  it('was looked at before the query began for queries and errors, and maybe while it ran for the rest', () => {
    const quota = (what: string) => server(201, `Quota for user 'u' for 20 seconds has been exceeded${what}`);
    expect(quota('. Queries: 13, max: 12.').neverStarted).toBe(true);
    expect(quota(': queries = 13/12.').neverStarted).toBe(true);
    expect(quota(': query_selects = 13/12.').neverStarted).toBe(true);
    expect(quota(': errors = 13/12.').neverStarted).toBe(true);
    expect(quota('. Read rows: 13, max: 12.').neverStarted).toBe(false);
    expect(quota(': execution_time = 13/12.').neverStarted).toBe(false);
  });

  it('of another server says nothing of whether the query began', () => {
    expect(server(202, 'Received from b:9000. DB::Exception: Too many').neverStarted).toBe(false);
    expect(server(202, 'Too many').neverStarted).toBe(true);
  });
});

describe('quotaEndsInMs', () => {
  const at = (text: string) => Date.parse(`2026-11-28T${text}Z`);
  const text = (seconds: string, end: string) =>
    `Quota for user 'u' for ${seconds} has been exceeded. Queries: 13, max: 12. Interval will end at ${end.includes('-') ? end : `2026-11-28 ${end}`}.`;

  it.each([
    // In UTC, in UTC+2, in UTC-5, in UTC+5:45.
    ['20 seconds', '11:52:40', 17_000],
    ['20 seconds', '13:52:40', 17_000],
    ['20 seconds', '06:52:40', 17_000],
    ['20 seconds', '17:37:40', 17_000],
    ['3600 seconds', '12:00:00', 457_000],
    ['3600s', '14:00:00', 457_000],
    ['86400s', '2026-11-29 00:00:00', 43_657_000],
    // Intervals that begin anywhere: the earliest end that is possible.
    ['3600s', '14:11:11', 228_000],
  ])('for %s, at %s', (seconds, end, expected) => {
    expect(quotaEndsInMs(text(seconds, end), at('11:52:23'))).toBe(expected);
  });

  it('is that of a new interval when one has just begun', () => {
    expect(quotaEndsInMs(text('3600s', '13:00:00'), at('12:00:00'))).toBe(3_600_000);
  });

  it('is now when the clocks differ, and unknown when no zone fits or nothing is said', () => {
    expect(quotaEndsInMs(text('20s', '11:52:20'), at('11:52:30'))).toBe(0);
    expect(quotaEndsInMs(text('20s', '11:50:00'), at('11:52:30'))).toBeUndefined();
    expect(quotaEndsInMs('Quota has been exceeded', at('11:52:30'))).toBeUndefined();
  });
});
