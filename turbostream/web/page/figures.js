/**
 * The figures on the page: pure functions from the server's /status to text, and the clock.
 */

/** The difference between the server's clock and this one, from the fastest of the last answers. */
export class Clock {
  #answers = []; // [{rtt, offset}] in ms

  /** Adds an answer to a request that was sent at `sent` and answered at `got` (ms here) with `now` (unix seconds there). */
  add(sent, got, now) {
    this.#answers.push({ rtt: got - sent, offset: now * 1000 - (sent + got) / 2 });
    if (this.#answers.length > 10) this.#answers.shift();
  }

  /** Milliseconds since `timestamp` (unix seconds) on the server's clock, or null while it is unknown. */
  since(timestamp) {
    if (!timestamp || !this.#answers.length) return null;
    const { offset } = this.#answers.reduce((best, answer) => (answer.rtt < best.rtt ? answer : best));
    return Math.max(0, Date.now() + offset - timestamp * 1000);
  }
}

/** A time as text: 84 ms, 12 s, or a dash if there is none. */
export function time(ms) {
  if (ms == null) return '–';
  return ms < 9999 ? `${Math.round(ms)} ms` : `${Math.round(ms / 1000)} s`;
}

/** The progress of a download: 1.2 of 5.1 GB. */
export function amount({ bytes, total }) {
  const [size, name, digits] = (total || bytes) >= 1e9 ? [1e9, 'GB', 1] : [1e6, 'MB', 0];
  const number = (n) => (n / size).toFixed(digits);
  return total ? `${number(bytes)} of ${number(total)} ${name}` : `${number(bytes)} ${name}`;
}

/** The size of a file: 21 kB, 1.2 MB, 14 MB, 1.4 GB. */
export function fileSize(bytes) {
  if (bytes < 1e6) return `${Math.ceil(bytes / 1000)} kB`;
  return bytes < 1e7 ? `${(bytes / 1e6).toFixed(1)} MB` : amount({ bytes });
}

/** Seconds as a clock shows them: 0:07, 1:02:03. */
export function clockTime(seconds) {
  const pad = (n) => String(n).padStart(2, '0');
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return `${hours ? `${hours}:${pad(minutes)}` : minutes}:${pad(seconds % 60)}`;
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** Details of the server, as [name, text] rows. */
export function facts({ model, engine, fps, stage_ms, frame, scene }) {
  const stages = Object.entries(stage_ms ?? {}).filter(([, ms]) => ms != null);
  const rows = [
    ['Model', model?.id],
    ['Device', [engine?.device, engine?.dtype].filter(Boolean).join(', ')],
    ...Object.entries(engine?.choices ?? {}).map(([name, why]) => [capital(name), why]),
    ['Server paints', fps == null ? null : `${fps.toFixed(1)} frames a second`],
    ['One frame', stages.map(([stage, ms]) => `${stage} ${Number(ms).toFixed(1)} ms`).join(', ')],
    ['Newest frame', frame == null ? null : String(frame)],
    ['Seed', scene?.seed == null ? null : String(scene.seed)],
    ['Fingerprint', engine?.fingerprint],
  ];
  return rows.filter(([, text]) => text);
}
