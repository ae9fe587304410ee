/**
 * Drags tiles to another place in their strip: with a mouse at once, by touch after a long press,
 * because a swipe scrolls the strip.
 */

const PRESS_MS = 350;
const SLACK_PX = 8;
const EDGE_PX = 40; // the strip scrolls while the pointer is this near to its edge
const SCROLL_PX = 12;

/** `dropped` is called at the end of each drag. */
export function startDrag(list, dropped) {
  let held = null; // {tile, x, y, touch, timer, lifted}

  const lift = () => {
    held.lifted = true;
    held.tile.classList.add('dragged');
  };

  const letGo = (finished) => {
    if (!held) return;
    clearTimeout(held.timer);
    const { tile, lifted } = held;
    held = null;
    if (!lifted) return;
    tile.classList.remove('dragged');
    list.addEventListener('click', swallow, { capture: true, once: true });
    setTimeout(() => list.removeEventListener('click', swallow, { capture: true }));
    if (finished) dropped();
  };

  const follow = ({ clientX }) => {
    const box = list.getBoundingClientRect();
    if (clientX < box.left + EDGE_PX) list.scrollLeft -= SCROLL_PX;
    if (clientX > box.right - EDGE_PX) list.scrollLeft += SCROLL_PX;
    const others = [...list.children].filter((tile) => tile !== held.tile);
    const next = others.find((tile) => middle(tile) > clientX) ?? null;
    if (held.tile.nextElementSibling !== next) list.insertBefore(held.tile, next);
  };

  list.addEventListener('pointerdown', (event) => {
    const tile = event.target.closest('.look-recall')?.parentElement;
    if (!tile || event.button !== 0 || !event.isPrimary) return;
    const touch = event.pointerType !== 'mouse';
    held = { tile, touch, x: event.clientX, y: event.clientY, timer: touch ? setTimeout(lift, PRESS_MS) : null, lifted: false };
  });
  document.addEventListener('pointermove', (event) => {
    if (!held) return;
    const far = Math.hypot(event.clientX - held.x, event.clientY - held.y) > SLACK_PX;
    if (!held.lifted && far && held.touch) letGo(false);
    else if (!held.lifted && far) lift();
    if (held?.lifted) follow(event);
  });
  document.addEventListener('pointerup', () => letGo(true));
  document.addEventListener('pointercancel', () => letGo(true));
  list.addEventListener('touchmove', (event) => { if (held?.lifted) event.preventDefault(); }, { passive: false });
  list.addEventListener('contextmenu', (event) => { if (held?.touch) event.preventDefault(); });
}

const middle = (tile) => {
  const { left, width } = tile.getBoundingClientRect();
  return left + width / 2;
};

/** Keeps the click at the end of a drag from recalling the look. */
function swallow(event) {
  event.stopPropagation();
  event.preventDefault();
}
