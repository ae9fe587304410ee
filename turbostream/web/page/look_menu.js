/** The menu of a look: rename, move, replace, delete. Keys on a focused tile rename, move and delete. */
import { pressTwice } from './press_twice.js';

const $ = (id) => document.getElementById(id);
const menu = $('look-menu');
const removeButton = menu.querySelector('[data-do="remove"]');
let handlers = null;
let item = null; // the tile whose menu is open

/** Opens the menu of a tile beside the element that was pressed. */
export function openMenu(tile, beside) {
  item = tile;
  $('look-menu-name').textContent = tile.dataset.name;
  menu.querySelector('[data-do="left"]').disabled = !tile.previousElementSibling;
  menu.querySelector('[data-do="right"]').disabled = !tile.nextElementSibling;
  if (menu.matches(':popover-open')) menu.hidePopover();
  menu.showPopover();
  const at = beside.getBoundingClientRect();
  const { width, height } = menu.getBoundingClientRect();
  menu.style.left = `${Math.max(8, Math.min(at.left, innerWidth - width - 8))}px`;
  menu.style.top = `${Math.max(8, at.top - height - 6 > 0 ? at.top - height - 6 : Math.min(at.bottom + 6, innerHeight - height - 8))}px`;
  menu.querySelector('button').focus();
}

function move(tile, step) {
  const beside = step < 0 ? tile.previousElementSibling : tile.nextElementSibling;
  if (!beside) return;
  if (step < 0) beside.before(tile);
  else beside.after(tile);
  tile.querySelector('.look-recall').focus();
  handlers.moved();
}

/** Replaces the name by a field. Enter or leaving the field renames the look, Escape does not. */
function rename(tile) {
  const { name } = tile.dataset;
  const label = tile.querySelector('.name');
  const field = Object.assign(document.createElement('input'), { type: 'text', value: name, className: 'name', ariaLabel: 'Name of the look' });
  let open = true;
  const close = (text) => {
    if (!open) return;
    open = false;
    field.remove();
    label.hidden = false;
    const next = text.trim();
    if (next && next !== name) handlers.renamed(name, next);
  };
  label.hidden = true;
  tile.append(field);
  field.select();
  field.focus();
  field.addEventListener('blur', () => close(field.value));
  field.addEventListener('keydown', (event) => {
    if (event.isComposing) return;
    if (event.key === 'Escape') close('');
    if (event.key !== 'Enter' && event.key !== 'Escape') return;
    event.preventDefault();
    close(field.value);
    tile.querySelector('.look-recall').focus();
  });
}

const ACTIONS = {
  rename: () => rename(item),
  left: () => move(item, -1),
  right: () => move(item, 1),
  replace: () => handlers.replaced(item.dataset.name),
};

function pressedOnTile(event) {
  const tile = event.target.closest?.('.look');
  if (!tile || !event.target.matches('.look-recall')) return;
  if (event.key === 'F2') rename(tile);
  else if (event.key === 'Delete') openMenu(tile, tile);
  else if (event.altKey && event.key === 'ArrowLeft') move(tile, -1);
  else if (event.altKey && event.key === 'ArrowRight') move(tile, 1);
  else return;
  event.preventDefault();
}

/** Handlers: moved(), renamed(name, next), replaced(name), removed(name). */
export function startMenu(list, given) {
  handlers = given;
  menu.addEventListener('click', ({ target }) => {
    const act = ACTIONS[target.closest('button')?.dataset.do];
    if (!act) return;
    menu.hidePopover();
    act();
  });
  pressTwice(removeButton, {
    label(sure) { removeButton.textContent = sure ? 'Delete for good?' : 'Delete'; },
    request() {
      menu.hidePopover();
      return item.dataset.name;
    },
    done: handlers.removed,
  });
  list.addEventListener('keydown', pressedOnTile);
  list.addEventListener('contextmenu', (event) => {
    const tile = event.target.closest('.look');
    if (!tile || event.defaultPrevented) return;
    event.preventDefault();
    openMenu(tile, tile);
  });
  list.addEventListener('dblclick', (event) => {
    const tile = event.target.closest('span.name')?.closest('.look');
    if (tile) rename(tile);
  });
}
