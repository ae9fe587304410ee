/** The black button: fades the picture out and in. Only the brightness of the scene changes. */
import { fadeNow } from './fade.js';
import { change, onScene } from './scene.js';

const SHORTEST_S = 0.5; // a cut to black and back would be a flash

const button = document.getElementById('black');

const isBlack = () => button.getAttribute('aria-pressed') === 'true';
const show = (black) => button.setAttribute('aria-pressed', String(black));

export function toggleBlack() {
  const black = !isBlack();
  show(black);
  const fade = fadeNow();
  change({ brightness: black ? 0 : 1 }, { ...fade, fade_s: fade.fade_s || SHORTEST_S });
}

export function startBlack() {
  button.addEventListener('click', toggleBlack);
  onScene(({ brightness }) => show(brightness === 0));
}
