/** The tempo: beats a minute, tapped or typed, the beat that is now, and when looks are recalled. */
import { setParameters } from './control.js';
import { CUT } from './fade.js';
import { startModulators } from './modulators.js';
import { parameter } from './parameters.js';
import { change, onScene } from './scene.js';

const ADRIFT_BEATS = 0.04; // the indicator is set again when it is off by more

const $ = (id) => document.getElementById(id);
const indicator = $('beats');
const choices = [...$('quantise').children];
let reported = null; // {bpm, bar, beat, at}: the server's last report; at in ms
let shown = null; // the same of the animation that runs, and {animation}
let visible = false; // an animation in a closed panel would still cost the browser sixty updates a second

export function tap() {
  setParameters({ tap: true });
}

/** Sends a typed number, or puts back the one in force. */
function typed(field) {
  const { name, low, high } = parameter(field.dataset.parameter);
  const value = Number(field.value);
  const isWhole = parameter(name).kind !== 'whole' || Number.isInteger(value);
  if (field.value !== '' && value >= low && value <= high && isWhole) change({ [name]: value }, CUT);
  else field.value = field.dataset.now;
}

function showNumber(field, value) {
  field.dataset.now = String(Math.round(value * 100) / 100);
  if (document.activeElement !== field || !document.hasFocus()) field.value = field.dataset.now;
}

function showQuantise(chosen) {
  choices.forEach((button) => button.setAttribute('aria-pressed', String(button.dataset.value === chosen)));
}

const beatAt = ({ bpm, beat, at }, now) => beat + ((now - at) * bpm) / 60_000;

/** Shows the beat of the server: a dot for each beat of the bar, and a mark that moves from one to the next. */
function showBeat() {
  if (!visible || !reported) return;
  const { bpm, bar } = reported;
  const now = performance.now();
  const beat = beatAt(reported, now);
  if (shown?.bpm === bpm && shown.bar === bar && Math.abs(beatAt(shown, now) - beat) < ADRIFT_BEATS) return;
  shown?.animation.cancel();
  const beatMs = 60_000 / bpm;
  const timing = { duration: bar * beatMs, easing: `steps(${bar})`, iterations: Infinity };
  const animation = indicator.firstElementChild.animate({ transform: ['none', `translateX(${bar * 100}%)`] }, timing);
  animation.currentTime = (beat % bar) * beatMs;
  indicator.style.setProperty('--beats', bar);
  shown = { bpm, bar, beat, at: now, animation };
}

function follow(isVisible) {
  visible = isVisible;
  if (visible) return showBeat();
  shown?.animation.cancel();
  shown = null;
}

function takeTempo({ bpm, beat, beats_per_bar: bar, quantise, modulators }) {
  if (bpm === undefined) return;
  showNumber($('bpm'), bpm);
  showNumber($('beats-per-bar'), bar);
  showQuantise(quantise);
  reported = { bpm, bar, beat, at: performance.now() };
  showBeat();
  const count = modulators.length;
  const moved = count ? `, ${count} ${count === 1 ? 'modulator' : 'modulators'}` : '';
  $('tempo-now').textContent = ` · ${Math.round(bpm * 10) / 10} bpm${moved}`;
}

export function startTempo() {
  $('tap').addEventListener('click', tap);
  for (const field of [$('bpm'), $('beats-per-bar')]) field.addEventListener('change', () => typed(field));
  for (const button of choices) {
    button.addEventListener('click', () => {
      showQuantise(button.dataset.value);
      change({ quantise: button.dataset.value }, CUT);
    });
  }
  new IntersectionObserver((changes) => follow(changes.at(-1).isIntersecting)).observe(indicator);
  onScene(takeTempo);
  startModulators();
}
