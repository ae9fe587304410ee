#!/usr/bin/env bash
# loop.sh - keeps one release's server alive on the instance; host.sh starts it, detached.
#
# Usage: bash deploy/loop.sh FOLDER RELEASE STARTER
#
# Starts the server again after status 70, a signal or a crash, with growing pauses; gives up after
# five quick ends in a row, and at once where a release ends before it has ever served. Never after
# 0 (handed over, or asked to end) or 2 (a setting that the user has to change). Sets the links once
# its server holds the public port, and keeps the log from growing without end.

set -Eeuo pipefail

QUICK_S=${LOOP_QUICK_S:-60} # an end within this time is a quick one
QUICK_MOST=5
FIRST_PAUSE_S=${LOOP_PAUSE_S:-1}
LOG_MOST_KB=${LOG_MOST_KB:-20000}
LOGS_KEPT=3

base=$1 release=$2
folder=$base/releases/$release
log=$folder/server.log
child='' ticker='' stopping=''

loop_say() { printf '[loop] %s %s\n' "$(date -u '+%Y-%m-%d %H:%M:%SZ')" "$*"; }

loop_serves() { # this release's server holds the public port
  local where
  read -r _ _ where 2>/dev/null <"$base/state/serving" && [[ $where == "$folder" ]]
}

loop_link() { # TARGET NAME: in one step; a real file of that name is set aside
  local target=$1 name=$base/$2
  if [[ -e $name && ! -L $name ]]; then
    mv "$name" "$name.before-$release"
    loop_say "$name was a file: it is now $name.before-$release."
  fi
  ln -s "$target" "$name.$release"
  mv -Tf "$name.$release" "$name"
}

loop_links() {
  local current
  current=$(readlink "$base/current" || true)
  [[ $current != "releases/$release" ]] || return 0
  if [[ -n $current && -d $base/$current ]]; then loop_link "$current" previous; fi
  loop_link "releases/$release/server.log" server.log
  loop_link current/realtime_stream.py realtime_stream.py
  loop_link current/process_batch.py process_batch.py
  loop_link "releases/$release" current
}

loop_rotate() { # copied and cut, so that whoever writes or reads goes on
  local kept
  (($(stat -c %s "$log") > LOG_MOST_KB * 1024)) || return 0
  for ((kept = LOGS_KEPT; kept > 1; kept--)); do
    [[ ! -f $log.$((kept - 1)) ]] || mv -f "$log.$((kept - 1))" "$log.$kept"
  done
  cp "$log" "$log.1"
  : >"$log"
}

loop_tick() { # beside the server: links as soon as it serves, rotation
  while kill -0 "$1" 2>/dev/null; do
    if loop_serves; then
      touch "$base/run/$release.served"
      loop_links || true
    fi
    loop_rotate || true
    sleep 0.5
  done
}

loop_stop() {
  stopping=yes
  [[ -z $child ]] || kill -TERM "$child" 2>/dev/null || true
}

loop_leave() {
  [[ -z $ticker ]] || kill "$ticker" 2>/dev/null || true
  if [[ -n $child ]]; then kill -TERM "$child" 2>/dev/null || true; fi
  rm -f "$base/run/$release.loop"
}

loop_end() { # how it ended, for whoever waits
  loop_say "$*"
  printf '%s\n' "$*" >"$base/run/$release.ended"
  exit 0
}

loop_run() { # the server once; sets status
  status=0
  (
    # Once it has served, the port is its own: it may not take it from a release that came after.
    [[ ! -e $base/run/$release.served ]] || HANDOVER=offer
    PATH=$(dirname "$python"):$PATH TURBOSTREAM_RELEASE=$folder
    export PATH HANDOVER TURBOSTREAM_RELEASE
    exec python3 realtime_stream.py
  ) >>"$log" 2>&1 </dev/null &
  child=$!
  while :; do
    wait "$child" || status=$?
    kill -0 "$child" 2>/dev/null || break # a signal to this loop interrupts the wait
    status=0
  done
  child=''
}

main() {
  local python status begun quick=0 pause=$FIRST_PAUSE_S
  trap '' HUP
  trap loop_stop TERM INT
  trap loop_leave EXIT
  printf '%s\n' "$$" >"$base/run/$release.loop"
  rm -f "$base/run/$release.served"
  cd "$folder"
  python=$(cat .deploy/python)
  # shellcheck disable=SC1091
  . .deploy/settings
  loop_tick "$$" &
  ticker=$!
  while :; do
    begun=$SECONDS
    loop_run
    [[ -z $stopping ]] || loop_end 'the server was ended.'
    case $status in
      0) loop_end 'the server ended by itself (0).' ;;
      2) loop_end 'the server cannot work with these settings (2).' ;;
    esac
    [[ -e $base/run/$release.served || $status == 70 || $status -gt 128 ]] || loop_end "the server ended with status $status before it painted a picture."
    if ((SECONDS - begun < QUICK_S)); then quick=$((quick + 1)); else quick=1 pause=$FIRST_PAUSE_S; fi
    ((quick < QUICK_MOST)) || loop_end "the server ended $quick times in a row, at last with status $status: giving up."
    loop_say "the server ended with status $status: starting it again in $pause s."
    sleep "$pause" &
    wait $! || true
    [[ -z $stopping ]] || loop_end 'the server was ended.'
    pause=$((pause * 2))
  done
}

main
