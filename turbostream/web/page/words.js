/**
 * Which words of a prompt the demo model does not know, and which known ones to offer instead.
 *
 * Pure: knows nothing of the page.
 */

const SHORTEST_MISSPELT = 4; // letters; in shorter words one other letter makes another word: cat, car, cap

/** The words of a text, in lower case and in order. */
export function split(text) {
  return text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
}

/** Every word anywhere in the model's word list, except in its examples. */
export function vocabulary(list) {
  const gather = (value) =>
    typeof value === 'string' ? split(value)
    : Array.isArray(value) ? value.flatMap(gather)
    : Object.entries(value ?? {}).flatMap(([key, inner]) => [...split(key), ...gather(inner)]);
  const { examples, ...kinds } = list;
  return new Set(Object.values(kinds).flatMap(gather));
}

/** Whether a and b differ by at most one letter that is added, missing or replaced, or by a swap of two. */
export function withinOne(a, b) {
  let i = 0;
  while (i < a.length && a[i] === b[i]) i += 1;
  const [restA, restB] = [a.slice(i), b.slice(i)];
  const swapped = restA.length > 1 && restA[0] === restB[1] && restA[1] === restB[0];
  return restA.slice(1) === restB.slice(1) || restA.slice(1) === restB || restA === restB.slice(1)
    || (swapped && restA.slice(2) === restB.slice(2));
}

/**
 * The unknown words of the text, each once; while typing, the last word may be incomplete. A text
 * without any word counts as an unknown word.
 */
export function unknown(text, known, typing = false) {
  const words = split(text);
  if (!words.length && text.trim()) return [text.trim()];
  const growing = typing && /[\p{L}\p{N}]$/u.test(text) ? words.length - 1 : -1;
  const strange = words.filter((word, i) => !isKnown(word, known) && !(i === growing && begins(word, known)));
  return [...new Set(strange)];
}

/** Up to `count` known words for an unknown one: those that begin alike, then things that the model can paint. */
export function offers(word, list, count = 3) {
  const things = list.things ?? [];
  const alike = [...things, ...(list.colours ?? [])].filter((thing) => thing.slice(0, 3) === word.slice(0, 3));
  const start = [...word].reduce((sum, letter) => sum + letter.codePointAt(0), 0);
  const others = things.map((_, i) => things[(start + i * 5) % things.length]);
  return [...new Set([...alike, ...others])].slice(0, count);
}

function isKnown(word, known) {
  if (known.has(word)) return true;
  if (word.length < SHORTEST_MISSPELT) return false;
  return [...known].some((other) => other.length >= SHORTEST_MISSPELT && withinOne(word, other));
}

function begins(word, known) {
  return [...known].some((other) => other.startsWith(word));
}
