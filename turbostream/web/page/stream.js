/**
 * The stream as a window has it: shared with the browser's other windows through worker.js, or one of
 * its own where that is not possible.
 *
 * Handlers: fps() -> pictures a second (0: all), onOpen(), onPart(part) -> a promise that holds until
 * the part is painted, onTrouble({status, sentence, pause_ms}), onUnreadable() when this browser cannot
 * read a stream at all.
 */
import { address } from './address.js';
import { LiveStream } from './reader.js';
import { NewestOnly, send } from './send.js';

const QUIET_MS = 1000; // without a word the worker is asked whether it is there
const ANSWER_MS = 1000;
const BEGIN_MS = 8000; // for its files to come, perhaps through a narrow line
const NO_PLACE = 'The server does not answer. If more windows of this page are open, close some: '
  + 'a browser opens only six connections to a server.';

/** A stream for this window alone. */
class OwnStream {
  #stream;
  #id = null;
  #reports = new NewestOnly((report) => this.#report(report));

  constructor(handlers) {
    this.#stream = new LiveStream({
      url: () => address(handlers.fps() ? `stream?fps=${handlers.fps()}` : 'stream'),
      onOpen: (response) => {
        this.#id = response.headers.get('X-Stream-Id');
        handlers.onOpen();
      },
      onPart: (part) => handlers.onPart(part),
      onTrouble: (trouble) => handlers.onTrouble(trouble.unanswered ? { ...trouble, sentence: NO_PLACE } : trouble),
      onUnreadable: () => handlers.onUnreadable(),
    });
  }

  start() { this.#stream.start(); }

  stop() { this.#stream.stop(); }

  shown(frame) {
    if (this.#id) this.#reports.offer({ id: this.#id, frame });
  }

  async #report({ id, frame }) {
    const answer = await send('POST', `stream/${encodeURIComponent(id)}/shown`, { frame }, { keepalive: true });
    if (answer.status === 404 && id === this.#id) this.#id = null;
  }
}

/** This window's end of the shared stream. A worker that has died is started once more. */
class SharedStream {
  #handlers;
  #onBroken;
  #port = null;
  #id = null;
  #timer = null;
  #silent = 0; // workers in a row that said nothing

  constructor(handlers, onBroken) {
    this.#handlers = handlers;
    this.#onBroken = onBroken;
  }

  start() {
    if (!this.#port) return this.#connect();
    return this.#join();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#port?.postMessage({ type: 'leave' });
  }

  shown(frame) {
    this.#port?.postMessage({ type: 'shown', id: this.#id, frame });
  }

  #connect() {
    const url = address('page/worker.js');
    // The name keeps windows of another version of the program on a worker of theirs.
    const worker = new SharedWorker(url, { type: 'module', name: document.body.dataset.version });
    worker.onerror = () => this.#break();
    this.#port = worker.port;
    worker.port.onmessage = ({ data }) => { if (this.#port === worker.port) this.#take(data); };
    this.#join();
    this.#wait(() => this.#lost(), BEGIN_MS);
  }

  #join() {
    this.#port.postMessage({ type: 'join', fps: this.#handlers.fps() });
    this.#wait(() => this.#ask(), QUIET_MS);
  }

  #wait(then, ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(then, ms);
  }

  #ask() {
    this.#port.postMessage({ type: 'ping' });
    this.#wait(() => this.#lost(), ANSWER_MS);
  }

  #lost() {
    this.#port.postMessage({ type: 'leave' }); // it may only have been slow
    this.#port = null;
    this.#silent += 1;
    if (this.#silent > 1) this.#break();
    else this.#connect();
  }

  #break() {
    if (this.#timer === null) return;
    this.stop();
    this.#onBroken();
  }

  async #take(message) {
    if (this.#timer === null) return; // stopped: what was on its way
    this.#silent = 0;
    this.#wait(() => this.#ask(), QUIET_MS);
    if (message.type === 'open') {
      this.#id = message.id;
      this.#handlers.onOpen();
    } else if (message.type === 'part') {
      try {
        await this.#handlers.onPart(message.part);
      } finally {
        this.#port?.postMessage({ type: 'took' });
      }
    } else if (message.type === 'trouble') {
      this.#handlers.onTrouble(message.trouble);
    } else if (message.type === 'unreadable') {
      this.stop();
      this.#handlers.onUnreadable();
    }
  }
}

/** start(), also to try again at once; stop(); shown(frame) for each frame that was painted. */
export function pictureStream(handlers) {
  let way = null;
  const alone = () => { way = new OwnStream(handlers); };
  if (typeof SharedWorker === 'function') way = new SharedStream(handlers, () => { alone(); way.start(); });
  else alone();
  return {
    start: () => way.start(),
    stop: () => way.stop(),
    shown: (frame) => way.shown(frame),
  };
}
