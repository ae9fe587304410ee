# shellcheck shell=bash disable=SC2154 # host.sh sources all the files that share these names
# processes.sh - the server and its loop as processes: find them, wait for them, end them; sourced
# by host.sh.

host_first_line() { # FILE: its first line; false unless it is a regular file (a FIFO would hang)
  [[ -f $1 && ! -L $1 ]] || return 1
  head -c 4096 "$1" 2>/dev/null | head -n 1
}

host_is_alive() { # PID: it exists and is not a zombie that process 1 does not reap
  local stat
  read -r stat 2>/dev/null <"/proc/$1/stat" || return 1
  stat=${stat##*) }
  [[ ${stat:0:1} != [ZX] ]]
}

host_wait_for_end() { # PID TENTHS: until it has ended; killed after that time
  local tenth
  for ((tenth = 0; tenth < $2; tenth++)); do
    host_is_alive "$1" || return 0
    sleep 0.1
  done
  kill -KILL "$1" 2>/dev/null || true
  sleep 0.2
}

# --- the server ---------------------------------------------------------------------------------

host_is_server() { # PID FOLDER: that process is the server that runs in that folder
  [[ $1 =~ ^[1-9][0-9]*$ && -r /proc/$1/cmdline ]] && tr '\0' ' ' <"/proc/$1/cmdline" | grep -q 'realtime_stream\.py' &&
    [[ $(readlink "/proc/$1/cwd") == "$2" ]]
}

host_serving() { # "PID PORT FOLDER" of the server that holds the public port; false without one
  local pid port folder
  read -r pid port folder < <(host_first_line "$base/state/serving") || return 1
  host_is_server "$pid" "$folder" || return 1
  printf '%s %s %s\n' "$pid" "$port" "$folder"
}

host_wait_for_server() { # [TENTHS]: true as soon as one serves; a crashed one is restarted within this time
  local tenth
  for ((tenth = 0; tenth < ${1:-200}; tenth++)); do
    ! host_serving >/dev/null || return 0
    sleep 0.1
  done
  return 1
}

# --- a release's loop, which restarts its server ------------------------------------------------

host_loop() { # RELEASE: the PID of its loop; false when none runs
  local pid
  read -r pid < <(host_first_line "$base/run/$1.loop") || return 1
  [[ $pid =~ ^[1-9][0-9]*$ && -r /proc/$pid/cmdline ]] && tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF "loop.sh $base $1 " || return 1
  printf '%s\n' "$pid"
}

host_launch() { # RELEASE: starts its loop, detached
  local folder=$base/releases/$1
  rm -f "$base/run/$1.ended" "$base/state/standby"
  setsid --fork bash "$folder/deploy/loop.sh" "$base" "$1" "$$" >>"$folder/server.log" 2>&1 </dev/null 9>&-
}

host_end_release() { # RELEASE: its loop, and a server that its loop left running
  local pid file
  if pid=$(host_loop "$1"); then
    kill -TERM "$pid" 2>/dev/null || true
    host_wait_for_end "$pid" 80
  fi
  for file in "$base/state/serving" "$base/state/standby"; do
    read -r pid _ _ < <(host_first_line "$file") || continue
    if host_is_server "$pid" "$base/releases/$1"; then
      kill -TERM "$pid" 2>/dev/null || true
      host_wait_for_end "$pid" 80
    fi
  done
  rm -f "$base/run/$1.loop"
}

host_end_orphaned_loops() { # those of starts that were killed before their release served
  local file release serving=''
  serving=$(host_serving) || true
  for file in "$base"/run/*.loop; do
    [[ -e $file ]] || continue
    release=$(basename "$file" .loop)
    [[ ${serving##*/} == "$release" ]] && continue
    if host_loop "$release" >/dev/null; then
      # When nothing serves, the current release's loop may be about to restart its server.
      [[ $(readlink "$base/current") == "releases/$release" ]] && host_wait_for_server && continue
      host_say "stopping $release, which an interrupted start left running."
    fi
    host_end_release "$release"
  done
}
