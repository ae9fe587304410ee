/**
 * A link that is opened where this browser already has access: the token after its # is exchanged for the
 * access that the link gives. A page without access is not served; the server answers with login.html.
 */
import { serverAddress } from './address.js';
import { pageOf } from './channel_list.js';
import { sendTo } from './send.js';

const TOKEN = /^#((?:[a-z0-9][a-z0-9_-]{0,31}\.)?[A-Za-z0-9_-]{22,256})$/;
const WRONG = 'The token in this link is not, or no longer, valid; ask for a new link.';

/** refused(sentence): the link gives nothing. */
async function exchange(refused) {
  const [, token] = TOKEN.exec(location.hash) ?? [];
  if (!token) return undefined;
  history.replaceState(null, '', location.pathname + location.search);
  const answer = await sendTo(serverAddress('login'), 'POST', { token });
  if (!answer.ok) return refused(answer.status === 401 ? WRONG : answer.sentence);
  const { channel } = answer.data;
  if (channel && new URLSearchParams(location.search).get('channel') !== channel) return location.assign(pageOf(channel));
  return location.reload();
}

export function startLinks(refused) {
  addEventListener('hashchange', () => exchange(refused));
  exchange(refused);
}
