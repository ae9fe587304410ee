#!/usr/bin/env bash
# vast.sh - rent a GPU at Vast.ai, use it, give it back. deploy/vast.sh --help lists the commands.
# Makes a small environment of its own (deploy/requirements.txt) at its first run.
set -Eeuo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
VENV=${VAST_VENV:-${TURBOSTREAM_HOME:-$HOME/.turbostream}/vast}
if ! cmp -s "$HERE/requirements.txt" "$VENV/installed"; then
  printf '[vast] making %s (once, half a minute)\n' "$VENV" >&2
  env -u VAST_API_KEY -u PASSPHRASE "${PYTHON:-python3}" -m venv --clear "$VENV"
  env -u VAST_API_KEY -u PASSPHRASE "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -r "$HERE/requirements.txt" >&2
  cp "$HERE/requirements.txt" "$VENV/installed"
fi
exec "$VENV/bin/python" -B "$HERE/vast.py" "$@"
