/** The rows of the sound panel: which part of the sound sets which parameter, and how. Each edit saves all of them. */
import { mappings, onMappings, saveMappings } from './mappings.js';
import { labelOf, parameter, targets } from './parameters.js';
import { SOURCES, fits } from './sound_map.js';

const NEW = { source: 'level', target: 'brightness', amount: 1, smoothing: 0.1, floor: 0 };
const SLIDERS = {
  amount: { min: -1, title: 'How far the value moves; below 0 it falls when the sound rises' },
  smoothing: { min: 0, title: 'Time constant in seconds; for an onset, how fast its value decays' },
  floor: { min: 0, title: 'Sound below this has no effect' },
};
const MOST = 256; // as on the server

const list = document.getElementById('sound-rows');
const addButton = document.getElementById('sound-add');
const rows = []; // [{item, fields: {name: element}, outputs: {name: element}, note, remove}], in the order of the mappings

const make = (tag, properties) => Object.assign(document.createElement(tag), properties);
const current = () => mappings().sound;

function save(sound) {
  saveMappings({ sound });
}

/** The first parameter that nothing sets yet, `NEW.target` before all others. */
function freeTarget() {
  const free = targets('continuous').map(({ name }) => name).filter((name) => !current().some(({ target }) => target === name));
  return free.includes(NEW.target) ? NEW.target : free[0] ?? NEW.target;
}

function add() {
  save([...current(), { ...NEW, target: freeTarget() }]);
  rows.at(-1)?.fields.source.focus();
}

function remove(row) {
  const at = rows.indexOf(row);
  save(current().filter((_, i) => i !== at));
  (rows[Math.min(at, rows.length - 1)]?.remove ?? addButton).focus();
}

/** Takes a value of a row from its field. */
function edited(row, name) {
  const at = rows.indexOf(row);
  const value = name in SLIDERS ? Number(row.fields[name].value) : row.fields[name].value;
  const { unknown, ...mapping } = { ...current()[at], [name]: value };
  if (name === 'target') for (const field of ['low', 'high', 'value']) delete mapping[field]; // they are the old target's
  if (name === 'source' && !fits(value, parameter(mapping.target) ?? {})) mapping.target = freeTarget();
  save(current().map((other, i) => (i === at ? mapping : other)));
}

function makeRow() {
  const fields = { source: make('select', { ariaLabel: 'Part of the sound' }), target: make('select', { ariaLabel: 'Value that it sets' }) };
  fields.source.append(...SOURCES.map((source) => new Option(labelOf(source), source)));
  const row = { item: make('li', {}), fields, outputs: {}, note: make('p', { className: 'sound-note' }) };
  row.remove = make('button', { type: 'button', className: 'icon', textContent: '×', ariaLabel: 'Remove this mapping', title: 'Remove' });
  row.remove.addEventListener('click', () => remove(row));
  row.item.append(fields.source, fields.target, row.remove);
  for (const [name, { min, title }] of Object.entries(SLIDERS)) {
    fields[name] = make('input', { type: 'range', min, max: 1, step: 0.01 });
    row.outputs[name] = make('output', {});
    fields[name].addEventListener('input', () => { row.outputs[name].textContent = Number(fields[name].value).toFixed(2); });
    const label = make('label', { className: 'labelled', title });
    label.append(make('span', { textContent: labelOf(name) }), fields[name], row.outputs[name]);
    row.item.append(label);
  }
  for (const [name, field] of Object.entries(fields)) field.addEventListener('change', () => edited(row, name));
  row.item.append(row.note);
  return row;
}

function show() {
  while (rows.length > current().length) rows.pop().item.remove();
  while (rows.length < current().length) {
    rows.push(makeRow());
    list.append(rows.at(-1).item);
  }
  rows.forEach((row, i) => fill(row, current()[i]));
  addButton.disabled = rows.length >= MOST;
}

function fill({ fields, outputs, note }, mapping) {
  const names = targets().filter((row) => fits(mapping.source, row)).map(({ name }) => name);
  const offered = names.includes(mapping.target) ? names : [...names, mapping.target];
  if (offered.join() !== [...fields.target.options].map(({ value }) => value).join()) {
    fields.target.replaceChildren(...offered.map((name) => new Option(labelOf(name), name)));
  }
  for (const [name, field] of Object.entries(fields)) field.value = mapping[name];
  for (const [name, output] of Object.entries(outputs)) output.textContent = mapping[name].toFixed(2);
  const target = parameter(mapping.target);
  const isNumber = ['continuous', 'whole'].includes(target?.kind);
  for (const name of Object.keys(SLIDERS)) {
    fields[name].closest('label').hidden = !isNumber || (name === 'floor' && mapping.source === 'onset');
  }
  note.textContent = target ? '' : `There is no parameter ${mapping.target}; this mapping has no effect.`;
}

export function startRows() {
  addButton.addEventListener('click', add);
  onMappings(show);
  show();
}
