/**
 * Reads the recipe of a saved picture: a comment segment near the start of the JPEG file, as
 * stream/recipe.py writes it. The file is untrusted: only its first 64 KiB are read, and each
 * fault is one sentence. The server checks the shot itself.
 */

export const MOST_READ = 64 * 1024; // bytes
const MOST_BYTES = 600; // of the segment, with its marker and length
const MOST_SEGMENTS = 64;
const MARK = [...'turbostream:'].map((letter) => letter.charCodeAt(0));
const COMMENT = 0xfe;
const DATA = 0xda;
const END = 0xd9;

const NO_RECIPE = 'The picture holds no recipe; use one that was saved from this program by its owner.';
const NOT_JPEG = 'The file is not a JPEG picture; use one that was saved from this program.';
const DAMAGED = 'The picture is damaged before its recipe; use another copy of it.';
const MALFORMED = 'The recipe in the picture is damaged; use another copy of it.';
const HUGE = `The recipe in the picture is longer than ${MOST_BYTES} bytes; use a picture that was saved from this program.`;

/** The file is another one than a picture that was saved with its recipe. */
export class NoRecipe extends Error {}

/**
 * The recipe in a file's bytes, an ArrayBuffer: {shot, fingerprint, text}. `text` is the JSON itself:
 * a seed may be too large to be exact as a JavaScript number. Throws an Error with one sentence.
 */
export function readRecipe(buffer) {
  const bytes = new Uint8Array(buffer, 0, Math.min(buffer.byteLength, MOST_READ));
  if (bytes[0] !== 0xff || bytes[1] !== 0xd8) throw new NoRecipe(NOT_JPEG);
  let place = 2;
  for (let count = 0; count < MOST_SEGMENTS; count += 1) {
    if (place < bytes.length && bytes[place] !== 0xff) throw new Error(DAMAGED);
    while (bytes[place] === 0xff) place += 1; // a marker may follow any number of FF
    if (place >= bytes.length) throw buffer.byteLength > MOST_READ ? new NoRecipe(NO_RECIPE) : new Error(DAMAGED);
    const marker = bytes[place];
    place += 1;
    if (marker === DATA || marker === END) break;
    if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd7)) continue; // these have no length
    const length = bytes[place] * 256 + bytes[place + 1];
    if (!(length >= 2) || place + length > buffer.byteLength) throw new Error(DAMAGED);
    if (marker === COMMENT && MARK.every((byte, index) => bytes[place + 2 + index] === byte)) {
      if (length + 2 > MOST_BYTES) throw new Error(HUGE);
      return parsed(bytes.subarray(place + 2 + MARK.length, place + length));
    }
    place += length;
  }
  throw new NoRecipe(NO_RECIPE);
}

function parsed(bytes) {
  let text;
  let content;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes).trim();
    content = JSON.parse(text);
  } catch {
    throw new Error(MALFORMED);
  }
  const known = isObject(content) && Object.keys(content).every((name) => name === 'shot' || name === 'fingerprint');
  if (!known || !isObject(content.shot)) throw new Error(MALFORMED);
  const { shot, fingerprint = '' } = content;
  if (typeof fingerprint !== 'string') throw new Error(MALFORMED);
  return { shot, fingerprint, text };
}

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
