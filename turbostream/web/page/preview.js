/**
 * The choice whether words are sent while they are typed or on Enter. On Enter, a preview shows a
 * picture of the draft, of the newest only; the stream is not touched.
 */
import { address } from './address.js';
import { keep, kept } from './kept.js';
import { NewestOnly, refusal } from './send.js';

const $ = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const picture = $('preview-picture');
const previews = new NewestOnly(requestPreview);
let onEnter = false;
let draft = 0; // counts drafts: a picture that arrives after its draft was replaced or sent is not shown

export const isOnEnter = () => onEnter;

/** Requests a picture of a scene with these changes. */
export function preview(patch) {
  draft += 1;
  previews.offer({ patch, draft });
}

/** Removes the picture: the draft was sent or given up. */
export function endPreview() {
  draft += 1;
  show(null, 'Preview');
}

function show(blob, text) {
  if (picture.src) URL.revokeObjectURL(picture.src);
  picture.hidden = blob === null;
  if (blob) picture.src = URL.createObjectURL(blob);
  else picture.removeAttribute('src');
  picture.alt = blob ? 'Preview of the words in the field' : '';
  $('preview-text').textContent = text;
}

async function requestPreview(item) {
  if (item.draft !== draft) return;
  $('preview').setAttribute('aria-busy', 'true');
  const { blob, sentence, retry_ms } = await request(item.patch);
  $('preview').removeAttribute('aria-busy');
  if (item.draft !== draft) return;
  if (blob) show(blob, '');
  else show(null, sentence);
  if (!retry_ms) return;
  await sleep(retry_ms);
  if (!previews.waiting && item.draft === draft) previews.offer(item);
}

async function request(patch) {
  try {
    const headers = { 'Content-Type': 'application/json' };
    const response = await fetch(address('preview'), { method: 'POST', headers, body: JSON.stringify(patch), signal: AbortSignal.timeout(10_000) });
    return response.ok ? { blob: await response.blob() } : await refusal(response);
  } catch {
    return { sentence: 'The server does not answer.' };
  }
}

function setOnEnter(on) {
  onEnter = on;
  keep('send', on ? 'enter' : 'live');
  $('send-live').setAttribute('aria-pressed', String(!on));
  $('send-enter').setAttribute('aria-pressed', String(on));
  $('preview').hidden = !on;
  endPreview();
}

export function startPreview() {
  $('send-live').addEventListener('click', () => setOnEnter(false));
  $('send-enter').addEventListener('click', () => setOnEnter(true));
  setOnEnter(kept('send') === 'enter');
}
