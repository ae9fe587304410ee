/** The links that open the channel of this page alone, in the menu of channels; for owners of the server. */
import { serverAddress } from './address.js';
import { sendTo } from './send.js';

const $ = (id) => document.getElementById(id);
const LOCAL = /^(localhost|127(\.\d+){3}|\[::1\])$/;

/** A link as others reach it: the way this page was reached, unless that was through this machine. */
function forOthers(link) {
  const { search, hash } = new URL(link);
  return LOCAL.test(location.hostname) ? link : serverAddress(search + hash);
}

/** refused(sentence): there are no links that work. */
export function startChannelLinks(channel, refused) {
  const fields = { view: $('channel-link-view'), control: $('channel-link-control') };
  Object.values(fields).forEach((field) => field.addEventListener('focus', () => field.select()));
  $('channel-share').addEventListener('click', async () => {
    const answer = await sendTo(serverAddress(`channels/${encodeURIComponent(channel)}/links`), 'GET');
    if (!answer.ok) return refused(answer.sentence);
    for (const [use, field] of Object.entries(fields)) field.value = forOthers(answer.data[use]);
    $('channel-links').hidden = false;
    return fields.view.focus();
  });
}

/** The links are secrets, so each opening of the menu begins without them. */
export function hideChannelLinks() {
  $('channel-links').hidden = true;
}
