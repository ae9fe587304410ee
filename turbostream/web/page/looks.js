/**
 * The strip of looks below the picture: recalls a look on a click or the keys 1 to 9, saves looks and
 * their order. Dragging and the menu of a look are in look_drag.js and look_menu.js.
 */
import { address } from './address.js';
import { isLimited } from './channels.js';
import { request as inOrder } from './control.js';
import { fadeNow } from './fade.js';
import { startDrag } from './look_drag.js';
import { openMenu, startMenu } from './look_menu.js';
import { say } from './message.js';
import { wordsSettled } from './prompt.js';
import { standsFor } from './parameters.js';
import { act, onScene, scene, sceneTurn, settled } from './scene.js';
import { send } from './send.js';

const EVERY_MS = 1000; // at least, before a new revision makes the page read the list again
const LONGEST_NAME = 40; // characters of a name that is made from a prompt

const $ = (id) => document.getElementById(id);
const list = $('look-list');
const tiles = new Map(); // by name: {item, button, picture, badge, label}
const listeners = [];
let looks = [];
let recalled = null; // the name of the look that this page recalled last
let revision = null; // of the list that is shown
const saving = new Set(); // names of looks whose request is not answered
let timer = null;
let waiting = null; // the timer of the recall that waits for a beat
let readAt = -Infinity;

export const lookNames = () => looks.map(({ name }) => name);

/** Calls `listener` after each change of the looks. */
export function onLooks(listener) {
  listeners.push(listener);
}

const path = (name) => `looks/${encodeURIComponent(name)}`;

// -------------------------------------------------------------------------------- recall and save

export function recall(name) {
  recalled = name;
  showCurrent();
  act(`${path(name)}/recall`, fadeNow(), 'recall', ({ waits_s: waitsS }) => showWaiting(name, waitsS));
}

/** Marks the look whose recall waits for a beat; a later recall takes its place. */
function showWaiting(name, seconds = 0) {
  clearTimeout(waiting);
  for (const [other, { item }] of tiles) item.classList.toggle('waiting', seconds > 0 && other === name);
  if (seconds > 0) waiting = setTimeout(showWaiting, seconds * 1000);
}

/** Recalls the look with this number on its badge. */
export function recallNumber(number) {
  const look = looks[number - 1];
  if (look) recall(look.name);
}

export function stepLook(step) {
  if (!looks.length) return;
  const from = Number.isFinite(sceneTurn()) ? current() : recalled; // the last recall may not be answered
  const at = looks.findIndex(({ name }) => name === from);
  const next = at < 0 ? (step > 0 ? 0 : looks.length - 1) : (at + step + looks.length) % looks.length;
  recall(looks[next].name);
}

/** The words and weights of a look, or of the scene in force, as text. */
const wordsOf = ({ prompt, prompts }) => JSON.stringify(prompts?.length > 1
  ? prompts.map((entry) => (Array.isArray(entry) ? entry : [entry.text, entry.weight]))
  : prompt);

/** The name of the look on screen, or null: the look that was recalled last if its words are in force,
    else the first with the words and the seed in force. */
function current() {
  const inForce = scene && wordsOf(scene);
  const same = (look) => look.scene && wordsOf(look.scene) === inForce;
  const last = looks.find(({ name }) => name === recalled);
  if (last && same(last)) return last.name;
  return looks.find((look) => same(look) && look.scene?.seed === scene?.seed)?.name ?? null;
}

/** A name made from the words on screen that no look has yet. */
function freeName() {
  const words = (scene?.prompt ?? '').normalize('NFC').replace(/[^\p{L}\p{M}\p{N}]+/gu, ' ').trim();
  const name = [...words].slice(0, LONGEST_NAME).join('').trim() || 'look';
  const taken = new Set([...lookNames(), ...saving].map((other) => other.toLowerCase()));
  let free = name;
  for (let n = 2; taken.has(free.toLowerCase()); n += 1) free = `${name} ${n}`;
  return free;
}

/** Saves what is on screen as a new look. */
export async function saveLook() {
  await changesOnTheirWay();
  const name = freeName();
  saving.add(name);
  const kept = await store(name);
  saving.delete(name);
  if (kept) {
    recalled = name;
    await readLooks();
    tiles.get(name)?.item.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }
}

/** Saves what is on screen, with the changes of this page until now, under this name. */
async function replace(name) {
  await changesOnTheirWay();
  await store(name);
  return readLooks();
}

const changesOnTheirWay = () => Promise.all([wordsSettled(), settled()]);
const store = (name) => said(inOrder('PUT', path(name)));

/** A request that changes the looks; says why it failed. */
const request = (...what) => said(send(...what));

async function said(answering) {
  const answer = await answering;
  if (!answer.ok) say(answer.sentence, 'error');
  return answer.ok;
}

// --------------------------------------------------------------------------------------- the list

/** Takes the server's revision, and reads the list if it has changed. */
export function lookRevision(now) {
  if (now === revision || timer !== null) return;
  timer = setTimeout(readLooks, Math.max(0, EVERY_MS - (performance.now() - readAt)));
  revision = now;
}

export async function readLooks() {
  clearTimeout(timer);
  timer = null;
  readAt = performance.now();
  if (document.body.classList.contains('watcher') || isLimited()) return;
  const answer = await send('GET', 'looks');
  if (!answer.ok || list.querySelector('.dragged, input')) {
    revision = null; // the next status makes the page read it again
    return;
  }
  looks = answer.data.looks;
  showLooks();
  listeners.forEach((listener) => listener());
}

function showLooks() {
  for (const [name, { item }] of tiles) {
    if (looks.some((look) => look.name === name)) continue;
    item.remove();
    tiles.delete(name);
  }
  looks.forEach((look, i) => {
    if (!tiles.has(look.name)) tiles.set(look.name, makeTile(look.name));
    fill(tiles.get(look.name), look, i);
    const { item } = tiles.get(look.name);
    if (list.children[i] !== item) list.insertBefore(item, list.children[i] ?? null);
  });
  $('looks-empty').hidden = looks.length > 0;
  showCurrent();
}

const make = (tag, properties) => Object.assign(document.createElement(tag), properties);

function makeTile(name) {
  const item = make('li', { className: 'look' });
  const button = standsFor(make('button', { type: 'button', className: 'look-recall' }), 'look', name);
  const picture = make('img', { alt: '', draggable: false, width: 64, height: 64 });
  const badge = make('span', { className: 'badge' });
  const label = make('span', { className: 'name', textContent: name });
  const menu = make('button', { type: 'button', className: 'look-more', textContent: '⋯', ariaLabel: `Change the look ${name}`, title: 'Rename, move, delete' });
  item.dataset.name = name;
  button.append(picture, badge, label);
  item.append(button, menu);
  button.addEventListener('click', () => recall(name));
  menu.addEventListener('click', () => openMenu(item, menu));
  return { item, button, picture, badge, label };
}

function fill({ button, picture, badge }, { name, prompt, thumbnail }, i) {
  badge.textContent = i < 9 ? String(i + 1) : '';
  button.title = prompt;
  button.setAttribute('aria-label', i < 9 ? `Look ${i + 1}: ${name}` : `Look: ${name}`);
  if (i < 9) button.setAttribute('aria-keyshortcuts', String(i + 1));
  else button.removeAttribute('aria-keyshortcuts');
  const source = thumbnail ? address(thumbnail) : '';
  picture.hidden = !source;
  if (source && picture.src !== source) picture.src = source;
}

function showCurrent() {
  const name = current();
  for (const [other, { button }] of tiles) {
    if (other === name) button.setAttribute('aria-current', 'true');
    else button.removeAttribute('aria-current');
  }
}

/** Stores the order in which the tiles are shown. */
async function storeOrder() {
  const order = [...list.children].map(({ dataset }) => dataset.name);
  if (order.join('\n') !== lookNames().join('\n')) await request('PATCH', 'looks', { order });
  await readLooks();
}

export function startLooks() {
  $('look-add').addEventListener('click', saveLook);
  startDrag(list, storeOrder);
  startMenu(list, {
    moved: storeOrder,
    renamed: (name, next) => request('PATCH', path(name), { name: next }).then(readLooks),
    replaced: replace,
    removed: async (name) => {
      const place = lookNames().indexOf(name);
      await request('DELETE', path(name));
      await readLooks();
      (list.children[Math.min(place, list.children.length - 1)]?.querySelector('.look-recall') ?? $('look-add')).focus();
    },
  });
  onScene(showCurrent);
}
