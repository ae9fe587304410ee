/**
 * How the model samples: the number of denoising steps, guidance, and the negative words that guidance
 * leads away from. The choice of steps is not on the page where the engine takes no other number; the rest
 * shows where the model uses it.
 */
import { CUT, fadeNow } from './fade.js';
import { change, onScene } from './scene.js';
import { status } from './status.js';

const $ = (id) => document.getElementById(id);
const steps = $('steps');
const [guidance, negative] = [$('guidance'), $('negative')];
let own = 1; // the model's own guidance; 1 is off

function showGuidance(value) {
  if (Number(guidance.value) !== value) guidance.value = value;
  $('guidance-value').textContent = value > 1 ? value.toFixed(1) : 'off';
  negative.disabled = value <= 1;
}

function showNegative(words) {
  if (negative !== document.activeElement || !document.hasFocus()) negative.value = words;
}

/** What the open engine says of itself in /status. */
function showEngine({ guidance: its = null, negative: takesWords = false } = {}) {
  $('guidance-row').hidden = its === null;
  own = its ?? 1;
  negative.hidden = !takesWords;
}

export function startSampling() {
  steps?.addEventListener('change', () => change({ steps: steps.value === '' ? null : Number(steps.value) }, CUT));
  guidance.addEventListener('input', () => {
    showGuidance(Number(guidance.value));
    change({ guidance: Number(guidance.value) }, fadeNow());
  });
  negative.addEventListener('change', () => change({ negative: negative.value.trim() }, fadeNow()));
  onScene((scene) => {
    showEngine(status?.engine);
    if (steps) steps.value = scene.steps ?? '';
    showGuidance(scene.guidance ?? own);
    showNegative(scene.negative ?? '');
  });
}
