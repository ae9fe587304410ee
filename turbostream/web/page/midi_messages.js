/**
 * Reads MIDI messages (MIDI 1.0) of one device and gives them as events. Pure: knows neither devices nor
 * mappings.
 *
 * An event is {type, channel, number, value, most}: type cc, cc14, nrpn, note, pitchbend or program;
 * channel 1 to 16; value 0 to `most`. Notes also have `on`; cc14 and nrpn have `fine`: whether the device
 * sends the lower seven bits. Of the clock: {type: 'clock' | 'start' | 'continue' | 'stop'}. Everything
 * else, such as system exclusive messages, gives no event.
 */

const REALTIME = new Map([[0xf8, 'clock'], [0xfa, 'start'], [0xfb, 'continue'], [0xfc, 'stop']]);
const MOST_7 = 127;
const MOST_14 = 16383;
const [DATA, DATA_FINE, NRPN_FINE, NRPN, RPN_FINE, RPN] = [6, 38, 98, 99, 100, 101]; // controllers
const FINE = 32; // the controller n + 32 holds the lower seven bits of the controller n, 0 to 31
const NONE = 127; // both halves of the number: no parameter is selected

export class MidiParser {
  #upper = new Map(); // the upper seven bits by what they belong to
  #fine = new Set(); // what has sent its lower seven bits
  #selected = new Map(); // by channel: [upper, lower] of the selected NRPN

  /** The events of one message; bytes: a Uint8Array as Web MIDI delivers it. */
  take(bytes) {
    const [status, first, second] = bytes;
    if (REALTIME.has(status)) return [{ type: REALTIME.get(status) }];
    const isShort = (status & 0xf0) === 0xc0;
    if (!(status >= 0x80 && status < 0xf0) || !(first < 128) || !(isShort || second < 128)) return [];
    const channel = (status & 0x0f) + 1;
    switch (status & 0xf0) {
      case 0x80: return [note(channel, first, 0)];
      case 0x90: return [note(channel, first, second)]; // velocity 0 is a release
      case 0xb0: return this.#controller(channel, first, second);
      case 0xc0: return [{ type: 'program', channel, number: first, value: first, most: MOST_7 }];
      case 0xe0: return [{ type: 'pitchbend', channel, number: 0, value: second * 128 + first, most: MOST_14 }];
      default: return []; // pressure
    }
  }

  #controller(channel, number, value) {
    const nrpn = this.#nrpn(channel, number, value);
    if (nrpn) return nrpn;
    const plain = { type: 'cc', channel, number, value, most: MOST_7 };
    if (number >= 2 * FINE) return [plain];
    return [plain, ...this.#pair('cc14', channel, number % FINE, number < FINE, value)];
  }

  /** The events of the four controllers that make up an NRPN, or null if this is none of them. */
  #nrpn(channel, number, value) {
    if (number === RPN || number === RPN_FINE) this.#selected.delete(channel);
    if (number === NRPN || number === NRPN_FINE) {
      const selected = this.#selected.get(channel) ?? [NONE, NONE];
      selected[number === NRPN ? 0 : 1] = value;
      this.#selected.set(channel, selected);
    }
    if (number !== DATA && number !== DATA_FINE) return null;
    const [upper, lower] = this.#selected.get(channel) ?? [NONE, NONE];
    if (upper === NONE && lower === NONE) return null;
    return this.#pair('nrpn', channel, upper * 128 + lower, number === DATA, value);
  }

  /**
   * The event of one half of a 14-bit value. A device that sends both halves, upper first, gives one event
   * for each pair, so that the value does not jump back in between; one that sends only the upper half
   * gives an event for it.
   */
  #pair(type, channel, number, isUpper, value) {
    const key = `${type} ${channel} ${number}`;
    const event = (whole) => [{ type, channel, number, value: whole, most: MOST_14, fine: this.#fine.has(key) }];
    if (isUpper) {
      this.#upper.set(key, value);
      return this.#fine.has(key) ? [] : event(value * 128 + value);
    }
    if (!this.#upper.has(key)) return [];
    this.#fine.add(key);
    return event(this.#upper.get(key) * 128 + value);
  }
}

const note = (channel, number, velocity) => ({ type: 'note', channel, number, value: velocity, most: MOST_7, on: velocity > 0 });
