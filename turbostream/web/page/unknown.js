/** Names the words that the model does not read or does not know, and suggests known ones. */
import { isReport, say } from './message.js';
import { offers, split, unknown, vocabulary } from './words.js';

const $ = (id) => document.getElementById(id);
const field = $('prompt');
const wordList = JSON.parse($('words').textContent);
const known = wordList && vocabulary(wordList);
let unread = { prompt: field.value, sentence: $('message').textContent }; // what the model does not read
let usePrompt = () => {};

/** Shows the warning of the server about a prompt that is longer than the model reads. `typing`: see below. */
export function takeWarning(prompt, sentence = '', typing = false) {
  if (unread.prompt === prompt && unread.sentence === sentence) return;
  unread = { prompt, sentence };
  nameUnknown(typing);
}

const cut = (word) => (word.length > 20 ? `${word.slice(0, 19)}…` : word);

/** `typing`: the last word may be incomplete. */
export function nameUnknown(typing = false) {
  if (isReport()) return undefined;
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

/** `use(text)` makes a text the prompt. */
export function startUnknown(use) {
  usePrompt = use;
  $('known')?.addEventListener('click', ({ target }) => { if (target.dataset.word) addWord(target.dataset.word); });
  nameUnknown();
}
