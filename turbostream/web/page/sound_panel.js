/** The sound panel: chooses what is listened to, shows the meters, and sends what the sound sets. */
import { hold, setParameters } from './control.js';
import { mappings, onMappings } from './mappings.js';
import { parameter } from './parameters.js';
import { listen } from './sound.js';
import { SOURCES, SoundMap } from './sound_map.js';
import { startRows } from './sound_rows.js';

const FLASH_S = 0.12;
const WORDS = { microphone: 'listening to the microphone', tab: 'listening to a tab' };

const $ = (id) => document.getElementById(id);
const box = $('sound');
const buttons = [...$('sound-source').children];
const meters = new Map(SOURCES.map((source) => [source, $(`sound-${source}`)]));
let listening = null;
let turn = 0; // of the choices: an answer of the browser to an earlier one is dropped
let map = new SoundMap([], parameter);
let last = null; // what was heard last
let onsetAt = -Infinity;

function took(heard, time_s) {
  if (heard.onset) onsetAt = time_s;
  last = { ...heard, onset: time_s - onsetAt < FLASH_S ? 1 : 0 };
  const values = map.take(heard, time_s);
  if (Object.keys(values).length) setParameters(values);
}

async function choose(source) {
  const own = (turn += 1);
  stop();
  show(source, source ? 'The browser asks for permission.' : '');
  if (!source) return;
  try {
    const opened = await listen(source, { heard: took, ended });
    if (own !== turn) return opened.close();
    listening = opened;
    hold('sound', true);
    show(source, '');
    showMeters();
  } catch (error) {
    if (own === turn) show('', error.message);
  }
}

function stop() {
  listening?.close();
  listening = null;
  [last, onsetAt] = [null, -Infinity];
  hold('sound', false);
}

function ended(sentence) {
  stop();
  show('', sentence);
}

function show(source, sentence) {
  for (const button of buttons) button.setAttribute('aria-pressed', String(button.dataset.source === source));
  $('sound-now').textContent = listening ? ` · ${WORDS[source]}` : '';
  box.toggleAttribute('data-listening', listening !== null);
  $('sound-say').textContent = sentence;
}

/** Shows what was heard last, in each frame of the screen while it can be seen. */
function showMeters() {
  for (const [source, meter] of meters) meter.value = last?.[source] ?? 0;
  if (listening && box.open) requestAnimationFrame(showMeters);
}

export function startSoundPanel() {
  for (const button of buttons) button.addEventListener('click', () => choose(button.dataset.source));
  onMappings(({ sound }) => { map = new SoundMap(sound, parameter); });
  map = new SoundMap(mappings().sound, parameter);
  box.addEventListener('toggle', showMeters);
  startRows();
}
