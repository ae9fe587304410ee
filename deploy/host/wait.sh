# shellcheck shell=bash disable=SC2154 # host.sh sources all the files that share these names
# wait.sh - waits until a release that was launched serves, and shows its progress; sourced by host.sh.

START_WAIT_S=${START_WAIT_S:-3600} # a first start fetches gigabytes
FAILED_PATIENCE_S=${FAILED_PATIENCE_S:-30} # a server in state failed may recover within this time

host_is_healthy() { # FOLDER: its server holds the public port, has painted, and current links to it
  local port where
  read -r _ port where < <(host_serving) && [[ $where == "$1" ]] &&
    host_ask "$port" /healthz | grep -q '"ok"' && [[ $(readlink -f "$base/current") == "$1" ]]
}

host_starting_port() { # FOLDER: the port where its server answers, on standby or serving
  local port where
  { read -r _ port where < <(host_first_line "$base/state/standby") && [[ $where == "$1" ]]; } ||
    { read -r _ port where < <(host_serving) && [[ $where == "$1" ]]; } || return 1
  printf '%s\n' "$port"
}

host_why_ended() { # RELEASE LOOPED (its loop has been seen): why it will not serve; false otherwise
  local why
  if [[ -f $base/run/$1.ended ]]; then
    why=$(host_first_line "$base/run/$1.ended") || true
    printf '%s\n' "${why:-it ended, and the full disk could not take the reason}"
  elif [[ -n $2 ]] && ! host_loop "$1" >/dev/null && [[ ! -f $base/run/$1.ended ]]; then
    printf 'its loop has ended\n'
  else
    return 1
  fi
}

host_wait() { # RELEASE FOLDER: until it serves; exits with 1 when it never will
  local release=$1 folder=$2 until=$((SECONDS + START_WAIT_S)) looped='' why='' failed_at=''
  local port state message said='' said_at=0
  while ((SECONDS < until)); do
    ! host_is_healthy "$folder" || return 0
    ! why=$(host_why_ended "$release" "$looped") || break
    ! host_loop "$release" >/dev/null || looped=yes
    if port=$(host_starting_port "$folder"); then
      state='' message=''
      { read -r state && read -r message; } < <(host_ask "$port" /status | host_fields state message) || true
      if ! host_has_failed "$state"; then
        failed_at=''
      elif [[ -z $failed_at ]]; then
        failed_at=$SECONDS
      elif ((SECONDS - failed_at > FAILED_PATIENCE_S)); then
        why="it has been in state $state for $FAILED_PATIENCE_S s"
        break
      fi
      # A message in which only numbers have changed is repeated every ten seconds, any other at once.
      if [[ -n $message && $message != "$said" ]] &&
        { [[ ${message//[0-9,]/} != "${said//[0-9,]/}" ]] || ((SECONDS - said_at >= 10)); }; then
        host_say "waiting: ${message:0:200}"
        said=$message said_at=$SECONDS
      fi
    fi
    sleep 0.3
  done
  host_say "the new release failed (${why:-it was not ready after $START_WAIT_S s}). The end of its log:"
  tail -n 15 "$folder/server.log" >&2 || true
  host_explain_disk || true
  exit 1 # host_leave says what serves now
}
