/** The ways to look at the picture: full screen, the picture alone, and saved to disk. */
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

/** The picture alone: no controls, no cursor, the screen kept awake. Escape leaves it. */
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
  else stage.requestFullscreen?.().catch(() => {}); // refused by the browser: the page stays as it is
}

/** Holds the screen awake while the picture is alone and seen; the browser drops it when hidden. */
export async function keepAwake() {
  const wanted = (isClean() || document.fullscreenElement) && !document.hidden;
  if (!wanted) {
    awake?.release();
    awake = null;
  } else if (!awake || awake.released) {
    awake = await navigator.wakeLock?.request('screen').catch(() => null);
  }
}

/** Lets the link that was clicked give the picture that is shown, byte for byte, named by its words. */
export function savePicture(words) {
  const name = split(words).join('-').slice(0, 60) || 'picture';
  link.download = `${name}${shown?.frame ? `-${shown.frame}` : ''}.jpg`;
  if (!shown) return;
  const url = URL.createObjectURL(shown.jpeg);
  link.href = url;
  setTimeout(() => { link.href = address('snapshot.jpg'); URL.revokeObjectURL(url); }, 2000);
}

/** Listens; `words` gives the words that are shown. */
export function startViews(words) {
  document.getElementById('fullscreen').addEventListener('click', toggleFullScreen);
  document.getElementById('clean').addEventListener('click', () => setClean(true));
  stage.addEventListener('dblclick', () => { if (isClean()) setClean(false); });
  link.addEventListener('click', () => savePicture(words()));
  document.addEventListener('fullscreenchange', keepAwake);
  if (new URLSearchParams(location.search).has('clean')) setClean(true, { hinted: false });
}
