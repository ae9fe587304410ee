/** The overview: all channels as live pictures, each with its rate, its viewers and a link to its page. */
import { followsAs, listenToAdd, listenToRemove, pageOf, readChannels } from './channel_list.js';
import { startLinks } from './link.js';
import { Pictures } from './pictures.js';

const EVERY_MS = 250;
const CALM_MS = 500; // where the system asks for less motion
const LIST_MS = 1000;
const LEAST_PX = 150; // of a picture's width; below that the overview scrolls

const $ = (id) => document.getElementById(id);
const wall = $('tiles');
const reducedMotion = matchMedia('(prefers-reduced-motion: reduce)');
const tiles = new Map(); // name -> its <li>
const pictures = new Pictures(() => (reducedMotion.matches ? CALM_MS : EVERY_MS));
let timer = null;
let turn = 0;

const setText = (element, text) => { if (element.textContent !== text) element.textContent = text; };

function say(text, kind = '') {
  $('say').dataset.kind = kind;
  setText($('say'), text);
}

// ------------------------------------------------------------------------------------- the tiles

function makeTile({ name }, isDefault) {
  const tile = $('tile').content.firstElementChild.cloneNode(true);
  const part = (selector) => tile.querySelector(selector);
  const [canvas, link, remove] = ['canvas', '.name', '.remove'].map(part);
  tile.dataset.name = name;
  setText(link, name);
  link.href = part('.picture').href = pageOf(name);
  canvas.ariaLabel = `Live picture of ${name}`;
  remove.hidden = isDefault;
  listenToRemove(remove, name, { label: '×', removed: readList, refused: (sentence) => say(sentence, 'error') });
  const pen = canvas.getContext('2d', { alpha: false });
  let drawn = 0;
  pictures.add(name, {
    draw(bitmap) {
      const { width, height } = bitmap;
      if (canvas.width !== width || canvas.height !== height) {
        Object.assign(canvas, { width, height });
        arrange();
      }
      pen.drawImage(bitmap, 0, 0);
      drawn += 1;
      canvas.dataset.pictures = drawn;
      setText(part('.why'), '');
    },
    refused: (sentence) => setText(part('.why'), sentence),
  });
  return tile;
}

function fill(tile, channel) {
  const { fps, viewers } = channel;
  const part = (selector) => tile.querySelector(selector);
  setText(part('.rate'), fps.toFixed(1));
  setText(part('.watching'), `${viewers} ${viewers === 1 ? 'viewer' : 'viewers'}`);
  setText(part('.follows'), followsAs(channel));
}

function showTiles(channels) {
  for (const [name, tile] of tiles) {
    if (channels.some((channel) => channel.name === name)) continue;
    pictures.remove(name);
    tile.remove();
    tiles.delete(name);
  }
  channels.forEach((channel, i) => {
    if (!tiles.has(channel.name)) tiles.set(channel.name, makeTile(channel, i === 0));
    const tile = tiles.get(channel.name);
    if (wall.children[i] !== tile) wall.insertBefore(tile, wall.children[i] ?? null);
    fill(tile, channel);
  });
  arrange();
}

/** Chooses the number of columns at which the pictures are largest and all of them fit. */
function arrange() {
  const ratio = Math.max(...[...wall.querySelectorAll('canvas')].map(({ width, height }) => width / height));
  const style = getComputedStyle(wall);
  const room = (side) => parseFloat(style[`padding${side}`]);
  const gap = parseFloat(style.columnGap);
  const label = Math.max(...[...wall.querySelectorAll('.caption')].map((it) => it.offsetHeight + it.offsetTop - it.parentElement.firstElementChild.offsetHeight)) + parseFloat(style.rowGap);
  const across = wall.clientWidth - room('Left') - room('Right');
  const down = innerHeight - wall.offsetTop - room('Top') - room('Bottom') + parseFloat(style.rowGap);
  let best = { columns: 1, width: 0 };
  for (let columns = 1; columns <= tiles.size; columns++) {
    const rows = Math.ceil(tiles.size / columns);
    const widest = (across - gap * (columns - 1)) / columns;
    const width = Math.min(widest, (down / rows - label) * ratio);
    if (width > best.width) best = { columns, width };
  }
  if (best.width < LEAST_PX) {
    const columns = Math.max(1, Math.min(tiles.size, Math.floor((across + gap) / (LEAST_PX + gap))));
    best = { columns, width: (across - gap * (columns - 1)) / columns };
  }
  wall.style.setProperty('--columns', best.columns);
  wall.style.setProperty('--width', `${Math.floor(best.width)}px`);
  wall.style.setProperty('--ratio', ratio);
}

// -------------------------------------------------------------------------------------- the list

let lost = false;

async function readList() {
  const own = (turn += 1);
  clearTimeout(timer);
  const answer = await readChannels();
  if (own !== turn || document.hidden) return;
  if (answer.ok) {
    if (lost) say('');
    showTiles(answer.data.channels);
  } else say(answer.sentence, 'error');
  lost = !answer.ok;
  timer = setTimeout(readList, LIST_MS);
}

/** A hidden overview asks for nothing. */
function followVisibility() {
  clearTimeout(timer);
  if (document.hidden) return pictures.stop();
  pictures.start();
  return readList();
}

listenToAdd($('add'), {
  added(name) {
    say(`The channel ${name} is made.`);
    readList();
  },
  refused: (sentence) => say(sentence, 'error'),
});
startLinks((sentence) => say(sentence, 'error'));
addEventListener('resize', arrange);
document.addEventListener('visibilitychange', followVisibility);
followVisibility();
