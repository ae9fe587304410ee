/**
 * Addresses on the server, relative to the page's own files: a proxy may serve the program under a
 * prefix (/proxy/8000/) that it strips, so the server cannot know it.
 */
export const address = (path) => new URL(`../${path}`, import.meta.url).href;
