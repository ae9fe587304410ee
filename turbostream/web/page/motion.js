/**
 * The slider and the hold button: how the noise moves, here and on the server.
 */
import { say } from './prompt.js';
import { NewestOnly, send } from './send.js';

const TOP_SPEED = 4; // quarter turns a second

const slider = document.getElementById('speed');
const holdButton = document.getElementById('hold');
const speedText = document.getElementById('speed-value');
const motion = { now: document.body.dataset.motion, before: 'walk' };
const scenes = new NewestOnly(patchScene);

const speedOf = (step) => Math.round(TOP_SPEED * (step / 100) ** 3 * 1000) / 1000;
const stepOf = (speed) => Math.round(Math.cbrt(speed / TOP_SPEED) * 100);

/** NaN while a change of ours is on its way, and another number afterwards than before. */
export const motionTurn = () => scenes.turn;
export const isHeld = () => motion.now === 'hold';

function showMotion(kind, speed) {
  if (kind !== 'hold') motion.before = kind;
  motion.now = kind;
  holdButton.setAttribute('aria-pressed', String(kind === 'hold'));
  speedText.textContent = speed.toFixed(2);
  slider.setAttribute('aria-valuetext', `${speed.toFixed(2)} quarter turns a second`);
}

function changeSpeed() {
  const speed = speedOf(Number(slider.value));
  showMotion('walk', speed);
  scenes.offer({ motion: 'walk', speed });
}

export function toggleHold() {
  const next = isHeld() ? motion.before : 'hold';
  showMotion(next, speedOf(Number(slider.value)));
  scenes.offer({ motion: next });
}

async function patchScene(change) {
  const answer = await send('PATCH', 'scene', change);
  if (!answer.ok) say(answer.sentence, 'error');
  else if (!scenes.waiting) takeScene(answer.data);
}

/** What the server says about the motion. */
export function takeScene(scene) {
  showMotion(scene.motion, scene.speed);
  if (speedOf(Number(slider.value)) !== scene.speed) slider.value = stepOf(scene.speed);
}

export function startMotion() {
  const speed = Number(document.body.dataset.speed);
  slider.value = stepOf(speed);
  showMotion(document.body.dataset.motion, speed);
  slider.addEventListener('input', changeSpeed);
  holdButton.addEventListener('click', toggleHold);
}
