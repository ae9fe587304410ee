/**
 * The scene as the server reports it, and the queue of this page's changes to it.
 *
 * Words have a queue of their own in prompt.js, which measures their latency and sends them again after
 * a 429.
 */
import { patchScene, request } from './control.js';
import { say } from './message.js';

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const listeners = [];
const queue = []; // [{path, body, kind, fade, answered}], without a path a patch of the scene; or [{settled}]
let busy = false;
let turns = 0;

let revision = -1; // of the last scene, as far as the server named it

/** The last scene that the server reported, or null. */
export let scene = null;

/** NaN while a change of this page is in flight; the number differs afterwards. */
export const sceneTurn = () => (busy ? NaN : turns);

/** Calls `listener` with each scene that the server reports. */
export function onScene(listener) {
  listeners.push(listener);
}

export function takeScene(next) {
  revision = next.revision ?? revision;
  scene = next;
  listeners.forEach((listener) => listener(next));
}

/** Takes a pushed scene, unless the page shows a later one; gives whether it did. `first`: of its connection, perhaps to another server process, which counts from 0. */
export function takePushed(next, { revision: at, first = false }) {
  if (busy || (at < revision && !first)) return false;
  takeScene({ ...next, revision: at });
  return true;
}

/** Changes fields of the scene; `fade`: {fade_s, easing}. Merged with the last waiting change if its fade is the same. */
export function change(fields, fade) {
  const last = queue.at(-1);
  const same = last?.kind === 'patch' && last.fade.fade_s === fade.fade_s && last.fade.easing === fade.easing;
  if (same) Object.assign(last.body, fields);
  else queue.push({ body: { ...fields, ...fade }, kind: 'patch', fade });
  return work();
}

/** Sends a request whose answer is the scene, which `answered` receives. It replaces the last waiting one if that has the same `kind`. */
export function act(path, body, kind = null, answered = () => {}) {
  if (kind !== null && queue.at(-1)?.kind === kind) queue.pop();
  queue.push({ path, body, kind, answered });
  return work();
}

/** Resolves once the changes until now are answered. */
export function settled() {
  return new Promise((done) => {
    queue.push({ settled: done });
    work();
  });
}

async function work() {
  if (busy) return;
  busy = true;
  try {
    while (queue.length) {
      const next = queue.shift();
      const { path, body } = next;
      if (next.settled) {
        next.settled();
        continue;
      }
      const answer = await (path ? request('POST', path, body) : patchScene(body));
      if (!answer.ok) say(answer.sentence, 'error');
      if (answer.status === 429) {
        await sleep(answer.retry_ms || 1000);
        queue.unshift(next); // the last value of a slider must arrive
      }
      if (answer.ok) next.answered?.(answer.data);
      const isLast = queue.every((later) => later.settled);
      if (answer.ok && isLast && answer.data?.motion) takeScene(answer.data);
    }
  } finally {
    turns += 1;
    busy = false;
  }
}
