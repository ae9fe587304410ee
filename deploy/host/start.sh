# shellcheck shell=bash disable=SC2154 # host.sh sources all the files that share these names
# start.sh - starts a release beside the one that serves, and leaves that one serving when the start
# fails; sourced by host.sh.

heartbeat='' # the process that notices a closed connection
launched=''  # the release that this start launched and must end if it fails
before=''    # the folder of the release that served when this start began
replaced=''  # that one was stopped first (--replace)

host_start() { # RELEASE [--replace] [--no-guard] [--settings-from-input] [NAME=VALUE...]
  local release=$1 replace='' no_guard='' guarded='' port='' pairs=() pair folder
  shift
  while (($#)); do
    case $1 in
      --replace) replace=yes ;;
      --no-guard) no_guard=yes ;;
      --settings-from-input) # one a line: those that may not be in a command line
        while IFS= read -r pair; do pairs+=("$pair"); done
        ;;
      *=*)
        pairs+=("$1")
        [[ $1 != SERVER_PORT=* ]] || port=${1#*=}
        ;;
      *) host_die "there is no option $1." ;;
    esac
    shift
  done
  host_lock
  host_busy
  host_heartbeat "$$"
  read -r _ _ before < <(host_serving) || true
  trap host_leave EXIT
  # Not in subshells: a file that is read through <(...) may be absent as a matter of course.
  trap '((BASH_SUBSHELL)) || host_explain_failure "${BASH_SOURCE[0]##*/}, line $LINENO,"' ERR
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap 'exit 129' HUP
  host_take_release "$release"
  # Before anything else that may fail: a rented instance must be guarded.
  host_arm_guard "$folder" "$no_guard" "$port" || guarded=no
  mkdir -p "$folder/.deploy" "$base/state"
  [[ -L $base/state ]] || chmod 0700 "$base/state" # the target of a link is not changed
  [[ -f $folder/.deploy/settings && -z ${pairs[*]-} ]] || host_settings "$folder" ${pairs[@]+"${pairs[@]}"}
  host_end_orphaned_loops
  host_check_port "$(host_port_of "$folder")" "$replace" # before minutes of installing
  [[ -n $before ]] || read -r _ _ before < <(host_serving) || true # its loop was restarting it
  host_environment "$folder"
  # On a bare machine the environment brings the Python that the guard needs.
  [[ $guarded != no ]] || host_arm_guard "$folder" "$no_guard" "$port" || true
  host_make_room "$replace" "$(host_port_of "$folder")"
  launched=$release
  host_launch "$release"
  host_wait "$release" "$folder"
  launched=''
  host_remove_old_releases "$release"
  host_say "$release serves on port $(host_port_of "$folder")."
}

host_rollback() { # [OPTIONS and NAME=VALUE as host_start]
  local previous
  previous=$(host_previous_release)
  host_say "going back to $previous."
  host_start "$previous" "$@"
}

# --- after a start that failed ------------------------------------------------------------------

host_leave() {
  local status=$? where=''
  trap - ERR
  set +e # a failure below must not skip the rest
  rm -f "$base/state/busy/$$" 2>/dev/null
  kill "$heartbeat" 2>/dev/null
  read -r _ _ where < <(host_serving)
  # Once the new release has the port it stays: the one before has ended, and nothing would serve.
  if [[ -n $launched && ! (-n $before && $where == "$base/releases/$launched") ]]; then
    host_end_release "$launched"
  fi
  ((status == 0)) || host_say_who_serves
}

host_say_who_serves() {
  local where=''
  read -r _ _ where < <(host_serving)
  if [[ -n $where && $where == "$before" ]]; then
    host_say "Nothing has changed: ${where##*/} is still serving."
  elif [[ -n $where && -n $before ]]; then
    host_say "${where##*/} has taken over the port and is left running. --rollback returns to the release before it."
  elif [[ -n $before && -z $replaced ]]; then
    host_restart_before
  elif [[ -n $launched ]]; then
    host_say 'Nothing is serving now.'
  fi
}

host_restart_before() { # the release that handed its port to one that has ended
  local release=${before##*/}
  host_say "the new release took over the port and ended: starting $release again."
  host_launch "$release" && host_wait_for_server 1200 &&
    host_say "$release is serving again." && return
  host_say "Nothing is serving now: $release did not start; $base/releases/$release/server.log shows why."
}
