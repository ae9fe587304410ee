/**
 * How the noise moves: motion (walk, hold or fresh), speed, seed, and the freeze button, which sets the
 * motion to `hold`.
 */
import { CUT, fadeNow } from './fade.js';
import { say } from './message.js';
import { parameter } from './parameters.js';
import { change, onScene } from './scene.js';

const FROZEN = 'hold';
const TOP_SPEED = parameter('speed').high; // seeds per second
const RANDOM_SEEDS = 2 ** 32; // few enough digits to be read aloud

const $ = (id) => document.getElementById(id);
const slider = $('speed');
const seedField = $('seed');
const kinds = [...$('motion').children];
const motion = { now: document.body.dataset.motion, before: 'walk' };
let seed = null;

const speedOf = (step) => Math.round(TOP_SPEED * (step / 100) ** 3 * 1000) / 1000;
const stepOf = (speed) => Math.round(Math.cbrt(speed / TOP_SPEED) * 100);

export const isFrozen = () => motion.now === FROZEN;

function showMotion(kind, speed) {
  if (kind !== FROZEN) motion.before = kind;
  motion.now = kind;
  $('freeze').setAttribute('aria-pressed', String(kind === FROZEN));
  kinds.forEach((button) => button.setAttribute('aria-pressed', String(button.dataset.value === kind)));
  $('speed-value').textContent = speed.toFixed(2);
  slider.setAttribute('aria-valuetext', `${speed.toFixed(2)} seeds per second`);
}

const chosenSpeed = () => speedOf(Number(slider.value));

function changeSpeed() {
  showMotion('walk', chosenSpeed());
  change({ motion: 'walk', speed: chosenSpeed() }, fadeNow());
}

function setMotion(kind) {
  showMotion(kind, chosenSpeed());
  change({ motion: kind }, CUT);
}

export function toggleFreeze() {
  setMotion(isFrozen() ? motion.before : FROZEN);
}

export function newSeed() {
  setSeed(Math.floor(Math.random() * RANDOM_SEEDS));
}

function setSeed(next) {
  seed = next;
  seedField.value = String(next);
  change({ seed: next }, fadeNow());
}

/** Takes the typed seed. A text that is not a number is refused, and the current seed stays. */
function typedSeed() {
  const text = seedField.value.trim();
  if (text === String(seed)) return;
  if (/^\d{1,15}$/.test(text)) return setSeed(Number(text));
  say('The seed must be a whole number.', 'error');
  seedField.value = String(seed ?? '');
}

/** Shows the motion that the server reports. */
function takeMotion(scene) {
  showMotion(scene.motion, scene.speed);
  if (chosenSpeed() !== scene.speed) slider.value = stepOf(scene.speed);
  seed = scene.seed ?? null;
  if (document.activeElement !== seedField && seed !== null) seedField.value = String(seed);
  if (scene.phase != null) $('phase').textContent = scene.phase.toFixed(2);
}

export function startMotion() {
  const speed = Number(document.body.dataset.speed);
  slider.value = stepOf(speed);
  showMotion(document.body.dataset.motion, speed);
  slider.addEventListener('input', changeSpeed);
  $('freeze').addEventListener('click', toggleFreeze);
  $('new-seed').addEventListener('click', newSeed);
  kinds.forEach((button) => button.addEventListener('click', () => setMotion(button.dataset.value)));
  seedField.addEventListener('change', typedSeed);
  seedField.addEventListener('keydown', ({ key }) => { if (key === 'Enter') typedSeed(); });
  onScene(takeMotion);
}
