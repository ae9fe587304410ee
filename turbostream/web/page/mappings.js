/** Which MIDI control and which part of the sound sets which parameter, as the server keeps them. */
import { onLooks } from './looks.js';
import { say } from './message.js';
import { NewestOnly, send } from './send.js';

const listeners = [];
const edits = new NewestOnly(store);
let current = { midi: [], sound: [] };

const mayWrite = () => !document.body.classList.contains('watcher');

/** {midi: [...], sound: [...]} in the form of GET /mappings. */
export const mappings = () => current;

/** Calls `listener` after each change of the mappings. */
export function onMappings(listener) {
  listeners.push(listener);
}

function take(next) {
  if (JSON.stringify(next) === JSON.stringify(current)) return;
  current = next;
  listeners.forEach((listener) => listener(current));
}

/** Replaces the mappings of MIDI, of sound, or both: {midi?, sound?}. They apply here at once. */
export function saveMappings(parts) {
  if (!mayWrite()) return undefined;
  take({ ...current, ...parts });
  return edits.offer(current);
}

async function store(wanted) {
  let answer = await send('PUT', 'mappings', wanted);
  while (answer.status === 429 && !edits.waiting) {
    await new Promise((done) => setTimeout(done, answer.retry_ms || 1000));
    answer = await send('PUT', 'mappings', wanted);
  }
  if (edits.waiting) return undefined;
  if (answer.ok) return take(answer.data);
  say(answer.sentence, 'error');
  return setTimeout(readMappings); // those in force, once this edit is over
}

export async function readMappings() {
  if (!mayWrite()) return;
  const { turn } = edits;
  const answer = await send('GET', 'mappings');
  if (answer.ok && edits.turn === turn) take(answer.data); // else it may be from before an edit
}

/** Reads them now, and whenever the looks were read again: another page may have changed both. */
export function startMappings() {
  onLooks(readMappings);
}
