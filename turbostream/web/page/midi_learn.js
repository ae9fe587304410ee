/**
 * Learning: a control on the page is chosen, then a control of a MIDI device is moved. Which mapping follows
 * from both is decided by pure functions.
 */
import { parameter } from './parameters.js';

const LISTEN_MS = 250; // after the first message, since one movement of a fine control sends several
const CONTROLS = '[data-parameter]';

const handlers = { changed() {}, learned() {} };
let learning = null; // {target, value}, the target '' until one is chosen
let heard = null; // {device, events, timer} of the movement

export const isLearning = () => learning !== null;

/** The parameter that waits for a movement, or ''. */
export const learningTarget = () => learning?.target ?? '';

/** The last event of the control that was moved, out of the events that the movement caused, or null. */
export function controlOf(events) {
  const nrpn = events.findLast(({ type }) => type === 'nrpn');
  if (nrpn) return nrpn;
  const isSeen = (number, channel) => events.some((it) => it.type === 'cc' && it.number === number && it.channel === channel);
  const fine = events.findLast((it) => it.type === 'cc14' && it.fine && isSeen(it.number, it.channel) && isSeen(it.number + 32, it.channel));
  if (fine) return fine;
  const counts = new Map(); // a control that is touched on the way sends fewer
  const plain = events.filter(({ type }) => type !== 'cc14');
  const name = ({ type, channel, number }) => `${type} ${channel} ${number}`;
  for (const event of plain) counts.set(name(event), (counts.get(name(event)) ?? 0) + 1);
  const most = Math.max(...counts.values());
  return plain.findLast((event) => counts.get(name(event)) === most) ?? null;
}

/** The mapping of a device's control to a parameter; row: of the table; value: what a button sets, if given. */
export function mappingFor(device, event, row, value) {
  const mapping = { device, channel: event.channel, type: event.type, target: row.name, mode: modeFor(event, row, value) };
  const isNumbered = event.type !== 'pitchbend' && !(event.type === 'program' && mapping.mode === 'continuous');
  if (isNumbered) mapping.number = event.number;
  if (event.type === 'program' && mapping.mode === 'continuous') Object.assign(mapping, { low: row.low, high: row.low + event.most });
  if (value !== undefined) mapping.value = value;
  return mapping;
}

function modeFor({ type }, { kind, name, choices }, value) {
  if (kind === 'trigger' || kind === 'text' || value !== undefined) return 'trigger';
  const isButton = type === 'note' || type === 'program';
  if (kind === 'choice') return isButton || choices.length === 2 ? 'toggle' : 'continuous';
  if (type === 'program') return name === 'look_number' ? 'continuous' : 'trigger';
  return isButton ? 'momentary' : 'continuous';
}

/** Begins to learn; without a target, the next click on a control chooses it. */
export function learn(target = '', value = undefined) {
  forget();
  learning = { target, value };
  show();
}

export function endLearning() {
  forget();
  learning = null;
  show();
}

function forget() {
  clearTimeout(heard?.timer);
  heard = null;
}

function show() {
  document.body.classList.toggle('learning', learning !== null);
  for (const element of document.querySelectorAll(CONTROLS)) element.classList.toggle('learnt', isChosen(element));
  handlers.changed();
}

const isChosen = ({ dataset }) => Boolean(learning?.target) && dataset.parameter === learning.target
  && (dataset.value === undefined || dataset.value === learning.value);

/** Takes an event of a device; gives whether it belongs to the movement that is learned. */
export function hears(device, event) {
  if (!learning?.target) return false;
  if (event.type === 'note' && !event.on) return true;
  heard ??= { device, events: [], timer: setTimeout(settle, LISTEN_MS) };
  if (heard.device === device) heard.events.push(event);
  return true;
}

function settle() {
  const { device, events } = heard;
  const event = controlOf(events);
  const { target, value } = learning;
  endLearning();
  if (event) handlers.learned(mappingFor(device, event, parameter(target), value), event);
}

// ----------------------------------------------------------------------------- clicks on the page

const controlAt = ({ target }) => (learning && target instanceof Element ? target.closest(CONTROLS) : null);

function swallow(event) {
  event.preventDefault();
  event.stopImmediatePropagation();
}

/** A press chooses the control, since a disabled button gets no click. */
function choose(event) {
  const control = controlAt(event);
  if (!control) return;
  swallow(event);
  const row = parameter(control.dataset.parameter);
  const value = control.dataset.value ?? (row?.kind === 'text' ? control.value : undefined);
  if (!row || value === '') return; // a text needs words
  learn(row.name, value);
}

function pressed(event) {
  if (!learning) return;
  if (event.key === 'Escape') {
    swallow(event);
    endLearning();
  } else if ((event.key === 'Enter' || event.key === ' ') && controlAt(event)) choose(event);
}

/** Sets what is called: changed(), and learned(mapping, event) with the last event of the movement. */
export function startLearning(given) {
  Object.assign(handlers, given);
  addEventListener('pointerdown', choose, true);
  addEventListener('keydown', pressed, true);
  for (const kind of ['mousedown', 'click', 'dblclick']) addEventListener(kind, (event) => { if (controlAt(event)) swallow(event); }, true);
}
