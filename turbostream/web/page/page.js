/**
 * The page: takes the picture over from the plain <img>, paints the newest frame on a canvas, sends
 * the words as they are typed, and says what the server does and how fast.
 *
 * Without this script the page still shows the stream and sends the form.
 */
import { Clock, amount, facts, time } from './figures.js';
import { beginStream, framesPerSecond, painted, shown, takePart, whenPainted } from './picture.js';
import { LiveStream } from './reader.js';
import { NewestOnly, send } from './send.js';
import { isClean, keepAwake, setClean, startViews, toggleFullScreen } from './views.js';
import { offers, split, unknown, vocabulary } from './words.js';

const TYPING_PAUSE_MS = 150;
const UNKNOWN_PAUSE_MS = 1200; // a half-typed word is not called unknown before that
const GUARD_WARNS_S = 900; // the guard's first warning, from when on more time can be asked for
const STATUS_EVERY_MS = 1000;
const CALM_FPS = 2;
const TOP_SPEED = 4; // quarter turns a second
const STATES = {
  starting: 'Starting', downloading: 'Downloading', loading: 'Loading', compiling: 'Compiling',
  streaming: 'Streaming', resting: 'Resting', failed: 'Failed',
  connecting: 'Connecting', lost: 'Stream lost', refused: 'Waiting', // what only this page can tell
};

const $ = (id) => document.getElementById(id);
const calmWish = matchMedia('(prefers-reduced-motion: reduce)');
const wordList = JSON.parse($('words').textContent);
const known = wordList && vocabulary(wordList);

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const setText = (element, text) => { if (element.textContent !== text) element.textContent = text; };

// -------------------------------------------------------------------------------- the stream

const canvas = $('picture');
let calm = calmWish.matches;
let trouble = null; // {status, sentence, until}: why there is no stream
let plain = null; // the <img> that stands in where a script cannot read the stream

const streamUrl = () => (calm ? `/stream?fps=${CALM_FPS}` : '/stream');

const stream = new LiveStream({
  url: streamUrl,
  onOpen(response) {
    beginStream(response.headers.get('X-Stream-Id'));
    latency.after = null;
  },
  onPart(part) {
    if (trouble) cleared();
    takePart(part);
  },
  onTrouble({ status, sentence, pause_ms }) {
    trouble = { status, sentence, until: performance.now() + pause_ms };
    showTrouble();
  },
  onUnreadable: usePlainImage,
});

function cleared() {
  trouble = null;
  $('notice').hidden = true;
  showState();
  readStatus();
  if (unsent !== null) prompts.offer({ text: unsent, since: performance.now() });
}

function showTrouble() {
  const { status, sentence, until } = trouble;
  const seconds = Math.ceil((until - performance.now()) / 1000);
  setText($('notice-text'), status ? sentence : 'The stream is lost. It comes back by itself.');
  setText($('notice-pause'), seconds > 0 ? ` Next try in ${seconds} s.` : ' Trying now.');
  $('notice-button').hidden = false;
  $('notice').hidden = false;
  showState();
}

/** The guide's plain <img>, kept alive by asking for it again whenever it breaks. */
function usePlainImage() {
  plain = new Image();
  plain.className = 'plain';
  plain.alt = canvas.getAttribute('aria-label');
  canvas.replaceWith(plain);
  plain.onerror = () => { if (plain.getAttribute('src')) setTimeout(openStream, 2000); };
  openStream();
}

function openStream() {
  if (document.hidden) return;
  if (plain) plain.src = streamUrl();
  else stream.start();
}

function closeStream() {
  if (plain) plain.src = '';
  else stream.stop();
}

/** A hidden page takes no pictures; it is back at once when it is seen again. */
function followVisibility() {
  if (document.hidden) return closeStream();
  openStream();
  readStatus();
  keepAwake();
}

// --------------------------------------------------------------------------------- the words

const field = $('prompt');
const latency = { since: 0, after: null, last_ms: null }; // after: frames beyond this one show the words
let sentText = field.value;
let typingTimer = null;
let unknownTimer = null;
let unsent = null; // words that could not be sent while the server was away
const prompts = new NewestOnly(postPrompt);

/** While typing: the words go out when the keys have rested for a moment. */
function typed(event) {
  clearTimeout(typingTimer);
  clearTimeout(unknownTimer);
  clearError();
  if (event.isComposing) return;
  const since = performance.now();
  typingTimer = setTimeout(() => {
    if (field.value.trim() && field.value !== sentText) sendPrompt(since);
    nameUnknown(true);
  }, TYPING_PAUSE_MS);
  unknownTimer = setTimeout(nameUnknown, UNKNOWN_PAUSE_MS);
}

/** Sends what the field holds, at once. */
function sendPrompt(since = performance.now()) {
  clearTimeout(typingTimer);
  clearError();
  sentText = field.value;
  prompts.offer({ text: sentText, since });
}

function usePrompt(text) {
  field.value = text;
  sendPrompt();
  nameUnknown();
}

async function postPrompt({ text, since }) {
  latency.after = null;
  unsent = null;
  const answer = await send('POST', '/prompt', { prompt: text });
  if (answer.ok) return accepted(answer.data, since);
  if (answer.status === 0) unsent = text;
  if (prompts.waiting) return;
  say(answer.sentence, true);
  if (answer.status !== 429) return;
  await sleep(answer.retry_ms || 1000);
  if (!prompts.waiting) prompts.offer({ text, since });
}

function accepted({ prompt, frame }, since) {
  clearError();
  showPrompt(prompt);
  Object.assign(latency, { since, after: frame });
  settleLatency();
}

/** From the last key to the first painted frame that was made after the words arrived. */
function settleLatency() {
  if (latency.after === null) return;
  const first = painted.find(({ frame }) => frame > latency.after);
  if (!first) return;
  latency.last_ms = Math.max(0, first.at - latency.since);
  latency.after = null;
}

function showPrompt(prompt) {
  setText($('showing'), prompt);
  document.title = `${prompt} · Turbostream`;
  (plain ?? canvas).setAttribute(plain ? 'alt' : 'aria-label', `Live picture: ${prompt}`);
}

function say(text, error = false) {
  $('message').dataset.kind = error ? 'error' : '';
  $('message').replaceChildren(text);
}

function clearError() {
  if ($('message').dataset.kind === 'error') say('');
}

const cut = (word) => (word.length > 20 ? `${word.slice(0, 19)}…` : word);

/** Names the words that the demo model does not know and offers some that it does. */
function nameUnknown(typing = false) {
  clearTimeout(unknownTimer);
  if (!known || $('message').dataset.kind === 'error') return;
  const strange = unknown(field.value, known, typing === true);
  if (!strange.length) return say('');
  const names = strange.slice(0, 3).map((word) => `“${cut(word)}”`).join(', ') + (strange.length > 3 ? ' and more' : '');
  say(`The demo model does not know ${names}. Try `);
  $('message').append(...offers(strange[0], wordList).flatMap((word) => [wordButton(word, strange[0]), ' ']));
}

function wordButton(word, instead) {
  const button = document.createElement('button');
  Object.assign(button, { type: 'button', textContent: word });
  button.onclick = () => { usePrompt(replaceWord(field.value, instead, word)); field.focus(); };
  return button;
}

/** The text with every `old` (a word in lower case) put as `word`. */
function replaceWord(text, old, word) {
  return text.replace(/[\p{L}\p{N}]+/gu, (found) => (found.toLowerCase() === old ? word : found));
}

/** Adds a known word that was clicked to those in the field. */
function addWord(word) {
  const words = field.value.trim();
  usePrompt(split(words).includes(word) ? words : `${words} ${word}`.trim());
}

// -------------------------------------------------------------------------------- the motion

const slider = $('speed');
const motion = { now: document.body.dataset.motion, before: 'walk' };
const scenes = new NewestOnly(patchScene);

const speedOf = (step) => Math.round(TOP_SPEED * (step / 100) ** 3 * 1000) / 1000;
const stepOf = (speed) => Math.round(Math.cbrt(speed / TOP_SPEED) * 100);

function showMotion(kind, speed) {
  if (kind !== 'hold') motion.before = kind;
  motion.now = kind;
  $('hold').setAttribute('aria-pressed', String(kind === 'hold'));
  setText($('speed-value'), speed.toFixed(2));
  slider.setAttribute('aria-valuetext', `${speed.toFixed(2)} quarter turns a second`);
}

function changeSpeed() {
  const speed = speedOf(Number(slider.value));
  showMotion('walk', speed);
  scenes.offer({ motion: 'walk', speed });
}

function toggleHold() {
  const next = motion.now === 'hold' ? motion.before : 'hold';
  showMotion(next, speedOf(Number(slider.value)));
  scenes.offer({ motion: next });
}

async function patchScene(change) {
  const answer = await send('PATCH', '/scene', change);
  if (answer.ok) takeScene(answer.data);
  else say(answer.sentence, true);
}

/** What the server says about the motion, unless a change of ours is still on its way. */
function takeScene(scene) {
  if (scenes.busy) return;
  showMotion(scene.motion, scene.speed);
  if (speedOf(Number(slider.value)) !== scene.speed) slider.value = stepOf(scene.speed);
}

// -------------------------------------------------------------------------------- the status

let status = null;
let statusTimer = null;
let statusRun = 0;
const clock = new Clock();

/** Asks for the status now and then about once a second, while the page is seen. */
async function readStatus() {
  const run = (statusRun += 1);
  clearTimeout(statusTimer);
  if (document.hidden) return;
  const sent = Date.now();
  const answer = await fetch('/status', { cache: 'no-store', signal: AbortSignal.timeout(5000) })
    .then((response) => (response.ok ? response.json() : null))
    .catch(() => null);
  if (run !== statusRun) return;
  if (answer) takeStatus(answer, sent, Date.now());
  else if (plain && status) closeStream();
  status = answer;
  showState();
  if (status && $('behind').open) showFacts();
  statusTimer = setTimeout(readStatus, STATUS_EVERY_MS);
}

function takeStatus(answer, sent, got) {
  if (plain && !status) openStream();
  clock.add(sent, got, answer.now);
  if (!prompts.busy) showPrompt(answer.scene?.prompt ?? answer.prompt);
  if (answer.scene) takeScene(answer.scene);
  setText($('viewers'), String(answer.viewers));
  $('guard').hidden = !answer.guard;
  if (answer.guard) {
    setText($('guard-text'), guardLine(answer.guard, answer.now));
    $('guard-extend').hidden = !answer.guard.armed || answer.guard.ends_at - answer.now > GUARD_WARNS_S;
  }
}

/** An hour more on a rented machine; the guard answers in the next status. */
$('guard-extend').addEventListener('click', async (event) => {
  event.target.hidden = true;
  await fetch('/guard/extend', { method: 'POST' }).catch(() => null);
});

function guardLine({ ends_at, message }, now) {
  const minutes = Math.max(0, Math.round((ends_at - now) / 60));
  return message || `This machine is given back in ${minutes} minutes.`;
}

/** The one word for where things stand: what this page sees of the stream first, then what the server says. */
function currentState() {
  if (trouble) return trouble.status ? 'refused' : 'lost';
  return status?.state ?? (shown ? 'streaming' : 'connecting');
}

function showState() {
  const state = currentState();
  $('state').dataset.state = state;
  $('state').title = status?.message ?? '';
  setText($('state-word'), trouble?.status === 401 ? 'No access' : STATES[state] ?? state);
  setText($('state-amount'), state === 'downloading' && status.download ? amount(status.download) : '');
  if (trouble) return;
  const failed = state === 'failed';
  $('notice').hidden = !failed;
  $('notice-button').hidden = true;
  if (failed) setText($('notice-text'), status.message);
  setText($('notice-pause'), '');
}

function showFacts() {
  const cell = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });
  $('facts').replaceChildren(...facts(status).flatMap(([name, text]) => [cell('dt', name), cell('dd', text)]));
}

/** The figures that change all the time, a few times a second. */
function showFigures() {
  const fps = plain ? status?.fps ?? 0 : framesPerSecond();
  const held = motion.now === 'hold' && fps === 0;
  setText($('fps'), held ? 'held' : fps.toFixed(1));
  setText($('age'), held ? 'held' : time(shown?.frame ? clock.since(shown.timestamp) : null));
  setText($('latency'), time(plain ? status?.prompt_to_picture_ms?.p50 : latency.last_ms));
  const { p50, p95 } = status?.prompt_to_picture_ms ?? {};
  setText($('server'), p50 == null ? '' : `Words to picture, server alone: p50 ${time(p50)}, p95 ${time(p95)}`);
  if (trouble) showTrouble();
}

// --------------------------------------------------------------------------- motion and keys

/** Fewer pictures for those who ask their system for less motion; one button plays them all. */
function showCalm() {
  $('calm').hidden = !calmWish.matches;
  setText($('calm-text'), calm ? `Your system asks for less motion: ${CALM_FPS} pictures a second.` : 'Playing at full rate.');
  setText($('calm-button'), calm ? 'Play at full rate' : `Back to ${CALM_FPS} a second`);
}

function setCalm(on) {
  if (on !== calm) {
    calm = on;
    openStream();
  }
  showCalm();
}

/** Keys count when no field has the focus; what the keyboard has focused keeps its own keys. */
function pressed(event) {
  const at = document.activeElement;
  if (event.key === 'Escape') {
    if (isClean()) setClean(false);
    else if (at === field) field.blur();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || at === field) return;
  if (event.key === ' ' && at !== document.body && at.matches(':focus-visible')) return;
  const action = { ' ': toggleHold, f: toggleFullScreen, c: () => setClean(!isClean()) }[event.key.toLowerCase()];
  if (!action) return;
  event.preventDefault();
  action();
}

// -------------------------------------------------------------------------------------- start

function listen() {
  field.addEventListener('input', typed);
  field.addEventListener('compositionend', typed);
  $('form').addEventListener('submit', (event) => {
    event.preventDefault();
    if (field.value.trim()) sendPrompt();
    nameUnknown();
  });
  $('examples').addEventListener('submit', (event) => {
    event.preventDefault();
    if (event.submitter) usePrompt(event.submitter.value);
  });
  $('known')?.addEventListener('click', ({ target }) => { if (target.dataset.word) addWord(target.dataset.word); });
  $('behind').addEventListener('toggle', () => { if (status) showFacts(); });
  slider.addEventListener('input', changeSpeed);
  $('hold').addEventListener('click', toggleHold);
  $('notice-button').addEventListener('click', openStream);
  $('calm-button').addEventListener('click', () => setCalm(!calm));
  calmWish.addEventListener('change', () => setCalm(calmWish.matches));
  document.addEventListener('keydown', pressed);
  document.addEventListener('visibilitychange', followVisibility);
  addEventListener('pagehide', closeStream);
  addEventListener('pageshow', ({ persisted }) => { if (persisted) followVisibility(); });
}

function start() {
  const speed = Number(document.body.dataset.speed);
  slider.value = stepOf(speed);
  showMotion(document.body.dataset.motion, speed);
  listen();
  showCalm();
  startViews(() => $('showing').textContent);
  whenPainted(settleLatency);
  nameUnknown();
  setInterval(showFigures, 250);
  followVisibility();
}

start();
