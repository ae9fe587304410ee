/** The undo and redo buttons. */
import { fadeNow } from './fade.js';
import { act } from './scene.js';

const undoButton = document.getElementById('undo');
const redoButton = document.getElementById('redo');

export function undo() {
  if (!undoButton.disabled) act('undo', fadeOnly());
}

export function redo() {
  if (!redoButton.disabled) act('redo', fadeOnly());
}

const fadeOnly = () => ({ fade_s: fadeNow().fade_s });

/** `history`: {undo, redo}, the number of steps in each direction. */
export function takeHistory(history) {
  undoButton.disabled = !history?.undo;
  redoButton.disabled = !history?.redo;
}

export function startUndo() {
  undoButton.addEventListener('click', undo);
  redoButton.addEventListener('click', redo);
}
