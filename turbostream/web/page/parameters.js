/** The parameter table, which the server wrote into the page: the rows of GET /parameters. */

const table = new Map(JSON.parse(document.getElementById('parameters').textContent).map((row) => [row.name, row]));

/** The row of a parameter, {name, kind, help, unit, low, high, knob, default, choices, modulation, address}, or undefined. */
export const parameter = (name) => table.get(name);

/** All rows in order, or those of one kind or of a list of kinds. */
export function targets(kinds = null) {
  const rows = [...table.values()];
  return kinds === null ? rows : rows.filter(({ kind }) => [kinds].flat().includes(kind));
}

const LABELS = { fade_s: 'Fade', bpm: 'BPM' }; // where the name would read badly

/** A name, such as one of the table, as a label: 'Weight 1'. */
export const labelOf = (name) => LABELS[name] ?? name.charAt(0).toUpperCase() + name.slice(1).replaceAll('_', ' ');

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** Marks `element` as the control of a parameter; `value`: the only one that it sets. It gets the help of the table as its title, unless it has one or contains text. */
export function standsFor(element, name, value = null) {
  element.dataset.parameter = name;
  if (value !== null) element.dataset.value = value;
  const { kind, help } = table.get(name);
  if (!element.title && kind !== 'text') element.title = sentence(help);
  return element;
}

/** Gives the controls of the page the titles of the table, and its ranges to those with data-ranged. */
export function startParameters() {
  for (const element of document.querySelectorAll('[data-parameter]')) {
    const { parameter: name, value, ranged } = element.dataset;
    standsFor(element, name, value ?? null);
    if (ranged !== undefined) [element.min, element.max] = table.get(name).knob;
  }
}
