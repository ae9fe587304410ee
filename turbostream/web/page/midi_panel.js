/** The MIDI panel: connects devices, learns mappings, and sends what the devices do to the server. */
import { isLimited } from './channels.js';
import { hold, setParameters } from './control.js';
import { CUT, fadeNow } from './fade.js';
import { inForce } from './in_force.js';
import { keep, kept } from './kept.js';
import { mappings, onMappings, saveMappings } from './mappings.js';
import { connect, devices, missing, startMidi, state, wasGranted } from './midi.js';
import { MidiClock } from './midi_clock.js';
import { endLearning, hears, isLearning, learn, learningTarget, startLearning } from './midi_learn.js';
import { controlName, showWait, startList, targetName } from './midi_list.js';
import { MidiMap, keyOf } from './midi_map.js';
import { labelOf, parameter, targets } from './parameters.js';
import { isRecording } from './recording.js';
import { change, scene } from './scene.js';
import { isPlaying } from './setlist.js';

const LIGHT_MS = 120;
const CLOCK_MS = 1000; // of silence, after which another device may set the tempo
const CLOCK = ['clock', 'start', 'continue', 'stop'];
const MOST_MAPPINGS = 256; // as on the server

const $ = (id) => document.getElementById(id);
const light = $('midi-light');
const map = new MidiMap(parameter);
let clock = null; // {device, meter, at} of the device that sets the tempo
let dark = null; // the timer of the light
let last = ''; // what happened last, as one sentence

const current = (name) => inForce(name, scene, { setlist_play: isPlaying() ? 'on' : 'off', record: isRecording() ? 'on' : 'off', ...fadeNow() });

// ---------------------------------------------------------------------------- what the devices do

function took(device, event, time) {
  shine();
  if (CLOCK.includes(event.type)) return takeClock(device, event.type, time);
  if (hears(device, event)) return undefined;
  const { values, waits, used } = map.take(device, event, current, performance.now());
  for (const [key, way] of Object.entries(waits)) showWait(key, way);
  for (const key of used) showWait(key, '');
  return set(values);
}

function set(values) {
  if (Object.keys(values).length) setParameters(values);
}

/** One device sets the tempo: the first that sends a clock, until it is silent. */
function takeClock(device, type, time) {
  if (!$('midi-clock').checked) return;
  if (clock?.device !== device) {
    if (clock && time - clock.at < CLOCK_MS) return;
    clock = { device, meter: new MidiClock(), at: time };
  }
  clock.at = time;
  const { bpm, beat } = clock.meter.take(type, time);
  if (bpm !== undefined) set({ bpm });
  if (beat !== undefined) change({ beat }, CUT);
}

function lost(device) {
  if (clock?.device === device) clock = null;
  set(map.lost(device));
  if (state() === 'on') last = `${device} was disconnected.`;
}

function shine() {
  if (dark !== null) return;
  light.dataset.on = '';
  dark = setTimeout(() => { delete light.dataset.on; dark = null; }, LIGHT_MS);
}

// ------------------------------------------------------------------------------- what is learned

function learned(mapping, event) {
  const key = keyOf(mapping);
  const others = mappings().midi.filter((it) => keyOf(it) !== key);
  if (others.length >= MOST_MAPPINGS) return report(`There are ${MOST_MAPPINGS} mappings already; remove one first.`);
  report(`${controlName(mapping)} → ${targetName(mapping)}`);
  saveMappings({ midi: [...others, mapping] });
  if (mapping.mode === 'continuous') took(mapping.device, event); // where the knob is now
  return undefined;
}

function report(sentence) {
  last = sentence;
  show();
}

function learnHint() {
  const target = learningTarget();
  if (!target) return 'Click a control on the page. Escape ends.';
  return `${target}: now move a control of the device. Escape ends.`;
}

// -------------------------------------------------------------------------------------- the panel

function stateSentence() {
  if (state() === 'elsewhere') return 'Another window of this browser uses the MIDI devices.';
  if (state() === 'on' && !devices().length) return 'No MIDI device is connected; plug one in.';
  return '';
}

const setText = (element, text) => { if (element.textContent !== text) element.textContent = text; };

function show() {
  const isOn = state() === 'on';
  if (!isOn && isLearning()) endLearning();
  const names = devices().map(({ name }) => name);
  setText($('midi-now'), isOn ? ` · ${names.length === 1 ? names[0] : `${names.length} devices`}` : '');
  $('midi-connect').hidden = isOn;
  setText($('midi-connect'), state() === 'elsewhere' ? 'Use them here' : 'Connect');
  for (const id of ['midi-learn', 'midi-target']) $(id).disabled = !isOn;
  $('midi-learn').setAttribute('aria-pressed', String(isLearning()));
  if (!isLearning()) $('midi-target').value = '';
  const listed = names.length > 1 ? `${names.join(', ')}.` : ''; // the summary names a single one
  const problems = devices().map(({ problem }) => problem).filter(Boolean);
  setText($('midi-devices'), [stateSentence(), listed, ...problems].filter(Boolean).join(' '));
  setText($('midi-say'), isLearning() ? learnHint() : last);
}

async function connectDevices(steal) {
  last = steal ? 'The browser asks for permission.' : '';
  show();
  report(await connect(steal));
}

async function reconnect() {
  if (document.body.classList.contains('watcher') || isLimited() || !await wasGranted()) return;
  await connectDevices(false);
}

function changed() {
  hold('midi', state() === 'on');
  show();
}

export function startMidiPanel() {
  const names = targets(['continuous', 'whole', 'choice', 'trigger']).map(({ name }) => name);
  $('midi-target').append(new Option('Other parameter', ''), ...names.map((name) => new Option(labelOf(name), name)));
  startMidi({ event: took, lost, changed });
  startLearning({ changed: show, learned });
  startList(onMappings);
  onMappings(({ midi }) => map.setMappings(midi));
  $('midi-connect').addEventListener('click', () => connectDevices(true));
  $('midi-learn').addEventListener('click', () => (isLearning() ? endLearning() : learn()));
  $('midi-target').addEventListener('change', ({ target }) => { if (target.value) learn(target.value); });
  $('midi-clock').checked = kept('midi_clock') === 'on';
  $('midi-clock').addEventListener('change', ({ target }) => {
    clock = null;
    keep('midi_clock', target.checked ? 'on' : 'off');
  });
  $('midi-connect').disabled = missing() !== '';
  report(missing());
  reconnect();
}
