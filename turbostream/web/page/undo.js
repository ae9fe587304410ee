/** Undo and redo of the server's scenes. */
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

/** `history`: {undo, redo}, how many steps there are. */
export function takeHistory(history) {
  undoButton.disabled = !history?.undo;
  redoButton.disabled = !history?.redo;
}

export function startUndo() {
  undoButton.addEventListener('click', undo);
  redoButton.addEventListener('click', redo);
}
