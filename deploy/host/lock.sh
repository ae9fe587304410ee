# shellcheck shell=bash disable=SC2034,SC2154 # host.sh sources all the files that share these names
# lock.sh - one start at a time, ended with its ssh connection, and counted as activity by the guard;
# sourced by host.sh.

host_lock() { # descriptor 9 holds the lock until this process ends
  mkdir -p "$base/run"
  # The folder itself can be locked when the disk cannot take a file.
  { exec 9>>"$base/run/lock"; } 2>/dev/null || exec 9<"$base/run"
  if ! flock --nonblock 9; then
    host_say "another start is in progress in $base (process $(cat "$base/run/lock.holder" 2>/dev/null || echo '?')): waiting for it to finish."
    flock 9
  fi
  printf '%s\n' "$$" 2>/dev/null >"$base/run/lock.holder" || true
}

host_heartbeat() { # PID: sends that process SIGTERM once the ssh connection is closed
  (
    trap - ERR EXIT
    trap '' PIPE
    # The connection stays open while a process has its streams, also the sleep that outlives this one.
    while printf '\n' 2>/dev/null; do sleep 2 >/dev/null 2>&1; done
    kill -TERM "$1" 2>/dev/null
  ) 9>&- &
  heartbeat=$!
}

host_busy() { # suspends the guard's idle limit while this process lives
  # When the disk cannot take the file, the idle limit keeps counting.
  { mkdir -p "$base/state/busy" && touch "$base/state/busy/$$"; } 2>/dev/null || true
}
