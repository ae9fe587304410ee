/** The source panel: chooses what frames start from, shows the picture as it is sent, and sends it while the scene uses it. */
import { connection, hold, onPictures, onState, patchScene, request, sendPicture } from './control.js';
import { keep, kept } from './kept.js';
import { canvas as stage, framesPerSecond } from './picture.js';
import { CaptureError, cameras, capture, openFile } from './source_capture.js';
import { drawCrop, encode } from './source_crop.js';
import { PictureFlow } from './source_flow.js';
import { startMoves } from './source_moves.js';
import { onScene, scene, takeScene } from './scene.js';
import { sourceClock } from './source_ticks.js';

const CAPTURES = ['camera', 'screen'];
const [LEAST_FPS, MOST_FPS] = [10, 60]; // of the pictures that are sent; a stream that rests must wake up at once
const SPARE = 1.25; // pictures for each frame, so that none waits for one
const SIGNS = { camera: 'Camera is on', screen: 'Screen is shared' };
const HIDDEN = {
  camera: 'The camera was stopped because this page was hidden; "Keep sending" lets it go on.',
  screen: 'The screen was stopped because this page was hidden; "Keep sending" lets it go on.',
};

const $ = (id) => document.getElementById(id);
const buttons = [...$('source-kind').children];
const preview = $('source-preview');
const sign = $('capturing');
const flow = new PictureFlow(takePicture, { get connection() { return connection(); }, sendPicture });
const clock = sourceClock(tick);
let opened = null; // what pictures are taken from
let mirror = false;
let turn = 0; // of the choices: an answer of the browser to an earlier one is dropped
let gave = false; // the server may hold a picture of this page

const inForce = () => scene?.source ?? 'none';
const isPinned = () => $('source-pinned').checked;

// ----------------------------------------------------------------------------- what is sent

const draw = () => drawCrop(preview, opened.image(), { width: stage.width, height: stage.height }, mirror);

async function takePicture() {
  if (!opened || !draw()) return null;
  gave = true;
  return encode(preview);
}

function tick() {
  if (!opened || (document.hidden && !isPinned())) return;
  if (inForce() === 'picture') flow.offer();
  else draw();
}

/** No more than the engine consumes; the rate of the stream is known to the second. */
function followRate() {
  if (!opened?.moving) return clock.stop();
  return clock.run(Math.min(MOST_FPS, Math.max(LEAST_FPS, SPARE * framesPerSecond())));
}

// ------------------------------------------------------------------------------- the choices

async function choose(kind, open = null) {
  const own = (turn += 1);
  close();
  show(open && CAPTURES.includes(kind) ? 'The browser asks for permission.' : '');
  try {
    const found = await open?.();
    if (own !== turn) return found?.close();
    opened = found ?? null;
    await begin(kind);
  } catch (error) {
    if (!(error instanceof CaptureError)) throw error;
    if (own === turn) fail(error.message);
  }
  return undefined;
}

/** Puts the choice in force; what was opened is closed if the server refuses it. */
async function begin(kind) {
  const own = turn;
  if (opened) {
    mirror = opened.isMirrorLike && kept('source_mirror') !== 'off';
    $('source-mirror').checked = mirror;
    draw();
    followRate();
    showCameras();
  }
  show('');
  if (!opened && gave) await forget();
  if (own !== turn) return;
  const answer = await patchScene({ source: opened ? 'picture' : kind, fade_s: 0 });
  if (answer.data?.motion) takeScene(answer.data);
  if (own !== turn) return;
  if (!answer.ok) fail(answer.sentence);
  else if (opened) tick();
}

/** Lets the server forget the pictures of this page, also those that are on their way to it. */
async function forget() {
  const own = turn;
  await flow.settled(); // over the socket: the request could overtake them
  if (own !== turn) return;
  const answer = await request('DELETE', 'source');
  if (answer.ok) gave = opened !== null;
  else show(answer.sentence);
}

function close() {
  opened?.close();
  opened = null;
  flow.stop();
  clock.stop();
}

function fail(sentence) {
  turn += 1;
  close();
  show(sentence);
}

const openCapture = (kind, device = '') => choose(kind, () => capture(kind, device, fail));

/** Plays a picture or a video file as the source. */
export const playFile = (file) => choose('file', () => openFile(file));

function press(kind) {
  if (kind === 'file') return $('source-file').click();
  if (CAPTURES.includes(kind)) return openCapture(kind, kind === 'camera' ? kept('camera') ?? '' : '');
  return choose(kind);
}

// ---------------------------------------------------------------------------------- the panel

function chosen() {
  if (opened) return opened.kind;
  return inForce() === 'picture' ? '' : inForce();
}

function show(sentence = null) {
  const isCapture = CAPTURES.includes(opened?.kind);
  for (const button of buttons) button.setAttribute('aria-pressed', String(button.dataset.kind === chosen()));
  const words = { none: '', feedback: ' · feedback', picture: ` · ${opened?.kind ?? 'picture'}` };
  setText($('source-now'), words[inForce()] ?? '');
  if (sentence !== null) setText($('source-say'), sentence);
  preview.hidden = !opened;
  $('source-capture').hidden = !opened;
  $('source-pinned-label').hidden = !opened?.moving;
  $('source-device').hidden = opened?.kind !== 'camera' || $('source-device').length < 2;
  $('source-moves').hidden = inForce() !== 'feedback';
  sign.hidden = !isCapture;
  setText(sign, isCapture ? SIGNS[opened.kind] : '');
  hold('source', Boolean(opened) && (!opened.moving || isPinned())); // the server forgets the picture of a page that has left
}

const setText = (element, text) => { if (element.textContent !== text) element.textContent = text; };

async function showCameras() {
  if (opened.kind !== 'camera') return;
  const { device } = opened;
  const found = await cameras();
  $('source-device').replaceChildren(...found.map(({ id, name }) => new Option(name, id, false, id === device)));
  show();
}

function followVisibility() {
  const isCapture = CAPTURES.includes(opened?.kind);
  if (document.hidden && isCapture && !isPinned()) fail(HIDDEN[opened.kind]);
}

export function startSource() {
  startMoves();
  for (const button of buttons) button.addEventListener('click', () => press(button.dataset.kind));
  $('source-file').addEventListener('change', ({ target }) => {
    const [file] = target.files;
    target.value = ''; // the same file can be chosen again
    if (file) playFile(file);
  });
  $('source-device').addEventListener('change', ({ target }) => {
    keep('camera', target.value);
    openCapture('camera', target.value);
  });
  $('source-mirror').addEventListener('change', ({ target }) => {
    mirror = target.checked;
    if (opened?.isMirrorLike) keep('source_mirror', mirror ? 'on' : 'off');
    tick();
  });
  $('source-pinned').checked = kept('source_pinned') === 'on';
  $('source-pinned').addEventListener('change', ({ target }) => {
    keep('source_pinned', target.checked ? 'on' : 'off');
    show();
  });
  onScene(() => show());
  onPictures(({ received, message = '' }) => {
    flow.acknowledged(received);
    if (opened) show(message);
  });
  onState(({ first }) => { if (first) tick(); }); // another server process knows no picture
  setInterval(followRate, 1000);
  document.addEventListener('visibilitychange', followVisibility);
  addEventListener('pagehide', () => { if (opened) fail(HIDDEN[opened.kind] ?? ''); });
}
