#!/usr/bin/env bash
# remote.sh - runs one command on the instance, over the same connection as the other scripts.
#
# Usage: deploy/remote.sh COMMAND [arguments]
#
#   run COMMAND...       run it there, with this script's input
#   host COMMAND...      a command of deploy/host.sh, for the folder REMOTE_DIR (/workspace)
#   guard COMMAND...     a command of deploy/guard.sh, which is copied there first
#   fetch REMOTE LOCAL   copy a folder from the instance
#   push LOCAL REMOTE    copy a file to the instance
#   shell                a terminal on the instance

set -Eeuo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/connection.sh
. "$HERE/connection.sh"
connect_environment "$@"

remote_base() { connect_host_sh probe | sed -n 's/^base //p'; }

# shellcheck disable=SC2016 # expanded on the instance
REMOTE_UNPACK='rm -rf "$1.new" "$1.old"; mkdir -p -m 0700 "$1.new"; tar -C "$1.new" -xof - || { rm -rf "$1.new"; exit 1; }
[ ! -e "$1" ] || mv "$1" "$1.old"; mv "$1.new" "$1"; rm -rf "$1.old"'

remote_guard() { # COMMAND: with a copy of the guard that outlives every release
  local base folder
  base=$(remote_base)
  # In memory if the disk is full. Copied atomically, since part of a guard could not be armed.
  for folder in "$base/guard" /dev/shm/turbostream-guard; do
    if COPYFILE_DISABLE=1 tar -C "$HERE" --exclude=__pycache__ -cf - guard.sh instance |
      connect_pipe sh -ec "$REMOTE_UNPACK" sh "$folder"; then
      connect_run bash "$folder/guard.sh" "$1" --state "$base/state" "${@:2}"
      return
    fi
  done
  connect_die 'The guard could not be copied to the instance: it is NOT guarded.'
}

main() {
  local command=${1:-}
  case $command in
    run | host | guard | fetch | push | shell) shift ;;
    *)
      sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
      [[ $command == -h || $command == --help ]] && exit 0
      exit 2
      ;;
  esac
  connect_configure "$(dirname "$HERE")"
  trap connect_close EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap 'exit 129' HUP
  connect_prepare
  connect_open
  case $command in
    run) connect_pipe "$@" ;;
    host) connect_host_sh "$@" ;;
    guard) remote_guard "$@" ;;
    fetch)
      mkdir -p "$2"
      connect_run tar -C "$1" -cf - . | tar -C "$2" -xf -
      ;;
    push) connect_pipe tee "$2" <"$1" >/dev/null ;;
    shell) ssh "${connect_options[@]}" -o ControlPath="$connect_dir/master" -t "$connect_host" ;;
  esac
}

main "$@"
