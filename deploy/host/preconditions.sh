# shellcheck shell=bash disable=SC2034,SC2154 # host.sh sources all the files that share these names
# preconditions.sh - what a start needs: tools and a folder to write to, the port, and memory beside
# the release that serves; sourced by host.sh.

host_probe() { # what this machine has, one "name value" a line
  local tool
  if ! mkdir -p "$base/releases" "$base/state" "$base/run" 2>/dev/null || [[ ! -w $base/releases ]]; then
    host_die "$(id -un) cannot write to $base on the instance; set REMOTE_DIR to another folder."
  fi
  printf 'free_mb %s\n' "$(df -Pk "$base" | awk 'NR == 2 { printf "%d", $4 / 1024 }')"
  printf 'started %s\n' "$([[ -f $base/current/deploy/host.sh ]] && echo yes || echo no)"
  for tool in rsync tar flock setsid curl ps ss; do
    if command -v "$tool" >/dev/null; then printf '%s yes\n' "$tool"; else printf '%s no\n' "$tool"; fi
  done
}

host_port_holder() { # PORT: the process that listens there, in words; false without one
  local line
  line=$(ss -Hltnp "sport = :$1" 2>/dev/null | head -n 1) || true
  [[ -n $line ]] || return 1
  sed -n 's/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/\1 (process \2)/p' <<<"$line" | grep . || printf 'another process\n'
}

host_check_port() { # PORT REPLACE: it is free, or held by the serving release
  local holder port
  if read -r _ port _ < <(host_serving); then
    [[ $port == "$1" || -n $2 ]] ||
      host_die "The stream is on port $port and cannot be handed over to port $1: use --replace."
  elif holder=$(host_port_holder "$1"); then
    host_die "Port $1 of the instance is taken by $holder, which this script did not start: stop it there, or set another SERVER_PORT."
  fi
}

host_free_memory() { # PID of the server: "FREE NEEDED" in MB, for a second engine beside it
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

host_make_room() { # REPLACE PORT: the release that serves is stopped, or there is memory beside it
  local replace=$1 want_port=$2 pid port folder free needed
  host_check_port "$want_port" "$replace"
  read -r pid port folder < <(host_serving) || return 0
  if [[ -n $replace ]]; then
    host_say "stopping $(basename "$folder") first (--replace): the stream pauses until the new release has loaded."
    replaced=yes
    host_end_release "$(basename "$folder")"
    return 0
  fi
  read -r free needed < <(host_free_memory "$pid")
  ((free >= needed)) ||
    host_die "There is not enough memory for two engines: the one that serves uses $needed MB and $free MB are free. Use --replace: it stops the old one first, and the stream pauses meanwhile."
}
