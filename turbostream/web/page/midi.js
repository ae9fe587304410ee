/**
 * The MIDI inputs of this browser: permission, devices that come and go, and their events. Only one window
 * of a browser uses them at a time; otherwise each would send every change.
 */
import { MidiParser } from './midi_messages.js';

const LOCK = 'turbostream-midi';
const REFUSED = ['NotAllowedError', 'SecurityError'];

const listened = new Map(); // by id: {input, device}
const handlers = { event() {}, lost() {}, changed() {} };
let access = null;
let mine = false; // whether this window has the lock
let claims = 0;

/** Why MIDI cannot be used on this page, as one sentence, or ''. */
export function missing() {
  if (!globalThis.isSecureContext) return 'MIDI needs a secure page: open this one as localhost, through the tunnel, or over https.';
  if (!navigator.requestMIDIAccess) return 'This browser has no Web MIDI; use Chrome, Edge or Firefox.';
  return '';
}

/** 'off', 'on', or 'elsewhere' while another window of this browser uses the devices. */
export function state() {
  if (access === null) return 'off';
  return mine ? 'on' : 'elsewhere';
}

/** [{name, problem}] of the connected devices; problem: one sentence or ''. */
export const devices = () => [...listened.values()].map(({ device }) => device);

/** Whether this page may use MIDI without asking again. */
export async function wasGranted() {
  if (missing()) return false;
  try {
    const permission = await navigator.permissions.query({ name: 'midi', sysex: false });
    return permission.state === 'granted';
  } catch {
    return false; // this browser does not tell
  }
}

/** Asks for the devices, and takes them over from another window if `steal`. Gives '' or why it failed. */
export async function connect(steal = true) {
  const sentence = missing();
  if (sentence) return sentence;
  try {
    access ??= await navigator.requestMIDIAccess({ sysex: false });
  } catch (error) {
    return REFUSED.includes(error.name)
      ? 'The browser refused access to MIDI devices; allow it in the settings of this site and connect again.'
      : `The browser found no MIDI system (${error.name}); restart it and connect again.`;
  }
  access.onstatechange = follow;
  claim(steal);
  return '';
}

/** Holds the lock until another window steals it or this one closes. */
async function claim(steal) {
  if (mine) return;
  claims += 1;
  const own = claims;
  const hold = () => {
    if (own !== claims) return undefined; // a later claim of this window
    mine = true;
    follow();
    return new Promise(() => {});
  };
  try {
    await navigator.locks.request(LOCK, steal ? { steal: true } : {}, hold);
  } catch {
    if (own !== claims) return;
    mine = false; // stolen
    follow();
    claim(false); // again, once the other window closes
  }
}

const isUsable = (input) => mine && input.state === 'connected';

/** Opens the inputs that have come and forgets those that have gone. */
function follow() {
  const found = new Map([...access.inputs.values()].filter(isUsable).map((input) => [input.id, input]));
  for (const [id, { input, device }] of listened) {
    if (found.get(id) === input) continue;
    input.onmidimessage = null;
    listened.delete(id);
    handlers.lost(device.name);
  }
  for (const [id, input] of found) if (!listened.has(id)) listen(id, input);
  handlers.changed();
}

function listen(id, input) {
  const device = { name: (input.name || 'unnamed device').slice(0, 200), problem: '' };
  const parser = new MidiParser();
  listened.set(id, { input, device });
  input.onmidimessage = ({ data, timeStamp }) => {
    for (const event of parser.take(data)) handlers.event(device.name, event, timeStamp);
  };
  input.open().catch(() => {
    device.problem = `${device.name} cannot be opened; close other programs that use it.`;
    handlers.changed();
  });
}

/** Sets what is called: event(device, event, time in ms), lost(device) and changed() after each change of state or devices. */
export function startMidi(given) {
  Object.assign(handlers, given);
}
