/**
 * Listens to the microphone or to the sound of a tab. Nothing is recorded or sent: what leaves this file
 * are the levels and onsets of sound_analysis.js.
 *
 * The analyser keeps more sound than one block, so that nothing is missed while the page is busy. The
 * clock is an audio source that ends every few milliseconds: a timer runs once a second in a hidden page.
 */
import { SoundAnalysis } from './sound_analysis.js';

const KEPT_SAMPLES = 32768; // two thirds of a second, the most that an analyser keeps
const TICK_S = 0.008;
const START_MS = 4000;
const RUNS = 'running'; // the state of an AudioContext
const AS_IT_IS = { echoCancellation: false, noiseSuppression: false, autoGainControl: false }; // they are made for speech
const NAMES = { microphone: 'microphone', tab: 'tab' };

const INSECURE = 'Browsers give sound only to pages on https or localhost; open the page through the tunnel, at http://localhost.';
const REFUSED = {
  microphone: {
    NotAllowedError: 'The microphone is not allowed; allow it for this page in the settings of the browser.',
    NotFoundError: 'There is no microphone; connect one and try again.',
    NotReadableError: 'The microphone cannot be read; another program may be using it.',
  },
  tab: {
    NotAllowedError: 'No tab was shared; choose one in the dialog of the browser, with its sound.',
    NotFoundError: 'There is no tab that can be shared.',
    NotReadableError: 'The sound of the tab cannot be read; the system may forbid it.',
  },
};
const SILENT_TAB = 'The shared tab came without sound; share it again with "Also share tab audio", in Chrome or Edge.';
const ENDED = { microphone: 'The microphone was disconnected.', tab: 'The tab is no longer shared.' };
const SILENT = 'The browser does not start its audio; connect loudspeakers or headphones and try again.';
const PAUSED = 'The browser has paused the sound; start it again.';

/** Why nothing can be listened to; its message is a sentence for the visitor. */
export class SoundError extends Error {}

/** Why this browser cannot listen to `source` here, or ''. */
export function missing(source) {
  if (!isSecureContext) return INSECURE;
  const ask = source === 'tab' ? navigator.mediaDevices?.getDisplayMedia : navigator.mediaDevices?.getUserMedia;
  return ask ? '' : `This browser cannot listen to a ${NAMES[source]}; use Chrome, Edge or Firefox on a computer.`;
}

/** Asks the browser for a stream with one audio track and nothing else. Throws SoundError. */
async function ask(source) {
  if (missing(source)) throw new SoundError(missing(source));
  try {
    if (source === 'microphone') return await navigator.mediaDevices.getUserMedia({ audio: AS_IT_IS });
    return withoutVideo(await navigator.mediaDevices.getDisplayMedia({ audio: AS_IT_IS, video: true }));
  } catch (error) {
    if (error instanceof SoundError) throw error;
    throw new SoundError(REFUSED[source][error.name] ?? `The browser refuses the ${NAMES[source]}: ${error.message}`);
  }
}

/** A tab is only shared with its picture, which nobody here needs. */
function withoutVideo(stream) {
  for (const track of stream.getVideoTracks()) {
    track.stop();
    stream.removeTrack(track);
  }
  if (!stream.getAudioTracks().length) throw new SoundError(SILENT_TAB);
  return stream;
}

/** Asks for `source`, 'microphone' or 'tab', and listens. Calls `heard` with each result of SoundAnalysis.take and its time in seconds, and `ended` with a sentence if the sound ends by itself. Throws SoundError. */
export async function listen(source, { heard, ended }) {
  const stream = await ask(source);
  try {
    return new Listening(source, stream, heard, ended);
  } catch (error) {
    stopTracks(stream);
    throw new SoundError(`The browser cannot analyse the sound: ${error.message}`);
  }
}

function stopTracks(stream) {
  for (const track of stream.getTracks()) track.stop();
}

class Listening {
  #stream;
  #context = new AudioContext();
  #analyser = new AnalyserNode(this.#context, { fftSize: KEPT_SAMPLES, smoothingTimeConstant: 0 });
  #analysis = new SoundAnalysis(this.#context.sampleRate);
  #kept = new Float32Array(KEPT_SAMPLES);
  #done = 0; // samples since the context began that were analysed
  #open = true;
  #heard;
  #ended;

  constructor(source, stream, heard, ended) {
    [this.#stream, this.#heard, this.#ended] = [stream, heard, ended];
    this.#context.createMediaStreamSource(stream).connect(this.#analyser);
    for (const track of stream.getTracks()) track.addEventListener('ended', () => this.#end(ENDED[source]));
    this.#context.addEventListener('statechange', () => { if (this.#context.state !== RUNS) this.#end(PAUSED); });
    this.#context.resume();
    setTimeout(() => { if (this.#context.state !== RUNS) this.#end(SILENT); }, START_MS); // Firefox without an audio output
    this.#tick();
  }

  /** Stops the tracks and closes the context; does not call `ended`. */
  close() {
    if (!this.#open) return;
    this.#open = false;
    stopTracks(this.#stream);
    this.#context.close();
  }

  #end(sentence) {
    if (!this.#open) return;
    this.close();
    this.#ended(sentence);
  }

  #tick = () => {
    if (!this.#open) return;
    const clock = new ConstantSourceNode(this.#context, { offset: 0 });
    clock.connect(this.#analyser); // a source that is connected to nothing does not end
    clock.addEventListener('ended', () => { clock.disconnect(); this.#tick(); });
    clock.start();
    clock.stop(this.#context.currentTime + TICK_S);
    this.#analyse();
  };

  /** Analyses the blocks, each half over the last, that came since the last call. */
  #analyse() {
    const { sampleRate } = this.#context;
    const { size } = this.#analysis;
    const now = this.#read();
    const oldest = now - KEPT_SAMPLES + size / 2; // what came before is lost
    let done = Math.max(this.#done, oldest);
    for (; done + size / 2 <= now; done += size / 2) {
      const end = KEPT_SAMPLES - (now - done) + size / 2;
      const time_s = (done + size / 2) / sampleRate;
      this.#heard(this.#analysis.take(this.#kept.subarray(end - size, end), time_s), time_s);
      if (!this.#open) return; // `heard` has closed it
    }
    this.#done = done;
  }

  /** Copies the newest samples; gives the number of the last. */
  #read() {
    let time;
    do { // the audio thread goes on meanwhile
      time = this.#context.currentTime;
      this.#analyser.getFloatTimeDomainData(this.#kept);
    } while (time !== this.#context.currentTime);
    return Math.round(time * this.#context.sampleRate);
  }
}
