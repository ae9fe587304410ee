/**
 * Opens what frames can start from: a camera, a screen, or a picture or video file. Nothing is sent from
 * here.
 *
 * Each is {kind, moving, isMirrorLike, image(), device, close()}: image() gives {element, width, height} as
 * of now, isMirrorLike tells whether people expect to see themselves as in a mirror, device is the id of a
 * camera.
 */

const CAMERA = { width: { ideal: 1280 }, height: { ideal: 720 } };
const SCREEN = { width: { max: 1920 }, height: { max: 1080 }, frameRate: { max: 30 } };

const NAMES = { camera: 'camera', screen: 'screen' };
const INSECURE = 'Browsers give a camera or a screen only to pages on https or localhost; open the page through the tunnel, at http://localhost.';
const REFUSED = {
  camera: {
    NotAllowedError: 'The camera is not allowed; allow it for this page in the settings of the browser.',
    NotFoundError: 'There is no camera; connect one and try again.',
    NotReadableError: 'The camera cannot be read; another program may be using it.',
    OverconstrainedError: 'This camera is no longer connected; choose another.',
  },
  screen: {
    NotAllowedError: 'No screen was shared; choose one in the dialog of the browser.',
    NotFoundError: 'There is no screen that can be shared.',
    NotReadableError: 'The screen cannot be read; the system may forbid it.',
  },
};
const ENDED = { camera: 'The camera was disconnected.', screen: 'The screen is no longer shared.' };
const UNREADABLE = 'The browser cannot show this file; use a JPEG, PNG or WebP picture, or an MP4 or WebM video.';

/** Why nothing can be captured; its message is a sentence for the visitor. */
export class CaptureError extends Error {}

/** Why this browser cannot capture `kind`, camera or screen, here; or ''. */
export function missing(kind) {
  if (!isSecureContext) return INSECURE;
  const ask = kind === 'screen' ? navigator.mediaDevices?.getDisplayMedia : navigator.mediaDevices?.getUserMedia;
  return ask ? '' : `This browser cannot capture a ${NAMES[kind]}; use Chrome, Edge, Firefox or Safari on a computer.`;
}

/** Captures `kind`, camera or screen; `device`: the id of a camera, or ''. Calls `ended` with a sentence if it ends by itself. Throws CaptureError. */
export async function capture(kind, device, ended) {
  const stream = await ask(kind, device);
  const video = muted({ srcObject: stream });
  const [track] = stream.getVideoTracks();
  let open = true;
  const close = () => {
    open = false;
    for (const each of stream.getTracks()) each.stop();
    video.srcObject = null;
  };
  track.addEventListener('ended', () => {
    if (!open) return;
    close();
    ended(ENDED[kind]);
  });
  video.play().catch(() => {}); // it is refused if the capture is closed before its first picture
  const { facingMode, deviceId = '' } = track.getSettings();
  const isMirrorLike = kind === 'camera' && facingMode !== 'environment';
  return { kind, moving: true, isMirrorLike, device: kind === 'camera' ? deviceId : '', image: () => imageOf(video), close };
}

async function ask(kind, device) {
  if (missing(kind)) throw new CaptureError(missing(kind));
  try {
    if (kind === 'camera') return await navigator.mediaDevices.getUserMedia({ video: { ...CAMERA, ...(device && { deviceId: { exact: device } }) } });
    return await navigator.mediaDevices.getDisplayMedia({ video: SCREEN, ...staysHere() });
  } catch (error) {
    throw new CaptureError(REFUSED[kind][error.name] ?? `The browser refuses the ${NAMES[kind]}: ${error.message}`);
  }
}

/** Asks the browser not to show the shared tab or window, which would hide this page. */
function staysHere() {
  if (typeof CaptureController !== 'function') return {};
  const controller = new CaptureController();
  controller.setFocusBehavior?.('no-focus-change');
  return { controller };
}

/** The cameras of this device: [{id, name}]; without names before one was allowed. */
export async function cameras() {
  const found = await navigator.mediaDevices.enumerateDevices();
  return found.filter(({ kind }) => kind === 'videoinput').map(({ deviceId, label }, i) => ({ id: deviceId, name: label || `Camera ${i + 1}` }));
}

/** Opens a picture, or a video that repeats without its sound. Throws CaptureError. */
export async function openFile(file) {
  const rest = { kind: 'file', isMirrorLike: false, device: '' };
  const bitmap = file.type.startsWith('video/') ? null : await createImageBitmap(file).catch(() => null);
  if (bitmap) {
    const { width, height } = bitmap;
    return { ...rest, moving: false, image: () => ({ element: bitmap, width, height }), close: () => bitmap.close() };
  }
  const src = URL.createObjectURL(file);
  const video = muted({ src, loop: true });
  const close = () => {
    video.removeAttribute('src');
    video.load(); // lets go of the file
    URL.revokeObjectURL(src);
  };
  try {
    await video.play();
  } catch {
    close();
    throw new CaptureError(UNREADABLE);
  }
  return { ...rest, moving: true, image: () => imageOf(video), close };
}

const muted = (properties) => Object.assign(document.createElement('video'), { muted: true, playsInline: true, ...properties });
const imageOf = (video) => ({ element: video, width: video.videoWidth, height: video.videoHeight });
