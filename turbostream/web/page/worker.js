/**
 * One stream for all windows of this page in one browser. A SharedWorker: it lives as long as one of
 * the windows does.
 *
 * A browser opens six connections to a host, so seven windows with a stream each would leave none for
 * the prompt. Here one stream is read, and each visible window gets its newest picture: the next one
 * is sent when it has painted the last, so a slow window skips pictures and delays no other.
 *
 * A window sends {type}: join with fps (0: all), leave, took (a part was painted), acknowledge with
 * id and frame, ping. It gets {type}: alive, open with id, part, trouble, unreadable.
 */
import { address } from './address.js';
import { ReconnectingStream } from './reader.js';
import { NewestOnly, acknowledgeFrame } from './send.js';

const GONE_MS = 10_000; // a window answers every part and pings every second: this one was closed or killed
const EARLY_MS = 5; // a picture that is early by a timer's jitter is not skipped

/** One window, from its join to its leave. */
class Member {
  fps = null; // null: it is hidden, or gone
  heardAt = 0;
  #port;
  #busy = false;
  #next = null;
  #plannedAt = -Infinity; // when its last picture was due; its own fps counts from there

  constructor(port) {
    this.#port = port;
  }

  tell(message) {
    this.#port.postMessage(message);
  }

  join(fps) {
    this.fps = fps;
    this.#busy = false;
    this.#next = null;
    this.#plannedAt = -Infinity;
  }

  offer(part, now) {
    if (!this.#isDue(now)) return;
    this.#next = part;
    if (!this.#busy) this.took();
  }

  /** The last part is painted: sends the newest that arrived meanwhile. */
  took() {
    const part = this.#next;
    this.#next = null;
    this.#busy = part !== null;
    if (part) this.tell({ type: 'part', part });
  }

  #isDue(now) {
    if (!this.fps) return true;
    const every = 1000 / this.fps;
    const planned = this.#plannedAt + every;
    if (now < planned - EARLY_MS) return false;
    this.#plannedAt = now - planned < every ? planned : now;
    return true;
  }
}

const members = new Set(); // the visible windows
let rate = null; // of the open stream (0: all pictures); null: it is closed
let streamId = null;
let newest = null; // the part that a new window gets at once
let acknowledged = 0; // the highest frame number; Infinity: the server does not know this stream
let troubled = false;
let unreadable = false;

const acknowledgements = new NewestOnly(sendAcknowledgement);
const tellAll = (message) => members.forEach((member) => member.tell(message));

const stream = new ReconnectingStream({
  url: () => address(rate ? `stream?fps=${rate}` : 'stream'),
  onOpen(response) {
    streamId = response.headers.get('X-Stream-Id');
    acknowledged = 0;
    tellAll({ type: 'open', id: streamId });
  },
  onPart(part) {
    newest = part;
    troubled = false;
    const now = performance.now();
    members.forEach((member) => member.offer(part, now));
  },
  onTrouble(trouble) {
    troubled = true;
    newest = null;
    tellAll({ type: 'trouble', trouble });
  },
  onUnreadable() {
    unreadable = true;
    tellAll({ type: 'unreadable' });
  },
});

/** Opens the stream at the highest rate that a window needs, or closes it. */
function settle() {
  const rates = [...members].map(({ fps }) => fps);
  const needed = rates.length === 0 ? null : rates.includes(0) ? 0 : Math.max(...rates);
  if (needed === rate) return;
  rate = needed;
  open();
}

function open() {
  streamId = null;
  newest = null;
  troubled = false;
  if (rate === null) stream.stop();
  else stream.start();
}

function join(member, fps) {
  member.join(fps);
  members.add(member);
  member.tell({ type: 'alive' });
  if (unreadable) return member.tell({ type: 'unreadable' });
  settle();
  if (troubled) return open(); // a window that joins or retries does not wait for the next attempt
  if (streamId) member.tell({ type: 'open', id: streamId });
  if (newest) member.offer(newest, performance.now());
}

/** The window that is furthest ahead counts: a slow one delays no other. */
function acknowledge({ id, frame }) {
  if (id !== streamId || frame <= acknowledged) return;
  acknowledged = frame;
  acknowledgements.offer({ id, frame });
}

async function sendAcknowledgement(item) {
  if (!(await acknowledgeFrame(item)) && item.id === streamId) acknowledged = Infinity;
}

function take(member, message) {
  member.heardAt = performance.now();
  if (message.type === 'join') return join(member, message.fps);
  if (message.type === 'leave') {
    members.delete(member);
    member.fps = null;
    return settle();
  }
  if (member.fps === null) return undefined;
  if (!members.has(member)) return join(member, member.fps); // it was only slow
  if (message.type === 'took') return member.took();
  if (message.type === 'acknowledge') return acknowledge(message);
  return member.tell({ type: 'alive' });
}

self.onconnect = ({ ports: [port] }) => {
  const member = new Member(port);
  port.onmessage = ({ data }) => take(member, data);
};

setInterval(() => {
  const now = performance.now();
  members.forEach((member) => { if (now - member.heardAt > GONE_MS) members.delete(member); });
  settle();
}, 1000);
