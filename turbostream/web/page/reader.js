/**
 * Reads a multipart/x-mixed-replace body as it arrives, and keeps such a stream open.
 *
 * Knows nothing of the page: bytes go in, parts come out. A part's bytes are copied once, into a
 * buffer of the size that its Content-Length gives, however the network splits them.
 */

import { refusal } from './send.js';

const MAX_LINE = 8192; // characters of one header line
const MAX_PART = 64 * 1024 * 1024; // bytes of one picture
const SILENCE_MS = 6000; // the server repeats a picture every second: after so long without a byte the connection is dead
const PAUSES_MS = [250, 500, 1000, 2000, 3500, 5000];

const UNANSWERED = new Error('no answer'); // why a request was aborted

/** The bytes are not the multipart stream that was expected. */
export class BadStream extends Error {}

/**
 * Turns chunks of bytes into parts. Calls onPart({headers, body}) for each complete part, with the
 * headers' names in lower case. The boundary is the first line of the stream.
 */
export class PartReader {
  #onPart;
  #boundary = null;
  #line = [];
  #headers = null; // null: between parts, waiting for the boundary
  #body = null;
  #filled = 0;

  constructor(onPart) {
    this.#onPart = onPart;
    this.ended = false;
  }

  /** Takes the next bytes (Uint8Array) of the stream. Throws BadStream. */
  push(chunk) {
    let at = 0;
    while (at < chunk.length && !this.ended) {
      at = this.#body ? this.#fill(chunk, at) : this.#readLine(chunk, at);
    }
  }

  #fill(chunk, at) {
    const take = Math.min(chunk.length - at, this.#body.length - this.#filled);
    this.#body.set(chunk.subarray(at, at + take), this.#filled);
    this.#filled += take;
    if (this.#filled === this.#body.length) this.#finish();
    return at + take;
  }

  #readLine(chunk, at) {
    const end = chunk.indexOf(10, at);
    const stop = end < 0 ? chunk.length : end;
    if (this.#line.length + stop - at > MAX_LINE) throw new BadStream('a header line is too long');
    for (let i = at; i < stop; i++) this.#line.push(chunk[i]);
    if (end < 0) return stop;
    if (this.#line.at(-1) === 13) this.#line.pop();
    const line = String.fromCharCode(...this.#line);
    this.#line.length = 0;
    this.#takeLine(line);
    return end + 1;
  }

  #takeLine(line) {
    if (this.#headers) {
      if (line === '') this.#begin();
      else this.#takeHeader(line);
    } else if (line !== '') {
      this.#takeBoundary(line);
    }
  }

  #takeBoundary(line) {
    if (line.startsWith('--')) this.#boundary ??= line;
    if (line === this.#boundary) this.#headers = {};
    else if (this.#boundary !== null && line === `${this.#boundary}--`) this.ended = true;
    else throw new BadStream('a boundary is missing');
  }

  #takeHeader(line) {
    const colon = line.indexOf(':');
    if (colon < 1) throw new BadStream('a header has no colon');
    this.#headers[line.slice(0, colon).trim().toLowerCase()] = line.slice(colon + 1).trim();
  }

  #begin() {
    const text = this.#headers['content-length'] ?? '';
    const length = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
    if (!(length <= MAX_PART)) throw new BadStream('a part has no valid Content-Length');
    this.#body = new Uint8Array(length);
    this.#filled = 0;
    if (length === 0) this.#finish();
  }

  #finish() {
    const part = { headers: this.#headers, body: this.#body };
    this.#headers = null;
    this.#body = null;
    this.#onPart(part);
  }
}

/**
 * One stream that is kept open: it reconnects, with growing pauses.
 *
 * Handlers: url() -> string, onOpen(response), onPart(part), onUnreadable() when this browser cannot
 * read it, onTrouble({status, sentence, unanswered, pause_ms}) when it was lost or refused. Status 0: the
 * connection was lost; unanswered: no byte ever came.
 */
export class ReconnectingStream {
  #handlers;
  #abort = null;
  #timer = null;
  #failures = 0;
  #unreadable = 0;

  constructor(handlers) {
    this.#handlers = handlers;
  }

  /** Opens the stream now, also while it pauses or is open. */
  start() {
    this.stop();
    this.#failures = 0;
    this.#run();
  }

  /** Closes the stream, or ends its pause. */
  stop() {
    clearTimeout(this.#timer);
    const abort = this.#abort;
    this.#abort = null;
    abort?.abort();
  }

  async #run() {
    const abort = new AbortController();
    this.#abort = abort;
    let trouble;
    try {
      trouble = await this.#read(abort);
    } catch (error) {
      if (error instanceof BadStream) this.#unreadable += 1;
      trouble = { status: 0, sentence: '', unanswered: error === UNANSWERED };
    }
    if (this.#abort !== abort) return; // stopped by the page
    this.stop();
    if (this.#unreadable > 1) this.#handlers.onUnreadable();
    else this.#retry(trouble);
  }

  async #read(abort) {
    let silence;
    const within = (reason) => {
      clearTimeout(silence);
      silence = setTimeout(() => abort.abort(reason), SILENCE_MS);
    };
    const heard = () => within();
    try {
      within(UNANSWERED);
      const headers = { Accept: 'application/octet-stream' };
      const response = await fetch(this.#handlers.url(), { headers, cache: 'no-store', signal: abort.signal });
      if (!response.ok) return await refusal(response);
      if (!response.body) throw new BadStream('this browser cannot read a body in pieces');
      this.#handlers.onOpen(response);
      await this.#readParts(response.body.getReader(), abort, heard);
      return { status: 0, sentence: '' };
    } finally {
      clearTimeout(silence);
    }
  }

  async #readParts(reader, abort, heard) {
    const parts = new PartReader((part) => {
      this.#failures = 0;
      this.#unreadable = 0;
      if (this.#abort === abort) this.#handlers.onPart(part);
    });
    while (!parts.ended) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      parts.push(value);
    }
  }

  #retry(trouble) {
    const growing = PAUSES_MS[Math.min(this.#failures, PAUSES_MS.length - 1)];
    this.#failures += 1;
    const pause_ms = Math.max(growing, Math.min(trouble.retry_ms ?? 0, 30000));
    this.#timer = setTimeout(() => this.#run(), pause_ms);
    this.#handlers.onTrouble({ ...trouble, pause_ms });
  }
}
