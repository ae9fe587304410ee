/**
 * The flow of pictures to the server: at most two are unacknowledged. A picture is taken when it can be
 * sent, so that the newest is sent and none waits.
 */

const MOST_UNACKNOWLEDGED = 2;

export class PictureFlow {
  #take;
  #socket;
  #due = false; // a picture is to be sent
  #busy = false; // one is being encoded
  #turn = 0; // of start and stop: a picture that was encoded meanwhile is dropped
  #connection = null; // the one that the two numbers are about
  #sent = 0;
  #received = 0;

  /** take(): a promise of the bytes of the newest picture, or null; socket: {connection, sendPicture(bytes)}, the connection null while it is not open. */
  constructor(take, socket) {
    [this.#take, this.#socket] = [take, socket];
  }

  /** Sends the newest picture, as soon as fewer than two are unacknowledged. */
  offer() {
    this.#due = true;
    return this.#work();
  }

  /** Takes an acknowledgement: how many pictures the server has handled on this connection. */
  acknowledged(received) {
    this.#received = received;
    return this.#work();
  }

  /** Nothing more is sent before the next offer. */
  stop() {
    this.#due = false;
    this.#turn += 1;
  }

  async #work() {
    if (!this.#due || this.#busy || !this.#isFree()) return;
    [this.#due, this.#busy] = [false, true];
    const turn = this.#turn;
    try {
      const bytes = await this.#take();
      if (bytes && turn === this.#turn && this.#isFree()) {
        this.#socket.sendPicture(bytes);
        this.#sent += 1;
      }
    } finally {
      this.#busy = false;
    }
    this.#work();
  }

  #isFree() {
    const { connection } = this.#socket;
    if (connection === null) return false;
    if (connection !== this.#connection) [this.#connection, this.#sent, this.#received] = [connection, 0, 0];
    return this.#sent - this.#received < MOST_UNACKNOWLEDGED;
  }
}
