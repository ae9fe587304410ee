/**
 * Reads the server's status about once a second, and sooner when a part of the stream has a later
 * revision: another controller has changed something.
 */
import { address } from './address.js';

const EVERY_MS = 1000;
const SOONEST_MS = 120; // at least, between two readings
const PUSH_MS = 250; // what the server pushes arrives within this time
const LIMIT_MS = 5000;

let handlers = null;
let timer = null;
let run = 0;
let sentAt = -Infinity;
let reading = false;
let again = false; // a later revision was seen while an answer was on its way
let known = Infinity; // the newest revision that the page shows
let taken = -1; // the newest revision that was pushed since the last request
let early = false; // the next reading is planned before its regular time

/** The last status, or null if the server did not answer. */
export let status = null;

/** Reads the status now, and then regularly while the page is visible. */
export async function readStatus() {
  const own = (run += 1);
  clearTimeout(timer);
  if (document.hidden) return;
  [reading, again, early, taken, sentAt] = [true, false, false, -1, performance.now()];
  const sent = Date.now();
  const before = handlers.asks();
  const answer = await fetch(address('status'), { cache: 'no-store', signal: AbortSignal.timeout(LIMIT_MS) })
    .then((response) => (response.ok ? response.json() : null))
    .catch(() => null);
  if (own !== run) return;
  reading = false;
  const last = status;
  status = answer;
  known = answer ? Math.max(answer.revision, taken) : Infinity;
  handlers.answered(answer, { last, sent, got: Date.now(), before });
  plan(again ? SOONEST_MS - sinceMs() : EVERY_MS);
}

function plan(ms) {
  clearTimeout(timer);
  timer = setTimeout(readStatus, Math.max(0, ms));
}

const sinceMs = () => performance.now() - sentAt;

/** Takes the revision of a part of the stream. `pushed`: the server pushes its state, so that there is time. */
export function sawRevision(revision, pushed) {
  if (!(revision > known)) return;
  if (reading) again = true;
  else if (!early) plan(Math.max(SOONEST_MS - sinceMs(), pushed ? PUSH_MS : 0));
  early = true;
}

/** The page shows the state of this revision: it need not be read before the regular time. */
export function tookRevision(revision) {
  taken = revision;
  if (!(revision > known)) return;
  known = revision;
  if (early && !reading) plan(EVERY_MS - sinceMs());
  [again, early] = [false, false];
}

/** asks(): the turns of the page's own changes, kept with each request; answered(status or null, {last, sent, got, before}). */
export function startStatus(given) {
  handlers = given;
}
