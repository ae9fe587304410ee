/**
 * The page: replaces the plain <img> by a canvas, paints the newest frame on it, and shows what the
 * server does and how fast. Words, looks and the other controls have their own files.
 *
 * Without this script the page still shows the stream and sends the form.
 */
import { address } from './address.js';
import { startBlack } from './black.js';
import { startBroadcast, takeBroadcast } from './broadcast.js';
import { ofThisChannel, startChannels } from './channels.js';
import { control, follow as followControl, onState, startControl } from './control.js';
import { startDrop } from './drop.js';
import { startExchange } from './exchange.js';
import { fadeNow, showProgress, startFade, takeFade } from './fade.js';
import { Clock, amount, facts, time } from './figures.js';
import { startKeys } from './keys.js';
import { startLinks } from './link.js';
import { lookRevision, startLooks } from './looks.js';
import { startLoras } from './loras.js';
import { startMappings } from './mappings.js';
import { say } from './message.js';
import { startMidiPanel } from './midi_panel.js';
import { isFrozen, startMotion } from './motion.js';
import { startParameters } from './parameters.js';
import { beginStream, framesPerSecond, shown, takePart, whenPainted } from './picture.js';
import { followPrompt, forgetFrames, latencyMs, sendUnsent, settleLatency, showPrompt, startPrompt, wordsTurn } from './prompt.js';
import { startRecording, takeRecording } from './recording.js';
import { startRecordings } from './recordings.js';
import { startSampling } from './sampling.js';
import { onScene, sceneTurn, takePushed, takeScene } from './scene.js';
import { startSetlist, takeSetlist } from './setlist.js';
import { startSoundPanel } from './sound_panel.js';
import { playFile, startSource } from './source.js';
import { readStatus, sawRevision, startStatus, status, tookRevision } from './status.js';
import { pictureStream } from './stream.js';
import { startTempo } from './tempo.js';
import { startUndo, takeHistory } from './undo.js';
import { keepAwake, startViews } from './views.js';

const RENTAL_WARNING_S = 900; // before the end of the rental: more time can be requested from then on
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
    sawRevision(Number(part.headers['x-revision']), control.connected);
    return takePart(part);
  },
  onTrouble({ status: code, sentence, pause_ms }) {
    trouble = { status: code, sentence, until: performance.now() + pause_ms };
    showTrouble();
  },
  onUnreadable: usePlainImage,
});

function cleared() {
  trouble = null;
  $('notice').hidden = true;
  showState();
  readStatus();
  followControl();
  sendUnsent();
}

function showTrouble() {
  const { status: code, sentence, until } = trouble;
  const seconds = Math.ceil((until - performance.now()) / 1000);
  setText($('notice-text'), sentence || 'The stream is lost. The page reconnects.');
  setText($('notice-pause'), seconds > 0 ? ` Next try in ${seconds}\u00a0s.` : ' Trying now.');
  $('notice').dataset.status = code;
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

const clock = new Clock();
let pushes = 0; // scenes that the server pushed and the page took

/** `before`: the turns of the page's own changes, and the pushed scenes, when the status was requested. */
function answered(answer, { last, sent, got, before }) {
  if (answer) {
    if (plain && !last) openStream();
    clock.add(sent, got, answer.now);
    takeStatus(answer, before);
  } else {
    if (plain && last) closeStream();
    setText($('viewers'), '–');
  }
  showState();
  if (answer && $('behind').open) showFacts();
}

function takeStatus(answer, before) {
  document.body.classList.toggle('watcher', answer.role === 'watcher');
  if (before.words === wordsTurn() && before.scene === sceneTurn() && before.pushes === pushes) {
    followPrompt(answer.prompt, answer.scene?.prompts, answer.warning);
    if (answer.scene) takeScene(answer.scene);
  }
  takeHistory(answer.history);
  takeSetlist(ofThisChannel(answer.setlist));
  takeRecording(ofThisChannel(answer.recording));
  takeBroadcast(ofThisChannel(answer.broadcast));
  lookRevision(answer.revision);
  setText($('viewers'), String(answer.viewers));
  $('rental').hidden = !answer.guard;
  if (answer.guard) {
    setText($('rental-text'), rentalLine(answer.guard, answer.now));
    $('rental-extend').hidden = !answer.guard.armed || answer.guard.ends_at - answer.now > RENTAL_WARNING_S;
  }
}

/** Takes the state that the server pushes; its scene waits while a change of this page is in flight. */
function takeState({ scene, revision, history, setlist, recording, first }) {
  if (Number.isFinite(wordsTurn()) && takePushed(scene, { revision, first })) {
    pushes += 1;
    followPrompt(scene.prompt, scene.prompts, null);
  }
  if (!history) return;
  takeHistory(history);
  takeSetlist(ofThisChannel(setlist));
  takeRecording(ofThisChannel(recording));
  lookRevision(revision);
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
  showProgress();
  if (trouble) showTrouble();
}

// ---------------------------------------------------------------------------------- less motion

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

/** Reports what happened to a dropped picture; kind: done or error. */
function dropped(text, kind) {
  say(text, kind);
  readStatus();
}

// ----------------------------------------------------------------------------------------- start

function listen() {
  $('behind').addEventListener('toggle', () => { if (status) showFacts(); });
  $('notice-button').addEventListener('click', openStream);
  $('calm-button').addEventListener('click', () => setCalm(!calm));
  reducedMotion.addEventListener('change', () => setCalm(reducedMotion.matches));
  document.addEventListener('visibilitychange', followVisibility);
  addEventListener('pagehide', closeStream);
  addEventListener('pageshow', ({ persisted }) => { if (persisted) followVisibility(); });
}

function start() {
  startLinks((sentence) => { say(sentence, 'error'); setText(document.querySelector('.may-watch'), sentence); });
  startParameters();
  startChannels();
  startFade();
  startMotion();
  startBlack();
  startLoras();
  startSampling();
  startPrompt();
  startUndo();
  startLooks();
  startSetlist();
  startTempo();
  startMappings();
  startMidiPanel();
  startSoundPanel();
  startSource();
  startRecording();
  startRecordings();
  startBroadcast();
  startExchange();
  startDrop({ say: dropped, mayWrite: () => !mayOnlyWatch(), fadeS: () => fadeNow().fade_s, play: playFile });
  onScene(takeFade);
  onScene(showPrompt);
  onScene(({ revision }) => { if (control.connected) tookRevision(revision); });
  startKeys();
  listen();
  showCalm();
  startViews(() => $('showing').textContent);
  startStatus({ asks: () => ({ words: wordsTurn(), scene: sceneTurn(), pushes }), answered });
  onState(takeState);
  startControl();
  whenPainted((frame) => {
    settleLatency();
    stream.acknowledge(frame);
  });
  setInterval(showFigures, 250);
  followVisibility();
}

start();
