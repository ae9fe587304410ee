/** Views of the picture: full screen, clean view (the picture only), and saved to disk. */
import { address } from './address.js';
import { shown } from './picture.js';
import { split } from './words.js';

const HINT_MS = 2500;
const stage = document.getElementById('stage');
const hint = document.getElementById('clean-hint');
const link = document.getElementById('save');

let awake = null; // the wake lock
let hintTimer = null;

export const isClean = () => document.body.classList.contains('clean');

/** The clean view: no controls, no cursor, the screen kept awake. Escape leaves it. */
export function setClean(on, { hinted = true } = {}) {
  document.body.classList.toggle('clean', on);
  history.replaceState(null, '', on ? './?clean' : './');
  clearTimeout(hintTimer);
  hint.hidden = !(on && hinted);
  hintTimer = setTimeout(() => { hint.hidden = true; }, HINT_MS);
  if (on) document.activeElement?.blur();
  keepAwake();
}

export function toggleFullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else stage.requestFullscreen?.().catch(() => {}); // the browser may refuse it
}

/** Keeps the screen awake in the clean view and full screen; the browser ends that when the page is hidden. */
export async function keepAwake() {
  const wanted = (isClean() || document.fullscreenElement) && !document.hidden;
  if (!wanted) {
    awake?.release();
    awake = null;
  } else if (!awake || awake.released) {
    awake = await navigator.wakeLock?.request('screen').catch(() => null);
  }
}

/** Points the clicked link at the picture that is shown, byte for byte, named by its prompt. */
export function savePicture(words) {
  const name = split(words).join('-').slice(0, 60) || 'picture';
  link.download = `${name}${shown?.frame ? `-${shown.frame}` : ''}.jpg`;
  if (!shown) return;
  const url = URL.createObjectURL(shown.jpeg);
  link.href = url;
  setTimeout(() => { link.href = address('snapshot.jpg'); URL.revokeObjectURL(url); }, 2000);
}

/** Adds the listeners; `words` returns the prompt that is shown. */
export function startViews(words) {
  document.getElementById('fullscreen').addEventListener('click', toggleFullScreen);
  document.getElementById('clean').addEventListener('click', () => setClean(true));
  stage.addEventListener('dblclick', () => { if (isClean()) setClean(false); });
  link.addEventListener('click', () => savePicture(words()));
  document.addEventListener('fullscreenchange', keepAwake);
  if (new URLSearchParams(location.search).has('clean')) setClean(true, { hinted: false });
}
