/**
 * Sends the prompt and the words blended with it: while they are typed, the newest only, or on Enter
 * after a preview. Measures how long they take to become a picture.
 */
import { blendWith, isBlend, startBlend, takeBlend } from './blend.js';
import { fadeNow, isServersFade } from './fade.js';
import { patchScene } from './control.js';
import { clearError, say } from './message.js';
import { painted } from './picture.js';
import { endPreview, isOnEnter, preview, startPreview } from './preview.js';
import { scene, takeScene } from './scene.js';
import { NewestOnly } from './send.js';
import { nameUnknown, startUnknown, takeWarning } from './unknown.js';

const MOST_CHARACTERS = 1000; // as on the server
const TYPING_PAUSE_MS = 150;
const UNKNOWN_PAUSE_MS = 1200; // a half-typed word is not called unknown before that

const $ = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

export const field = $('prompt');
const latency = { since: 0, after: null, last_ms: null }; // after: frames beyond this one show the words
let sent = ''; // the content that was sent or shown last
let typingTimer = null;
let unknownTimer = null;
let sentTexts = ''; // the same without weights
let rejected = false; // the words in the field were refused, by this page or by the server
let unsent = null; // a prompt that could not be sent while the server did not answer
const prompts = new NewestOnly(postPrompt);

/** NaN while a prompt of this page is in flight; the number differs afterwards. */
export const wordsTurn = () => prompts.turn;

/** Resolves once the words that were sent until now are answered. */
export const wordsSettled = () => prompts.settled();

/** Milliseconds from the last key to the first picture, for the last prompt; null before the first. */
export const latencyMs = () => latency.last_ms;

/** Another stream may number its frames from 1 again: a measurement in progress is dropped. */
export function forgetFrames() {
  latency.after = null;
}

/** Sends the prompt that could not be sent while the server did not answer. */
export function sendUnsent() {
  if (unsent !== null) prompts.offer({ ...unsent, since: performance.now() });
}

/** Sends or previews the prompt when no key was pressed for a moment. */
function typed(event) {
  clearTimeout(typingTimer);
  clearTimeout(unknownTimer);
  clearError();
  rejected = false;
  if (event.isComposing || refused()) return;
  const since = performance.now();
  typingTimer = setTimeout(() => {
    if (isOnEnter()) previewDraft();
    else if (field.value.trim() && isEdited()) sendPrompt(since);
    nameUnknown(true);
  }, TYPING_PAUSE_MS);
  unknownTimer = setTimeout(nameFinished, UNKNOWN_PAUSE_MS);
}

/** Says why the words in the field are not sent. They stay until they are edited. */
function reject(sentence) {
  rejected = true;
  say(sentence, 'error');
}

function nameFinished() {
  clearTimeout(unknownTimer);
  unknownTimer = null;
  nameUnknown();
}

/** Whether the last word in the field may be incomplete. */
const isTyping = () => unknownTimer !== null;

/** Whether the field holds more than the maximum, which a message then says. A pasted text can be shortened. */
function refused() {
  const characters = [...field.value].length;
  if (characters <= MOST_CHARACTERS) return false;
  const [has, most] = [characters, MOST_CHARACTERS].map((count) => count.toLocaleString('en'));
  reject(`The prompt has ${has} characters; ${most} is the most. Shorten it.`);
  return true;
}

const content = () => (isBlend() ? { prompts: blendWith(field.value) } : { prompt: field.value });
const isEdited = () => JSON.stringify(content()) !== sent;
const textsOf = ({ prompt, prompts: blend }) => JSON.stringify(blend ? blend.map(({ text }) => text) : [prompt]);

function noteSent() {
  sent = JSON.stringify(content());
  sentTexts = textsOf(content());
}

function previewDraft() {
  if (field.value.trim()) preview(content());
  else endPreview();
}

/** A weight was moved or a prompt removed. Where words are sent on Enter, a draft stays a draft, and the
    weights of the words in force are sent. */
function weighed() {
  if (isOnEnter() && textsOf(content()) !== sentTexts) return previewDraft();
  if (!field.value.trim() || refused()) return undefined;
  return sendPrompt();
}

/** Sends the content of the field and of the blend at once. */
function sendPrompt(since = performance.now()) {
  clearTimeout(typingTimer);
  clearError();
  rejected = false;
  endPreview();
  noteSent();
  prompts.offer({ words: content(), since });
}

/** Sends the words, unless the field holds none or too many. */
function submit() {
  clearError();
  if (!field.value.trim()) return reject('The prompt is empty; type a few words.');
  if (refused()) return undefined;
  sendPrompt();
  return nameFinished();
}

/** Takes an example or a suggested word: sends it at once, or makes it a draft where words are sent on Enter. */
function usePrompt(text) {
  field.value = text;
  if (!isOnEnter()) return submit();
  field.focus();
  clearError();
  previewDraft();
  return nameFinished();
}

async function postPrompt({ words, since }) {
  latency.after = null;
  unsent = null;
  const plain = words.prompt !== undefined && isServersFade();
  const http = plain ? { method: 'POST', path: 'prompt', body: words } : undefined;
  const answer = await patchScene({ ...words, ...fadeNow() }, http);
  if (answer.ok) return accepted(answer.data, since);
  if (answer.status === 0) unsent = { words };
  if (prompts.waiting) return;
  reject(answer.sentence);
  if (answer.status !== 429) return;
  await sleep(answer.retry_ms || 1000);
  if (!prompts.waiting) prompts.offer({ words, since });
}

function accepted(data, since) {
  clearError();
  rejected = false;
  showPrompt(data);
  takeWarning(data.prompt, data.warning, isTyping());
  if (!prompts.waiting && data.motion) takeScene(data);
  else if (!prompts.waiting && scene) takeScene({ ...scene, prompt: data.prompt, prompts: [{ text: data.prompt, weight: 1 }] });
  Object.assign(latency, { since, after: data.frame ?? null });
  settleLatency();
}

/** Measures from the last key to the first painted frame that shows the prompt. */
export function settleLatency() {
  if (latency.after === null) return;
  const first = painted.find(({ frame }) => frame > latency.after);
  if (!first) return;
  if (first.at > latency.since) latency.last_ms = first.at - latency.since; // else it was shown already
  latency.after = null;
}

/** Shows the words in force: one prompt, or a blend as its texts. */
export function showPrompt({ prompt, prompts: blend = [] }) {
  const parts = blend.filter(({ weight }) => weight > 0).map(({ text }) => text);
  const words = parts.length > 1 ? parts.join(' + ') : prompt;
  if ($('showing').textContent !== words) $('showing').textContent = words;
  document.title = `${document.body.dataset.prefix}${words} · Turbostream`;
  document.querySelector('#picture, img.plain').setAttribute('aria-label', `Live picture: ${words}`);
}

/**
 * Shows the words that the server reports: another window may have sent them. A field in use keeps its
 * text. A draft also stays while one of its fields or the list of words is in use or its button is
 * pressed, and so does a text that was not accepted. `warning`: null if it is not known.
 */
export function followPrompt(prompt, blend, warning) {
  showPrompt({ prompt, prompts: blend });
  if (warning !== null) takeWarning(prompt, warning, isTyping());
  const at = document.activeElement; // not :focus, which Firefox drops in a window in the background
  const focused = at === field;
  const places = ['form', 'blend', 'known']; // a word of the list goes into the field
  const writing = places.some((id) => $(id)?.contains(at)) || $('form').matches(':active');
  if ((writing && isEdited()) || unsent !== null || rejected) return;
  const first = blend?.[0]?.text ?? prompt;
  if (first !== field.value.trim() && !(focused && document.hasFocus())) {
    endPreview();
    field.value = first;
    if (focused) field.select();
    nameFinished();
  }
  if (blend) takeBlend(blend);
  noteSent();
}

/** Puts the cursor into the field, its words selected, so that typing replaces them. */
export function enterField() {
  field.focus();
  field.select();
}

export function startPrompt() {
  field.addEventListener('input', typed);
  field.addEventListener('compositionend', typed);
  field.addEventListener('blur', () => { if (!isOnEnter() && field.value.trim() && isEdited() && !rejected) sendPrompt(); });
  $('form').noValidate = true; // submit() reports errors in the page itself
  $('form').addEventListener('submit', (event) => {
    event.preventDefault();
    submit();
  });
  $('examples').addEventListener('submit', (event) => {
    event.preventDefault();
    if (event.submitter) usePrompt(event.submitter.value);
  });
  noteSent();
  startBlend({ typed, submit, weighed });
  startPreview();
  startUnknown(usePrompt);
}
