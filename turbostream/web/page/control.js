/**
 * The control socket of this page: sends its changes, and receives the state that the server pushes. While
 * the socket is not open, the same changes are sent as HTTP requests.
 */
import { Changes } from './changes.js';
import { fadeNow, setFade } from './fade.js';
import { say } from './message.js';
import { parameter } from './parameters.js';

const EVERY_MS = 16; // between two messages with values
const MOST_WAITING = 64; // triggers beyond this are refused
const AT_ONCE = ['motion', 'freeze']; // set without a fade, as continuous values are

const changes = new Changes(heard);
const reasons = new Set(); // why a hidden page keeps the socket
const listeners = [];
const pictureListeners = [];
let timer = null;
let sentAt = -Infinity;

export const control = {
  /** Whether changes go over the socket, and the server pushes its state. */
  get connected() { return changes.connected; },
};

/** Calls `listener` with each state of the server: {scene, revision}, and with history and setlist if it was pushed. */
export function onState(listener) {
  listeners.push(listener);
}

/** The number of the socket's connection, or null while it is not open. */
export const connection = () => changes.connection;

/** Sends the bytes of a picture's file, an ArrayBuffer, as the input picture; the socket must be open. */
export const sendPicture = (bytes) => changes.sendPicture(bytes);

/** Calls `listener` with each acknowledgement of pictures: {received: how many on this connection, message: why the last one was refused}. */
export function onPictures(listener) {
  pictureListeners.push(listener);
}

function heard(message) {
  if (message.error) say(message.error, 'error');
  else if (message.source) pictureListeners.forEach((listener) => listener(message.source));
  else listeners.forEach((listener) => listener(message));
}

/**
 * Changes fields of the scene; the answer is that of send(). `http`: the request that takes the place of the
 * patch while the socket is not open.
 */
export function patchScene(fields, http = { method: 'PATCH', path: 'scene', body: fields }) {
  const again = !('beat' in fields); // the beat that is now
  return act({ kind: 'patch', fields, http, again });
}

/** An HTTP request that changes something, in its place between the other changes; the answer is that of send(). */
export function request(method, path, body) {
  return act({ kind: 'request', http: { method, path, body }, again: false });
}

function act(change) {
  const answer = changes.add(change);
  changes.send();
  return answer;
}

/**
 * Sets values of the parameter table, {name: value}: the newest of each name, at most one message in
 * EVERY_MS. Triggers are sent at once, each of them. fade_s and easing set the fade of this page, which
 * applies to triggers, recalls and seeds; continuous values are set without a fade.
 */
export function setParameters({ fade_s: fadeS, easing, ...values }) {
  setFade(fadeS, easing);
  const pressed = Object.entries(values).map(([name, value]) => add(name, value)).includes(true);
  const waitMs = sentAt + EVERY_MS - performance.now();
  if (pressed || waitMs <= 0 || document.hidden) return sendValues(); // timers of a hidden page are late
  timer ??= setTimeout(sendValues, waitMs);
  return undefined;
}

function sendValues() {
  clearTimeout(timer);
  timer = null;
  sentAt = performance.now();
  changes.send();
}

/** Adds a value to those that are sent next; gives whether it is a trigger. */
function add(name, value) {
  const kind = parameter(name)?.kind;
  const isTrigger = kind === 'trigger';
  if (isTrigger && (value === false || value === 0)) return false; // a released button
  if (isTrigger && changes.count >= MOST_WAITING) {
    say('The server does not keep up with the controller; a button press was not sent.', 'error');
    return false;
  }
  const fade = kind === 'continuous' || AT_ONCE.includes(name) ? { fade_s: 0 } : fadeNow();
  changes.add({ kind: 'set', values: { [name]: value }, fade, again: !isTrigger }).then(setDone);
  return isTrigger;
}

function setDone(answer) {
  if (!answer.ok) say(answer.sentence, 'error');
  else if (answer.data?.motion) heard({ scene: answer.data, revision: answer.data.revision });
}

/** Keeps the socket open while the page is hidden, for as long as one reason holds. */
export function hold(reason, on) {
  if (on) reasons.add(reason);
  else reasons.delete(reason);
  follow();
}

/** Opens or closes the socket as the page needs it. */
export function follow() {
  changes.keep(!document.hidden || reasons.size > 0);
}

export function startControl() {
  document.addEventListener('visibilitychange', follow);
  addEventListener('pagehide', () => changes.stop());
  addEventListener('pageshow', ({ persisted }) => { if (persisted) follow(); });
  follow();
}
