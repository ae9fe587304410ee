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
const JPEG = 'image/jpeg';

/** The picture; it has the size of the stream's frames once there is one. */
export const canvas = document.getElementById('picture');
const wall = document.querySelector('main');
const pen = canvas.getContext('2d', { alpha: false });
const tint = Object.assign(document.createElement('canvas'), { width: 4, height: 4 }).getContext('2d', { willReadFrequently: true });

/** The last distinct frames, oldest first: [{frame, at}], `at` as performance.now() when painted. */
export const painted = [];

/** What is on the canvas: {frame, timestamp, body}, or null. The timestamp is in unix seconds, body the JPEG's bytes. */
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
  const image = await decoded(body).catch(() => null);
  if (!image) return; // a damaged picture: the next one follows
  fit(image.displayWidth ?? image.width, image.displayHeight ?? image.height);
  pen.drawImage(image, 0, 0);
  shown = { frame, timestamp, body };
  Object.assign(canvas.dataset, { frame, timestamp: timestamp ?? '' });
  glow(image);
  image.close();
  if (frame) count(frame);
}

/**
 * The picture of a JPEG: a VideoFrame where there is ImageDecoder (only on localhost and https), else an
 * ImageBitmap. A Blob costs more, because its bytes pass through the browser's own process.
 */
async function decoded(body) {
  if (typeof ImageDecoder !== 'function') return createImageBitmap(new Blob([body], { type: JPEG }));
  const decoder = new ImageDecoder({ data: body, type: JPEG });
  try {
    return (await decoder.decode()).image;
  } finally {
    decoder.close();
  }
}

/** The bytes of the picture on the canvas, as a file. */
export const shownJpeg = () => new Blob([shown.body], { type: JPEG });

function fit(width, height) {
  if (canvas.width === width && canvas.height === height) return;
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
function glow(image) {
  if (performance.now() - lit < GLOW_EVERY_MS) return;
  lit = performance.now();
  tint.drawImage(image, 0, 0, 4, 4);
  const pixels = tint.getImageData(0, 0, 4, 4).data;
  const mean = [0, 1, 2].map((channel) => pixels.reduce((sum, v, i) => (i % 4 === channel ? sum + v : sum), 0) / 16);
  light = light ? light.map((v, channel) => v + (mean[channel] - v) * GLOW_FOLLOWS) : mean;
  if (glowing && light.every((v, channel) => Math.abs(v - glowing[channel]) < GLOW_STEP)) return;
  glowing = light;
  wall.style.setProperty('--glow', `rgb(${light.map(Math.round).join(' ')})`);
}
