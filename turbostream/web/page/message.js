/** The message below the field. */

const message = document.getElementById('message');

/** Shows a sentence below the field; kind: '', 'error', or 'warning'. */
export function say(text, kind = '') {
  message.dataset.kind = kind;
  message.replaceChildren(text);
}

export const isError = () => message.dataset.kind === 'error';

export function clearError() {
  if (isError()) say('');
}
