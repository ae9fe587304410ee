/** The list of shortcuts: a modal dialog, in which the browser keeps the focus and which Escape closes. */

const dialog = document.getElementById('help');

export function toggleHelp() {
  if (dialog.open) dialog.close();
  else dialog.showModal();
}

/** `shortcuts`: [{shown, what, watchers}]; without `watchers` a shortcut changes the stream. */
export function startHelp(shortcuts) {
  const rows = shortcuts.map(({ shown, what, watchers }) => {
    const row = document.createElement('div');
    if (!watchers) row.className = 'may-write';
    const keys = document.createElement('dt');
    for (const [i, part] of shown.split(/ (or|to) /).entries()) {
      keys.append(i % 2 ? ` ${part} ` : Object.assign(document.createElement('kbd'), { textContent: part }));
    }
    row.append(keys, Object.assign(document.createElement('dd'), { textContent: what }));
    return row;
  });
  document.getElementById('help-keys').replaceChildren(...rows);
  document.getElementById('help-open').addEventListener('click', toggleHelp);
  dialog.addEventListener('click', ({ target }) => { if (target === dialog) dialog.close(); });
  dialog.addEventListener('keydown', (event) => {
    if (event.key !== '?') return;
    event.preventDefault();
    dialog.close();
  });
}
