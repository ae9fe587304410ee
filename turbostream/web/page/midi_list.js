/** The list of MIDI mappings: what each control sets, in which way, and how far. */
import { mappings, saveMappings } from './mappings.js';
import { keyOf, rangeOf } from './midi_map.js';
import { parameter } from './parameters.js';

const MODES = { continuous: 'follow', toggle: 'toggle', trigger: 'trigger', momentary: 'hold' };
const NAMES = { cc: 'knob', cc14: 'fine knob', nrpn: 'NRPN', note: 'note', pitchbend: 'pitch bend', program: 'program' };

const list = document.getElementById('midi-mappings');
const hints = new Map(); // by keyOf: the element that shows which way to turn
const waits = new Map(); // by keyOf: that way, 'up' or 'down'
let missed = false; // the mappings changed while a field was in use

const make = (tag, properties) => Object.assign(document.createElement(tag), properties);

/** "knob 21 of nanoKONTROL2". */
export function controlName({ type, number, device }) {
  const which = number === undefined ? '' : ` ${number}`;
  return `${NAMES[type] ?? type}${which} of ${device === '*' ? 'any device' : device}`;
}

/** "speed", or "motion: hold" where the mapping sets one value. */
export const targetName = ({ target, value }) => (value === undefined ? target : `${target}: ${value}`);

/** Replaces the mapping; it may have moved since it was shown. */
function edit(mapping, changes) {
  const key = keyOf(mapping);
  saveMappings({ midi: mappings().midi.map((it) => (keyOf(it) === key ? { ...it, ...changes } : it)) });
}

function remove(mapping) {
  const key = keyOf(mapping);
  saveMappings({ midi: mappings().midi.filter((it) => keyOf(it) !== key) });
}

/** The ways in which a control of this kind can set the parameter. */
function modesOf(mapping, row) {
  if (row.kind === 'trigger' || row.kind === 'text') return ['trigger'];
  return Object.keys(MODES).filter((mode) => mode !== 'trigger' || mapping.value !== undefined || row.kind !== 'choice');
}

function modeChoice(mapping, row) {
  const choice = make('select', { ariaLabel: `How it sets ${mapping.target}` });
  for (const mode of new Set([...modesOf(mapping, row), mapping.mode])) choice.append(new Option(MODES[mode], mode));
  choice.value = mapping.mode;
  choice.addEventListener('change', () => edit(mapping, { mode: choice.value }));
  return choice;
}

function endField(mapping, row, name, value) {
  const label = make('label', { className: 'seconds', textContent: name === 'low' ? 'from ' : 'to ' });
  const input = make('input', { type: 'number', min: row.low, max: row.high, step: 'any', value, inputMode: 'decimal' });
  let kept = value;
  input.addEventListener('change', () => {
    const number = Number(input.value);
    if (input.value === '' || number < row.low || number > row.high) input.value = kept;
    else {
      kept = number; // the list is not shown again while one of its fields is in use
      edit(mapping, { [name]: number });
    }
  });
  label.append(input);
  return label;
}

function itemOf(mapping) {
  const row = parameter(mapping.target);
  const item = make('li', {});
  const names = make('p', { className: 'midi-names' });
  const target = make('b', { textContent: targetName(mapping) });
  names.append(`${controlName(mapping)}, channel ${mapping.channel} → `, target);
  const removal = make('button', { type: 'button', className: 'icon', textContent: '×', title: 'Remove', ariaLabel: `Remove the mapping to ${targetName(mapping)}` });
  removal.addEventListener('click', () => remove(mapping));
  item.append(names, removal);
  if (!row) {
    item.append(make('p', { className: 'midi-note', textContent: `There is no parameter ${mapping.target}; this mapping has no effect.` }));
    return item;
  }
  const how = make('div', { className: 'midi-how' });
  if (modesOf(mapping, row).length > 1) how.append(modeChoice(mapping, row));
  if (mapping.mode !== 'trigger' && (row.kind === 'continuous' || row.kind === 'whole')) {
    const [low, high] = rangeOf(mapping, row);
    how.append(endField(mapping, row, 'low', low), endField(mapping, row, 'high', high));
  }
  const hint = make('span', { className: 'midi-note', role: 'status' });
  hints.set(keyOf(mapping), hint);
  how.append(hint);
  showHint(keyOf(mapping));
  item.append(how);
  return item;
}

const controlsOf = (item) => [...item.querySelectorAll('button, select, input')];

function show() {
  const at = document.activeElement;
  missed = at.matches('input') && list.contains(at);
  if (missed) return;
  const place = [...list.children].findIndex((item) => item.contains(at));
  const control = place < 0 ? -1 : controlsOf(list.children[place]).indexOf(at);
  hints.clear();
  list.replaceChildren(...mappings().midi.map(itemOf));
  const { children } = list;
  if (place >= 0 && children.length) controlsOf(children[Math.min(place, children.length - 1)])[control]?.focus();
}

/** Shows which way a control has to be moved until it takes over; way: 'up', 'down' or ''. */
export function showWait(key, way) {
  if (way) waits.set(key, way);
  else waits.delete(key);
  showHint(key);
}

function showHint(key) {
  const hint = hints.get(key);
  const text = waits.has(key) ? `Turn it ${waits.get(key)} to take over.` : '';
  if (hint && hint.textContent !== text) hint.textContent = text;
}

export function startList(onMappings) {
  onMappings(show);
  list.addEventListener('focusout', () => { if (missed) setTimeout(show); });
  show();
}
