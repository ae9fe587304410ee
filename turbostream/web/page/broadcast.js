/** Broadcasting to a site: the address, start and stop, and what the server reports of it. */
import { clockTime } from './figures.js';
import { send } from './send.js';

const $ = (id) => document.getElementById(id);
const setText = (element, text) => { if (element.textContent !== text) element.textContent = text; };
const field = $('broadcast-url');
let asking = false; // a request is in flight: a status may be from before it
let refused = ''; // why the last request failed, until the next one

async function ask(method, body) {
  if (asking) return;
  asking = true;
  const answer = await send(method, 'broadcast', body);
  asking = false;
  refused = answer.ok ? '' : answer.sentence;
  if (!answer.ok) return void setText($('broadcast-say'), refused);
  field.value = ''; // it contains the stream key
  show(answer.data);
}

/** Takes the broadcast's part of a status: null for a watcher, and for a server that does not broadcast. */
export function takeBroadcast(report) {
  if (asking) return;
  $('broadcast').hidden = !report;
  if (report) show(report);
}

function show({ on, connected, seconds, bit_rate, dropped, reconnects, message }) {
  const figures = [clockTime(Math.floor(seconds)), `${Math.round(bit_rate / 1000)} kbit/s`];
  if (dropped) figures.push(`${dropped} ${dropped === 1 ? 'frame' : 'frames'} dropped`);
  if (reconnects) figures.push(`${reconnects} ${reconnects === 1 ? 'reconnect' : 'reconnects'}`);
  const state = connected ? figures.join(', ') : 'not connected';
  setText($('broadcast-now'), on ? ` · ${state}` : '');
  setText($('broadcast-say'), refused || message);
  $('broadcast-stop').hidden = !on;
  setText($('broadcast-start'), on ? 'Change' : 'Start');
}

export function startBroadcast() {
  $('broadcast-form').addEventListener('submit', (event) => {
    event.preventDefault();
    ask('PUT', { url: field.value });
  });
  $('broadcast-stop').addEventListener('click', () => ask('DELETE'));
}
