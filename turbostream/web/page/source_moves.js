/** The sliders of the source panel: the strength, and the motion of feedback. */
import { CUT, fadeNow } from './fade.js';
import { parameter } from './parameters.js';
import { change, onScene } from './scene.js';

const MOVES = ['zoom', 'rotation', 'shift_x', 'shift_y'];
const TEXTS = {
  strength: (value) => value.toFixed(2),
  zoom: (value) => `×${value.toFixed(2)}/s`,
  rotation: (value) => `${value.toFixed(0)}°/s`,
  shift_x: (value) => `${value.toFixed(2)}/s`,
  shift_y: (value) => `${value.toFixed(2)}/s`,
};
const SPOKEN = {
  strength: 'of 1',
  zoom: 'times per second',
  rotation: 'degrees per second',
  shift_x: 'widths per second',
  shift_y: 'heights per second',
};

const $ = (id) => document.getElementById(id);

function show(name, value) {
  $(`${name}-value`).textContent = TEXTS[name](value);
  $(name).setAttribute('aria-valuetext', `${Number(value.toFixed(2))} ${SPOKEN[name]}`);
}

/** Shows the values that the server reports; a slider beyond its range stays at its end. */
function take(scene) {
  for (const name of Object.keys(TEXTS)) {
    const value = scene[name] ?? parameter(name).default;
    show(name, value);
    if (Number($(name).value) !== value) $(name).value = value;
  }
}

export function startMoves() {
  for (const name of Object.keys(TEXTS)) {
    $(name).value = parameter(name).default;
    show(name, Number($(name).value));
    $(name).addEventListener('input', () => {
      const value = Number($(name).value);
      show(name, value);
      change({ [name]: value }, name === 'strength' ? fadeNow() : CUT);
    });
  }
  $('source-still').addEventListener('click', () => {
    change(Object.fromEntries(MOVES.map((name) => [name, parameter(name).default])), CUT);
  });
  onScene(take);
}
