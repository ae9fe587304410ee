/** Choices of this browser, kept in its local storage if it permits that. */

const PREFIX = 'turbostream.';

/** The kept text, or null. */
export function kept(name) {
  try {
    return localStorage.getItem(PREFIX + name);
  } catch {
    return null;
  }
}

export function keep(name, value) {
  try {
    localStorage.setItem(PREFIX + name, value);
  } catch {
    // Without storage each page starts with the server's defaults.
  }
}
