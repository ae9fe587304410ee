#!/usr/bin/env bash
# loop.sh - restarts one release's server on the instance when it crashes; host.sh starts it, detached.
#
# Usage: bash deploy/loop.sh FOLDER RELEASE STARTER
#
# Restarts the server after status 70, a signal or a crash, with growing pauses; gives up after five
# short runs in a row, and at once if the release ends before it has ever served. Does not restart it
# after 0 (handed over, or stopped) or 2 (a setting that the user has to change). Sets the links once
# its server holds the public port, and rotates the log. The program is in the folder instance, beside
# this file; it needs Python 3.8, and no disk space.

set -Eeuo pipefail

main() {
  local here python own=''
  here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
  # The machine's first: the release's may be removed with its environment.
  own=$(cat "$1/releases/$2/.deploy/python" 2>/dev/null) || true
  for python in python3 /usr/bin/python3 /usr/local/bin/python3 "$own"; do
    if "$python" -I -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null; then
      exec "$python" -I -B "$here/instance" "$here/loop.sh" "$@"
    fi
  done
  printf '[loop] Python 3.8 or newer is missing: the server is not started.\n' >&2
  exit 1
}

main "$@"
