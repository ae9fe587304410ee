/**
 * The scene as the server reports it, and the queue that sends this page's changes to it in order.
 *
 * Words have a queue of their own in prompt.js, which measures their latency and sends them again after
 * a 429.
 */
import { say } from './message.js';
import { send } from './send.js';

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const listeners = [];
const queue = []; // [{method, path, body, kind}]
let busy = false;
let turns = 0;

/** The last scene that the server reported, or null. */
export let scene = null;

/** NaN while a change of this page is in flight; the number differs afterwards. */
export const sceneTurn = () => (busy ? NaN : turns);

/** Calls `listener` with each scene that the server reports. */
export function onScene(listener) {
  listeners.push(listener);
}

export function takeScene(next) {
  scene = next;
  listeners.forEach((listener) => listener(next));
}

/** Changes fields of the scene; `fade`: {fade_s, easing}. Merged with the last waiting change if its fade is the same. */
export function change(fields, fade) {
  const last = queue.at(-1);
  const same = last?.kind === 'patch' && last.fade.fade_s === fade.fade_s && last.fade.easing === fade.easing;
  if (same) Object.assign(last.body, fields);
  else queue.push({ method: 'PATCH', path: 'scene', body: { ...fields, ...fade }, kind: 'patch', fade });
  return work();
}

/** Sends a request whose answer is the scene. It replaces the last waiting one if that has the same `kind`. */
export function act(path, body, kind = null) {
  if (kind !== null && queue.at(-1)?.kind === kind) queue.pop();
  queue.push({ method: 'POST', path, body, kind });
  return work();
}

async function work() {
  if (busy) return;
  busy = true;
  try {
    while (queue.length) {
      const request = queue.shift();
      const answer = await send(request.method, request.path, request.body);
      if (!answer.ok) say(answer.sentence, 'error');
      if (answer.status === 429) {
        await sleep(answer.retry_ms || 1000);
        queue.unshift(request); // the last value of a slider must arrive
      }
      if (answer.ok && !queue.length && answer.data?.motion) takeScene(answer.data);
    }
  } finally {
    turns += 1;
    busy = false;
  }
}
