/**
 * One stream for all windows of this page in one browser. A SharedWorker: it lives as long as one of
 * the windows does.
 *
 * A browser opens six connections to a host, so seven windows with a stream each would leave none for
 * the words. Here one stream is read, and each window that is seen gets its newest picture: the next
 * one goes to it when it has painted the last, so that a slow window skips pictures, holds up nobody
 * and lets nothing pile up.
 *
 * A window sends {type}: join with fps (0: all), leave, took (a part was painted), shown with id and
 * frame, ping. It gets {type}: alive, open with id, part, trouble, unreadable.
 */
import { address } from './address.js';
import { LiveStream } from './reader.js';
import { NewestOnly, send } from './send.js';

const GONE_MS = 10_000; // a window answers every part and asks every second: this one was closed or killed
const EARLY_MS = 5; // a timer's jitter is no reason to wait for one more picture

/** One window, from its join to its leave. */
class Member {
  fps = null; // null: it is not seen, or gone
  heardAt = 0;
  #port;
  #busy = false;
  #next = null;
  #beat = -Infinity; // when its last picture was due; its own fps counts from there

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
    this.#beat = -Infinity;
  }

  offer(part, now) {
    if (!this.#isDue(now)) return;
    this.#next = part;
    if (!this.#busy) this.took();
  }

  /** The last part is painted: the newest that came meanwhile goes out. */
  took() {
    const part = this.#next;
    this.#next = null;
    this.#busy = part !== null;
    if (part) this.tell({ type: 'part', part });
  }

  #isDue(now) {
    if (!this.fps) return true;
    const every = 1000 / this.fps;
    const planned = this.#beat + every;
    if (now < planned - EARLY_MS) return false;
    this.#beat = now - planned < every ? planned : now;
    return true;
  }
}

const members = new Set(); // the windows that are seen
let rate = null; // that the stream was asked for (0: all); null: it is closed
let streamId = null;
let newest = null; // the part that a window which joins gets at once
let reported = 0;
let troubled = false;
let unreadable = false;

const reports = new NewestOnly(report);
const tellAll = (message) => members.forEach((member) => member.tell(message));

const stream = new LiveStream({
  url: () => address(rate ? `stream?fps=${rate}` : 'stream'),
  onOpen(response) {
    streamId = response.headers.get('X-Stream-Id');
    reported = 0;
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

/** Opens the stream at the rate that the windows need together, or closes it. */
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
  if (troubled) return open(); // whoever joins, or asks once more, does not wait for the next try
  if (streamId) member.tell({ type: 'open', id: streamId });
  if (newest) member.offer(newest, performance.now());
}

/** Of all windows the one that is furthest ahead counts: a slow one holds up nobody. */
function shown({ id, frame }) {
  if (id !== streamId || frame <= reported) return;
  reported = frame;
  reports.offer({ id, frame });
}

async function report({ id, frame }) {
  const answer = await send('POST', `stream/${encodeURIComponent(id)}/shown`, { frame });
  if (answer.status === 404 && id === streamId) reported = Infinity;
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
  if (!members.has(member)) return join(member, member.fps); // it was only held up for long
  if (message.type === 'took') return member.took();
  if (message.type === 'shown') return shown(message);
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
