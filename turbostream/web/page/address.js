/**
 * Addresses on the server, relative to the page's own files: a proxy may serve the program under a
 * prefix (/proxy/8000/) that it strips, so the server cannot know it.
 */

/** The channel that this page or worker is for, from its own address; null: the default one. */
const channel = new URLSearchParams(location.search).get('channel');

/** An address of the server itself, whatever the channel of this page. */
export const serverAddress = (path) => new URL(`../${path}`, import.meta.url).href;

/** An address on the channel of this page. */
export function address(path) {
  const url = new URL(serverAddress(path));
  if (channel !== null) url.searchParams.set('channel', channel);
  return url.href;
}
