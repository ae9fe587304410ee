/** The message below the field. */

const DONE_MS = 5000;
const message = document.getElementById('message');
let timer = null;

/** Shows a sentence below the field; kind: '', 'error', 'warning', or 'done', which disappears after DONE_MS. */
export function say(text, kind = '') {
  clearTimeout(timer);
  message.dataset.kind = kind;
  message.replaceChildren(text);
  if (kind === 'done') timer = setTimeout(() => say(''), DONE_MS);
}

const isError = () => message.dataset.kind === 'error';

/** Whether the message is about something else than the words in the field. */
export const isReport = () => isError() || message.dataset.kind === 'done';

export function clearError() {
  if (isReport()) say('');
}
