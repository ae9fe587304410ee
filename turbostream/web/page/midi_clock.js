/**
 * The tempo of a MIDI clock. Pure: gets the times of its messages in milliseconds, and gives what the
 * scene should take.
 */

const PULSES = 24; // in a beat
const MOST_PULSES = 48; // whose times are used
const RECENT = 6; // pulses that show a jump of the tempo
const LEAST_STEP = 0.1; // bpm
const EVERY_MS = 500; // at least, between two tempi
const ALIGN_BEATS = 32; // after that many beats the beat is sent again: the tempo is rounded
const JUMP = 0.25; // of the tempo, that begins a new measurement
const PAUSE = 3; // intervals
const [LEAST_BPM, MOST_BPM] = [20, 300];

export class MidiClock {
  #times = [];
  #sentBpm = null;
  #sentAt = -Infinity;
  #count = null; // pulses since the start, or null if no start was seen

  /** Takes a 'clock', 'start', 'continue' or 'stop' that came at `time`; gives {bpm?, beat?}. */
  take(type, time) {
    if (type === 'start') this.#count = 0;
    if (type === 'continue' || type === 'stop') this.#count = null; // the place in the song is not known
    if (type !== 'clock') return {};
    this.#add(time);
    return { ...this.#beat(), ...this.#tempo(time) };
  }

  #add(time) {
    const last = this.#times.at(-1);
    if (time <= last) return; // two in one packet of the port
    if (this.#times.length > 1 && time - last > PAUSE * meanOf(this.#times)) this.#times = [];
    this.#times.push(time);
    if (this.#times.length > MOST_PULSES) this.#times.shift();
    const recent = this.#times.slice(-RECENT - 1);
    if (this.#times.length <= 2 * RECENT) return;
    const usual = meanOf(this.#times);
    if (Math.abs(meanOf(recent) - usual) > JUMP * usual) this.#times = recent;
  }

  /** The first pulse after a start is beat 0. */
  #beat() {
    if (this.#count === null) return {};
    const count = this.#count;
    this.#count += 1;
    return count % (PULSES * ALIGN_BEATS) === 0 ? { beat: count / PULSES } : {};
  }

  #tempo(time) {
    if (this.#times.length <= PULSES || time - this.#sentAt < EVERY_MS) return {};
    const exact = 60_000 / PULSES / slope(this.#times);
    const bpm = Math.round(exact * 10) / 10;
    if (!(bpm >= LEAST_BPM && bpm <= MOST_BPM)) return {};
    if (this.#sentBpm !== null && Math.abs(exact - this.#sentBpm) < LEAST_STEP) return {};
    [this.#sentBpm, this.#sentAt] = [bpm, time];
    return { bpm };
  }
}

const meanOf = (times) => (times.at(-1) - times[0]) / (times.length - 1);

/** Milliseconds per pulse by least squares, which the jitter of single pulses changes little. */
function slope(times) {
  const middle = (times.length - 1) / 2;
  const mean = times.reduce((sum, time) => sum + time, 0) / times.length;
  let above = 0;
  let below = 0;
  times.forEach((time, i) => {
    above += (i - middle) * (time - mean);
    below += (i - middle) ** 2;
  });
  return above / below;
}
