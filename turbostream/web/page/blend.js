/**
 * The blend: up to eight prompts with a weight each. The prompt field is the first of them.
 *
 * Weights are kept as the server reports them; a slider shows a weight above 1 as 1.
 */
import { standsFor, targets } from './parameters.js';

const NEW_WEIGHT = 0.5;
const MOST = targets('continuous').filter(({ name }) => name.startsWith('weight_')).length;

const $ = (id) => document.getElementById(id);
const field = $('prompt');
const first = { weight: 1, slider: $('weight'), output: $('weight-value') };
const rows = []; // the others: [{item, input, slider, output, remove, weight}]
let handlers = null;
let dragged = null; // the slider that a pointer holds

const hasText = ({ input }) => input.value.trim() !== '';

/** Whether there is more than one prompt. */
export const isBlend = () => rows.some(hasText);

/** The blend in the server's form, with `text` as its first prompt. */
export function blendWith(text) {
  const others = rows.filter(hasText).map(({ input, weight }) => ({ text: input.value, weight }));
  return [{ text, weight: first.weight }, ...others];
}

function showWeight(row, weight) {
  row.weight = weight;
  if (row.slider !== dragged) row.slider.value = weight;
  row.output.textContent = weight.toFixed(2);
}

function weigh(row) {
  showWeight(row, Number(row.slider.value));
  if (isBlend()) handlers.weighed();
}

function showRows() {
  $('blend-first').hidden = rows.length === 0;
  $('blend-add').hidden = rows.length >= MOST - 1;
  rows.forEach(({ input, slider, remove }, i) => {
    input.setAttribute('aria-label', `Words ${i + 2}`);
    slider.setAttribute('aria-label', `Weight of words ${i + 2}`);
    slider.title = '';
    standsFor(slider, `weight_${i + 2}`);
    remove.setAttribute('aria-label', `Remove words ${i + 2}`);
  });
}

function make(tag, properties) {
  return Object.assign(document.createElement(tag), properties);
}

function addRow(text, weight) {
  const item = make('li', { className: 'blend-row' });
  const input = make('input', { type: 'text', value: text, autocapitalize: 'off', spellcheck: false, enterKeyHint: 'send', placeholder: 'other words' });
  const slider = make('input', { type: 'range', min: first.slider.min, max: first.slider.max, step: 0.01 });
  const remove = $('blend-first-remove').cloneNode(true);
  remove.removeAttribute('id');
  const row = { item, input, slider, remove, output: make('output', {}), weight };
  item.append(input, slider, row.output, remove);
  input.addEventListener('input', handlers.typed);
  input.addEventListener('compositionend', handlers.typed);
  input.addEventListener('keydown', ({ key, isComposing }) => { if (key === 'Enter' && !isComposing) handlers.submit(); });
  slider.addEventListener('input', () => weigh(row));
  remove.addEventListener('click', () => removeRow(row));
  const drafts = rows.findIndex((other) => !hasText(other));
  const at = drafts < 0 || !text ? rows.length : drafts;
  $('blend').insertBefore(item, $('blend').children[at] ?? null);
  rows.splice(at, 0, row);
  showWeight(row, weight);
  showRows();
  return row;
}

function drop(row) {
  rows.splice(rows.indexOf(row), 1);
  row.item.remove();
  showRows();
}

function removeRow(row) {
  const counted = hasText(row);
  drop(row);
  (rows.at(-1)?.remove ?? $('blend-add')).focus();
  if (counted) handlers.weighed();
}

/** Removes the first prompt: the next row with text takes its place. */
function removeFirst() {
  const next = rows.find(hasText);
  if (!next) return removeRow(rows[0]);
  field.value = next.input.value;
  showWeight(first, next.weight);
  drop(next);
  return handlers.weighed();
}

/** Shows the prompts that the server reports. A field in use keeps its text, and rows without text stay. */
export function takeBlend(prompts) {
  const [own, ...others] = prompts;
  if (dragged === null) showWeight(first, own.weight);
  const inUse = ({ input }) => input === document.activeElement && document.hasFocus();
  let settled = rows.filter(hasText);
  if (settled.length !== others.length && settled.some(inUse)) return;
  settled.slice(others.length).forEach(drop);
  others.slice(settled.length).forEach(({ text, weight }) => addRow(text, weight));
  settled = rows.filter(hasText);
  others.forEach(({ text, weight }, i) => {
    const row = settled[i];
    if (!inUse(row) && row.input.value.trim() !== text) row.input.value = text;
    if (row.slider !== dragged) showWeight(row, weight);
  });
}

/** Handlers: typed(event) when text changes, submit() on Enter, weighed() when weights change or a prompt is removed. */
export function startBlend(given) {
  handlers = given;
  $('blend-add').addEventListener('click', () => addRow('', NEW_WEIGHT).input.focus());
  $('blend-first-remove').addEventListener('click', removeFirst);
  first.slider.addEventListener('input', () => weigh(first));
  document.addEventListener('pointerdown', ({ target }) => { dragged = target.type === 'range' ? target : null; });
  for (const end of ['pointerup', 'pointercancel']) document.addEventListener(end, () => { dragged = null; });
  showRows();
}
