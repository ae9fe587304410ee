/** The number of denoising steps: a choice, or the model's own. Not on the page where the engine takes no other. */
import { CUT } from './fade.js';
import { change, onScene } from './scene.js';

const choice = document.getElementById('steps');

export function startSteps() {
  if (!choice) return;
  choice.addEventListener('change', () => change({ steps: choice.value === '' ? null : Number(choice.value) }, CUT));
  onScene(({ steps }) => { choice.value = steps ?? ''; });
}
