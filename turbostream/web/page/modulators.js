/** The list of modulators: which value each one moves, how far, and how fast. Each edit sends the whole list. */
import { CUT } from './fade.js';
import { labelOf, parameter, targets } from './parameters.js';
import { change, onScene } from './scene.js';

const SHAPES = ['sine', 'triangle', 'saw', 'square', 'random'];
const UNITS = ['beats', 'seconds'];
const MOST_DEPTH = { scale: 1, dim: 1, shift: 16 }; // by the kind of modulation; of a shift in seeds
const PERIOD = [0.05, 86_400]; // as on the server
const NEW = { shape: 'sine', depth: 0.5, period: 4, unit: 'beats', phase: 0 };
const FIRST = ['speed', 'brightness', 'phase']; // offered before the weights

const list = document.getElementById('modulators');
const addButton = document.getElementById('modulator-add');
const movable = targets().filter(({ modulation }) => modulation).map(({ name }) => name);
const rows = []; // [{item, fields: {name: element}, output}], in the order of the modulators
let modulators = [];

const make = (tag, properties) => Object.assign(document.createElement(tag), properties);
const mostDepth = (name) => MOST_DEPTH[parameter(name).modulation];
const free = () => [...FIRST, ...movable].filter((name) => !modulators.some((other) => other.parameter === name));

function send() {
  change({ modulators: modulators.map((modulator) => ({ ...modulator })) }, CUT);
}

function add() {
  modulators = [...modulators, { parameter: free()[0], ...NEW }];
  show();
  send();
  rows.at(-1).fields.parameter.focus();
}

function remove(row) {
  const at = rows.indexOf(row);
  modulators = modulators.filter((_, i) => i !== at);
  show();
  send();
  (rows[Math.min(at, rows.length - 1)]?.remove ?? addButton).focus();
}

/** Takes a value of a row from its field. */
function edited(row, name) {
  const field = row.fields[name];
  const modulator = modulators[rows.indexOf(row)];
  const isNumber = typeof NEW[name] === 'number';
  const value = isNumber ? Number(field.value) : field.value;
  if (name === 'period' && !(value >= PERIOD[0] && value <= PERIOD[1])) return void (field.value = modulator.period);
  modulator[name] = value;
  if (name === 'parameter') modulator.depth = Math.min(modulator.depth, mostDepth(value));
  show();
  return send();
}

// --------------------------------------------------------------------------------------- the rows

function choice(label, values) {
  const field = make('select', { ariaLabel: label });
  field.append(...values.map((value) => new Option(labelOf(value), value)));
  return field;
}

/** A label with its field, and what follows the field. */
function labelled(text, ...content) {
  const label = make('label', { className: 'labelled' });
  label.append(make('span', { textContent: text }), ...content);
  return label;
}

function makeRow() {
  const fields = {
    parameter: choice('Value that is moved', movable),
    shape: choice('Shape of the movement', SHAPES),
    depth: make('input', { type: 'range', min: 0, step: 0.01 }),
    period: make('input', { type: 'number', min: PERIOD[0], max: PERIOD[1], step: 'any', inputMode: 'decimal' }),
    unit: choice('Unit of the period', UNITS),
    phase: make('input', { type: 'range', min: 0, max: 1, step: 0.01 }),
  };
  const row = { item: make('li', {}), fields, depth: make('output', {}), phase: make('output', {}) };
  row.remove = make('button', { type: 'button', className: 'icon', textContent: '×', ariaLabel: 'Remove this modulator', title: 'Remove' });
  row.remove.addEventListener('click', () => remove(row));
  for (const [name, field] of Object.entries(fields)) {
    field.addEventListener(field.type === 'range' ? 'input' : 'change', () => edited(row, name));
  }
  row.item.append(
    fields.parameter, fields.shape, row.remove,
    labelled('Every', fields.period), fields.unit,
    labelled('Depth', fields.depth, row.depth),
    labelled('Phase', fields.phase, row.phase),
  );
  return row;
}

/** Shows the modulators in the rows; a number that is being typed stays. */
function show() {
  while (rows.length > modulators.length) rows.pop().item.remove();
  while (rows.length < modulators.length) {
    rows.push(makeRow());
    list.append(rows.at(-1).item);
  }
  const taken = modulators.map((modulator) => modulator.parameter);
  rows.forEach((row, i) => fill(row, modulators[i], taken));
  addButton.disabled = free().length === 0;
}

function fill({ fields, depth, phase }, modulator, taken) {
  for (const option of fields.parameter.options) option.disabled = option.value !== modulator.parameter && taken.includes(option.value);
  fields.depth.max = mostDepth(modulator.parameter);
  for (const [name, field] of Object.entries(fields)) {
    const isTyped = field.type === 'number' && field === document.activeElement && document.hasFocus();
    if (!isTyped && field.value !== String(modulator[name])) field.value = modulator[name];
  }
  depth.textContent = modulator.depth.toFixed(2);
  phase.textContent = modulator.phase.toFixed(2);
}

export function startModulators() {
  addButton.addEventListener('click', add);
  onScene(({ modulators: reported }) => {
    if (!reported || JSON.stringify(reported) === JSON.stringify(modulators)) return;
    modulators = reported.map((modulator) => ({ ...modulator }));
    show();
  });
  show();
}
