/**
 * The queue of this page's changes. They are sent over the control socket while it is open, else as HTTP
 * requests, and keep their order also when the socket opens or breaks between two of them.
 *
 * A change is {kind, again, ...}: 'patch' with fields and http, 'set' with values and fade, 'request' with
 * http; http is {method, path, body}. `again`: it may be sent a second time if the socket broke before
 * its answer came. The answer to each is that of send().
 */
import { send } from './send.js';
import { Socket } from './socket.js';

const ANSWER_MS = 10_000;
const TOO_MANY_MS = 1000; // the pause after a 429
const LOST = { ok: false, status: 0, sentence: 'The connection broke before the server answered.', retry_ms: 0 };
const REPLACED = { ok: true, status: 204, data: null }; // of values that were sent with later ones

const isSameFade = (a, b) => a.fade_s === b.fade_s && a.easing === b.easing;

export class Changes {
  #socket;
  #onState;
  #waiting = []; // oldest first
  #unanswered = new Map(); // sent over the socket, by number
  #newest = 0; // the number of the newest change
  #requesting = false; // an HTTP request is in flight: no change overtakes it
  #paused = null; // the timer of a pause after a 429
  #keep = false; // whether the socket stays open when nothing is left to send
  #first = true; // no state came over the socket since it opened
  #connections = 0; // how often the socket has opened

  /** `onState` is called with what the server pushes, with `first` after the socket opened, with {error} for a report that belongs to no change, or with {source} for pictures that were handled. */
  constructor(onState) {
    this.#onState = onState;
    this.#socket = new Socket('control', {
      onOpen: () => { this.#first = true; this.#connections += 1; this.send(); },
      onMessage: (message) => this.#heard(message),
      onLost: () => this.#lost(true),
    });
  }

  get connected() { return this.#socket.isOpen; }

  /** The number of the connection, or null while the socket is not open. */
  get connection() { return this.connected ? this.#connections : null; }

  /** Sends the bytes of a picture's file beside the changes; the socket must be open. */
  sendPicture(bytes) {
    this.#socket.tellBytes(bytes);
  }

  get count() { return this.#waiting.length; }

  /** Opens the socket, or closes it as soon as all changes are answered. */
  keep(on) {
    this.#keep = on;
    if (on) this.#socket.open();
    else this.#rest();
  }

  /** Closes the socket at once; what is not answered is given up. */
  stop() {
    this.#keep = false;
    this.#lost(false);
    this.#socket.close();
  }

  /** Adds a change; it leaves with the next send(). */
  add(change) {
    return new Promise((done) => {
      this.#newest += 1;
      this.#waiting.push({ ...change, number: this.#newest, done });
    });
  }

  /** Sends what waits, as far as that is possible now. */
  send() {
    while (this.#waiting.length && !this.#requesting && this.#paused === null) {
      const overSocket = this.connected && this.#waiting[0].kind !== 'request';
      if (overSocket) this.#tell(this.#next());
      else if (this.#unanswered.size) return; // the answers come first
      else this.#ask(this.#next());
    }
    this.#rest();
  }

  #rest() {
    const idle = !this.#waiting.length && !this.#requesting && !this.#unanswered.size;
    if (!this.#keep && idle) this.#socket.close();
  }

  /** The next change. Values of a set give way to later ones that follow it directly. */
  #next() {
    let change = this.#waiting.shift();
    const isMergeable = ({ kind, again }) => kind === 'set' && again;
    while (this.#waiting.length && isMergeable(change) && isMergeable(this.#waiting[0])
      && isSameFade(change.fade, this.#waiting[0].fade)) {
      const later = this.#waiting.shift();
      change.done(REPLACED);
      change = { ...later, values: { ...change.values, ...later.values } };
    }
    return change;
  }

  #tell(change) {
    const timer = setTimeout(() => this.#socket.giveUp(), ANSWER_MS);
    this.#unanswered.set(change.number, { change, timer });
    const content = change.kind === 'set' ? { set: { ...change.values, ...change.fade } } : { patch: change.fields };
    this.#socket.tell({ ...content, id: change.number });
  }

  async #ask(change) {
    this.#requesting = true;
    const { method, path, body } = change.http ?? { method: 'PATCH', path: 'parameters', body: { ...change.values, ...change.fade } };
    const answer = await send(method, path, body);
    this.#requesting = false;
    this.#settle(change, answer);
    this.send();
  }

  #heard(message) {
    if (message.id == null && (message.source || message.error)) return this.#onState(message);
    if (message.id == null) {
      this.#onState({ ...message, first: this.#first });
      this.#first = false;
      return undefined;
    }
    const found = this.#unanswered.get(message.id);
    if (!found) return undefined;
    clearTimeout(found.timer);
    this.#unanswered.delete(message.id);
    this.#settle(found.change, answerOf(message));
    return this.send();
  }

  #settle(change, answer) {
    if (change.kind !== 'set' || answer.status !== 429) return change.done(answer);
    clearTimeout(this.#paused); // the last value of a knob must arrive
    this.#paused = setTimeout(() => { this.#paused = null; this.send(); }, answer.retry_ms || TOO_MANY_MS);
    return this.#putBack(change);
  }

  /** Puts a change back to its place among those that wait. */
  #putBack(change) {
    const at = this.#waiting.findIndex(({ number }) => number > change.number);
    this.#waiting.splice(at < 0 ? this.#waiting.length : at, 0, change);
  }

  #lost(sendAgain) {
    const open = [...this.#unanswered.values()];
    this.#unanswered.clear();
    for (const { change, timer } of open) {
      clearTimeout(timer);
      if (sendAgain && change.again) this.#putBack(change);
      else change.done(LOST);
    }
    this.send();
  }
}

/** The answer to a change, as send() gives it. */
function answerOf({ scene, warning, error, status }) {
  if (error !== undefined) return { ok: false, status, sentence: error, retry_ms: 0 };
  return { ok: true, status: 200, data: scene ? { ...scene, warning } : null };
}
