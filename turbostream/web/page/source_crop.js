/** Cuts a picture to the shape of the stage, mirrors it, and encodes it. */

const QUALITIES = [0.85, 0.6, 0.3]; // the first whose file the server accepts
const MOST_BYTES = 1_000_000; // as on the server

/** The largest part of a picture of width x height, about its centre, with the shape of the stage: {x, y, width, height}. Pure. */
export function cropOf(width, height, stage) {
  const scale = Math.min(width / stage.width, height / stage.height);
  const [cutWidth, cutHeight] = [stage.width * scale, stage.height * scale];
  return { x: (width - cutWidth) / 2, y: (height - cutHeight) / 2, width: cutWidth, height: cutHeight };
}

/** Draws `image`, {element, width, height}, on the canvas, which gets the size of the stage; gives whether there was a picture. */
export function drawCrop(canvas, image, stage, mirror) {
  const { element, width, height } = image;
  if (!width || !height) return false; // a video before its first picture
  if (canvas.width !== stage.width || canvas.height !== stage.height) Object.assign(canvas, { width: stage.width, height: stage.height });
  const pen = canvas.getContext('2d', { alpha: false });
  const crop = cropOf(width, height, stage);
  pen.setTransform(mirror ? -1 : 1, 0, 0, 1, mirror ? stage.width : 0, 0);
  pen.fillRect(0, 0, stage.width, stage.height); // black behind a transparent picture
  pen.drawImage(element, crop.x, crop.y, crop.width, crop.height, 0, 0, stage.width, stage.height);
  return true;
}

/** The canvas as the bytes of a JPEG, or null if it cannot be encoded in MOST_BYTES. */
export async function encode(canvas) {
  for (const quality of QUALITIES) {
    const blob = await new Promise((done) => canvas.toBlob(done, 'image/jpeg', quality));
    if (blob && blob.size <= MOST_BYTES) return blob.arrayBuffer();
  }
  return null;
}
