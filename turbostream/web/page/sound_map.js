/**
 * What the sound sets: {name: value} of the parameter table. Pure: knows no sound device, no clock, and
 * sends nothing.
 */
import { rangeOf } from './midi_map.js';

export const SOURCES = ['level', 'low', 'mid', 'high', 'onset'];

const EVERY_S = 1 / 30; // at least, between two values of a parameter
const LEAST_STEP = 1 / 500; // of the range: a smaller change is not sent
const SHORTEST_DECAY_S = 0.05; // of an onset, so that its value is not over before it is sent

const isNumber = (row) => row.kind === 'continuous' || row.kind === 'whole';

/** Whether the source can set a parameter of this row by itself; others need the mapping's `value`. */
export const fits = (source, row) => isNumber(row) || (source === 'onset' && row.kind === 'trigger');

/** One mapping, and what it remembers of the sound. */
class Follower {
  #smooth = 0;

  constructor(mapping, row) {
    this.mapping = mapping;
    this.row = row;
  }

  /** The value after `seconds` more of sound, or undefined: nothing to set. */
  take(heard, seconds) {
    const { mapping, row } = this;
    const source = heard[mapping.source];
    if (!isNumber(row)) return source === true ? mapping.value ?? true : undefined;
    this.#smooth = mapping.source === 'onset' ? this.#decayed(source, seconds) : this.#smoothed(source, seconds);
    const [low, high] = rangeOf(mapping, row);
    const moved = mapping.amount * this.#smooth * (high - low);
    const value = (mapping.amount < 0 ? high : low) + moved;
    return row.kind === 'whole' ? Math.round(value) : value;
  }

  /** An onset jumps to 1, which decays with the smoothing as its time constant. */
  #decayed(onset, seconds) {
    const decay_s = Math.max(SHORTEST_DECAY_S, this.mapping.smoothing);
    return onset ? 1 : this.#smooth * Math.exp(-seconds / decay_s);
  }

  /** What is above the floor, stretched to 0..1, through a low-pass with the smoothing as its time constant. */
  #smoothed(level, seconds) {
    const { floor, smoothing } = this.mapping;
    const above = floor < 1 ? Math.max(0, level - floor) / (1 - floor) : 0;
    const part = smoothing > 0 ? 1 - Math.exp(-seconds / smoothing) : 1;
    return this.#smooth + (above - this.#smooth) * part;
  }
}

export class SoundMap {
  #followers;
  #sent = new Map(); // {value, at} by name
  #at = null;

  /** mappings: as GET /mappings gives them; parameter: the row of a name, or undefined. A mapping to a
      parameter that is not there, or that the source cannot set, has no effect. */
  constructor(mappings, parameter) {
    this.#followers = mappings
      .map((mapping) => ({ mapping, row: parameter(mapping.target) }))
      .filter(({ mapping, row }) => row && (fits(mapping.source, row) || (mapping.source === 'onset' && mapping.value !== undefined)))
      .map(({ mapping, row }) => new Follower(mapping, row));
  }

  /** Takes what was heard up to `time_s` and gives what is to be set now, {name: value}. Of two mappings to one parameter the later precedes. */
  take(heard, time_s) {
    const seconds = this.#at === null ? 0 : Math.max(0, time_s - this.#at);
    this.#at = time_s;
    const values = {};
    for (const follower of this.#followers) {
      const value = follower.take(heard, seconds);
      if (value !== undefined) values[follower.row.name] = { value, row: follower.row };
    }
    const due = Object.entries(values).filter(([name, { value, row }]) => this.#isDue(name, value, row, time_s));
    return Object.fromEntries(due.map(([name, { value }]) => [name, value]));
  }

  #isDue(name, value, row, time_s) {
    if (!isNumber(row)) return true;
    const last = this.#sent.get(name);
    if (last && time_s - last.at < EVERY_S) return false;
    const [low, high] = row.knob ?? [row.low, row.high];
    const least = row.kind === 'whole' ? 1 : LEAST_STEP * (high - low);
    if (last && Math.abs(value - last.value) < least) return false;
    this.#sent.set(name, { value, at: time_s });
    return true;
  }
}
