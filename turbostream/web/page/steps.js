/** The number of denoising steps: a choice, or the model's own. */
import { CUT } from './fade.js';
import { change, onScene } from './scene.js';

const choice = document.getElementById('steps');

export function startSteps() {
  choice.addEventListener('change', () => change({ steps: choice.value === '' ? null : Number(choice.value) }, CUT));
  onScene(({ steps }) => { choice.value = steps ?? ''; });
}
