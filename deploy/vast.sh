#!/usr/bin/env bash
# vast.sh - rent a GPU at Vast.ai, use it, give it back. deploy/vast.sh --help lists the commands.
# Its first run creates a small environment for it (deploy/requirements.txt).
set -Eeuo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
VENV=${VAST_VENV:-${TURBOSTREAM_HOME:-$HOME/.turbostream}/vast}
PYTHON=${PYTHON:-python3}
vast_python() { env -u VAST_API_KEY -u PASSPHRASE "$@"; }
if ! cmp -s "$HERE/requirements.txt" "$VENV/installed"; then
  mkdir -p "$(dirname "$VENV")"
  exec 9>>"$VENV.lock"
  vast_python "$PYTHON" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)' # the lock is this shell's, on descriptor 9
  if ! cmp -s "$HERE/requirements.txt" "$VENV/installed"; then # no other run has created it meanwhile
    printf '[vast] creating %s (once, about half a minute)\n' "$VENV" >&2
    vast_python "$PYTHON" -m venv --clear "$VENV"
    vast_python "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -r "$HERE/requirements.txt" >&2
    cp "$HERE/requirements.txt" "$VENV/installed"
  fi
  exec 9>&-
fi
exec "$VENV/bin/python" -B "$HERE/vast.py" "$@"
