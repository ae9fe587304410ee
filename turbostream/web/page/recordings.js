/** The list of recordings, to play, save and delete them; and the last seconds as a file. */
import { address } from './address.js';
import { clockTime, fileSize } from './figures.js';
import { pressTwice } from './press_twice.js';
import { lastRecording, onRecordings } from './recording.js';
import { refusal, send } from './send.js';

const CLIP_S = 10;
const CLIP_LIMIT_MS = 120_000; // other clips may be encoded first

const $ = (id) => document.getElementById(id);
const box = $('recordings');
const list = $('recording-list');
const make = (tag, properties) => Object.assign(document.createElement(tag), properties);
const file = (name) => address(`recordings/${encodeURIComponent(name)}`);

// ------------------------------------------------------------------------------------ recordings

async function readRecordings() {
  if (!box.open || box.hidden || document.body.classList.contains('watcher')) return;
  const answer = await send('GET', 'recordings');
  if (answer.ok) show(answer.data.recordings);
  const nothing = list.children.length ? '' : 'There are no recordings yet.';
  $('recordings-say').textContent = answer.ok ? lastRecording() || nothing : answer.sentence;
}

/** Fills the list. A button that has been pressed once stays so. */
function show(found) {
  const pressed = list.querySelector('.sure')?.dataset.name;
  list.replaceChildren(...found.map(row));
  const again = [...list.querySelectorAll('button')].find(({ dataset }) => dataset.name === pressed);
  again?.focus();
  again?.click();
}

function row({ name, seconds, bytes, session }) {
  const item = make('li', {});
  const label = make('span', { className: 'recording-name' });
  label.append(
    make('a', { href: file(`${name}.mp4`), target: '_blank', textContent: name, title: 'Play in a new tab' }),
    make('small', { textContent: `${clockTime(Math.round(seconds))}, ${fileSize(bytes)}` }),
  );
  item.append(label, make('a', { href: file(`${name}.mp4`), download: `${name}.mp4`, textContent: 'Save' }));
  if (session) item.append(make('a', { href: file(`${name}.jsonl.gz`), download: `${name}.jsonl.gz`, textContent: 'Session', title: 'The session file, from which the recording can be painted again' }));
  else item.append(make('span', {}));
  item.append(removeButton(name));
  return item;
}

function removeButton(name) {
  const button = make('button', { type: 'button', className: 'link' });
  button.dataset.name = name;
  pressTwice(button, {
    label(sure) {
      button.textContent = sure ? 'Delete for good?' : 'Delete';
      button.ariaLabel = sure ? `Delete for good: ${name}` : `Delete ${name}`;
    },
    request: () => send('DELETE', `recordings/${encodeURIComponent(name)}`),
    async done(answer) {
      await readRecordings();
      if (!answer.ok) $('recordings-say').textContent = answer.sentence;
    },
  });
  return button;
}

// ----------------------------------------------------------------------------------------- clips

async function saveClip(form) {
  const buttons = [...$('clips').querySelectorAll('button')];
  buttons.forEach((button) => { button.disabled = true; });
  $('clip-say').textContent = 'Encoding …';
  $('clip-say').textContent = await fetchClip(form).catch(() => 'The server does not answer.');
  buttons.forEach((button) => { button.disabled = false; });
}

/** Saves a clip; gives what happened as text. */
async function fetchClip(form) {
  const response = await fetch(address(`clip?seconds=${CLIP_S}&format=${form}`), { cache: 'no-store', signal: AbortSignal.timeout(CLIP_LIMIT_MS) });
  if (!response.ok) return (await refusal(response)).sentence;
  const clip = await response.blob();
  const url = URL.createObjectURL(clip);
  make('a', { href: url, download: `clip-${stamp()}.${form}` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
  return `${form === 'mp4' ? 'MP4' : 'WebP'}, ${fileSize(clip.size)}`;
}

/** The local time as part of a file name. */
function stamp() {
  const local = new Date(Date.now() - new Date().getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 19).replace(/[T:]/g, '-');
}

export function startRecordings() {
  box.addEventListener('toggle', readRecordings);
  onRecordings(readRecordings);
  for (const button of $('clips').querySelectorAll('button')) {
    button.addEventListener('click', () => saveClip(button.dataset.format));
  }
}
