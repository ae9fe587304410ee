/**
 * The speed slider and the freeze button: how the noise moves, here and on the server.
 *
 * The server calls the frozen motion `hold`.
 */
import { say } from './prompt.js';
import { NewestOnly, send } from './send.js';

const FROZEN = 'hold';
const TOP_SPEED = 4; // quarter turns a second

const slider = document.getElementById('speed');
const freezeButton = document.getElementById('freeze');
const speedText = document.getElementById('speed-value');
const motion = { now: document.body.dataset.motion, before: 'walk' };
const scenes = new NewestOnly(patchScene);

const speedOf = (step) => Math.round(TOP_SPEED * (step / 100) ** 3 * 1000) / 1000;
const stepOf = (speed) => Math.round(Math.cbrt(speed / TOP_SPEED) * 100);

/** NaN while a change of this page is in flight; the number differs afterwards. */
export const motionTurn = () => scenes.turn;
export const isFrozen = () => motion.now === FROZEN;

function showMotion(kind, speed) {
  if (kind !== FROZEN) motion.before = kind;
  motion.now = kind;
  freezeButton.setAttribute('aria-pressed', String(kind === FROZEN));
  speedText.textContent = speed.toFixed(2);
  slider.setAttribute('aria-valuetext', `${speed.toFixed(2)} quarter turns a second`);
}

function changeSpeed() {
  const speed = speedOf(Number(slider.value));
  showMotion('walk', speed);
  scenes.offer({ motion: 'walk', speed });
}

export function toggleFreeze() {
  const next = isFrozen() ? motion.before : FROZEN;
  showMotion(next, speedOf(Number(slider.value)));
  scenes.offer({ motion: next });
}

async function patchScene(change) {
  const answer = await send('PATCH', 'scene', change);
  if (!answer.ok) say(answer.sentence, 'error');
  else if (!scenes.waiting) takeScene(answer.data);
}

/** Shows the motion that the server reports. */
export function takeScene(scene) {
  showMotion(scene.motion, scene.speed);
  if (speedOf(Number(slider.value)) !== scene.speed) slider.value = stepOf(scene.speed);
}

export function startMotion() {
  const speed = Number(document.body.dataset.speed);
  slider.value = stepOf(speed);
  showMotion(document.body.dataset.motion, speed);
  slider.addEventListener('input', changeSpeed);
  freezeButton.addEventListener('click', toggleFreeze);
}
