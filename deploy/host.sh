#!/usr/bin/env bash
# host.sh - what start_stream_server.sh does on the instance: install, start, hand over, stop.
#
# Usage: bash deploy/host.sh COMMAND FOLDER [arguments]
#
#   probe FOLDER                 what this machine has, one "name value" a line; creates FOLDER
#   start FOLDER RELEASE [--replace] [--no-guard] [--settings-from-input] [NAME=VALUE...]
#                                start a release; it takes over once it has painted a picture
#   rollback FOLDER              start the release before the one that serves
#   status FOLDER                what is running
#   stop FOLDER                  stop the server
#   logs FOLDER                  follow the serving release's log
#   share FOLDER ADDRESS [watch|own [CHANNEL]]
#                                the link with which others watch (own: control) at that address
#
# FOLDER (/workspace) holds releases/, envs/, state/ (STATE_DIR), run/ (locks and process numbers),
# and the links current, previous, server.log, realtime_stream.py and process_batch.py.
#
# The steps are in the folder host, one file for each.

set -Eeuo pipefail

base=''

host_say() { printf '[host] %s\n' "$*" >&2; }

host_die() {
  host_say "$*"
  exit 1
}

# Sent through ssh (connect_host_sh), the files come before this one in the same stream.
if [[ -n ${BASH_SOURCE[0]-} ]]; then
  for step in "$(dirname "${BASH_SOURCE[0]}")"/host/*.sh; do
    # shellcheck source=/dev/null
    . "$step"
  done
fi

host_stop() {
  local file serving
  host_lock
  serving=$(host_serving) || true
  for file in "$base"/run/*.loop; do
    [[ ! -e $file ]] || host_end_release "$(basename "$file" .loop)"
  done
  if [[ -n $serving ]]; then
    host_end_release "${serving##*/}"
    host_say "stopped ${serving##*/}."
  else
    host_say 'nothing was running.'
  fi
  if host_guard status >/dev/null 2>&1; then
    host_say 'the rental continues and its guard stays armed: destroy the instance when you are done.'
  fi
}

host_share() {
  cd "$base/current" 2>/dev/null || host_die 'Nothing was started yet: run start_stream_server.sh first.'
  "$(cat .deploy/python)" realtime_stream.py --public-address "$1" --share "${2:-watch}" ${3:+--channel "$3"}
}

host_help() { sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

host_find_base() { # FOLDER CREATE (or nothing): sets base to its real path
  local wanted=$1
  if [[ $wanted == default ]]; then
    wanted=/workspace
    if ! { mkdir -p "$wanted" 2>/dev/null && [[ -w $wanted ]]; }; then wanted=$HOME/workspace; fi
  fi
  # shellcheck disable=SC2088
  case $wanted in \~ | '~/'*) wanted=$HOME${wanted#\~} ;; esac # quoted on the laptop, so meant for here
  [[ -z $2 ]] || mkdir -p "$wanted" 2>/dev/null || true
  base=$(cd "$wanted" 2>/dev/null && pwd -P) && return
  [[ -z $2 ]] || host_die "$(id -un) cannot write to $wanted on the instance; set REMOTE_DIR to another folder."
  host_die "There is no folder $wanted here: nothing was started yet, or REMOTE_DIR is another folder."
}

main() {
  local command=${1:-} create=''
  if [[ -z ${2:-} ]]; then
    host_help
    [[ $command == -h || $command == --help ]] && exit 0
    exit 2
  fi
  [[ $command != probe ]] || create=yes
  host_find_base "$2" "$create"
  [[ $command != probe ]] || printf 'base %s\n' "$base"
  shift 2
  case $command in
    probe | start | rollback | status | stop | share) "host_$command" "$@" ;;
    logs) exec tail -n "${1:-200}" -F "$base/server.log" ;;
    *) host_die "there is no command $command." ;;
  esac
}

main "$@"
