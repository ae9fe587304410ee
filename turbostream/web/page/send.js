/**
 * Requests to the server: a JSON request that never throws, and a queue that keeps only the newest
 * item.
 */

import { address } from './address.js';

/** Works on one item at a time. Of those that are offered meanwhile, only the newest is kept. */
export class NewestOnly {
  #work;
  #next = null;
  #busy = false;
  #turns = 0;
  #settling = []; // {left: items to be done, done}

  constructor(work) {
    this.#work = work;
  }

  /** Whether a newer item is waiting. */
  get waiting() {
    return this.#next !== null;
  }

  /** How often the queue has become empty; NaN, which equals nothing, while it is not. An answer to
      a request that was sent at another number may be from before the last change. */
  get turn() {
    return this.#busy ? NaN : this.#turns;
  }

  /** Resolves once what was offered until now is done, or was replaced by something that is. */
  settled() {
    if (!this.#busy) return Promise.resolve();
    return new Promise((done) => { this.#settling.push({ left: this.waiting ? 2 : 1, done }); });
  }

  #settle(items) {
    for (const one of this.#settling) one.left -= items;
    this.#settling.filter(({ left }) => left <= 0).forEach(({ done }) => done());
    this.#settling = this.#settling.filter(({ left }) => left > 0);
  }

  async offer(item) {
    this.#next = { item };
    if (this.#busy) return;
    this.#busy = true;
    try {
      while (this.#next) {
        const { item: newest } = this.#next;
        this.#next = null;
        await this.#work(newest);
        this.#settle(1);
      }
    } finally {
      this.#turns += 1;
      this.#busy = false;
      this.#settle(Infinity);
    }
  }
}

const ANSWER_MS = 10_000; // a browser without a free connection delays a request without limit

/** Sends JSON to `path`, which begins without a slash, on the channel of this page. Gives {ok: true, status, data} or {ok: false, status, sentence, retry_ms}; status 0: no answer. */
export const send = (method, path, body, options = {}) => sendTo(address(path), method, body, options);

/** The same with a whole address. */
export async function sendTo(url, method, body, options = {}) {
  try {
    const headers = { 'Content-Type': 'application/json' };
    const response = await fetch(url, { method, headers, body: JSON.stringify(body), signal: AbortSignal.timeout(ANSWER_MS), ...options });
    if (!response.ok) return { ok: false, ...(await refusal(response)) };
    return { ok: true, status: response.status, data: response.status === 204 ? null : await response.json() };
  } catch {
    return { ok: false, status: 0, sentence: 'The server does not answer.', retry_ms: 0 };
  }
}

const BETWEEN_REPORTS_MS = 100; // far below the 0.25 s that the server sends ahead of the acknowledgements

/**
 * Acknowledges a painted frame of the stream `id`; gives whether the server knows that stream. Resolves
 * some time after the answer: a request for each frame costs as much as decoding it.
 */
export async function acknowledgeFrame({ id, frame }, options) {
  const { status } = await send('POST', `stream/${encodeURIComponent(id)}/shown`, { frame }, options);
  await new Promise((done) => { setTimeout(done, BETWEEN_REPORTS_MS); });
  return status !== 404;
}

/** The content of an error response: {status, sentence, retry_ms}. */
export async function refusal(response) {
  const answer = await response.json().catch(() => null);
  const given = typeof answer?.error === 'string' ? answer.error : `The server answered ${response.status}.`;
  const sentence = response.status === 401
    ? 'This page has lost its access. Open the link that you were given again, or ask the owner for a new one.'
    : given;
  return { status: response.status, sentence, retry_ms: Number(response.headers.get('Retry-After')) * 1000 || 0 };
}
