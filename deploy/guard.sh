#!/usr/bin/env bash
# guard.sh - gives a rented instance back when its time is up or nobody is watching.
#
# Usage: bash guard.sh COMMAND --state FOLDER [options]
#
#   arm       start the guard, check that it watches, say until when. A guard that is armed already
#             keeps its limits, unless --hours or --idle-minutes is given
#   status    one line; the exit status is 0 only while the guard is watching
#   extend    give it more time: --minutes N (60)
#   disarm    stop the guard: then nothing ends the rental automatically
#   watch     for internal use: the process that arm starts
#
#   --state FOLDER       where guard.json is written, which the server shows under /status
#   --port PORT          the server's port, asked for its viewers (8000)
#   --hours H            the hard limit (GUARD_HOURS, else 3)
#   --idle-minutes M     the limit without a viewer (GUARD_IDLE_MINUTES, else 30); setup and batches
#                        count as viewers
#   --if-rented          arm: succeed, with a message, if this is not a rented instance
#   --minutes N          extend: how much longer
#
# It needs Python 3.8 and the instance's own key (CONTAINER_API_KEY, which can end this instance and
# nothing else). It is independent of the server and of any ssh session, of changes of the clock (it
# counts the machine's uptime) and of a full disk (it counts in memory). The program is in the folder
# instance, beside this file.

set -Eeuo pipefail

guard_python() { # the first Python 3.8 or newer of this machine or its image
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
    printf '[guard] Python 3.8 or newer is missing, so there is NO guard: on a rented instance nothing ends the rental but you.\n' >&2
    exit 1
  fi
  # Isolated from Python's environment variables, which are not meant for the guard.
  exec "$python" -I -B "$here/instance" "$here/guard.sh" "$@"
}

main "$@"
