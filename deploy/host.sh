#!/usr/bin/env bash
# host.sh - what start_stream_server.sh does on the instance: install, start, switch, stop.
#
# Usage: bash deploy/host.sh COMMAND FOLDER [arguments]
#
#   probe FOLDER                 what this machine has, one "name value" a line; makes FOLDER
#   start FOLDER RELEASE [--replace] [--no-guard] [NAME=VALUE...]
#                                start a release; it takes over once it has painted a picture
#   rollback FOLDER              start the release before the one that serves
#   status FOLDER                what runs
#   stop FOLDER                  end the server
#   logs FOLDER                  follow the serving release's log
#   share FOLDER ADDRESS [own]   the link with which others watch (own: do all) at that address
#
# FOLDER (/workspace) holds releases/, envs/, state/ (STATE_DIR), run/ (locks and process numbers),
# and the links current, previous, server.log, realtime_stream.py and process_batch.py.

set -Eeuo pipefail

START_WAIT_S=${START_WAIT_S:-3600} # a first start fetches gigabytes
FAILED_PATIENCE_S=${FAILED_PATIENCE_S:-30} # a server that calls itself failed may yet come round
RELEASES_KEPT=3

base=''
heartbeat='' # the process that notices a broken line
launched='' # the release that this start launched and must end when it fails
before=''   # the folder of the release that served when this start began
replaced='' # it was ended first, as --replace says

host_say() { printf '[host] %s\n' "$*" >&2; }

host_die() {
  host_say "$*"
  exit 1
}

# --- what runs ----------------------------------------------------------------------------------

host_told() { # FILE: its first line, where it is a regular file (a FIFO would hang)
  [[ -f $1 && ! -L $1 ]] || return 1
  head -c 4096 "$1" 2>/dev/null | head -n 1
}

host_serving() { # "PID PORT FOLDER" of the server that holds the public port; false without one
  local pid port folder
  read -r pid port folder < <(host_told "$base/state/serving") || return 1
  host_is_server "$pid" "$folder" || return 1
  printf '%s %s %s\n' "$pid" "$port" "$folder"
}

host_is_server() { # PID FOLDER: that process is the server that runs in that folder
  [[ $1 =~ ^[1-9][0-9]*$ && -r /proc/$1/cmdline ]] && tr '\0' ' ' <"/proc/$1/cmdline" | grep -q 'realtime_stream\.py' &&
    [[ $(readlink "/proc/$1/cwd") == "$2" ]]
}

host_loop() { # RELEASE: the process number of its loop; false where none lives
  local pid
  read -r pid < <(host_told "$base/run/$1.loop") || return 1
  [[ $pid =~ ^[1-9][0-9]*$ && -r /proc/$pid/cmdline ]] && tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF "loop.sh $base $1 " || return 1
  printf '%s\n' "$pid"
}

host_end_release() { # RELEASE: its loop, and a server that its loop left behind
  local pid file
  if pid=$(host_loop "$1"); then
    kill -TERM "$pid" 2>/dev/null || true
    host_await_end "$pid" 80
  fi
  for file in "$base/state/serving" "$base/state/standby"; do
    read -r pid _ _ < <(host_told "$file") || continue
    if host_is_server "$pid" "$base/releases/$1"; then
      kill -TERM "$pid" 2>/dev/null || true
      host_await_end "$pid" 80
    fi
  done
  rm -f "$base/run/$1.loop"
}

host_lives() { # PID: it is there, and no zombie that process 1 does not wait for
  local stat
  read -r stat 2>/dev/null <"/proc/$1/stat" || return 1
  stat=${stat##*) }
  [[ ${stat:0:1} != [ZX] ]]
}

host_await_end() { # PID TENTHS: until it is gone, with force after so long
  local tenth
  for ((tenth = 0; tenth < $2; tenth++)); do
    host_lives "$1" || return 0
    sleep 0.1
  done
  kill -KILL "$1" 2>/dev/null || true
  sleep 0.2
}

host_end_leftovers() { # loops of starts that were killed before their release served
  local file release serving=''
  serving=$(host_serving) || true
  for file in "$base"/run/*.loop; do
    [[ -e $file ]] || continue
    release=$(basename "$file" .loop)
    [[ ${serving##*/} == "$release" ]] && continue
    if host_loop "$release" >/dev/null; then
      # With nothing serving, the current release's loop is between two lives of its server.
      [[ $(readlink "$base/current") == "releases/$release" ]] && host_await_serving && continue
      host_say "ending $release, which an interrupted start left behind."
    fi
    host_end_release "$release"
  done
}

host_await_serving() { # [TENTHS]: a server that crashed a moment ago is back within this time
  local tenth
  for ((tenth = 0; tenth < ${1:-200}; tenth++)); do
    ! host_serving >/dev/null || return 0
    sleep 0.1
  done
  return 1
}

# The one way to ask the server: neither a proxy of the environment nor one of ~/.curlrc stands
# between this machine and itself.
host_ask() { # PORT PATH: the server's answer
  curl --disable --noproxy '*' --silent --max-time 5 --header 'Host: localhost' "http://127.0.0.1:$1$2" 2>/dev/null
}

# The fields named by the arguments of a JSON object, a line each; nothing that moves a cursor.
HOST_FIELDS='import json, sys
try:
    answer = json.loads(sys.stdin.buffer.read())
    found = [answer.get(name) for name in sys.argv[1:]]
except (ValueError, AttributeError, RecursionError):
    sys.exit(1)
for value in found:
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value)
    line = "".join(letter if letter.isprintable() else " " for letter in text[:400])
    sys.stdout.buffer.write(line.encode("utf-8", "replace") + b"\n")'

host_fields() { # NAME...: those fields of the JSON object on its input, a line each; false without
  local candidate own=''
  own=$(host_told "$base/current/.deploy/python") || true
  for candidate in python3 /usr/bin/python3 /usr/local/bin/python3 ${own:+"$own"}; do
    if command -v "$candidate" >/dev/null; then
      "$candidate" -I -B -c "$HOST_FIELDS" "$@"
      return
    fi
  done
  return 1
}

host_disk_is_full() { # no room or no inodes below base
  local room inodes
  room=$(df -Pk "$base" 2>/dev/null | awk 'NR == 2 { print $4 }')
  inodes=$(df -Pi "$base" 2>/dev/null | awk 'NR == 2 && $2 > 0 { print $4 }')
  [[ -n $room ]] || return 1
  ((room >= 1024)) || return 0
  [[ $inodes == 0 ]]
}

# --- before a start -----------------------------------------------------------------------------

host_lock() {
  mkdir -p "$base/run"
  # The folder itself can be locked where the disk takes no file.
  { exec 9>>"$base/run/lock"; } 2>/dev/null || exec 9<"$base/run"
  if ! flock --nonblock 9; then
    host_say "another start is at work in $base (process $(cat "$base/run/lock.holder" 2>/dev/null || echo '?')): waiting until it is done."
    flock 9
  fi
  printf '%s\n' "$$" 2>/dev/null >"$base/run/lock.holder" || true
}

host_heartbeat() { # ends this start when the other end of the line has gone
  (
    trap - ERR EXIT
    trap '' PIPE
    while printf '\n' 2>/dev/null; do sleep 2; done
    kill -TERM "$1" 2>/dev/null
  ) 9>&- &
  heartbeat=$!
}

host_busy() { # keeps the guard's idle limit away while this process lives
  # Where the disk takes no file, the guard's idle limit goes on counting meanwhile.
  { mkdir -p "$base/state/busy" && touch "$base/state/busy/$$"; } 2>/dev/null || true
}

host_environment() { # FOLDER: sets python to an interpreter that can run this release
  local folder=$1 key
  if [[ -n ${INSTANCE_PYTHON:-} ]]; then
    python=$INSTANCE_PYTHON
    [[ -x $python ]] || host_die "INSTANCE_PYTHON names $python, which is not there."
    "$python" -c 'import torch, diffusers, transformers, flask, flask_cors, gevent, PIL' 2>/dev/null 9>&- ||
      host_die "INSTANCE_PYTHON ($python) does not have all that requirements.txt lists: leave it unset, and an environment is made."
  else
    key=$(sha256sum <"$folder/requirements.txt" | cut -c 1-12)
    python=$base/envs/$key/bin/python
    # With the server's settings: the check at its end fetches the model that they name.
    # shellcheck disable=SC1091
    (. "$folder/.deploy/settings" && exec bash "$folder/setup.sh" --venv "$base/envs/$key" 9>&-) || host_die 'The environment is not complete: the reason stands above. Start again when it is gone: it goes on from there.'
  fi
  printf '%s\n' "$python" >"$folder/.deploy/python"
}

host_settings() { # FOLDER NAME=VALUE...: what the loop reads
  local settings=$1/.deploy/settings pair public
  {
    printf 'export STATE_DIR=%q HANDOVER=take SERVER_HOST=0.0.0.0 PYTHONUNBUFFERED=1\n' "$base/state"
    for pair in "${@:2}"; do printf 'export %s=%q\n' "${pair%%=*}" "${pair#*=}"; done
  } >"$settings"
  public=$(host_public "$(host_port_of "$1")")
  if [[ -n $public ]] && ! grep -q '^export PUBLIC_ADDRESS=' "$settings"; then
    printf 'export PUBLIC_ADDRESS=%q\n' "$public" >>"$settings"
  fi
}

host_public() { # PORT: HOST:PORT by which others reach it, where Vast.ai has mapped it
  { tr '\0' '\n' <"${GUARD_ENVIRON:-/proc/1/environ}"; } 2>/dev/null | awk -F = -v mapped="VAST_TCP_PORT_$1" '
    $1 == "PUBLIC_IPADDR" { host = $2 }
    $1 == mapped { port = $2 }
    END { gsub(/ /, "", host); if (host != "" && port != "") print host ":" port }' || true
}

host_port_of() { # FOLDER: the port that its settings ask for
  (
    unset SERVER_PORT
    # shellcheck disable=SC1091
    [[ ! -f $1/.deploy/settings ]] || . "$1/.deploy/settings"
    printf '%s\n' "${SERVER_PORT:-$(sed -n 's/^SERVER_PORT = \([0-9]*\).*/\1/p' "$1/realtime_stream.py")}"
  )
}

host_port_holder() { # PORT: who listens there, in words
  local line
  line=$(ss -Hltnp "sport = :$1" 2>/dev/null | head -n 1) || true
  [[ -n $line ]] || return 1
  sed -n 's/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/\1 (process \2)/p' <<<"$line" | grep . || printf 'another process\n'
}

host_memory_left() { # PID of the server: "have need" in MB, for a second engine beside it
  local free used resident
  if command -v nvidia-smi >/dev/null &&
    read -r free used < <(nvidia-smi --query-gpu=memory.free,memory.used --format=csv,noheader,nounits 2>/dev/null | head -n 1 | tr -d ',') &&
    [[ $free =~ ^[0-9]+$ && $used =~ ^[0-9]+$ ]]; then
    printf '%s %s\n' "$free" "$used"
    return
  fi
  resident=$(awk '/^VmRSS/ { printf "%d", $2 / 1024 }' "/proc/$1/status")
  free=$(awk '/^MemAvailable/ { printf "%d", $2 / 1024 }' /proc/meminfo)
  printf '%s %s\n' "$free" "$resident"
}

host_port_is_ours() { # PORT REPLACE: free, or held by the serving release
  local holder port
  if read -r _ port _ < <(host_serving); then
    [[ $port == "$1" || -n $2 ]] ||
      host_die "The stream is on port $port and would move to $1: it cannot be handed over; take --replace."
  elif holder=$(host_port_holder "$1"); then
    host_die "Port $1 of the instance is taken by $holder, which this script did not start: end it there, or give another SERVER_PORT."
  fi
}

host_make_room() { # REPLACE PORT: what must be true beside the serving release, or without one
  local replace=$1 want_port=$2 pid port folder have need
  host_port_is_ours "$want_port" "$replace"
  read -r pid port folder < <(host_serving) || return 0
  if [[ -n $replace ]]; then
    host_say "ending $(basename "$folder") first, as --replace says: the stream pauses until the new one has loaded."
    replaced=yes
    host_end_release "$(basename "$folder")"
    return 0
  fi
  read -r have need < <(host_memory_left "$pid")
  ((have >= need)) ||
    host_die "There is no memory for two engines: the one that serves takes $need MB and $have MB are free. Take --replace: it ends the old one first, and the stream pauses meanwhile."
}

host_guard() { # ARGUMENTS of guard.sh: by its own copy, which outlives every release
  [[ -f $base/guard/guard.sh && -d $base/guard/instance ]] || return 1
  bash "$base/guard/guard.sh" "$1" --state "$base/state" "${@:2}" 9>&-
}

host_copy_guard() { # FOLDER of a release; false where the disk takes no more
  local new=$base/guard.new
  rm -rf "$new"
  mkdir -p "$new" && cp -R "$1/deploy/guard.sh" "$1/deploy/instance" "$new/" || return 1
  # An earlier guard has read its program and does not look there again.
  rm -rf "$base/guard.old"
  { [[ ! -e $base/guard ]] || mv -T "$base/guard" "$base/guard.old"; } && mv -T "$new" "$base/guard" || return 1
  rm -rf "$base/guard.old"
}

host_arm_guard() { # FOLDER NO_GUARD PORT (that of the release's settings)
  local limits=() guard=$base/guard/guard.sh
  if ! host_copy_guard "$1" 2>/dev/null; then
    rm -rf "$base/guard.new"
    host_say "CAREFUL: $base/guard cannot be written, so the guard runs from the release's folder."
    guard=$1/deploy/guard.sh
  fi
  if [[ -n $2 ]]; then
    bash "$guard" disarm --state "$base/state" 9>&- || true # up may have armed it
    return 0
  fi
  [[ -z ${GUARD_HOURS:-} ]] || limits+=(--hours "$GUARD_HOURS")
  [[ -z ${GUARD_IDLE_MINUTES:-} ]] || limits+=(--idle-minutes "$GUARD_IDLE_MINUTES")
  bash "$guard" arm --state "$base/state" --port "${3:-$(host_port_of "$1")}" --if-rented \
    ${limits[@]+"${limits[@]}"} 9>&-
}

# --- start --------------------------------------------------------------------------------------

host_start() { # RELEASE [--replace] [--no-guard] [NAME=VALUE...]
  local release=$1 replace='' no_guard='' guarded='' port='' pairs=() folder python
  shift
  while (($#)); do
    case $1 in
      --replace) replace=yes ;;
      --no-guard) no_guard=yes ;;
      *=*)
        pairs+=("$1")
        [[ $1 != SERVER_PORT=* ]] || port=${1#*=}
        ;;
      *) host_die "there is no option $1." ;;
    esac
    shift
  done
  folder=$base/releases/$release
  host_lock
  host_busy
  host_heartbeat "$$"
  read -r _ _ before < <(host_serving) || true
  trap host_leave EXIT
  trap 'host_failed $LINENO' ERR
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap 'exit 129' HUP
  if [[ -d $base/releases/.incoming-$release ]]; then
    mv -T "$base/releases/.incoming-$release" "$folder"
  fi
  [[ -f $folder/realtime_stream.py ]] || host_die "There is no release $release in $base/releases."
  # First of all: whatever fails below, a rented instance is guarded.
  host_arm_guard "$folder" "$no_guard" "$port" || guarded=no
  mkdir -p "$folder/.deploy" "$base/state"
  [[ -L $base/state ]] || chmod 0700 "$base/state" # where a link leads is not ours
  [[ -f $folder/.deploy/settings && -z ${pairs[*]-} ]] || host_settings "$folder" ${pairs[@]+"${pairs[@]}"}
  host_end_leftovers
  host_port_is_ours "$(host_port_of "$folder")" "$replace" # before minutes of installing
  [[ -n $before ]] || read -r _ _ before < <(host_serving) || true # it was between two lives
  host_environment "$folder"
  # On a bare machine it is the environment that brings the Python which the guard needs.
  [[ $guarded != no ]] || host_arm_guard "$folder" "$no_guard" "$port" || true
  host_make_room "$replace" "$(host_port_of "$folder")"
  launched=$release
  host_launch "$release"
  host_wait "$release" "$folder"
  launched=''
  host_prune "$release"
  host_say "$release serves on port $(host_port_of "$folder")."
}

host_launch() { # RELEASE: its loop, detached
  local folder=$base/releases/$1
  rm -f "$base/run/$1.ended" "$base/state/standby"
  setsid --fork bash "$folder/deploy/loop.sh" "$base" "$1" "$$" >>"$folder/server.log" 2>&1 </dev/null 9>&-
}

host_failed() { # LINE: a command failed that nothing was prepared for
  if host_disk_is_full; then
    host_say "The instance's disk is full: $base takes no more. Make room there (du -xh $base | sort -h | tail) and start again."
  elif [[ ! -w $base ]]; then
    host_say "The instance's disk is read-only: $base takes nothing."
  else
    host_say "line $1 of host.sh failed; the reason stands above."
  fi
}

host_leave() {
  local status=$? where=''
  trap - ERR
  set +e # whatever fails from here on, the rest is done
  rm -f "$base/state/busy/$$" 2>/dev/null
  kill "$heartbeat" 2>/dev/null
  read -r _ _ where < <(host_serving)
  # Once the port is the new release's, ending it would leave nothing: the one before has ended.
  if [[ -n $launched && ! (-n $before && $where == "$base/releases/$launched") ]]; then
    host_end_release "$launched"
  fi
  ((status == 0)) || host_tell_who_serves
}

host_tell_who_serves() { # after a start that failed
  local where=''
  read -r _ _ where < <(host_serving)
  if [[ -n $where && $where == "$before" ]]; then
    host_say "Nothing has changed: ${where##*/} goes on serving."
  elif [[ -n $where && -n $before ]]; then
    host_say "${where##*/} has taken the port over and is left running. --rollback goes back to the release before."
  elif [[ -n $before && -z $replaced ]]; then
    host_restart_before
  elif [[ -n $launched ]]; then
    host_say 'Nothing serves now.'
  fi
}

host_restart_before() { # the release that handed its port to one that has ended
  local release=${before##*/}
  host_say "the new release took the port over and ended: starting $release again."
  host_launch "$release" && host_await_serving 1200 &&
    host_say "$release serves again." && return
  host_say "Nothing serves now: $release did not come back; $base/releases/$release/server.log says why."
}

host_wait() { # RELEASE FOLDER: until it holds the public port and is healthy; its state is shown
  local release=$1 folder=$2 until=$((SECONDS + START_WAIT_S)) pid port where said='' said_at=0 state message status='' failing='' looped=''
  while ((SECONDS < until)); do
    if read -r pid port where < <(host_serving) && [[ $where == "$folder" ]] &&
      host_ask "$port" /healthz | grep -q '"ok"' && [[ $(readlink -f "$base/current") == "$folder" ]]; then
      return 0
    fi
    if [[ -f $base/run/$release.ended ]]; then
      status=$(host_told "$base/run/$release.ended") || true
      status=${status:-it ended, and the full disk did not take why}
      break
    fi
    if host_loop "$release" >/dev/null; then
      looped=yes
    elif [[ -n $looped && ! -f $base/run/$release.ended ]]; then
      status='its loop has ended'
      break
    fi
    if { read -r pid port where < <(host_told "$base/state/standby") && [[ $where == "$folder" ]]; } ||
      { read -r pid port where < <(host_serving) && [[ $where == "$folder" ]]; }; then
      state='' message=''
      { read -r state && read -r message; } < <(host_ask "$port" /status | host_fields state message) || true
      if [[ $state != failed ]]; then
        failing=''
      elif [[ -z $failing ]]; then
        failing=$SECONDS
      elif ((SECONDS - failing > FAILED_PATIENCE_S)); then
        status="it has called itself failed for $FAILED_PATIENCE_S s"
        break
      fi
      # Megabytes that count up are said every ten seconds, other news at once.
      if [[ -n $message && $message != "$said" ]] &&
        { [[ ${message//[0-9,]/} != "${said//[0-9,]/}" ]] || ((SECONDS - said_at >= 10)); }; then
        host_say "waiting: ${message:0:200}"
        said=$message said_at=$SECONDS
      fi
    fi
    sleep 0.3
  done
  host_say "the new release failed (${status:-it was not ready after $START_WAIT_S s}). The end of its log:"
  tail -n 15 "$folder/server.log" >&2 || true
  exit 1 # host_leave says what serves now
}

host_prune() { # RELEASE that was started: the newest RELEASES_KEPT stay, and those that the links name
  local name kept=0 current previous
  current=$(basename "$(readlink "$base/current" || true)")
  previous=$(basename "$(readlink "$base/previous" || true)")
  while read -r name; do
    kept=$((kept + 1))
    if ((kept > RELEASES_KEPT)) && [[ $name != "$current" && $name != "$previous" ]]; then
      rm -rf "${base:?}/releases/$name"
    fi
  done < <(find "$base/releases" -mindepth 1 -maxdepth 1 -type d -not -name '.*' -printf '%f\n' | sort -r)
  # Half-copied ones of before; a later one belongs to a start that waits for this one's end.
  while read -r name; do
    [[ ${name#.incoming-} > $1 ]] || rm -rf "${base:?}/releases/$name"
  done < <(find "$base/releases" -mindepth 1 -maxdepth 1 -type d -name '.incoming-*' -printf '%f\n')
}

# --- the rest -----------------------------------------------------------------------------------

host_rollback() {
  local previous
  previous=$(readlink "$base/previous") || host_die 'There is no release before this one.'
  host_say "going back to $(basename "$previous")."
  host_start "$(basename "$previous")" "$@"
}

host_stop() {
  local file serving
  host_lock
  serving=$(host_serving) || true
  for file in "$base"/run/*.loop; do
    [[ ! -e $file ]] || host_end_release "$(basename "$file" .loop)"
  done
  if [[ -n $serving ]]; then
    host_end_release "${serving##*/}"
    host_say "stopped ${serving##*/}."
  else
    host_say 'nothing was running.'
  fi
  if host_guard status >/dev/null 2>&1; then
    host_say 'the rental goes on, and its guard stands: destroy the instance when you are done.'
  fi
}

host_status() {
  local pid port folder answer message='' fps='' viewers=''
  if read -r pid port folder < <(host_serving); then
    answer=$(host_ask "$port" /status) || answer=''
    printf 'release   %s (process %s, port %s, for %s)\n' "$(basename "$folder")" "$pid" "$port" "$(ps -o etime= -p "$pid" | tr -d ' ')"
    if [[ -z $answer ]]; then
      printf 'state     the server does not answer\n'
    elif { read -r message && read -r fps && read -r viewers; } < <(host_fields message fps viewers < <(printf '%s' "$answer")); then
      printf 'state     %s\n' "$message"
      printf 'stream    %s frames/s, viewers: %s\n' "$fps" "$viewers"
    else
      printf 'state     the answer of the server cannot be read\n'
    fi
    host_loop "$(basename "$folder")" >/dev/null || printf 'loop      none: a crash would not be mended; run start_stream_server.sh again\n'
  else
    printf 'release   none is serving\n'
  fi
  printf 'disk      %s free in %s\n' "$(df -Ph "$base" | awk 'NR == 2 { print $4 }')" "$base"
  ! host_disk_is_full || printf 'disk      FULL: nothing can be stored or started; make room (du -xh %s | sort -h | tail)\n' "$base"
  if command -v nvidia-smi >/dev/null; then
    printf 'gpu       %s\n' "$(nvidia-smi --query-gpu=name,utilization.gpu,memory.used,memory.total --format=csv,noheader 2>&1 | head -n 1)"
  fi
  printf 'guard     '
  if [[ -f $base/guard/guard.sh ]]; then
    host_guard status || true
  else
    printf 'none: nothing ends this rental but you\n'
  fi
  [[ -n $pid ]]
}

host_share() {
  cd "$base/current" 2>/dev/null || host_die 'Nothing was started yet: run start_stream_server.sh first.'
  "$(cat .deploy/python)" realtime_stream.py --public-address "$1" --share "${2:-watch}"
}

host_probe() {
  local tool
  if ! mkdir -p "$base/releases" "$base/state" "$base/run" 2>/dev/null || [[ ! -w $base/releases ]]; then
    host_die "$(id -un) cannot write to $base on the instance; give another folder as REMOTE_DIR."
  fi
  printf 'free_mb %s\n' "$(df -Pk "$base" | awk 'NR == 2 { printf "%d", $4 / 1024 }')"
  printf 'started %s\n' "$([[ -f $base/current/deploy/host.sh ]] && echo yes || echo no)"
  for tool in rsync tar flock setsid curl ps ss; do
    if command -v "$tool" >/dev/null; then printf '%s yes\n' "$tool"; else printf '%s no\n' "$tool"; fi
  done
}

main() {
  local command=${1:-} wanted
  base=${2:-}
  if [[ -z $base ]]; then
    sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    [[ $command == -h || $command == --help ]] && exit 0
    exit 2
  fi
  if [[ $base == default ]]; then
    base=/workspace
    if ! { mkdir -p "$base" 2>/dev/null && [[ -w $base ]]; }; then base=$HOME/workspace; fi
  fi
  # shellcheck disable=SC2088
  case $base in \~ | '~/'*) base=$HOME${base#\~} ;; esac # quoted on the laptop, so meant for here
  shift 2
  if [[ $command == probe ]]; then
    mkdir -p "$base" 2>/dev/null || true
  fi
  wanted=$base
  if ! base=$(cd "$wanted" 2>/dev/null && pwd -P); then
    [[ $command != probe ]] || host_die "$(id -un) cannot write to $wanted on the instance; give another folder as REMOTE_DIR."
    host_die "There is no folder $wanted here: nothing was started yet, or REMOTE_DIR is another."
  fi
  [[ $command != probe ]] || printf 'base %s\n' "$base"
  case $command in
    probe | start | rollback | status | stop | share) "host_$command" "$@" ;;
    logs) exec tail -n "${1:-200}" -F "$base/server.log" ;;
    *) host_die "there is no command $command." ;;
  esac
}

main "$@"
