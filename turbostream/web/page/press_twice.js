/**
 * A button that acts at the second press, because what it does cannot be undone. Leaving it takes the first
 * press back. `label(sure)` labels the button; `request()` gives the answer that `done` gets.
 */
export function pressTwice(button, { label, request, done }) {
  const ask = (sure) => {
    button.classList.toggle('sure', sure);
    label(sure);
  };
  ask(false);
  button.addEventListener('blur', () => ask(false));
  button.addEventListener('click', async () => {
    if (!button.classList.contains('sure')) {
      button.focus(); // Safari gives a pressed button no focus, so that it would have no blur either
      return ask(true);
    }
    const answer = await request();
    ask(false);
    return done(answer);
  });
}
