/**
 * Reads the server's status about once a second, and sooner when a part of the stream has a later
 * revision: another controller has changed something.
 */
import { address } from './address.js';

const EVERY_MS = 1000;
const SOONEST_MS = 120; // at least, between two readings
const LIMIT_MS = 5000;

let handlers = null;
let timer = null;
let run = 0;
let sentAt = -Infinity;
let reading = false;
let again = false; // a later revision was seen while an answer was on its way

/** The last status, or null if the server did not answer. */
export let status = null;

/** Reads the status now, and then regularly while the page is visible. */
export async function readStatus() {
  const own = (run += 1);
  clearTimeout(timer);
  if (document.hidden) return;
  [reading, again, sentAt] = [true, false, performance.now()];
  const sent = Date.now();
  const before = handlers.asks();
  const answer = await fetch(address('status'), { cache: 'no-store', signal: AbortSignal.timeout(LIMIT_MS) })
    .then((response) => (response.ok ? response.json() : null))
    .catch(() => null);
  if (own !== run) return;
  reading = false;
  const last = status;
  status = answer;
  handlers.answered(answer, { last, sent, got: Date.now(), before });
  plan(again ? SOONEST_MS - (performance.now() - sentAt) : EVERY_MS);
}

function plan(ms) {
  clearTimeout(timer);
  timer = setTimeout(readStatus, Math.max(0, ms));
}

/** Takes the revision of a part of the stream. */
export function sawRevision(revision) {
  if (status === null || !(revision > status.revision)) return;
  if (reading) again = true;
  else plan(SOONEST_MS - (performance.now() - sentAt));
}

/** asks(): the turns of the page's own changes, kept with each request; answered(status or null, {last, sent, got, before}). */
export function startStatus(given) {
  handlers = given;
}
