/**
 * Reads the recipe of a saved picture that is dropped anywhere on the page; the server puts it in
 * force. Any other picture, and a video, is played as the source. While a file is dragged over the page, the body has the class `dropping`.
 *
 * Text and links from outside, and drags that begin on the page, are left to the browser.
 */
import { MOST_READ, NoRecipe, readRecipe } from './recipe.js';
import { send } from './send.js';

const IS_PLAYED = /^(image|video)\//;
const UNREADABLE = 'The file cannot be read; drop a picture that was saved from this program.';
const SEVERAL = 'Several files were dropped; drop one picture.';

/**
 * Starts listening. say(text, kind): reports to the user, kind 'done' or 'error'; mayWrite():
 * whether this page may change the scene; fadeS(): seconds of the fade, null for the server's default;
 * play(file): plays a picture or video without a recipe.
 */
export function startDrop({ say, mayWrite, fadeS, play }) {
  let within = false; // a drag that began on this page, such as that of a thumbnail
  const holdsFile = (event) => !within && event.dataTransfer.types.includes('Files');
  const highlight = (on) => document.body.classList.toggle('dropping', on);

  addEventListener('dragstart', () => { within = true; });
  addEventListener('dragend', () => { within = false; });
  addEventListener('dragover', (event) => {
    if (!holdsFile(event)) return;
    event.preventDefault(); // else the browser leaves the page and opens the file
    event.dataTransfer.dropEffect = mayWrite() ? 'copy' : 'none';
    highlight(mayWrite());
  });
  addEventListener('dragleave', (event) => {
    if (!event.relatedTarget) highlight(false);
  });
  addEventListener('drop', (event) => {
    highlight(false);
    if (!holdsFile(event)) return;
    event.preventDefault();
    if (mayWrite()) recall([...event.dataTransfer.files], { fade_s: fadeS(), say, play });
  });
}

async function recall(files, { fade_s, say, play }) {
  if (files.length > 1) return say(SEVERAL, 'error');
  let recipe;
  try {
    recipe = readRecipe(await bytesOf(files[0]));
  } catch (error) {
    if (error instanceof NoRecipe && IS_PLAYED.test(files[0].type)) return play(files[0]);
    return say(error.message, 'error');
  }
  const { text } = recipe;
  const body = typeof fade_s === 'number' ? `${text.slice(0, -1)},"fade_s":${fade_s}}` : text;
  const answer = await send('POST', 'recipe', null, { body });
  if (!answer.ok) return say(answer.sentence, 'error');
  return say(answer.data.warning ?? `The picture is held: ${answer.data.prompt}`, 'done');
}

/** The beginning of a file: MOST_READ bytes, and one more if the file is longer. */
async function bytesOf(file) {
  try {
    return await file.slice(0, MOST_READ + 1).arrayBuffer();
  } catch {
    throw new Error(UNREADABLE); // a folder, or a file that is gone
  }
}
