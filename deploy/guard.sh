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
# It needs Python 3.8 and the key that the instance has of its own (CONTAINER_API_KEY, which can end
# this instance and nothing else). It lives apart from the server and from any ssh session, counts
# time by the machine's uptime, so that a clock that jumps changes nothing, and in memory, so that a
# full disk changes nothing. The program is in the folder instance, beside this file.

set -Eeuo pipefail

guard_python() { # the first Python 3.8 or newer, as this machine or its image has it
  local python
  for python in python3 /usr/bin/python3 /usr/local/bin/python3 /venv/main/bin/python3 /opt/conda/bin/python3; do
    if "$python" -I -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null; then
      printf '%s\n' "$python"
      return 0
    fi
  done
  return 1
}

main() {
  local command=${1:-} here python
  case $command in
    arm | watch | status | extend | disarm) ;;
    *)
      sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
      [[ $command == -h || $command == --help ]] && exit 0
      exit 2
      ;;
  esac
  here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
  if ! python=$(guard_python); then
    printf '[guard] Python 3.8 is not there, so there is NO guard: on a rented instance nothing ends the rental but you.\n' >&2
    exit 1
  fi
  # Isolated: what the environment says to Python is not meant for the guard.
  exec "$python" -I -B "$here/instance" "$here/guard.sh" "$@"
}

main "$@"
