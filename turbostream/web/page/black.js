/**
 * The master brightness: its slider, and the black button, which fades the picture out and in. Only the
 * brightness of the scene changes.
 */
import { fadeNow } from './fade.js';
import { change, onScene } from './scene.js';

const SHORTEST_S = 0.5; // a cut to black and back would be a flash

const button = document.getElementById('black');
const slider = document.getElementById('brightness');
let lit = 1; // the brightness that the black button goes back to

const isBlack = () => button.getAttribute('aria-pressed') === 'true';

function show(brightness) {
  if (brightness > 0) lit = brightness;
  button.setAttribute('aria-pressed', String(brightness === 0));
  if (Number(slider.value) !== brightness) slider.value = brightness;
  document.getElementById('brightness-value').textContent = brightness.toFixed(2);
}

export function toggleBlack() {
  const brightness = isBlack() ? lit : 0;
  show(brightness);
  const fade = fadeNow();
  change({ brightness }, { ...fade, fade_s: fade.fade_s || SHORTEST_S });
}

export function startBlack() {
  button.addEventListener('click', toggleBlack);
  slider.addEventListener('input', () => {
    show(Number(slider.value));
    change({ brightness: Number(slider.value) }, fadeNow());
  });
  onScene(({ brightness }) => show(brightness));
}
