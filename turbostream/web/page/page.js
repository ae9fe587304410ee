/**
 * The page: replaces the plain <img> by a canvas, paints the newest frame on it, and shows what the
 * server does and how fast. The prompt and the motion have their own files.
 *
 * Without this script the page still shows the stream and sends the form.
 */
import { address } from './address.js';
import { Clock, amount, facts, time } from './figures.js';
import { isFrozen, motionTurn, startMotion, takeScene, toggleFreeze } from './motion.js';
import { beginStream, framesPerSecond, shown, takePart, whenPainted } from './picture.js';
import { field, followPrompt, forgetFrames, latencyMs, sendUnsent, settleLatency, startPrompt, wordsTurn } from './prompt.js';
import { pictureStream } from './stream.js';
import { isClean, keepAwake, setClean, startViews, toggleFullScreen } from './views.js';

const RENTAL_WARNING_S = 900; // before the end of the rental: more time can be requested from then on
const STATUS_EVERY_MS = 1000;
const CALM_FPS = 2;
const STATES = {
  starting: 'Starting', downloading: 'Downloading', loading: 'Loading', compiling: 'Compiling',
  streaming: 'Streaming', resting: 'Resting', failed: 'Failed',
  connecting: 'Connecting', lost: 'Stream lost', refused: 'Waiting', // only this page knows these
};

const $ = (id) => document.getElementById(id);
const reducedMotion = matchMedia('(prefers-reduced-motion: reduce)');
const mayOnlyWatch = () => document.body.classList.contains('watcher');
const setText = (element, text) => { if (element.textContent !== text) element.textContent = text; };

// ------------------------------------------------------------------------------------ the stream

const canvas = $('picture');
let calm = reducedMotion.matches;
let trouble = null; // {status, sentence, until}: why there is no stream
let plain = null; // the <img> that replaces the canvas where a script cannot read the stream

const stream = pictureStream({
  fps: () => (calm ? CALM_FPS : 0),
  onOpen() {
    beginStream();
    forgetFrames();
  },
  onPart(part) {
    if (trouble) cleared();
    return takePart(part);
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
  sendUnsent();
}

function showTrouble() {
  const { status, sentence, until } = trouble;
  const seconds = Math.ceil((until - performance.now()) / 1000);
  setText($('notice-text'), sentence || 'The stream is lost. The page reconnects.');
  setText($('notice-pause'), seconds > 0 ? ` Next try in ${seconds} s.` : ' Trying now.');
  $('notice-button').hidden = false;
  $('notice').hidden = false;
  showState();
}

/** The guide's plain <img>, requested again whenever it fails. */
function usePlainImage() {
  plain = new Image();
  plain.className = 'plain';
  plain.setAttribute('aria-label', canvas.getAttribute('aria-label'));
  canvas.replaceWith(plain);
  plain.onerror = () => { if (plain.getAttribute('src')) setTimeout(openStream, 2000); };
  openStream();
}

function openStream() {
  if (document.hidden) return;
  if (plain) plain.src = address(calm ? `stream?fps=${CALM_FPS}` : 'stream');
  else stream.start();
}

function closeStream() {
  if (plain) plain.src = '';
  else stream.stop();
}

/** A hidden page closes its stream, and opens it again when it is visible. */
function followVisibility() {
  if (document.hidden) return closeStream();
  openStream();
  readStatus();
  keepAwake();
}

// ------------------------------------------------------------------------------------ the status

let status = null;
let statusTimer = null;
let statusRun = 0;
const clock = new Clock();

/** Reads the status now, and then about once a second while the page is visible. */
async function readStatus() {
  const run = (statusRun += 1);
  clearTimeout(statusTimer);
  if (document.hidden) return;
  const sent = Date.now();
  const asked = { words: wordsTurn(), motion: motionTurn() };
  const answer = await fetch(address('status'), { cache: 'no-store', signal: AbortSignal.timeout(5000) })
    .then((response) => (response.ok ? response.json() : null))
    .catch(() => null);
  if (run !== statusRun) return;
  if (answer) takeStatus(answer, sent, Date.now(), asked);
  else if (plain && status) closeStream();
  status = answer;
  showState();
  if (status && $('behind').open) showFacts();
  statusTimer = setTimeout(readStatus, STATUS_EVERY_MS);
}

/** `asked`: the turns of this page's own changes when the status was requested. */
function takeStatus(answer, sent, got, asked) {
  if (plain && !status) openStream();
  clock.add(sent, got, answer.now);
  document.body.classList.toggle('watcher', answer.role === 'watcher');
  if (asked.words === wordsTurn()) followPrompt(answer.prompt, answer.warning);
  if (asked.motion === motionTurn() && answer.scene) takeScene(answer.scene);
  setText($('viewers'), String(answer.viewers));
  $('rental').hidden = !answer.guard;
  if (answer.guard) {
    setText($('rental-text'), rentalLine(answer.guard, answer.now));
    $('rental-extend').hidden = !answer.guard.armed || answer.guard.ends_at - answer.now > RENTAL_WARNING_S;
  }
}

/** An hour more on a rented machine; the next status shows it. */
$('rental-extend').addEventListener('click', async (event) => {
  event.target.hidden = true;
  await fetch(address('guard/extend'), { method: 'POST' }).catch(() => null);
});

function rentalLine({ ends_at, message }, now) {
  const minutes = Math.max(0, Math.round((ends_at - now) / 60));
  return message || `The rental of this machine ends in ${minutes} minutes.`;
}

/** The state in one word: what this page sees of the stream first, then what the server reports. */
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

/** Shows the figures that change all the time. */
function showFigures() {
  const fps = plain ? status?.fps ?? 0 : framesPerSecond();
  const frozen = isFrozen() && fps === 0;
  setText($('fps'), frozen ? 'frozen' : fps.toFixed(1));
  setText($('age'), frozen ? 'frozen' : time(shown?.frame ? clock.since(shown.timestamp) : null));
  setText($('latency'), time(plain || mayOnlyWatch() ? status?.prompt_to_picture_ms?.p50 : latencyMs()));
  const { p50, p95 } = status?.prompt_to_picture_ms ?? {};
  setText($('server'), p50 == null ? '' : `Words to picture, on the server: p50 ${time(p50)}, p95 ${time(p95)}`);
  if (trouble) showTrouble();
}

// ------------------------------------------------------------------------- less motion, and keys

/** Fewer pictures where the system asks for reduced motion; one button plays all of them. */
function showCalm() {
  $('calm').hidden = !reducedMotion.matches;
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

/** Shortcuts work when no field has the focus; a control with keyboard focus keeps its own keys. */
function pressed(event) {
  const at = document.activeElement;
  if (event.key === 'Escape') {
    if (isClean()) setClean(false);
    else if (at === field) field.blur();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || at === field) return;
  if (event.key === ' ' && at !== document.body && at.matches(':focus-visible')) return;
  if (event.key === ' ' && mayOnlyWatch()) return;
  const action = { ' ': toggleFreeze, f: toggleFullScreen, c: () => setClean(!isClean()) }[event.key.toLowerCase()];
  if (!action) return;
  event.preventDefault();
  action();
}

// ----------------------------------------------------------------------------------------- start

function listen() {
  $('behind').addEventListener('toggle', () => { if (status) showFacts(); });
  $('notice-button').addEventListener('click', openStream);
  $('calm-button').addEventListener('click', () => setCalm(!calm));
  reducedMotion.addEventListener('change', () => setCalm(reducedMotion.matches));
  document.addEventListener('keydown', pressed);
  document.addEventListener('visibilitychange', followVisibility);
  addEventListener('pagehide', closeStream);
  addEventListener('pageshow', ({ persisted }) => { if (persisted) followVisibility(); });
}

function start() {
  startMotion();
  startPrompt();
  listen();
  showCalm();
  startViews(() => $('showing').textContent);
  whenPainted((frame) => {
    settleLatency();
    stream.acknowledge(frame);
  });
  setInterval(showFigures, 250);
  followVisibility();
}

start();
