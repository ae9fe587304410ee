#!/usr/bin/env bash
# tunnel_to_stream.sh - forward localhost:8888 to the stream on your instance, until Ctrl-C.
#
# Usage: ./tunnel_to_stream.sh [options]
#
#   --port N       the local port (8888)
#   --open         open the browser once the stream is reachable
#   --osc N        send OSC messages that arrive at UDP port N of this computer to the stream
#   -h, --help     this text
#
# It says when the stream is reachable, reconnects when the connection is lost, and warns before the
# guard gives a rented instance back (press e for another hour).
#
# The address of the instance: the environment, the three lines below, ssh_config.json,
# ssh_<ID>.json or the last rental, in this order (deploy/address.sh). SERVER_PORT in the environment
# is the port there (8000).

set -Eeuo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/connection.sh
. "$HERE/deploy/connection.sh"
connect_environment "$@"

# Your instance, as the website shows it. The environment takes precedence over these.
SSH_HOST=""
SSH_PORT=""
PASSPHRASE=""

REMOTE_PORT=${SERVER_PORT:-8000}
LONGEST_PAUSE_S=8
SSH_ALIVE_S=${SSH_ALIVE_S:-5}

port=8888 want_open='' osc_port=''
forwarding='' # the ssh process
bridge=''     # the process that sends OSC messages through the tunnel
reachable=''  # yes, or the last message why not
warned=''     # the level of the last warning about the guard: first or last

tunnel_usage() {
  connect_say "$1"
  printf 'Usage: ./tunnel_to_stream.sh [options]; --help lists them.\n' >&2
  exit 2
}

tunnel_options() {
  while (($#)); do
    case $1 in
      --port)
        [[ ${2:-} =~ ^[1-9][0-9]{0,4}$ ]] || tunnel_usage '--port needs a number from 1 to 65535.'
        port=$2
        shift
        ;;
      --open) want_open=yes ;;
      --osc)
        [[ ${2:-} =~ ^[1-9][0-9]{0,4}$ ]] || tunnel_usage '--osc needs a number from 1 to 65535.'
        osc_port=$2
        shift
        ;;
      -h | --help)
        sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
        exit 0
        ;;
      *) tunnel_usage "there is no option $1." ;;
    esac
    shift
  done
}

# --- the local port -----------------------------------------------------------------------------

tunnel_port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

tunnel_holder() { # PORT: the process that listens there, in words
  local found=''
  if command -v lsof >/dev/null; then
    found=$(lsof -nP -iTCP:"$1" -sTCP:LISTEN 2>/dev/null | awk 'NR == 2 { printf "%s (process %s)", $1, $2 }')
  elif command -v ss >/dev/null; then
    found=$(ss -Hltnp "sport = :$1" 2>/dev/null | sed -n 's/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/\1 (process \2)/p' | head -n 1)
  fi
  printf '%s\n' "${found:-another process}"
}

tunnel_end_orphan() { # ends an ssh that a killed run of this script left on the port
  local script orphan
  read -r script orphan 2>/dev/null <"$CONNECT_HOME/tunnel.$port" || return 0
  if kill -0 "$script" 2>/dev/null && ps -o args= -p "$script" | grep -q 'tunnel_to_stream'; then
    return 0
  fi
  if ps -o args= -p "$orphan" 2>/dev/null | grep -qF -- "-L 127.0.0.1:$port:127.0.0.1:"; then
    connect_say "ending the tunnel (process $orphan) that an earlier run left running."
    kill "$orphan" 2>/dev/null || true
    sleep 0.5
  fi
  rm -f "$CONNECT_HOME/tunnel.$port"
}

tunnel_claim_port() {
  local next answer=''
  tunnel_end_orphan
  tunnel_port_taken "$port" || return 0
  next=$((port + 1))
  while ((next < 65535)) && tunnel_port_taken "$next"; do next=$((next + 1)); done
  if [[ -t 0 ]]; then
    printf '[tunnel_to_stream] The local port %s is taken by %s. Use %s instead? [Y/n] ' "$port" "$(tunnel_holder "$port")" "$next" >&2
    read -r answer || true
    if [[ $answer != [nN]* ]]; then
      port=$next
      return 0
    fi
    exit 1
  fi
  connect_die "The local port $port is taken by $(tunnel_holder "$port"): stop it, or use the next free one: --port $next."
}

# --- the stream behind it -----------------------------------------------------------------------

# No proxy from the environment or ~/.curlrc is used: it could not reach this end of the tunnel.
tunnel_ask() { # CURL'S ARGUMENTS: the answer, up to a limit
  local code
  curl --disable --noproxy '*' --silent --max-time 4 --header 'Host: localhost' "$@" 2>/dev/null | head -c 200000 | tr -d '\000' && return
  code=${PIPESTATUS[0]}
  ((code == 23)) || return "$code" # 23: the answer was longer
}

tunnel_check_stream() { # reports when the stream becomes reachable or unreachable
  local answer now=no status=0
  answer=$(tunnel_ask "http://127.0.0.1:$port/healthz") || status=$?
  if ((status == 7)); then # refused locally: the tunnel is not up yet
    return 0
  elif ((status)); then
    answer='no server answers behind the tunnel: run ./start_stream_server.sh, or --logs shows why.'
  elif [[ $answer == *'"ok"'* ]]; then
    now=yes
  else
    answer=$(sed -n 's/.*"error": *"\([^"]*\).*/\1/p' <<<"$answer")
    answer="the server answers, but has no picture yet: $(frame_clean "${answer:0:300}")"
  fi
  if [[ $now == yes ]]; then
    [[ $reachable == yes ]] || connect_say "the stream is reachable: http://localhost:$port/"
    if [[ -n $want_open ]]; then tunnel_open_browser; fi
  elif [[ $reachable != "$answer" ]]; then
    connect_say "$answer"
    now=$answer
  fi
  [[ $now == no ]] || reachable=$now
}

tunnel_open_browser() {
  local opener=xdg-open
  [[ $(uname -s) != Darwin ]] || opener=open # on Linux, open is another program
  want_open=''
  # In the background: some openers run until the browser is closed.
  {
    "$opener" "http://localhost:$port/" >/dev/null 2>&1 ||
      connect_say "the browser could not be opened: go to http://localhost:$port/"
  } </dev/null &
}

tunnel_check_guard() { # warns 15 and 5 minutes before the instance is given back
  local guard left level=''
  guard=$(tunnel_ask "http://127.0.0.1:$port/status" | tr '\n' ' ' | sed -n 's/.*"guard": *{\([^}]*\)}.*/\1/p') || return 0
  left=$(sed -n 's/.*"ends_at": *\([0-9]\{1,15\}\).*/\1/p' <<<"$guard")
  [[ -n $left ]] || return 0
  left=$((10#$left - $(date +%s)))
  ((left >= 0)) || left=0
  if ((left <= ${GUARD_WARN_LAST_S:-300})); then level=last; elif ((left <= ${GUARD_WARN_FIRST_S:-900})); then level=first; fi
  if [[ -n $level && $level != "$warned" ]]; then
    connect_say "WARNING: the instance is given back in $(((left + 59) / 60)) minutes. Press e for another hour."
  fi
  warned=$level
}

tunnel_extend() {
  local code
  code=$(tunnel_ask --request POST --output /dev/null --write-out '%{http_code}' "http://127.0.0.1:$port/guard/extend") || code=000
  if [[ $code == 200 ]]; then
    connect_say 'another hour was requested.'
  else
    connect_say "the rental could not be extended (HTTP $code)."
  fi
}

# --- OSC ----------------------------------------------------------------------------------------

tunnel_python() { # the name of a Python 3.8 or newer
  local python
  for python in python3 python; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 8))' >/dev/null 2>&1; then
      printf '%s\n' "$python"
      return
    fi
  done
  return 1
}

tunnel_start_bridge() {
  local python
  [[ -n $osc_port ]] || return 0
  python=$(tunnel_python) || connect_die '--osc needs Python 3.8 or newer on this computer: install python3.'
  "$python" "$HERE/deploy/osc_bridge.py" "$$" "$osc_port" "$port" </dev/null >/dev/null &
  bridge=$!
}

tunnel_check_bridge() { # it ends only if it cannot go on, and has said why
  if [[ -n $bridge ]] && ! kill -0 "$bridge" 2>/dev/null; then
    bridge=''
    exit 1
  fi
}

# --- the connection -----------------------------------------------------------------------------

tunnel_start() {
  ssh "${connect_options[@]}" -o ControlPath=none -o ExitOnForwardFailure=yes -N \
    -L "127.0.0.1:$port:127.0.0.1:$REMOTE_PORT" "$connect_host" >/dev/null 2>"$connect_dir/said" </dev/null &
  forwarding=$!
  printf '%s %s\n' "$$" "$forwarding" >"$CONNECT_HOME/tunnel.$port"
}

tunnel_pause() { # SECONDS: meanwhile a key press is read
  local key=''
  if [[ -t 0 ]]; then
    if IFS= read -rs -n 1 -t "$1" key && [[ $key == e ]]; then tunnel_extend; fi
  else
    sleep "$1" &
    wait $! || true
  fi
}

tunnel_hold() { # until the connection is lost
  local round=0
  while kill -0 "$forwarding" 2>/dev/null; do
    tunnel_check_bridge
    tunnel_check_stream
    if [[ $reachable == yes ]]; then
      ((round % 10)) || tunnel_check_guard
      round=$((round + 1))
    fi
    if [[ -n $reachable ]]; then
      tunnel_pause 1
    else # ssh is still connecting; the read of bash 3.2 takes whole seconds only
      sleep 0.2 &
      wait $! || true
    fi
  done
  wait "$forwarding" || true
  forwarding=''
}

tunnel_leave() {
  local process
  trap '' INT TERM HUP # a second Ctrl-C may not interrupt this
  for process in $forwarding $bridge; do
    kill "$process" 2>/dev/null || true
    wait "$process" 2>/dev/null || true
  done
  [[ ! -f $CONNECT_HOME/tunnel.$port ]] || [[ $(cut -d ' ' -f 1 "$CONNECT_HOME/tunnel.$port") != "$$" ]] ||
    rm -f "$CONNECT_HOME/tunnel.$port"
  connect_close
}

main() {
  local pause=1 begun why hopeless
  tunnel_options "$@"
  connect_configure "$HERE"
  trap tunnel_leave EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap 'exit 129' HUP
  connect_prepare
  tunnel_claim_port
  tunnel_start_bridge
  connect_say "localhost:$port to port $REMOTE_PORT of $connect_host. Ctrl-C ends it."
  while :; do
    begun=$SECONDS
    tunnel_start
    tunnel_hold
    hopeless=''
    if connect_was_refused "$(head -c 100000 "$connect_dir/said")" && connect_next_keys; then continue; fi
    why=$(connect_explain <"$connect_dir/said") || hopeless=yes
    [[ -z $hopeless ]] || connect_die "$why"
    if [[ $why == 'the local port is taken.' ]]; then
      connect_die "The local port $port is taken by $(tunnel_holder "$port")."
    fi
    ((SECONDS - begun < 30)) || pause=1
    reachable=''
    connect_say "$why Trying again in $pause s."
    tunnel_pause "$pause"
    ((pause >= LONGEST_PAUSE_S)) || pause=$((pause * 2 < LONGEST_PAUSE_S ? pause * 2 : LONGEST_PAUSE_S))
  done
}

main "$@"
