/**
 * The setlist: looks with hold and fade times, which the server plays. This page edits, plays, pauses and
 * steps it.
 */
import { isFurther } from './channels.js';
import { request } from './control.js';
import { fadeNow } from './fade.js';
import { lookNames, onLooks } from './looks.js';
import { say } from './message.js';
import { settled } from './scene.js';
import { NewestOnly, send } from './send.js';
import { readStatus } from './status.js';

const HOLD_S = 10; // of a new entry
const FADE_S = 2; // of a new entry if the fade of this page is a cut
const LEAST_S = { hold_s: 0.1, fade_s: 0 };
const MOST_S = { hold_s: 86_400, fade_s: 600 };

const $ = (id) => document.getElementById(id);
const box = $('setlist');
const list = $('setlist-entries');
const edits = new NewestOnly(store);
let setlist = { entries: [], loop: false };
let missed = false; // a report of the server came while one of the fields was in use
let now = null; // {playing, position, left_s, look, at}: as the last status reported it

export const hasEntries = () => setlist.entries.length > 0;

export const isPlaying = () => Boolean(now?.playing);

// ------------------------------------------------------------------------------------- playing it

async function command(method, path, body) {
  await settled();
  const answer = await request(method, path, body);
  if (!answer.ok) say(answer.sentence, 'error');
  else if (answer.data?.entries) take(answer.data);
  readStatus();
}

export function togglePlaying() {
  const playing = !now?.playing;
  if (now) now = { ...now, playing }; // so that a second press at once does the opposite
  command('PATCH', 'setlist', { playing });
}

/** `which`: next or previous. */
export function stepSetlist(which) {
  command('POST', `setlist/${which}`);
}

/** Takes the setlist's part of the status, or null. */
export function takeSetlist(answer) {
  const moved = answer?.position !== now?.position || answer?.playing !== now?.playing;
  now = answer ? { ...answer, at: performance.now() } : null;
  showNow();
  if (moved) readSetlist();
}

function showNow() {
  const playing = Boolean(now?.playing);
  $('setlist-play').setAttribute('aria-pressed', String(playing));
  $('setlist-play').textContent = playing ? 'Pause' : 'Play';
  for (const id of ['setlist-play', 'setlist-previous', 'setlist-next']) $(id).disabled = !hasEntries();
  [...list.children].forEach((row, i) => {
    if (now && i === now.position) row.setAttribute('aria-current', 'step');
    else row.removeAttribute('aria-current');
  });
  const left = now?.left_s == null ? '' : `, ${clockTime(Math.max(0, now.left_s - (playing ? (performance.now() - now.at) / 1000 : 0)))} left`;
  const place = hasEntries() && now ? ` ${now.position + 1} of ${setlist.entries.length}` : '';
  const text = hasEntries() ? `${playing ? ' · playing' : ' · paused'}${place}${left}` : ' · empty';
  if ($('setlist-now').textContent !== text) $('setlist-now').textContent = text;
}

const clockTime = (seconds) => {
  const whole = Math.ceil(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
};

// ------------------------------------------------------------------------------------- editing it

export async function readSetlist() {
  if (document.body.classList.contains('watcher') || isFurther()) return;
  const { turn } = edits;
  const answer = await send('GET', 'setlist');
  if (answer.ok && edits.turn === turn) take(answer.data); // else it may be from before an edit
}

/** Shows the setlist that the server reports, unless one of the list's fields is in use. */
function take(answer) {
  missed = list.contains(document.activeElement) && document.activeElement.matches('input, select');
  if (missed) return;
  setlist = { entries: answer.entries ?? [], loop: Boolean(answer.loop) };
  showEntries();
}

/** Shows edited entries and sends them. */
function edit(entries, loop = setlist.loop) {
  setlist = { entries, loop };
  showEntries();
  edits.offer(setlist);
}

async function store(wanted) {
  const answer = await send('PUT', 'setlist', wanted);
  if (!answer.ok) {
    say(answer.sentence, 'error');
    setTimeout(readSetlist); // the entries in force, once this edit is over
  }
  readStatus();
}

const make = (tag, properties) => Object.assign(document.createElement(tag), properties);

function numberField(entry, name, label) {
  const wrap = make('label', { className: 'seconds', textContent: label });
  const input = make('input', { type: 'number', min: LEAST_S[name], max: MOST_S[name], step: 'any', value: entry[name], inputMode: 'decimal' });
  input.addEventListener('change', () => {
    const seconds = Number(input.value);
    if (input.value === '' || !(seconds >= LEAST_S[name] && seconds <= MOST_S[name])) return void (input.value = entry[name]);
    entry[name] = seconds;
    return edits.offer(setlist);
  });
  wrap.append(input, ' s');
  return wrap;
}

function iconButton(text, label, pressed, disabled = false) {
  const button = make('button', { type: 'button', className: 'icon', textContent: text, ariaLabel: label, title: label, disabled });
  button.addEventListener('click', pressed);
  return button;
}

function row(entry, i) {
  const item = make('li', {});
  const choice = make('select', { ariaLabel: `Look of entry ${i + 1}` });
  const names = lookNames();
  for (const name of names.includes(entry.look) ? names : [entry.look, ...names]) choice.append(new Option(name, name));
  choice.value = entry.look;
  choice.addEventListener('change', () => { entry.look = choice.value; edits.offer(setlist); });
  const { entries } = setlist;
  const swap = (a, b) => edit(entries.map((it, at) => (at === a ? entries[b] : at === b ? entries[a] : it)));
  item.append(
    iconButton(String(i + 1), `Start at entry ${i + 1}`, () => command('PATCH', 'setlist', { position: i, playing: true })),
    choice,
    numberField(entry, 'hold_s', 'hold '),
    numberField(entry, 'fade_s', 'fade '),
    iconButton('↑', `Move entry ${i + 1} up`, () => swap(i - 1, i), i === 0),
    iconButton('↓', `Move entry ${i + 1} down`, () => swap(i, i + 1), i === entries.length - 1),
    iconButton('×', `Remove entry ${i + 1}`, () => edit(entries.filter((_, at) => at !== i))),
  );
  return item;
}

const controlsOf = (item) => [...item.querySelectorAll('button, select, input')];

function showEntries() {
  const at = document.activeElement;
  const place = [...list.children].findIndex((item) => item.contains(at));
  const control = place < 0 ? -1 : controlsOf(list.children[place]).indexOf(at);
  list.replaceChildren(...setlist.entries.map(row));
  const rows = list.children;
  if (place >= 0 && rows.length) controlsOf(rows[Math.min(place, rows.length - 1)])[control]?.focus();
  $('setlist-loop').checked = setlist.loop;
  $('setlist-add').disabled = lookNames().length === 0;
  showNow();
}

function addLooks() {
  const fade_s = fadeNow().fade_s || FADE_S;
  edit([...setlist.entries, ...lookNames().map((look) => ({ look, hold_s: HOLD_S, fade_s }))]);
}

export function startSetlist() {
  $('setlist-play').addEventListener('click', togglePlaying);
  $('setlist-previous').addEventListener('click', () => stepSetlist('previous'));
  $('setlist-next').addEventListener('click', () => stepSetlist('next'));
  $('setlist-loop').addEventListener('change', ({ target }) => edit(setlist.entries, target.checked));
  $('setlist-add').addEventListener('click', addLooks);
  onLooks(readSetlist);
  list.addEventListener('focusout', () => { if (missed) setTimeout(readSetlist); });
  setInterval(() => { if (box.open) showNow(); }, 250);
  box.open = matchMedia('(min-width: 1700px)').matches; // there is room beside the controls
  showNow();
}
