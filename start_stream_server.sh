#!/usr/bin/env bash
# start_stream_server.sh - copy the program to your instance and start it; a running server keeps
# serving until the new one has painted a picture.
#
# Usage: ./start_stream_server.sh [options]
#
#   --logs         only follow the server's log (Ctrl-C ends that, not the server)
#   --status       only show what is running there
#   --stop         only stop the server; the rental continues
#   --rollback     start the release before the current one
#   --replace      stop the old server first: for instances without memory for two
#   --set NAME=VALUE
#                  a setting of the server, such as TARGET_FPS=15 (realtime_stream.py --help)
#   --hours H      the guard gives a rented instance back after this many hours (3)
#   --idle-minutes M
#                  and after this many minutes without a viewer (30)
#   --no-guard     start no guard: then nothing ends the rental but you
#   -h, --help     this text
#
# The address of the instance: the environment, the three lines below, ssh_config.json,
# ssh_<ID>.json or the last rental, in this order (deploy/address.sh). Also from the environment:
# TARGET_FPS, INITIAL_PROMPT, MODEL_ID, SERVER_PORT, PUSH_URL (where to broadcast; it contains the
# stream key, so give it here rather than with --set) for the server; REMOTE_DIR, the folder there
# (/workspace); INSTANCE_PYTHON, an interpreter there with all packages of requirements.txt, such as
# a prepared image's /venv/main/bin/python. On a rental with several GPUs ENGINE is
# ray, so that all of them paint, unless --set ENGINE=local is given.

set -Eeuo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/connection.sh
. "$HERE/deploy/connection.sh"
connect_environment "$@"

# Your instance, as the website shows it. The environment takes precedence over these.
SSH_HOST=""
SSH_PORT=""
PASSPHRASE=""

FILES=(realtime_stream.py process_batch.py requirements.txt requirements-cluster.txt setup.sh turbostream
  deploy/environment deploy/host.sh deploy/host deploy/loop.sh deploy/guard.sh deploy/instance)
FORWARDED=(TARGET_FPS INITIAL_PROMPT MODEL_ID SERVER_PORT HF_ENDPOINT)
NEEDED_MB=${START_NEEDED_MB:-300}

action=start
environment=(env) # for host.sh there
flags=() settings=()
secret='' # NAME=VALUE, of the one setting that may be in no command line there
base=''

start_usage() {
  connect_say "$1"
  printf 'Usage: ./start_stream_server.sh [options]; --help lists them.\n' >&2
  exit 2
}

start_options() {
  while (($#)); do
    case $1 in
      --logs | --status | --stop | --rollback) action=${1#--} ;;
      --replace | --no-guard) flags+=("$1") ;;
      --set)
        [[ ${2:-} =~ ^[A-Z][A-Z_]*= ]] || start_usage '--set needs NAME=VALUE, such as TARGET_FPS=15.'
        if [[ $2 == PUSH_URL=* ]]; then secret=$2; else settings+=("$2"); fi
        shift
        ;;
      --hours | --idle-minutes)
        [[ ${2:-} =~ ^[0-9]+([.][0-9]+)?$ ]] || start_usage "$1 needs a number."
        if [[ $1 == --hours ]]; then environment+=("GUARD_HOURS=$2"); else environment+=("GUARD_IDLE_MINUTES=$2"); fi
        shift
        ;;
      -h | --help)
        sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
        exit 0
        ;;
      *) start_usage "there is no option $1." ;;
    esac
    shift
  done
  local name
  for name in "${FORWARDED[@]}"; do
    [[ -z ${!name:-} ]] || settings+=("$name=${!name}")
  done
  [[ -z ${PUSH_URL:-} ]] || secret=PUSH_URL=$PUSH_URL
  for name in INSTANCE_PYTHON START_WAIT_S; do
    [[ -z ${!name:-} ]] || environment+=("$name=${!name}")
  done
}

start_engine() { # a rental with several GPUs paints on all of them
  local pair
  [[ $connect_gpus =~ ^[1-9][0-9]?$ && $connect_gpus != 1 ]] || return 0
  for pair in ${settings[@]+"${settings[@]}"}; do [[ $pair != ENGINE=* ]] || return 0; done
  # A rollback without settings keeps those of the earlier release.
  [[ $action == start || -n ${settings[*]-} ]] || return 0
  settings+=(ENGINE=ray)
}

start_probe() { # sets base, has_rsync, started and missing, the tools that the instance lacks
  local name value free=''
  has_rsync='' started='' missing=''
  while read -r name value; do
    case $name in
      base) base=$value ;;
      free_mb) free=$value ;;
      started) started=$value ;;
      rsync) [[ $value == no ]] || has_rsync=yes ;;
      tar | flock | setsid | curl | ps | ss) [[ $value == yes ]] || missing="$missing $name" ;;
      *) ;; # other output of the instance
    esac
  done < <(connect_host_sh probe || printf 'failed\n')
  [[ -n $base && $free =~ ^[0-9]+$ ]] || connect_die 'The instance could not be examined; the reason is shown above.'
  ((10#$free >= NEEDED_MB)) || connect_die "The instance's disk is full: $base has $free MB free and $NEEDED_MB are needed. Remove what you do not need there (du -xh $base | sort -h | tail), or rent a larger disk."
}

start_tools() { # installs the tools that host.sh needs, on a bare machine
  [[ -n $missing ]] || return 0
  connect_say "the instance lacks$missing: setup.sh installs them there."
  connect_pipe tee "$base/run/setup.sh" <"$HERE/setup.sh" >/dev/null
  connect_run bash "$base/run/setup.sh" --system || true
  start_probe
  [[ -z $missing ]] || connect_die "The instance still lacks$missing: install them there as root (apt-get install procps iproute2 util-linux curl tar), and start again."
}

start_write_rsh() { # FOLDER there: a remote shell for rsync that knows the connection and the framing
  {
    printf '#!/usr/bin/env bash\nset -o pipefail\n. %q\nshift\n' "$HERE/deploy/framing.sh"
    printf 'connect_dir=%q connect_host=%q\nconnect_options=(' "$connect_dir" "$connect_host"
    printf '%q ' "${connect_options[@]}"
    printf ')\n'
    declare -f connect_script connect_ssh
    printf 'connect_open() { :; }\nconnect_script %q"$*"\n' "cd $(frame_quote "$1") && exec "
  } >"$connect_dir/rsh"
  chmod 0700 "$connect_dir/rsh"
}

start_copy() { # FOLDER there: a complete release; unchanged files are hard links to the old one's
  local target=$1 status=0 files=() file
  for file in "${FILES[@]}"; do [[ ! -e $HERE/$file ]] || files+=("./$file"); done
  connect_say "copying to $target"
  connect_run mkdir -p "$target"
  if [[ -n $has_rsync ]] && command -v rsync >/dev/null; then
    # Change to the folder there, so that no argument of rsync has a blank: before 3.2.4 rsync lets the
    # login shell split those.
    start_write_rsh "$target"
    (cd "$HERE" && rsync --archive --relative --compress --no-owner --no-group --exclude=__pycache__ --exclude='*.pyc' \
      --link-dest=../../current/ --rsh="$connect_dir/rsh" \
      ${files[@]+"${files[@]}"} instance:./) 2>"$connect_dir/copied" || status=$?
  else
    (cd "$HERE" && COPYFILE_DISABLE=1 tar --exclude=__pycache__ -czf - ${files[@]+"${files[@]}"}) |
      connect_pipe tar -xzf - -C "$target" 2>"$connect_dir/copied" || status=$?
  fi
  ((status == 0)) && return
  if grep -q 'No space left' "$connect_dir/copied"; then
    connect_die "The instance's disk is full: $base has no space left. Remove what you do not need there, or rent a larger disk."
  fi
  grep -v '^rsync error' "$connect_dir/copied" | tail -n 3 | frame_show >&2 || true
  connect_die 'The copy was interrupted; a running server is not affected. Start again when the connection works.'
}

start_release() {
  local command release
  if [[ $action == start ]]; then
    release=$(date -u '+%Y%m%d-%H%M%S')-$$
    start_copy "$base/releases/.incoming-$release"
    command=(bash "$base/releases/.incoming-$release/deploy/host.sh" start "$base" "$release")
  else
    command=(bash "$base/current/deploy/host.sh" rollback "$base")
  fi
  connect_say 'starting; a running server keeps serving until the new one has painted.'
  [[ -z $secret ]] || flags+=(--settings-from-input)
  connect_pipe "${environment[@]}" "${command[@]}" ${flags[@]+"${flags[@]}"} ${settings[@]+"${settings[@]}"} \
    < <([[ -z $secret ]] || printf '%s\n' "$secret") >/dev/null ||
    connect_die 'It was not started; the reason is shown above.'
  connect_say 'it is running. Now, in another terminal: ./tunnel_to_stream.sh'
}

main() {
  start_options "$@"
  connect_configure "$HERE"
  start_engine
  trap connect_close EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap 'exit 129' HUP
  connect_prepare
  connect_open
  case $action in
    start | rollback)
      start_probe
      if [[ $action == rollback && $started != yes ]]; then
        connect_die "Nothing was started in $base yet, so there is no earlier release: run ./start_stream_server.sh first."
      fi
      start_tools
      start_release
      ;;
    *) connect_host_sh "$action" ;;
  esac
}

main "$@"
