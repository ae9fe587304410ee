/**
 * Recording: the button, and what the server reports of it. The list of recordings is in recordings.js.
 */
import { amount, clockTime } from './figures.js';
import { say } from './message.js';
import { NewestOnly, send } from './send.js';
import { readStatus } from './status.js';

const LATEST_S = 1.5; // after a report the shown time stops, until the next report

const $ = (id) => document.getElementById(id);
const button = $('record');
const switching = new NewestOnly(turn);
const listeners = [];
let now = null; // the last report of the server, {on, name, seconds, bytes, frames, dropped, message, at}

export const isRecording = () => Boolean(now?.on);

/** What became of the last recording, as one sentence. */
export const lastRecording = () => (now && !now.on && now.name ? now.message : '');

/** Calls `listener` whenever a recording has started or ended. */
export function onRecordings(listener) {
  listeners.push(listener);
}

export function toggleRecording() {
  if (!button.hidden) switching.offer(button.getAttribute('aria-pressed') !== 'true');
}

async function turn(on) {
  press(on);
  const answer = await send('POST', 'recording', { on });
  if (!answer.ok) say(answer.sentence, 'error');
  if (!switching.waiting) setTimeout(readStatus); // not before the queue is empty: statuses until then are ignored
}

const press = (on) => button.setAttribute('aria-pressed', String(on));

/** Takes the recorder's part of a status: null for a watcher, and for a server that does not record. */
export function takeRecording(report) {
  if (Number.isNaN(switching.turn)) return; // it may be from before the press
  const before = now;
  now = report ? { ...report, at: performance.now() } : null;
  button.hidden = $('recordings').hidden = now === null;
  press(isRecording());
  show();
  if (before === null || now === null) return;
  if (before.on && !now.on) say(now.message, 'done'); // it also stays in the panel
  if (before.on !== now.on || before.name !== now.name) listeners.forEach((listener) => listener());
}

/** Elapsed time and size; the time goes on between two reports. */
function show() {
  if (!now?.on) return void idle();
  const elapsed = clockTime(Math.floor(now.seconds + Math.min(LATEST_S, (performance.now() - now.at) / 1000)));
  const size = amount({ bytes: now.bytes });
  const dropped = now.dropped ? `${now.dropped} ${now.dropped === 1 ? 'frame' : 'frames'} dropped` : '';
  button.toggleAttribute('data-dropped', now.dropped > 0);
  button.title = ['Stop recording (R)', dropped].filter(Boolean).join('; ');
  $('record-text').textContent = `${elapsed}\n${size}`;
  $('recordings-now').textContent = ` · ${[elapsed, size, dropped].filter(Boolean).join(', ')}`;
}

function idle() {
  button.removeAttribute('data-dropped');
  button.title = 'Record the stream (R)';
  $('record-text').textContent = 'Record';
  $('recordings-now').textContent = '';
}

export function startRecording() {
  button.addEventListener('click', toggleRecording);
  setInterval(() => { if (isRecording()) show(); }, 250);
}
