/** A worker that ticks: the timers of a hidden page are late, those of its workers are not. It is told the ms between two ticks, 0 for none. */

let timer = null;

onmessage = ({ data: everyMs }) => {
  clearInterval(timer);
  timer = everyMs ? setInterval(() => postMessage(null), everyMs) : null;
};
