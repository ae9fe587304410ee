# shellcheck shell=bash disable=SC2154 # host.sh sources all the files that share these names
# disk.sh - whether the instance's disk can be written to, and what is said when it cannot; sourced
# by host.sh.

host_disk_is_full() { # no space or no inodes left below base
  local space inodes
  space=$(df -Pk "$base" 2>/dev/null | awk 'NR == 2 { print $4 }')
  inodes=$(df -Pi "$base" 2>/dev/null | awk 'NR == 2 && $2 > 0 { print $4 }')
  [[ -n $space ]] || return 1
  ((space >= 1024)) || return 0
  [[ $inodes == 0 ]]
}

host_explain_disk() { # false unless the disk is the reason why things fail
  if host_disk_is_full; then
    host_say "The instance's disk is full: $base has no space left. Make room there (du -xh $base | sort -h | tail) and start again."
  elif [[ ! -w $base ]]; then
    host_say "The instance's disk is read-only: $base cannot be written to."
  else
    return 1
  fi
}

host_explain_failure() { # PLACE of the command that failed unexpectedly
  host_explain_disk || host_say "$1 failed; the reason is shown above."
}
