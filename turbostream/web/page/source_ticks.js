/** A clock that goes on in a hidden page. */
import { address } from './address.js';

/** Gives {run(perSecond), stop()}; calls `tick` while it runs. */
export function sourceClock(tick) {
  let worker = null;
  let everyMs = 0;
  const set = (next) => {
    if (next === everyMs) return;
    everyMs = next;
    if (!worker) {
      worker = new Worker(address('page/source_clock.js'));
      worker.onmessage = () => { if (everyMs) tick(); };
    }
    worker.postMessage(everyMs);
  };
  return { run: (perSecond) => set(Math.round(1000 / perSecond)), stop: () => set(0) };
}
