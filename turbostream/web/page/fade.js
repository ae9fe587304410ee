/**
 * Length and easing of the fades of this page's changes, and the progress of the fade on screen.
 *
 * The server's settings apply until the visitor chooses; the choice is kept in the browser.
 */
import { keep, kept } from './kept.js';
import { parameter } from './parameters.js';

const MOST_S = parameter('fade_s').knob[1];
const EASINGS = parameter('easing').choices;

const $ = (id) => document.getElementById(id);
const { fade: givenS, easing: givenEasing } = document.body.dataset;
const slider = $('fade');
const easing = $('easing');
let fadeS = Number(givenS);
let running = null; // {endsAt, wholeMs} on performance.now()'s clock

const secondsOf = (step) => {
  const seconds = MOST_S * (step / 100) ** 2;
  return seconds < 10 ? Math.round(seconds * 10) / 10 : Math.round(seconds);
};
const stepOf = (seconds) => Math.round(Math.sqrt(Math.min(seconds, MOST_S) / MOST_S) * 100);

/** The fade that changes of this page are sent with. */
export const fadeNow = () => ({ fade_s: fadeS, easing: easing.value });

/** For changes that must not wait, such as freeze. */
export const CUT = { fade_s: 0 };

/** Whether the server would apply this fade to a change that names none. */
export const isServersFade = () => fadeS === Number(givenS) && easing.value === givenEasing;

function showChoice() {
  const text = fadeS === 0 ? 'cut' : `${fadeS < 10 ? fadeS.toFixed(1) : fadeS} s`;
  $('fade-value').textContent = text;
  slider.setAttribute('aria-valuetext', fadeS === 0 ? 'no fade' : `${fadeS} seconds`);
}

/** Sets the fade of this page's later changes, as far as it is given and valid. */
export function setFade(seconds, next) {
  if (seconds >= 0) {
    fadeS = Math.min(seconds, parameter('fade_s').high);
    keep('fade_s', fadeS);
    slider.value = stepOf(fadeS);
    showChoice();
  }
  if (EASINGS.includes(next)) {
    easing.value = next;
    keep('easing', next);
  }
}

/** Takes the fade of a scene that the server reports. */
export function takeFade({ fade }) {
  const leftMs = (fade?.left_s ?? 0) * 1000;
  running = leftMs > 0 ? { endsAt: performance.now() + leftMs, wholeMs: leftMs / Math.max(1 - fade.progress, 0.001) } : null;
  showProgress();
}

/** Shows the progress of the fade; called a few times a second. */
export function showProgress() {
  const leftMs = running ? Math.max(0, running.endsAt - performance.now()) : 0;
  if (leftMs === 0) running = null;
  const done = running ? 1 - leftMs / running.wholeMs : 1;
  const bar = $('fade-bar');
  bar.toggleAttribute('data-running', running !== null);
  bar.setAttribute('aria-valuenow', String(Math.round(done * 100)));
  bar.firstElementChild.style.transform = `scaleX(${done})`;
  const text = running ? `Fading, ${Math.ceil(leftMs / 1000)} s left` : '';
  if ($('fade-left').textContent !== text) $('fade-left').textContent = text;
}

export function startFade() {
  const stored = kept('fade_s');
  if (stored !== null && Number(stored) >= 0 && Number(stored) <= MOST_S) fadeS = Number(stored);
  easing.value = EASINGS.includes(kept('easing')) ? kept('easing') : givenEasing;
  slider.value = stepOf(fadeS);
  showChoice();
  slider.addEventListener('input', () => {
    fadeS = secondsOf(Number(slider.value));
    keep('fade_s', fadeS);
    showChoice();
  });
  easing.addEventListener('change', () => keep('easing', easing.value));
}
