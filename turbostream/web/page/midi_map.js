/**
 * What an event of a MIDI device sets: {name: value} of the parameter table. Pure: knows no device and sends
 * nothing.
 *
 * Soft takeover: after a parameter was changed elsewhere, its knob has no effect until it crosses the value
 * in force or comes within two steps of it.
 */

const ECHO_MS = 2000; // how long a value in force may be one that this page has sent and has changed since
const MOST_SENT = 512;
const TAKEOVER_STEPS = 2;
const ANY_DEVICE = '*';

/** Whether `mapping` is about this event of the device named `device`. */
export const matches = (mapping, device, event) => mapping.type === event.type
  && mapping.channel === event.channel
  && (mapping.type === 'pitchbend' || mapping.number === undefined || mapping.number === event.number)
  && (mapping.device === ANY_DEVICE || mapping.device === device);

/** Identifies a mapping while it is edited. */
export const keyOf = ({ device, channel, type, number, target, value }) => JSON.stringify([device, channel, type, number ?? null, target, value ?? null]);

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const isNumber = (row) => row.kind === 'continuous' || row.kind === 'whole';

/** [the value at position 0, the value at position 1] of a mapping to a number, inside the accepted range. */
export function rangeOf(mapping, row) {
  const [low, high] = row.knob ?? [row.low, row.high];
  return [clamp(mapping.low ?? low, row.low, row.high), clamp(mapping.high ?? high, row.low, row.high)];
}

/** The value at a position, 0 to 1. */
function valueAt(at, mapping, row) {
  if (row.kind === 'choice') return row.choices[Math.min(Math.floor(at * row.choices.length), row.choices.length - 1)];
  const [low, high] = rangeOf(mapping, row);
  const value = low + at * (high - low);
  return row.kind === 'whole' ? Math.round(value) : value;
}

/** The positions [from, to] at which a control gives `value`. */
function bandOf(value, mapping, row) {
  if (row.kind === 'choice') {
    const i = Math.max(0, row.choices.indexOf(value));
    return [i / row.choices.length, (i + 1) / row.choices.length];
  }
  const [low, high] = rangeOf(mapping, row);
  if (low === high) return [0, 1];
  const half = row.kind === 'whole' ? 0.5 : 0;
  const ends = [value - half, value + half].map((end) => clamp((end - low) / (high - low), 0, 1));
  return [Math.min(...ends), Math.max(...ends)];
}

/** The state of one mapping: where its control is, and which values it has sent. */
class Follower {
  #at = null; // the position of the control, 0 to 1
  #held = false; // whether the control has the parameter
  #sent = new Map(); // times by value
  #last; // the newest value that was sent
  #lastAt = -Infinity;
  #raw = null;
  #pressed = false;

  constructor(mapping, row) {
    this.mapping = mapping;
    this.row = row;
  }

  /** Gives {value}, {waits: 'up' | 'down'} if the control has not reached the value in force, or {}. */
  take(event, current, now) {
    const { mapping, row } = this;
    const isTrigger = row.kind === 'trigger' || row.kind === 'text';
    if (mapping.mode === 'continuous' && !isTrigger) return this.#turn(event, current, now);
    const [was, is] = [this.#pressed, event.type === 'program' || (event.on ?? event.value > event.most / 2)];
    const again = ['program', 'note'].includes(event.type) || (event.type === 'cc' && event.value === this.#raw); // no release was sent
    [this.#pressed, this.#raw] = [is, event.value];
    if (is && (!was || again)) return this.#press(current, now);
    return was && !is ? this.release() : {};
  }

  /** The end of a press, also if the device has gone. */
  release() {
    this.#pressed = false;
    if (this.mapping.mode !== 'momentary' || !(this.row.kind === 'choice' || isNumber(this.row))) return {};
    return { value: valueAt(0, this.mapping, this.row) };
  }

  get isPressed() { return this.#pressed; }

  #press(current, now) {
    const { mapping, row } = this;
    if (mapping.mode === 'toggle' && !(row.kind === 'trigger' || row.kind === 'text')) {
      return this.#give(this.#other(now - this.#lastAt < ECHO_MS / 4 ? this.#last : current ?? this.#last), now);
    }
    const given = mapping.value ?? (row.kind === 'trigger' ? true : undefined);
    if (given !== undefined) return this.#give(given, now);
    return row.kind === 'text' ? {} : this.#give(valueAt(1, mapping, row), now);
  }

  /** The value that a toggle changes to. */
  #other(current) {
    const { mapping, row } = this;
    if (row.kind === 'choice') return row.choices[(row.choices.indexOf(current) + 1) % row.choices.length];
    const [low, high] = [valueAt(0, mapping, row), valueAt(1, mapping, row)];
    return Math.abs(current - high) < Math.abs(current - low) ? low : high;
  }

  #turn(event, current, now) {
    if (event.type === 'note' && !event.on) return {}; // a release; the velocity of the press stays
    const { mapping, row } = this;
    const at = event.value / event.most;
    const before = this.#at;
    this.#at = at;
    if (current !== undefined && event.type !== 'note' && event.type !== 'program') {
      if (!this.#isOwn(current, now)) this.#held = false;
      if (!this.#held) {
        const [from, to] = bandOf(current, mapping, row);
        const slack = (TAKEOVER_STEPS + 0.01) / event.most;
        const isNear = at >= from - slack && at <= to + slack;
        const isPast = before !== null && Math.min(before, at) <= from && Math.max(before, at) >= to;
        if (!isNear && !isPast) return { waits: at < from ? 'up' : 'down' };
        this.#note(current, now);
      }
    }
    this.#held = true;
    const value = valueAt(at, mapping, row);
    return value === this.#last && (current === undefined || current === value) ? { value: undefined } : this.#give(value, now);
  }

  /** Whether the value in force comes from this control, perhaps from a moment ago. */
  #isOwn(current, now) {
    return current === this.#last || now - (this.#sent.get(current) ?? -Infinity) < ECHO_MS;
  }

  #give(value, now) {
    this.#note(value, now);
    [this.#last, this.#lastAt] = [value, now];
    return { value };
  }

  #note(value, now) {
    if (this.#sent.size >= MOST_SENT) for (const [old, at] of this.#sent) if (now - at >= ECHO_MS || this.#sent.size >= MOST_SENT) this.#sent.delete(old);
    this.#sent.delete(value);
    this.#sent.set(value, now);
  }
}

export class MidiMap {
  #followers = new Map(); // by keyOf
  #parameter;

  /** parameter(name): the row of the table, or undefined. */
  constructor(parameter) {
    this.#parameter = parameter;
  }

  /** Takes the list of mappings; one that is still in it keeps its state. A mapping without a row has no effect. */
  setMappings(list) {
    const before = this.#followers;
    this.#followers = new Map();
    for (const mapping of list) {
      const row = this.#parameter(mapping.target);
      if (!row) continue;
      const key = keyOf(mapping);
      const kept = before.get(key);
      if (kept) kept.mapping = mapping;
      this.#followers.set(key, kept ?? new Follower(mapping, row));
    }
  }

  /**
   * Takes an event of the device named `device` at `now`, in ms. current(name): the value in force, or
   * undefined. Gives {values, waits, used}: what to set, {key: 'up' | 'down'} of the mappings whose control has
   * to be moved that way first, and the keys of those that have an effect again.
   */
  take(device, event, current, now) {
    const found = { values: {}, waits: {}, used: [] };
    for (const [key, follower] of this.#followers) {
      if (!matches(follower.mapping, device, event)) continue;
      const { target } = follower.mapping;
      const answer = follower.take(event, current(target), now);
      if (answer.waits) found.waits[key] = answer.waits;
      else if ('value' in answer) found.used.push(key);
      if (answer.value !== undefined) found.values[target] = answer.value;
    }
    return found;
  }

  /** What to set because a device has gone: its buttons are released. */
  lost(device) {
    const values = {};
    for (const follower of this.#followers.values()) {
      if (!follower.isPressed || ![device, ANY_DEVICE].includes(follower.mapping.device)) continue;
      const { value } = follower.release();
      if (value !== undefined) values[follower.mapping.target] = value;
    }
    return values;
  }
}
