/** All looks and the setlist as one file: a link exports it, a button imports it. */
import { readLooks } from './looks.js';
import { say } from './message.js';
import { send } from './send.js';
import { readSetlist } from './setlist.js';

const MOST_BYTES = 8 * 2 ** 20; // as on the server
const file = document.getElementById('import-file');

async function importFile() {
  const [chosen] = file.files;
  file.value = '';
  if (!chosen) return undefined;
  if (chosen.size > MOST_BYTES) return say('The file has more than 8 MB; it is not a file of looks.', 'error');
  const body = await chosen.text().catch(() => '');
  if (!isJson(body)) return say('The file is not JSON; choose one that this page exported.', 'error');
  const answer = await send('POST', 'import', null, { body }); // the text itself: JSON.parse would round large seeds
  if (!answer.ok) return say(answer.sentence, 'error');
  const { looks, replaced } = answer.data;
  say(`${looks} ${looks === 1 ? 'look' : 'looks'} imported${replaced ? `, ${replaced} of them replaced` : ''}.`, 'done');
  await readLooks();
  return readSetlist();
}

function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

export function startExchange() {
  document.getElementById('import').addEventListener('click', () => file.click());
  file.addEventListener('change', importFile);
}
