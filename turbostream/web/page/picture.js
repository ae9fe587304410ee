/**
 * Paints the newest frame on the canvas and keeps count of what was painted.
 *
 * While a part is decoded, only the newest of those that arrive is kept. A frame that the server
 * repeats is neither painted again nor counted; frame 0 is a placeholder (loading, failed): painted,
 * not counted.
 */
import { NewestOnly } from './send.js';

const GLOW_EVERY_MS = 200;
const GLOW_FOLLOWS = 0.3; // the share of the way to the new colour: slow, so that the background never flashes
const GLOW_STEP = 3; // of 255: at --light, smaller steps are less than one level of the background, which is painted again for each

/** The picture; it has the size of the stream's frames once there is one. */
export const canvas = document.getElementById('picture');
const wall = document.querySelector('main');
const pen = canvas.getContext('2d', { alpha: false });
const tint = Object.assign(document.createElement('canvas'), { width: 4, height: 4 }).getContext('2d', { willReadFrequently: true });

/** The last distinct frames, oldest first: [{frame, at}], `at` as performance.now() when painted. */
export const painted = [];

/** What is on the canvas: {frame, timestamp, jpeg}, or null. The timestamp is in unix seconds. */
export let shown = null;

let onFrame = () => {};
const painter = new NewestOnly(paint);

/** Calls `listener` with the number of each counted frame once it is painted. */
export function whenPainted(listener) {
  onFrame = listener;
}

/** A new stream begins, perhaps from a restarted server that numbers its frames from 1 again. */
export function beginStream() {
  painted.length = 0;
  if (shown) shown = { ...shown, frame: 0 };
}

/** Takes one part of the stream; resolves when it is painted, or kept while another is. */
export async function takePart({ headers, body }) {
  const frame = Number(headers['x-frame-id']) || 0;
  if (!isRepeat(frame)) await painter.offer({ frame, timestamp: Number(headers['x-timestamp']) || null, body });
}

/** Distinct frames painted a second, over the last two seconds. */
export function framesPerSecond() {
  const now = performance.now();
  const recent = painted.filter(({ at }) => now - at < 2000);
  if (recent.length < 2 || now - recent.at(-1).at > 1500) return 0;
  return ((recent.length - 1) * 1000) / (recent.at(-1).at - recent[0].at);
}

const isRepeat = (frame) => frame > 0 && frame === shown?.frame;

async function paint({ frame, timestamp, body }) {
  if (isRepeat(frame)) return;
  const jpeg = new Blob([body], { type: 'image/jpeg' });
  const bitmap = await createImageBitmap(jpeg).catch(() => null);
  if (!bitmap) return; // a damaged picture: the next one follows
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) fit(bitmap);
  pen.drawImage(bitmap, 0, 0);
  shown = { frame, timestamp, jpeg };
  Object.assign(canvas.dataset, { frame, timestamp: timestamp ?? '' });
  glow(bitmap);
  bitmap.close();
  if (frame) count(frame);
}

function fit({ width, height }) {
  Object.assign(canvas, { width, height });
  document.documentElement.style.setProperty('--ratio', width / height);
}

function count(frame) {
  painted.push({ frame, at: performance.now() });
  if (painted.length > 512) painted.splice(0, 256);
  onFrame(frame);
}

let light = null;
let lit = 0;
let glowing = null; // the colour that the background has

/** Tints the background with the colour of the picture, a few times a second. */
function glow(bitmap) {
  if (performance.now() - lit < GLOW_EVERY_MS) return;
  lit = performance.now();
  tint.drawImage(bitmap, 0, 0, 4, 4);
  const pixels = tint.getImageData(0, 0, 4, 4).data;
  const mean = [0, 1, 2].map((channel) => pixels.reduce((sum, v, i) => (i % 4 === channel ? sum + v : sum), 0) / 16);
  light = light ? light.map((v, channel) => v + (mean[channel] - v) * GLOW_FOLLOWS) : mean;
  if (glowing && light.every((v, channel) => Math.abs(v - glowing[channel]) < GLOW_STEP)) return;
  glowing = light;
  wall.style.setProperty('--glow', `rgb(${light.map(Math.round).join(' ')})`);
}
