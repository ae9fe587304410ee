/** The weights of the LoRAs, a slider each; the server writes them into the page if it has loaded any. */
import { fadeNow } from './fade.js';
import { change, onScene } from './scene.js';

const sliders = new Map([...document.querySelectorAll('#loras input')].map((slider) => [slider.name, slider]));

function show(slider, weight) {
  if (Number(slider.value) !== weight) slider.value = weight;
  slider.nextElementSibling.textContent = weight.toFixed(2);
}

export function startLoras() {
  for (const moved of sliders.values()) {
    moved.addEventListener('input', () => {
      show(moved, Number(moved.value));
      // All of them, since the newest waiting change of a field replaces the one before.
      const adapters = Object.fromEntries([...sliders].map(([name, slider]) => [name, Number(slider.value)]));
      change({ adapters }, fadeNow());
    });
  }
  onScene(({ adapters = {} }) => {
    for (const [name, slider] of sliders) if (name in adapters) show(slider, adapters[name]);
  });
}
