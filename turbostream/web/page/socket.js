/** A WebSocket that is opened again when it closes, later after each failure in a row. */
import { address } from './address.js';

const SOON_MS = 1000; // between the first attempts
const SOON_ATTEMPTS = 3;
const LONGEST_MS = 30_000;

/** How long to wait after so many failures in a row, in ms. */
export const pauseMs = (failures) => Math.min(LONGEST_MS, SOON_MS * 2 ** Math.max(0, failures - SOON_ATTEMPTS));

/** Handlers: onOpen(), onMessage(object), onLost() when an open socket closed or was given up. */
export class Socket {
  #url;
  #handlers;
  #socket = null;
  #wanted = false;
  #failures = 0; // in a row: attempts after which no message came
  #timer = null;

  constructor(path, handlers) {
    this.#url = address(path).replace(/^http/, 'ws');
    this.#handlers = handlers;
  }

  get isOpen() {
    return this.#socket?.readyState === 1;
  }

  /** Opens the socket, and keeps it open. A pause after a failure ends at once. */
  open() {
    this.#wanted = true;
    if (this.#socket === null) this.#connect();
  }

  close() {
    this.#wanted = false;
    clearTimeout(this.#timer);
    this.#failures = 0;
    this.#drop();
  }

  /** Gives up a socket that does not answer, and connects again. */
  giveUp() {
    this.#drop();
    this.#connectLater();
  }

  tell(message) {
    this.#socket.send(JSON.stringify(message));
  }

  /** Sends an ArrayBuffer as one binary message. */
  tellBytes(bytes) {
    this.#socket.send(bytes);
  }

  #connect() {
    clearTimeout(this.#timer);
    if (typeof WebSocket !== 'function') return;
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    let wasOpen = false;
    socket.onopen = () => {
      wasOpen = true;
      this.#handlers.onOpen();
    };
    socket.onmessage = ({ data }) => {
      this.#failures = 0;
      this.#handlers.onMessage(JSON.parse(data));
    };
    socket.onclose = () => {
      this.#socket = null;
      this.#connectLater();
      if (wasOpen) this.#handlers.onLost();
    };
  }

  #connectLater() {
    this.#failures += 1;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => { if (this.#wanted) this.open(); }, pauseMs(this.#failures));
  }

  #drop() {
    const socket = this.#socket;
    if (!socket) return;
    Object.assign(socket, { onopen: null, onmessage: null, onclose: null }); // the closing handshake may take long
    this.#socket = null;
    socket.close();
    this.#handlers.onLost();
  }
}
