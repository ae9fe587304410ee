#!/usr/bin/env bash
# guard.sh - on a rented instance: gives it back when its time is up or nobody watches any more.
#
# Usage: bash guard.sh COMMAND --state FOLDER [options]
#
#   arm       start watching, read back that it does, say until when. A guard that watches already
#             keeps its time, unless --hours or --idle-minutes is given
#   status    one line; the exit status is 0 only while the guard really watches
#   extend    give it more time: --minutes N (60)
#   disarm    stop watching: nothing ends the rental then
#   watch     what arm starts; never typed
#
#   --state FOLDER       where guard.json lies, which the server shows under /status
#   --port PORT          the server's port, asked for its viewers (8000)
#   --hours H            the hard limit (GUARD_HOURS, else 3)
#   --idle-minutes M     the limit without a viewer (GUARD_IDLE_MINUTES, else 30); setup and batches
#                        count as viewers
#   --if-rented          arm: where this is no rented instance, say so and be content
#   --minutes N          extend: how much longer
#
# It needs bash and curl, and the key that the instance has of its own (CONTAINER_API_KEY, which can
# end this instance and nothing else). It lives apart from the server and from any ssh session, and
# counts time by the machine's uptime, so that a clock that jumps changes nothing.

set -Eeuo pipefail

TICK_S=${GUARD_TICK_S:-10}
WARN_FIRST_S=${GUARD_WARN_FIRST_S:-900} WARN_LAST_S=${GUARD_WARN_LAST_S:-300}
API=${GUARD_API:-https://console.vast.ai}
ENVIRON=${GUARD_ENVIRON:-/proc/1/environ}

state='' port=8000 hours='' idle_minutes='' minutes=60 if_rented=''
id='' key=''
hard_left=0 idle_limit=0 idle_used=0 last_uptime=0 # seconds

guard_say() { printf '[guard] %s\n' "$*" >&2; }

guard_die() {
  guard_say "$*"
  exit 1
}

guard_seconds() { awk -v value="$1" -v unit="$2" 'BEGIN { printf "%d", value * unit + 0.5 }'; }

guard_identity() { # sets id and key; false where this is no rented instance
  id=${CONTAINER_ID:-} key=${CONTAINER_API_KEY:-}
  if [[ -z $id || -z $key ]]; then
    id=$({ tr '\0' '\n' <"$ENVIRON"; } 2>/dev/null | sed -n 's/^CONTAINER_ID=//p') || return 1
    key=$({ tr '\0' '\n' <"$ENVIRON"; } 2>/dev/null | sed -n 's/^CONTAINER_API_KEY=//p') || return 1
  fi
  [[ -n $id && -n $key ]]
}

guard_call() { # METHOD [JSON]: the HTTP status; the key goes through a pipe, never through argv
  local body=()
  [[ -z ${2:-} ]] || body=(--header 'Content-Type: application/json' --data "$2")
  printf 'header = "Authorization: Bearer %s"\n' "$key" |
    curl --silent --output /dev/null --write-out '%{http_code}' --max-time 30 --request "$1" \
      --config - ${body[@]+"${body[@]}"} "$API/api/v0/instances/$id/" 2>/dev/null || true
}

# --- what it knows ------------------------------------------------------------------------------

guard_uptime() {
  local up
  read -r up _ </proc/uptime
  printf '%s\n' "${up%%.*}"
}

guard_load() {
  read -r hard_left idle_limit idle_used last_uptime port 2>/dev/null <"$state/guard.state"
}

guard_save() {
  printf '%s %s %s %s %s\n' "$hard_left" "$idle_limit" "$idle_used" "$last_uptime" "$port" >"$state/.guard.state.new"
  mv -f "$state/.guard.state.new" "$state/guard.state"
}

guard_left() { # the seconds that are left
  local idle_left=$((idle_limit - idle_used))
  printf '%s\n' $((hard_left < idle_left ? hard_left : idle_left))
}

guard_write() { # ARMED MESSAGE: guard.json, whole or not at all
  local now left
  now=$(date +%s)
  left=$(guard_left)
  printf '{"armed": %s, "ends_at": %s, "written_at": %s, "message": "%s", "hard_left_s": %s, "idle_left_s": %s}\n' \
    "$1" $((now + left)) "$now" "$2" "$hard_left" $((idle_limit - idle_used)) >"$state/.guard.json.new"
  mv -f "$state/.guard.json.new" "$state/guard.json"
}

guard_pid() { # the watching process; false without one
  local pid
  read -r pid 2>/dev/null <"$state/guard.pid" || return 1
  [[ -r /proc/$pid/cmdline ]] && tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q 'guard\.sh watch ' || return 1
  printf '%s\n' "$pid"
}

guard_busy() { # a setup or a batch is at work
  local file
  for file in "$state"/busy/*; do
    [[ -e $file ]] || continue
    if [[ -d /proc/$(basename "$file") ]]; then return 0; fi
    rm -f "$file"
  done
  return 1
}

guard_watched() {
  local answer code
  answer=$(curl --silent --max-time 5 --header 'Host: localhost' --write-out '\n%{http_code}' "http://127.0.0.1:$port/status" 2>/dev/null) || return 1
  code=${answer##*$'\n'}
  [[ $code != 401 && $code != 403 ]] || return 0 # it serves and does not tell us: the benefit of the doubt
  [[ $(sed -n 's/.*"viewers": *\([0-9]*\).*/\1/p' <<<"$answer" | head -n 1) =~ ^[1-9] ]]
}

# --- watching -----------------------------------------------------------------------------------

guard_tick() {
  local up passed
  up=$(guard_uptime)
  passed=$((up - last_uptime))
  ((passed >= 0)) || passed=$TICK_S # the machine was restarted
  last_uptime=$up
  hard_left=$((hard_left - passed))
  if guard_busy || guard_watched; then
    ((idle_used < 0)) || idle_used=0
  else
    idle_used=$((idle_used + passed))
  fi
  guard_take_wish
  guard_save
}

guard_take_wish() {
  local wish seconds
  [[ -f $state/guard.extend ]] || return 0
  read -r wish <"$state/guard.extend" || true
  rm -f "$state/guard.extend"
  [[ $wish =~ ^[0-9]+(\.[0-9]+)?$ ]] || return 0
  seconds=$(guard_seconds "$wish" 60)
  hard_left=$((hard_left + seconds))
  ((idle_used <= idle_limit - seconds)) || idle_used=$((idle_limit - seconds))
  guard_log "extended by $wish minutes"
}

guard_log() { printf '%s %s\n' "$(date -u '+%Y-%m-%d %H:%M:%SZ')" "$*"; }

guard_message() { # SECONDS LEFT
  local why='its time is up' shown
  ((hard_left <= idle_limit - idle_used)) || why='nobody is watching'
  shown=$((($1 + 59) / 60))
  if (($1 <= WARN_LAST_S)); then
    printf 'In %s minutes this machine is given back (%s): extend it now if you want to go on.' "$shown" "$why"
  elif (($1 <= WARN_FIRST_S)); then
    printf 'This machine is given back in %s minutes (%s), unless it is extended.' "$shown" "$why"
  fi
}

guard_destroy() { # until it is gone; nothing else is left to do here
  local tries=0 pause=$TICK_S code
  while :; do
    tries=$((tries + 1))
    guard_write true 'This machine is being given back now.'
    code=$(guard_call DELETE)
    guard_log "destroy, attempt $tries: HTTP $code"
    if [[ $code == 2?? || $code == 404 ]]; then
      sleep "$TICK_S"
      [[ $(guard_call GET) != 404 ]] || exit 0 # only a stand-in lets us see that
    elif ((tries % 5 == 0)); then
      guard_log "stop instead, so that the graphics card is not billed on: HTTP $(guard_call PUT '{"state": "stopped"}')"
    fi
    sleep "$pause"
    ((pause >= 60)) || pause=$((pause * 2))
  done
}

guard_watch() {
  local left
  trap '' HUP
  guard_identity || guard_die 'CONTAINER_ID or CONTAINER_API_KEY is gone.'
  guard_load
  printf '%s\n' "$$" >"$state/guard.pid"
  while :; do
    guard_tick
    left=$(guard_left)
    if ((left <= 0)); then
      guard_log "time is up: hard limit $hard_left s, without a viewer $((idle_limit - idle_used)) s left"
      guard_destroy
    fi
    guard_write true "$(guard_message "$left")"
    sleep "$((left < TICK_S ? left : TICK_S))"
  done
}

# --- commands -----------------------------------------------------------------------------------

guard_line() { # what status and arm say
  local left
  left=$(guard_left)
  printf 'armed: given back at %s UTC at the latest, and %s minutes after the last viewer; now %s minutes are left\n' \
    "$(date -u -d "@$(($(date +%s) + hard_left))" '+%H:%M')" $(((idle_limit + 59) / 60)) $(((left + 59) / 60))
}

guard_end() {
  local pid
  pid=$(guard_pid) || return 0
  kill "$pid" 2>/dev/null || true
}

guard_arm() {
  local tenth code
  if ! guard_identity; then
    [[ -n $if_rented ]] || guard_die 'CONTAINER_ID and CONTAINER_API_KEY are not there, so this instance CANNOT be guarded: destroy it yourself.'
    guard_say 'this machine has no rental key, so there is no guard: nothing ends this rental but you.'
    return 0
  fi
  command -v curl >/dev/null || guard_die 'curl is not there, so this instance is NOT guarded: destroy it yourself.'
  if [[ -z $hours && -z $idle_minutes ]] && guard_pid >/dev/null && guard_load; then
    guard_say "$(guard_line)"
    return 0
  fi
  if ! guard_load || [[ -n $hours ]]; then hard_left=$(guard_seconds "${hours:-${GUARD_HOURS:-3}}" 3600); fi
  if ((idle_limit <= 0)) || [[ -n $idle_minutes ]]; then idle_limit=$(guard_seconds "${idle_minutes:-${GUARD_IDLE_MINUTES:-30}}" 60); fi
  idle_used=0
  last_uptime=$(guard_uptime)
  guard_end
  rm -f "$state/guard.json" "$state/guard.pid" "$state/guard.extend"
  guard_save
  # The key reaches the watcher through the environment of process 1, as it reached us.
  setsid --fork env -u CONTAINER_API_KEY bash "${BASH_SOURCE[0]}" watch --state "$state" >>"$state/guard.log" 2>&1 </dev/null
  for ((tenth = 0; tenth < 100; tenth++)); do
    [[ ! -s $state/guard.json ]] || ! guard_pid >/dev/null || break
    sleep 0.1
  done
  if [[ ! -s $state/guard.json ]] || ! guard_pid >/dev/null; then
    tail -n 3 "$state/guard.log" >&2 || true
    guard_die 'the guard does NOT watch: nothing ends this rental but you.'
  fi
  guard_say "$(guard_line)"
  guard_say "change it: --hours, --idle-minutes, --no-guard of start_stream_server.sh."
  code=$(guard_call PUT '{"state": "running"}') # changes nothing, and shows that the key opens
  [[ $code == 2?? ]] || guard_say "CAREFUL: the rental's API did not take this instance's key when tried (HTTP $code): destroy it yourself when you are done."
}

guard_status() {
  if guard_pid >/dev/null && guard_load; then
    guard_line
  else
    printf 'none: nothing ends this rental but you\n'
    return 1
  fi
}

guard_extend() {
  printf '%s\n' "$minutes" >"$state/.guard.extend.new"
  mv -f "$state/.guard.extend.new" "$state/guard.extend"
}

guard_disarm() {
  guard_end
  rm -f "$state/guard.json" "$state/guard.state" "$state/guard.pid"
  guard_say 'disarmed: nothing ends this rental but you.'
}

main() {
  local command=${1:-}
  case $command in
    arm | watch | status | extend | disarm) shift ;;
    *)
      sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
      [[ $command == -h || $command == --help ]] && exit 0
      exit 2
      ;;
  esac
  while (($#)); do
    case $1 in
      --state) state=$2 ;;
      --port) port=$2 ;;
      --hours) hours=$2 ;;
      --idle-minutes) idle_minutes=$2 ;;
      --minutes) minutes=$2 ;;
      --if-rented)
        if_rented=yes
        set -- "$1" "$@"
        ;;
      *) guard_die "there is no option $1." ;;
    esac
    shift 2
  done
  [[ -n $state ]] || guard_die '--state FOLDER is missing.'
  mkdir -p "$state"
  "guard_$command"
}

main "$@"
