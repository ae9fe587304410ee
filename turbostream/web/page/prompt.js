/**
 * The prompt: sent while it is typed, the newest only; says which of its words the model does not know.
 */
import { painted } from './picture.js';
import { NewestOnly, send } from './send.js';
import { offers, split, unknown, vocabulary } from './words.js';

const MOST_CHARACTERS = 1000; // as on the server
const TYPING_PAUSE_MS = 150;
const UNKNOWN_PAUSE_MS = 1200; // a half-typed word is not called unknown before that

const $ = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

export const field = $('prompt');
const latency = { since: 0, after: null, last_ms: null }; // after: frames beyond this one show the words
const wordList = JSON.parse($('words').textContent);
const known = wordList && vocabulary(wordList);
let sentText = field.value;
let typingTimer = null;
let unknownTimer = null;
let unsent = null; // a prompt that could not be sent while the server did not answer
let unread = { prompt: field.value, sentence: $('message').textContent }; // what the model does not read
const prompts = new NewestOnly(postPrompt);

/** NaN while a prompt of this page is in flight; the number differs afterwards. */
export const wordsTurn = () => prompts.turn;

/** From the last key to the first picture of the prompt, for the last prompt; null before. */
export const latencyMs = () => latency.last_ms;

/** Another stream may number its frames from 1 again: a measurement in progress is dropped. */
export function forgetFrames() {
  latency.after = null;
}

/** Sends the prompt that could not be sent while the server did not answer. */
export function sendUnsent() {
  if (unsent !== null) prompts.offer({ text: unsent, since: performance.now() });
}

/** Sends the prompt when no key was pressed for a moment. */
function typed(event) {
  clearTimeout(typingTimer);
  clearTimeout(unknownTimer);
  clearError();
  if (event.isComposing || refused()) return;
  const since = performance.now();
  typingTimer = setTimeout(() => {
    if (field.value.trim() && field.value !== sentText) sendPrompt(since);
    nameUnknown(true);
  }, TYPING_PAUSE_MS);
  unknownTimer = setTimeout(() => nameUnknown(), UNKNOWN_PAUSE_MS);
}

/** Whether the field holds more than the maximum; says so. A paste may be shortened afterwards. */
function refused() {
  const characters = [...field.value].length;
  if (characters <= MOST_CHARACTERS) return false;
  const [has, most] = [characters, MOST_CHARACTERS].map((count) => count.toLocaleString('en'));
  say(`The prompt has ${has} characters; ${most} is the most. Shorten it.`, 'error');
  return true;
}

/** Sends the content of the field at once. */
function sendPrompt(since = performance.now()) {
  clearTimeout(typingTimer);
  clearError();
  sentText = field.value;
  prompts.offer({ text: sentText, since });
}

function submit() {
  clearError();
  if (!field.value.trim()) return say('The prompt is empty; type a few words.', 'error');
  if (refused()) return undefined;
  sendPrompt();
  return nameUnknown();
}

function usePrompt(text) {
  field.value = text;
  submit();
}

async function postPrompt({ text, since }) {
  latency.after = null;
  unsent = null;
  const answer = await send('POST', 'prompt', { prompt: text });
  if (answer.ok) return accepted(answer.data, since);
  if (answer.status === 0) unsent = text;
  if (prompts.waiting) return;
  say(answer.sentence, 'error');
  if (answer.status !== 429) return;
  await sleep(answer.retry_ms || 1000);
  if (!prompts.waiting) prompts.offer({ text, since });
}

function accepted({ prompt, frame, warning }, since) {
  clearError();
  showPrompt(prompt);
  takeWarning(prompt, warning);
  Object.assign(latency, { since, after: frame });
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

export function showPrompt(prompt) {
  if ($('showing').textContent !== prompt) $('showing').textContent = prompt;
  document.title = `${prompt} · Turbostream`;
  document.querySelector('#picture, img.plain').setAttribute('aria-label', `Live picture: ${prompt}`);
}

/** Shows the prompt that the server reports: another window may have sent it. */
export function followPrompt(prompt, warning) {
  showPrompt(prompt);
  const inUse = document.activeElement === field && document.hasFocus();
  const edited = field.value !== sentText || unsent !== null || $('message').dataset.kind === 'error';
  if (!inUse && !edited && prompt !== field.value.trim()) {
    field.value = sentText = prompt;
    if (document.activeElement === field) field.select();
    nameUnknown();
  }
  takeWarning(prompt, warning);
}

/** Shows the warning of the server about a prompt that is longer than the model reads. */
function takeWarning(prompt, sentence = '') {
  if (unread.prompt === prompt && unread.sentence === sentence) return;
  unread = { prompt, sentence };
  nameUnknown(true);
}

/** Shows a sentence below the field; kind: '', 'error', or 'warning'. */
export function say(text, kind = '') {
  $('message').dataset.kind = kind;
  $('message').replaceChildren(text);
}

function clearError() {
  if ($('message').dataset.kind === 'error') say('');
}

const cut = (word) => (word.length > 20 ? `${word.slice(0, 19)}…` : word);

/** Names the words that the model does not read, or those that the demo model does not know, and
    offers some that it does. */
function nameUnknown(typing = false) {
  if (!typing) clearTimeout(unknownTimer);
  if ($('message').dataset.kind === 'error') return undefined;
  if (unread.sentence && unread.prompt === field.value.trim()) return say(unread.sentence, 'warning');
  if (!known) return say('');
  const strange = unknown(field.value, known, typing);
  if (!strange.length) return say('');
  const names = strange.slice(0, 3).map((word) => `“${cut(word)}”`).join(', ') + (strange.length > 3 ? ' and more' : '');
  say(`The demo model does not know ${names}. Try `);
  $('message').append(...offers(strange[0], wordList).flatMap((word) => [wordButton(word, strange[0]), ' ']));
  return undefined;
}

function wordButton(word, instead) {
  const button = document.createElement('button');
  Object.assign(button, { type: 'button', textContent: word });
  button.onclick = () => { usePrompt(replaceWord(field.value, instead, word)); field.focus(); };
  return button;
}

/** The text with `word` for every `old` (in lower case); `word` alone if the text has no words. */
function replaceWord(text, old, word) {
  if (!split(text).length) return word;
  return text.replace(/[\p{L}\p{N}]+/gu, (found) => (found.toLowerCase() === old ? word : found));
}

/** Adds a known word that was clicked to those in the field. */
function addWord(word) {
  const words = field.value.trim();
  usePrompt(split(words).includes(word) ? words : `${words} ${word}`.trim());
}

export function startPrompt() {
  field.addEventListener('input', typed);
  field.addEventListener('compositionend', typed);
  $('form').noValidate = true; // submit() reports errors in the page itself
  $('form').addEventListener('submit', (event) => {
    event.preventDefault();
    submit();
  });
  $('examples').addEventListener('submit', (event) => {
    event.preventDefault();
    if (event.submitter) usePrompt(event.submitter.value);
  });
  $('known')?.addEventListener('click', ({ target }) => { if (target.dataset.word) addWord(target.dataset.word); });
  field.focus({ preventScroll: true });
  field.select(); // so that typing replaces the old prompt
  nameUnknown();
}
