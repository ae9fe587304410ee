/**
 * The stream of one window: shared with the browser's other windows through worker.js, or its own
 * where that is not possible.
 *
 * Handlers: fps() -> pictures a second (0: all), onOpen(), onPart(part) -> a promise that resolves when
 * the part is painted, onTrouble({status, sentence, pause_ms}), onUnreadable() when this browser cannot
 * read a stream at all.
 */
import { address } from './address.js';
import { ReconnectingStream } from './reader.js';
import { NewestOnly, acknowledgeFrame } from './send.js';

const QUIET_MS = 1000; // without a message from the worker for so long, it is pinged
const ANSWER_MS = 1000;
const BEGIN_MS = 8000; // for its files to load, perhaps through a slow connection
const NO_CONNECTION = 'The server does not answer. If more windows of this page are open, close some: '
  + 'a browser opens only six connections to a server.';

/** A stream for this window only. */
class OwnStream {
  #stream;
  #id = null;
  #acknowledgements = new NewestOnly((item) => this.#acknowledge(item));

  constructor(handlers) {
    this.#stream = new ReconnectingStream({
      url: () => address(handlers.fps() ? `stream?fps=${handlers.fps()}` : 'stream'),
      onOpen: (response) => {
        this.#id = response.headers.get('X-Stream-Id');
        handlers.onOpen();
      },
      onPart: (part) => handlers.onPart(part),
      onTrouble: (trouble) => handlers.onTrouble(trouble.unanswered ? { ...trouble, sentence: NO_CONNECTION } : trouble),
      onUnreadable: () => handlers.onUnreadable(),
    });
  }

  start() { this.#stream.start(); }

  stop() { this.#stream.stop(); }

  acknowledge(frame) {
    if (this.#id) this.#acknowledgements.offer({ id: this.#id, frame });
  }

  async #acknowledge(item) {
    const known = await acknowledgeFrame(item, { keepalive: true });
    if (!known && item.id === this.#id) this.#id = null; // another server process
  }
}

/** This window's end of the shared stream. A worker that has died is started again. */
class SharedStream {
  #handlers;
  #onBroken;
  #port = null;
  #id = null;
  #timer = null;
  #silent = 0; // workers in a row that sent nothing

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

  acknowledge(frame) {
    this.#port?.postMessage({ type: 'acknowledge', id: this.#id, frame });
  }

  #connect() {
    const url = address('page/worker.js');
    // The name gives windows of another version of the program another worker.
    const worker = new SharedWorker(url, { type: 'module', name: document.body.dataset.version });
    worker.onerror = () => this.#break();
    this.#port = worker.port;
    worker.port.onmessage = ({ data }) => { if (this.#port === worker.port) this.#take(data); };
    this.#join();
    this.#wait(() => this.#lost(), BEGIN_MS);
  }

  #join() {
    this.#port.postMessage({ type: 'join', fps: this.#handlers.fps() });
    this.#wait(() => this.#ping(), QUIET_MS);
  }

  #wait(then, ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(then, ms);
  }

  #ping() {
    this.#port.postMessage({ type: 'ping' });
    this.#wait(() => this.#lost(), ANSWER_MS);
  }

  #lost() {
    this.#port.postMessage({ type: 'leave' }); // it may just be slow
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
    if (this.#timer === null) return; // stopped: this was in flight
    this.#silent = 0;
    this.#wait(() => this.#ping(), QUIET_MS);
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

/** start(), also to try again at once; stop(); acknowledge(frame) for each frame that was painted. */
export function pictureStream(handlers) {
  let stream = null;
  const useOwn = () => { stream = new OwnStream(handlers); };
  if (typeof SharedWorker === 'function') stream = new SharedStream(handlers, () => { useOwn(); stream.start(); });
  else useOwn();
  return {
    start: () => stream.start(),
    stop: () => stream.stop(),
    acknowledge: (frame) => stream.acknowledge(frame),
  };
}
