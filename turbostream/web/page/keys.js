/**
 * The shortcuts. They work while no field has the focus; a control with keyboard focus keeps its own
 * keys. A key becomes text only in a field, which `/` or Enter enters.
 */
import { toggleBlack } from './black.js';
import { isFurther, isLimited } from './channels.js';
import { startHelp, toggleHelp } from './help.js';
import { recallNumber, saveLook, stepLook } from './looks.js';
import { newSeed, toggleFreeze } from './motion.js';
import { enterField } from './prompt.js';
import { toggleRecording } from './recording.js';
import { hasEntries, stepSetlist, togglePlaying } from './setlist.js';
import { tap } from './tempo.js';
import { redo, undo } from './undo.js';
import { isClean, setClean, toggleFullScreen, toggleWatching } from './views.js';

/** [values of event.key, the keys as text, what they do, the action, whether a watcher may use them, whether this page is without what they act on]. */
const SHORTCUTS = [
  [[' '], 'Space', 'freeze', toggleFreeze],
  [['b'], 'B', 'fade to black and back', toggleBlack],
  [['n'], 'N', 'new seed', newSeed],
  [[...'123456789'], '1 to 9', 'recall a look', (key) => recallNumber(Number(key)), false, isLimited],
  [['ArrowLeft'], '←', 'previous look', () => stepLook(-1), false, isLimited],
  [['ArrowRight'], '→', 'next look', () => stepLook(1), false, isLimited],
  [['s'], 'S', 'save what is on screen as a look', saveLook, false, isLimited],
  [['z'], 'Z or Ctrl-Z', 'undo', undo],
  [['Z'], 'Shift-Z', 'redo', redo],
  [['p'], 'P', 'play or pause the setlist', togglePlaying, false, isFurther],
  [['[', 'PageUp'], '[ or Page up', 'previous entry of the setlist', () => stepSetlist('previous'), false, isFurther],
  [[']', 'PageDown'], '] or Page down', 'next entry of the setlist', () => stepSetlist('next'), false, isFurther],
  [['t'], 'T', 'tap the tempo', tap],
  [['r'], 'R', 'start and stop a recording', toggleRecording, false, isFurther],
  [['/', 'Enter'], '/ or Enter', 'write words', enterField],
  [['f'], 'F', 'full screen', toggleFullScreen, true],
  [['c'], 'C', 'clean view: only the picture', () => setClean(!isClean()), true],
  [['w'], 'W', 'watch view: picture and label', toggleWatching, true],
  [['?'], '?', 'this list', toggleHelp, true],
].filter((row) => !row[5]?.());

const SLIDER_KEYS = /^(Arrow|Page|Home|End)/;
const OWN_KEYS = 'input:not([type="range"], [type="checkbox"], [type="file"]), select, textarea, dialog *, [popover] *';

const isWatcher = () => document.body.classList.contains('watcher');

/** Whether the element with the focus needs the key itself. */
function belongsTo(at, key) {
  if (at === document.body) return false;
  if (at.matches(OWN_KEYS)) return true;
  if (at.matches('[type="range"]')) return SLIDER_KEYS.test(key);
  if (key === 'Enter') return at.matches('a, button, summary, [type="checkbox"]');
  return key === ' ' && at.matches(':focus-visible, [type="checkbox"]');
}

function find(event) {
  const key = event.key.length === 1 && event.key !== 'Z' ? event.key.toLowerCase() : event.key;
  if (event.ctrlKey || event.metaKey) {
    if (key.toLowerCase() !== 'z' || event.altKey) return null;
    return SHORTCUTS.find(([keys]) => keys.includes(event.shiftKey ? 'Z' : 'z'));
  }
  if (event.altKey) return null;
  if (key.startsWith('Page') && !hasEntries()) return null;
  return SHORTCUTS.find(([keys]) => keys.includes(key)) ?? null;
}

function escape() {
  if (document.querySelector('dialog[open], [popover]:popover-open')) return; // the browser closes them
  const at = document.activeElement;
  if (isClean()) setClean(false);
  else if (at !== document.body) at?.blur();
}

function pressed(event) {
  if (event.defaultPrevented || event.isComposing) return;
  if (event.key === 'Escape') return escape();
  const at = document.activeElement ?? document.body;
  if (event.repeat || belongsTo(at, event.key)) return;
  const shortcut = find(event);
  if (!shortcut || (isWatcher() && !shortcut[4])) return;
  event.preventDefault();
  shortcut[3](event.key);
}

export function startKeys() {
  document.addEventListener('keydown', pressed);
  startHelp(SHORTCUTS.map(([, shown, what, , watchers]) => ({ shown, what, watchers })));
}
