/**
 * The menu of channels, which is shown while there is more than one: their pages, the overview, and for
 * owners a field that adds one and a button that removes the channel of this page.
 */
import { serverAddress } from './address.js';
import { hideChannelLinks, startChannelLinks } from './channel_links.js';
import { listenToAdd, listenToRemove, pageOf, readChannels } from './channel_list.js';

const $ = (id) => document.getElementById(id);
const { channel } = document.body.dataset; // of this page
const make = (tag, properties) => Object.assign(document.createElement(tag), properties);

/** Whether the link that opened this page is for its channel only: without the looks, the mappings and the other channels. */
export const isLimited = () => document.body.classList.contains('limited');

/** Whether this page is without the setlist, recordings and broadcasts: they belong to the default channel, and to no link to one channel. */
export const isFurther = () => document.body.classList.contains('further');

/** A report on what only the default channel has; null on a page without it. */
export const ofThisChannel = (report) => (isFurther() ? null : report);

const say = (sentence) => { $('channel-say').textContent = sentence; };

function link({ name, fps, viewers }) {
  const item = make('li', {});
  const anchor = make('a', { href: pageOf(name) });
  anchor.append(
    make('span', { textContent: name }),
    make('small', { textContent: `${fps.toFixed(0)} frames/s, ${viewers} ${viewers === 1 ? 'viewer' : 'viewers'}` }),
  );
  if (name === channel) anchor.setAttribute('aria-current', 'page');
  item.append(anchor);
  return item;
}

/** Below the button that opens it, within the window. */
function place(menu) {
  const { left, bottom } = $('channel-open').getBoundingClientRect();
  const { width } = menu.getBoundingClientRect();
  menu.style.left = `${Math.max(8, Math.min(left, innerWidth - width - 8))}px`;
  menu.style.top = `${Math.min(bottom + 6, innerHeight / 2)}px`;
  menu.style.maxHeight = `${innerHeight - parseFloat(menu.style.top) - 8}px`;
}

async function show() {
  const answer = await readChannels();
  if (!answer.ok) return say(answer.sentence);
  const { channels } = answer.data;
  $('channels').hidden = channels.length < 2 && !isFurther();
  $('channel-list').replaceChildren(...channels.map(link));
  return say('');
}

export function startChannels() {
  if (isLimited()) return;
  const menu = $('channel-menu');
  menu.addEventListener('toggle', ({ newState }) => {
    if (newState !== 'open') return;
    hideChannelLinks();
    place(menu);
    show();
  });
  document.addEventListener('visibilitychange', () => { if (!document.hidden) show(); });
  listenToAdd($('channel-add'), { added: (name) => { location.href = pageOf(name); }, refused: say });
  startChannelLinks(channel, say);
  if (isFurther()) listenToRemove($('channel-remove'), channel, { label: 'Remove this channel', removed: () => { location.href = serverAddress(''); }, refused: say });
}
