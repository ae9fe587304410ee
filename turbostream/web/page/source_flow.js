/**
 * The flow of pictures to the server. A picture is taken when it can be sent, so that the newest is sent and none waits.
 *
 * As many are unacknowledged as keep the line busy: on a long line more than on a short one, on a full line fewer. They are
 * counted as TCP Vegas counts its segments: what takes longer than the fastest acknowledgement of this connection has waited.
 */

const [LEAST_UNACKNOWLEDGED, MOST_UNACKNOWLEDGED] = [2, 16];
const MOST_BYTES = 1_000_000; // unacknowledged
const [FEW_WAITING, MANY_WAITING] = [1, 2]; // pictures on the line that wait for others
const LOOK_EVERY_MS = 20;

export class PictureFlow {
  #take;
  #socket;
  #now;
  #due = false; // a picture is to be sent
  #busy = false; // one is being encoded
  #turn = 0; // of start and stop: a picture that was encoded meanwhile is dropped
  #connection = null; // the one that all below is about
  #sent = 0;
  #received = 0;
  #unacknowledged = []; // {at: ms, bytes}, oldest first
  #bytes = 0; // of these
  #most = LEAST_UNACKNOWLEDGED; // at once
  #fastest = Infinity; // ms until an acknowledgement
  #round = { ends: 0, fastest: Infinity, held: false }; // ends: with this picture; held: whether a picture had to wait

  /**
   * take(): a promise of the bytes of the newest picture, or null; socket: {connection, sendPicture(bytes)}, the connection
   * null while it is not open; now(): ms.
   */
  constructor(take, socket, now = () => performance.now()) {
    [this.#take, this.#socket, this.#now] = [take, socket, now];
  }

  /** Sends the newest picture, as soon as few enough are unacknowledged. */
  offer() {
    this.#due = true;
    return this.#work();
  }

  /** Takes an acknowledgement: how many pictures the server has handled on this connection. */
  acknowledged(received) {
    this.#follow();
    const [done, now] = [this.#unacknowledged.splice(0, received - this.#received), this.#now()];
    for (const { at, bytes } of done) {
      this.#bytes -= bytes;
      this.#round.fastest = Math.min(this.#round.fastest, now - at);
    }
    this.#received = received;
    if (done.length && received >= this.#round.ends) this.#endRound();
    return this.#work();
  }

  /** Nothing more is sent before the next offer. */
  stop() {
    this.#due = false;
    this.#turn += 1;
  }

  /** Resolves once the server has handled all pictures that were sent, or their connection has ended. */
  async settled() {
    const sent = this.#sent;
    const isOpen = () => this.#socket.connection === this.#connection && this.#connection !== null;
    while (isOpen() && this.#received < sent) await new Promise((done) => { setTimeout(done, LOOK_EVERY_MS); });
  }

  async #work() {
    if (!this.#due || this.#busy || !this.#isFree()) return;
    [this.#due, this.#busy] = [false, true];
    const turn = this.#turn;
    try {
      const bytes = await this.#take();
      if (bytes && turn === this.#turn && this.#isFree()) this.#send(bytes);
    } finally {
      this.#busy = false;
    }
    this.#work();
  }

  #send(bytes) {
    const size = bytes.byteLength ?? bytes.size;
    this.#socket.sendPicture(bytes);
    this.#sent += 1;
    this.#bytes += size;
    this.#unacknowledged.push({ at: this.#now(), bytes: size });
  }

  #isFree() {
    if (!this.#follow()) return false;
    const count = this.#sent - this.#received;
    const average = count ? this.#bytes / count : 0;
    const isFree = count < LEAST_UNACKNOWLEDGED || (count < this.#most && this.#bytes + average <= MOST_BYTES);
    if (!isFree) this.#round.held = true;
    return isFree;
  }

  /** Whether there is a connection; a new one begins with nothing known. */
  #follow() {
    const { connection } = this.#socket;
    if (connection !== null && connection !== this.#connection) {
      [this.#connection, this.#sent, this.#received] = [connection, 0, 0];
      [this.#unacknowledged, this.#bytes] = [[], 0];
      [this.#most, this.#fastest] = [LEAST_UNACKNOWLEDGED, Infinity];
      this.#round = { ends: 0, fastest: Infinity, held: false };
    }
    return connection !== null;
  }

  #endRound() {
    const { fastest, held } = this.#round;
    const isFirst = this.#fastest === Infinity;
    this.#fastest = Math.min(this.#fastest, fastest);
    const waiting = fastest > 0 ? this.#most * (1 - this.#fastest / fastest) : 0;
    if (waiting > MANY_WAITING) this.#most = Math.max(LEAST_UNACKNOWLEDGED, this.#most - 1);
    else if (held && !isFirst && waiting < FEW_WAITING) this.#most = Math.min(MOST_UNACKNOWLEDGED, this.#most + 1);
    this.#round = { ends: this.#sent + 1, fastest: Infinity, held: false };
  }
}
