/**
 * What is heard in blocks of samples: level, three bands and onsets. Pure: no Web Audio, no clock.
 *
 * Onsets are found by spectral flux: the rise of the logarithmic power in a few dozen bands since the
 * last block, compared with the median of the last second (Bello et al., "A Tutorial on Onset
 * Detection in Music Signals", 2005).
 */
import { Spectrum } from './sound_spectrum.js';

const BLOCK_S = 0.0213; // 1024 samples at 48 kHz
const EDGES_HZ = { low: [0, 250], mid: [250, 2000], high: [2000, Infinity] };

const SILENCE_DB = -60; // below it the gain does not adapt: a pause is not amplified
const LEAST_DB = -100;
const LEAST_TOP_DB = -40;
const FIRST_TOP_DB = -20;
const RISE_S = 0.3; // time constant with which the top follows a louder sound
const FALL_DB_S = 0.5; // and how fast it falls
const RANGE_DB = { level: 36, band: 30 };
const BAND_UNDER_DB = 26; // the gain of a band exceeds the level's by at most so much

const FLUX_BANDS = 30;
const FLUX_HZ = [60, 16_000];
const FLUX_FLOOR = 1e-7; // -70 dB: what is much weaker does not count as a rise
const FLUX_FACTOR = 2; // over the median
const FLUX_LEAST = 0.2; // and this much more: 2 dB on the average of all bands
const BLOCKS_BEFORE = 2; // a bass note beats with the blocks, so that one alone may be weak

const MEDIAN_BLOCKS = 87; // about a second
const LEAST_BLOCKS = 10; // before the first onset: the median of fewer says nothing
const REFRACTORY_S = 0.08;

const clamp = (value) => Math.min(1, Math.max(0, value));
const decibels = (power) => Math.max(LEAST_DB, 10 * Math.log10(power + 1e-12));

/** Samples in a block at a sampling rate: the least power of two that lasts BLOCK_S. */
const blockSize = (rate) => 2 ** Math.ceil(Math.log2(rate * BLOCK_S));

/** Scales decibels to 0..1 below a top that follows louder sound in a moment and falls slowly. */
class Gain {
  #range;

  constructor(range) {
    this.#range = range;
    this.top = FIRST_TOP_DB;
  }

  take(db, leastTop, seconds) {
    if (db > this.top) this.top += (db - this.top) * (1 - Math.exp(-seconds / RISE_S));
    else if (db > SILENCE_DB) this.top -= FALL_DB_S * seconds;
    this.top = Math.max(leastTop, this.top);
    return clamp((db - this.top) / this.#range + 1);
  }
}

/** Finds onsets in the powers of successive spectra. */
class Onsets {
  #bands; // [first bin, bin after the last]
  #before = []; // logarithmic powers of the last blocks
  #recent = []; // fluxes
  #above = false;
  #heardAt = -Infinity;

  constructor(bins, binHz) {
    const [from, to] = FLUX_HZ;
    const edge = (i) => Math.round((from * (to / from) ** (i / FLUX_BANDS)) / binHz);
    const edges = Array.from({ length: FLUX_BANDS + 1 }, (_, i) => Math.min(bins, edge(i)));
    this.#bands = edges.slice(1).map((end, i) => [edges[i], end]).filter(([start, end]) => end > start);
  }

  /** Whether an onset is in the block that ends at `time_s`. */
  take(powers, time_s) {
    const logs = this.#bands.map(([start, end]) => Math.log10(1 + sum(powers, start, end) / FLUX_FLOOR));
    const known = (i) => Math.max(...this.#before.map((before) => before[i]));
    const flux = this.#before.length ? logs.reduce((rise, log, i) => rise + Math.max(0, log - known(i)), 0) / logs.length : 0;
    this.#before = [...this.#before, logs].slice(-BLOCKS_BEFORE);
    const threshold = FLUX_FACTOR * median(this.#recent) + FLUX_LEAST;
    this.#recent.push(flux);
    if (this.#recent.length > MEDIAN_BLOCKS) this.#recent.shift();
    const rises = flux > threshold && !this.#above && this.#recent.length > LEAST_BLOCKS;
    this.#above = flux > threshold;
    if (!rises || time_s - this.#heardAt < REFRACTORY_S) return false;
    this.#heardAt = time_s;
    return true;
  }
}

const sum = (values, start, end) => {
  let total = 0;
  for (let i = start; i < end; i += 1) total += values[i];
  return total;
};

const median = (values) => (values.length ? [...values].sort((a, b) => a - b)[values.length >> 1] : 0);

export class SoundAnalysis {
  #spectrum;
  #binHz;
  #gains = { level: new Gain(RANGE_DB.level), low: new Gain(RANGE_DB.band), mid: new Gain(RANGE_DB.band), high: new Gain(RANGE_DB.band) };
  #onsets;
  #time = null;

  /** rate: samples a second. */
  constructor(rate) {
    this.size = blockSize(rate);
    this.#binHz = rate / this.size;
    this.#spectrum = new Spectrum(this.size);
    this.#onsets = new Onsets(this.size / 2, this.#binHz);
  }

  /** Takes a block of `size` samples (-1..1) that ends at `time_s`. Gives {level, low, mid, high: 0..1, onset: boolean}. */
  take(samples, time_s) {
    const clean = Float64Array.from(samples, (sample) => (Number.isFinite(sample) ? sample : 0));
    const seconds = this.#time === null ? 0 : Math.max(0, time_s - this.#time);
    this.#time = time_s;
    const powers = this.#spectrum.of(clean);
    const db = decibels(clean.reduce((total, sample) => total + sample * sample, 0) / this.size);
    const heard = { level: this.#gains.level.take(db, LEAST_TOP_DB, seconds) };
    const leastTop = Math.max(this.#gains.level.top, db) - BAND_UNDER_DB;
    for (const [name, [from, to]] of Object.entries(EDGES_HZ)) {
      const bin = (hz) => Math.min(powers.length, Math.ceil(hz / this.#binHz));
      heard[name] = this.#gains[name].take(decibels(sum(powers, Math.max(1, bin(from)), bin(to))), leastTop, seconds);
    }
    heard.onset = this.#onsets.take(powers, time_s);
    return heard;
  }
}
