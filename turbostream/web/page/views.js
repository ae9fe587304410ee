/**
 * The views of the picture: play (with all controls), watch (picture and label), clean (only the
 * picture) and full screen; and the picture as a file. The address names the view, so that it can be
 * bookmarked.
 */
import { address } from './address.js';
import { shown, shownJpeg } from './picture.js';
import { split } from './words.js';

const HINT_MS = 2500;
const FITS = ['contain', 'cover'];
const $ = (id) => document.getElementById(id);
const stage = $('stage');
const hint = $('clean-hint');
const link = $('save');
const classes = document.body.classList;

let awake = null; // the wake lock
let hintTimer = null;

export const isClean = () => classes.contains('clean');
const isWatching = () => classes.contains('watching');

/** Writes the view into the address and keeps the other parameters. */
function showAddress() {
  const query = new URLSearchParams(location.search);
  query.delete('clean');
  query.delete('view');
  const parts = [isClean() ? 'clean' : '', isWatching() ? 'view=watch' : '', query.toString()].filter(Boolean);
  history.replaceState(null, '', parts.length ? `./?${parts.join('&')}` : './');
}

/** The clean view: no controls, no cursor, the screen kept awake. Escape leaves it. */
export function setClean(on, { hinted = true } = {}) {
  classes.toggle('clean', on);
  showAddress();
  clearTimeout(hintTimer);
  hint.hidden = !(on && hinted);
  hintTimer = setTimeout(() => { hint.hidden = true; }, HINT_MS);
  if (on) document.activeElement?.blur();
  keepAwake();
}

/** The watch view: the picture with its label below, and the button that leaves it. */
export function setWatching(on) {
  classes.toggle('watching', on);
  $('watch').setAttribute('aria-pressed', String(on));
  $('watch-text').textContent = on ? 'Controls' : 'Watch view';
  showAddress();
}

export const toggleWatching = () => setWatching(!isWatching());

export function toggleFullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else stage.requestFullscreen?.().catch(() => {}); // the browser may refuse it
}

/** Keeps the screen awake in the clean view and full screen; the browser ends that when the page is hidden. */
export async function keepAwake() {
  const isWanted = () => (isClean() || document.fullscreenElement) && !document.hidden;
  const isHeld = () => awake !== null && !awake.released;
  if (isWanted() && !isHeld()) {
    const lock = await navigator.wakeLock?.request('screen').catch(() => null);
    if (isHeld()) lock?.release(); // another call was quicker
    else awake = lock ?? null;
  }
  if (!isWanted()) {
    awake?.release();
    awake = null;
  }
}

/** Points the clicked link at the picture that is shown, byte for byte, named by its prompt. */
export function savePicture(words) {
  const name = split(words).join('-').slice(0, 60) || 'picture';
  link.download = `${name}${shown?.frame ? `-${shown.frame}` : ''}.jpg`;
  if (!shown) return;
  const url = URL.createObjectURL(shownJpeg());
  link.href = url;
  setTimeout(() => { link.href = address('snapshot.jpg'); URL.revokeObjectURL(url); }, 2000);
}

/** Adds the listeners; `words` returns the prompt that is shown. */
export function startViews(words) {
  const query = new URLSearchParams(location.search);
  $('fullscreen').addEventListener('click', toggleFullScreen);
  $('clean').addEventListener('click', () => setClean(true));
  $('watch').addEventListener('click', toggleWatching);
  stage.addEventListener('dblclick', () => { if (isClean()) setClean(false); });
  link.addEventListener('click', () => savePicture(words()));
  document.addEventListener('fullscreenchange', keepAwake);
  if (FITS.includes(query.get('fit'))) document.body.dataset.fit = query.get('fit');
  if (query.get('view') === 'watch') setWatching(true);
  if (query.has('clean')) setClean(true, { hinted: false });
}
