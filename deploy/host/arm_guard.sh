# shellcheck shell=bash disable=SC2154 # host.sh sources all the files that share these names
# arm_guard.sh - installs and arms the guard of a rented instance (deploy/guard.sh); sourced by host.sh.

host_guard() { # COMMAND [ARGUMENTS]: runs the installed copy, which outlives every release
  [[ -f $base/guard/guard.sh && -d $base/guard/instance ]] || return 1
  bash "$base/guard/guard.sh" "$1" --state "$base/state" "${@:2}" 9>&-
}

host_copy_guard() { # FOLDER of a release; false when the disk has no space for the copy
  local new=$base/guard.new
  rm -rf "$new"
  mkdir -p "$new" && cp -R "$1/deploy/guard.sh" "$1/deploy/instance" "$new/" || return 1
  # A guard that is already running has read its program and does not look there again.
  rm -rf "$base/guard.old"
  { [[ ! -e $base/guard ]] || mv -T "$base/guard" "$base/guard.old"; } && mv -T "$new" "$base/guard" || return 1
  rm -rf "$base/guard.old"
}

host_arm_guard() { # FOLDER NO_GUARD PORT (that of the release's settings)
  local limits=() guard=$base/guard/guard.sh
  if ! host_copy_guard "$1" 2>/dev/null; then
    rm -rf "$base/guard.new"
    host_say "WARNING: $base/guard cannot be written, so the guard runs from the release's folder."
    guard=$1/deploy/guard.sh
  fi
  if [[ -n $2 ]]; then
    bash "$guard" disarm --state "$base/state" 9>&- || true # deploy/vast.sh up may have armed it
    return 0
  fi
  [[ -z ${GUARD_HOURS:-} ]] || limits+=(--hours "$GUARD_HOURS")
  [[ -z ${GUARD_IDLE_MINUTES:-} ]] || limits+=(--idle-minutes "$GUARD_IDLE_MINUTES")
  bash "$guard" arm --state "$base/state" --port "${3:-$(host_port_of "$1")}" --if-rented \
    ${limits[@]+"${limits[@]}"} 9>&-
}
