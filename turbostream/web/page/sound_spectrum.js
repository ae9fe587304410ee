/** The spectrum of a block of samples. Pure: no Web Audio, so that a test can run it on any numbers. */

const BLACKMAN = [0.42, 0.5, 0.08]; // side lobes under -58 dB: a bass note stays out of the other bands

export class Spectrum {
  #window;
  #power; // of the window: the sum of its squares
  #cosines;
  #sines;
  #real;
  #imaginary;

  /** size: samples in a block, a power of two. */
  constructor(size) {
    this.size = size;
    this.powers = new Float64Array(size / 2);
    const [a, b, c] = BLACKMAN;
    const turn = (i) => (2 * Math.PI * i) / size;
    this.#window = Float64Array.from({ length: size }, (_, i) => a - b * Math.cos(turn(i)) + c * Math.cos(2 * turn(i)));
    this.#power = this.#window.reduce((sum, value) => sum + value * value, 0);
    this.#cosines = Float64Array.from({ length: size / 2 }, (_, i) => Math.cos(turn(i)));
    this.#sines = Float64Array.from({ length: size / 2 }, (_, i) => Math.sin(turn(i)));
    this.#real = new Float64Array(size);
    this.#imaginary = new Float64Array(size);
  }

  /** The power of each bin, from 0 to half the sampling rate; together about the mean square of the
      samples. The array is used again by the next call. */
  of(samples) {
    const [real, imaginary] = [this.#real, this.#imaginary];
    for (let i = 0; i < this.size; i += 1) real[this.#reversed(i)] = samples[i] * this.#window[i];
    imaginary.fill(0);
    this.#transform(real, imaginary);
    const scale = 2 / (this.size * this.#power);
    for (let k = 0; k < this.powers.length; k += 1) this.powers[k] = scale * (real[k] ** 2 + imaginary[k] ** 2);
    return this.powers;
  }

  #reversed(index) {
    let reversed = 0;
    for (let bit = 1, rest = index; bit < this.size; bit *= 2, rest >>= 1) reversed = (reversed << 1) | (rest & 1);
    return reversed;
  }

  /** The fast Fourier transform (radix 2) of values in bit-reversed order, in place. */
  #transform(real, imaginary) {
    for (let half = 1; half < this.size; half *= 2) {
      const step = this.size / (2 * half);
      for (let start = 0; start < this.size; start += 2 * half) {
        for (let j = 0; j < half; j += 1) {
          const [cosine, sine] = [this.#cosines[j * step], -this.#sines[j * step]];
          const [upper, lower] = [start + j, start + j + half];
          const x = real[lower] * cosine - imaginary[lower] * sine;
          const y = real[lower] * sine + imaginary[lower] * cosine;
          real[lower] = real[upper] - x;
          imaginary[lower] = imaginary[upper] - y;
          real[upper] += x;
          imaginary[upper] += y;
        }
      }
    }
  }
}
