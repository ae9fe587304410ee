# shellcheck shell=bash disable=SC2154 # host.sh sources all the files that share these names
# server_status.sh - asks the server on this machine how it is; sourced by host.sh.

# The values of "state" under /status that count as failed. Every other one counts as up: on the way
# to serving, or serving. The names are those of turbostream/stream.
HOST_FAILED_STATES=(failed)

host_has_failed() { # STATE
  local failed
  for failed in "${HOST_FAILED_STATES[@]}"; do
    [[ $1 != "$failed" ]] || return 0
  done
  return 1
}

# The only function that asks the server: no proxy from the environment or ~/.curlrc is used.
host_ask() { # PORT PATH: the server's answer
  curl --disable --noproxy '*' --silent --max-time 5 --header 'Host: localhost' "http://127.0.0.1:$1$2" 2>/dev/null
}

# Prints the named fields of a JSON object, one a line, without control characters.
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

host_fields() { # NAME...: those fields of the JSON object on stdin, one a line; false if there is none
  local candidate own=''
  own=$(host_first_line "$base/current/.deploy/python") || true
  for candidate in python3 /usr/bin/python3 /usr/local/bin/python3 ${own:+"$own"}; do
    if command -v "$candidate" >/dev/null; then
      "$candidate" -I -B -c "$HOST_FIELDS" "$@"
      return
    fi
  done
  return 1
}

# --- the command status -------------------------------------------------------------------------

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
    host_loop "$(basename "$folder")" >/dev/null || printf 'loop      none: the server would not be restarted after a crash; run start_stream_server.sh again\n'
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
