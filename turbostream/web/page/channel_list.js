/** The channels of the server: reading, adding and removing them, and the addresses of their pages. */
import { serverAddress } from './address.js';
import { pressTwice } from './press_twice.js';
import { sendTo } from './send.js';

/** How a channel's name is written; the server checks it too. */
export const NAME = '[a-z0-9][a-z0-9_\\-]{0,31}';
export const NAME_RULE = '1 to 32 of a to z, 0 to 9, - and _, beginning with a letter or a digit';

const path = (name) => serverAddress(`channels/${encodeURIComponent(name)}`);

/** The answer of send(); its data has `channels`, the default one first. */
export const readChannels = () => sendTo(serverAddress('channels'), 'GET');

export const addChannel = (name) => sendTo(path(name), 'PUT', {});

export const removeChannel = (name) => sendTo(path(name), 'DELETE');

/** The address of a channel's page. */
export const pageOf = (name) => serverAddress(`?channel=${encodeURIComponent(name)}`);

/** What a channel shows of another: "follows main, seed +1" or "starts from main"; '' for nothing. */
export function followsAs({ follows, source }) {
  if (source) return `starts from ${source}`;
  if (!follows) return '';
  const { channel, seed, phase, crop } = follows;
  if (crop) return `a part of ${channel}`;
  const signed = (n) => (n < 0 ? `−${-n}` : `+${n}`);
  const how = [seed == null ? '' : `seed ${signed(seed)}`, phase == null ? '' : `phase ${signed(phase)}`];
  return [`follows ${channel}`, ...how].filter(Boolean).join(', ');
}

/** Makes a form with a field and a button add channels: added(name) or refused(sentence). */
export function listenToAdd(form, { added, refused }) {
  const field = form.querySelector('input');
  Object.assign(field, { pattern: NAME, title: NAME_RULE, required: true, maxLength: 32 });
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const name = field.value;
    const answer = await addChannel(name);
    if (!answer.ok) return refused(answer.sentence);
    field.value = '';
    return added(name);
  });
}

/** Makes a button, whose text is `label`, remove a channel at the second press, because its scene is lost. */
export function listenToRemove(button, name, { label, removed, refused }) {
  pressTwice(button, {
    label(sure) {
      button.textContent = sure ? 'Remove?' : label;
      button.title = button.ariaLabel = `Remove ${name}${sure ? ' for good' : ''}`;
    },
    request: () => removeChannel(name),
    done: (answer) => (answer.ok ? removed() : refused(answer.sentence)),
  });
}
