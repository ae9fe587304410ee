# shellcheck shell=bash disable=SC2154 # host.sh sources all the files that share these names
# releases.sh - the folders below releases/: the copied one becomes a release, old ones are removed;
# sourced by host.sh.

RELEASES_KEPT=3

host_take_release() { # RELEASE: renames its copied folder, in one step; sets folder
  folder=$base/releases/$1
  if [[ -d $base/releases/.incoming-$1 ]]; then
    mv -T "$base/releases/.incoming-$1" "$folder"
  fi
  [[ -f $folder/realtime_stream.py ]] || host_die "There is no release $1 in $base/releases."
}

host_previous_release() {
  local previous
  previous=$(readlink "$base/previous") || host_die 'There is no release before this one.'
  basename "$previous"
}

host_remove_old_releases() { # RELEASE that was started: the newest RELEASES_KEPT and the linked ones stay
  local name kept=0 current previous
  current=$(basename "$(readlink "$base/current" || true)")
  previous=$(basename "$(readlink "$base/previous" || true)")
  while read -r name; do
    kept=$((kept + 1))
    if ((kept > RELEASES_KEPT)) && [[ $name != "$current" && $name != "$previous" ]]; then
      rm -rf "${base:?}/releases/$name"
    fi
  done < <(find "$base/releases" -mindepth 1 -maxdepth 1 -type d -not -name '.*' -printf '%f\n' | sort -r)
  # Interrupted copies older than this release; a later one belongs to a start that waits for the lock.
  while read -r name; do
    [[ ${name#.incoming-} > $1 ]] || rm -rf "${base:?}/releases/$name"
  done < <(find "$base/releases" -mindepth 1 -maxdepth 1 -type d -name '.incoming-*' -printf '%f\n')
}
