/**
 * Live pictures of many channels, each asked for one at a time. A stream for each is not possible: a browser
 * opens six connections to a server. And a channel that nobody else watches paints only what is asked for.
 */
import { serverAddress } from './address.js';
import { refusal } from './send.js';

const AT_ONCE = 4; // of the browser's six connections; the others are for the list and for changes
const PAUSE_MS = 2000; // after a refusal
const ANSWER_MS = 15_000; // the server waits 10 s for a picture

export class Pictures {
  #everyMs;
  #channels = new Map(); // name -> {draw, refused, dueAt, busy, abort}
  #inFlight = 0;
  #timer = null;
  #running = false;

  /** everyMs() -> the least time between two pictures of a channel. */
  constructor(everyMs) {
    this.#everyMs = everyMs;
  }

  /** draw(bitmap) paints a picture, which is closed afterwards; refused(sentence) says why there is none. */
  add(name, { draw, refused }) {
    this.#channels.set(name, { name, draw, refused, dueAt: 0, busy: false, abort: null });
    this.#ask();
  }

  remove(name) {
    this.#channels.get(name)?.abort?.abort();
    this.#channels.delete(name);
  }

  start() {
    this.#running = true;
    this.#ask();
  }

  /** Asks for no more pictures; those that were asked for still arrive. */
  stop() {
    this.#running = false;
    clearTimeout(this.#timer);
  }

  /** Asks for the picture that is due longest, or waits until one is. */
  #ask() {
    clearTimeout(this.#timer);
    while (this.#running && this.#inFlight < AT_ONCE) {
      const idle = [...this.#channels.values()].filter(({ busy }) => !busy);
      if (!idle.length) return;
      const next = idle.reduce((a, b) => (b.dueAt < a.dueAt ? b : a));
      const waitMs = next.dueAt - performance.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.#ask(), waitMs);
        return;
      }
      this.#take(next);
    }
  }

  async #take(channel) {
    const askedAt = performance.now();
    const abort = new AbortController();
    Object.assign(channel, { busy: true, abort });
    this.#inFlight += 1;
    const pauseMs = await this.#show(channel, abort.signal);
    this.#inFlight -= 1;
    Object.assign(channel, { busy: false, abort: null, dueAt: askedAt + Math.max(pauseMs, this.#everyMs()) });
    this.#ask();
  }

  /** Fetches and draws one picture; gives how long to wait after a refusal, in ms, else 0. */
  async #show({ name, draw, refused }, signal) {
    const url = serverAddress(`snapshot.jpg?channel=${encodeURIComponent(name)}`);
    try {
      const response = await fetch(url, { cache: 'no-store', signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]) });
      if (!response.ok) throw await refusal(response);
      const bitmap = await createImageBitmap(await response.blob());
      draw(bitmap);
      bitmap.close();
      return 0;
    } catch (error) {
      if (!signal.aborted) refused(error.sentence ?? 'The server does not answer.');
      return Math.max(PAUSE_MS, error.retry_ms ?? 0);
    }
  }
}
