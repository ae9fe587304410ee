# shellcheck shell=bash disable=SC2154 # connection.sh sources all the files that share these names
# explain.sh - turns ssh's error output into one sentence that says what to do; sourced by
# connection.sh.

connect_refused_keys() { # the keys that were refused, in words
  local files
  if [[ $connect_key_choice == named ]]; then
    printf 'the key %s' "$connect_key"
    return
  fi
  files=$(connect_identities | tr '\n' ' ')
  if ssh-add -l >/dev/null 2>&1; then
    printf 'the keys of your agent%s' "${files:+ and ${files% }}"
  else
    printf 'the key %s' "${files% }"
  fi
}

connect_explain() { # ssh's output on stdin: one sentence; status 1 if trying again cannot help
  local said name
  said=$(head -c 100000 | tr -d '\r')
  case $said in
    *'Could not resolve hostname'*)
      name=$(sed -n 's/.*Could not resolve hostname \([^:]*\):.*/\1/p' <<<"$said" | head -n 1)
      printf 'There is no host named %s: check SSH_HOST (set by %s).\n' "$(frame_clean "${name:-$connect_host}")" "$connect_source"
      return 1
      ;;
    *'REMOTE HOST IDENTIFICATION HAS CHANGED'* | *'ost key for '*' has changed'*)
      name=$(sed -n 's/.*ost key for \(.*\) has changed.*/\1/p' <<<"$said" | head -n 1)
      if [[ -n $name && $name != "$connect_alias" ]]; then
        printf 'The host key of the jump host %s has changed: ask its owner why, and then: ssh-keygen -R %s\n' "$(frame_clean "$name")" "$(frame_clean "$name")"
      else
        printf 'The host key of %s has changed: another machine answers at %s:%s. If it is a new rental, remove the old key: ssh-keygen -R %s -f %s\n' "$connect_alias" "$connect_host" "$connect_port" "$connect_alias" "$(frame_quote "$CONNECT_HOME/known_hosts")"
      fi
      return 1
      ;;
    *'Host key verification failed'*)
      name=$(connect_effective proxyjump)
      printf 'The host key of the jump host %s is unknown: log in once by hand, check the key and accept it: ssh %s\n' "${name:-in your ssh configuration}" "${name%%,*}"
      return 1
      ;;
    *'Permission denied'*)
      name=$(sed -n 's/.*@\([^ ]*\): Permission denied.*/\1/p' <<<"$said" | head -n 1)
      if ! connect_was_refused "$said"; then
        printf 'The jump host %s refuses your keys: check that ssh %s logs you in.\n' "$(frame_clean "$name")" "$(connect_effective proxyjump)"
      elif [[ -n $connect_locked ]]; then
        connect_locked_sentence "$connect_locked"
      elif [[ $connect_key_choice != named && -z $(connect_identities) ]] && ! ssh-add -l >/dev/null 2>&1; then
        printf 'There is no ssh key: create one with ssh-keygen -t ed25519, add its .pub to your Vast.ai account (Account, SSH Keys), or set SSH_KEY to another.\n'
      else
        printf '%s refuses %s for %s: add the .pub to your Vast.ai account (Account, SSH Keys) and to the instance, or set SSH_KEY to another.\n' "$connect_host" "$(connect_refused_keys)" "$connect_user"
      fi
      return 1
      ;;
    *'Too many authentication failures'*)
      printf '%s refuses the login after too many keys: set SSH_KEY to the right one.\n' "$connect_host"
      return 1
      ;;
    *'Connection refused'*) printf '%s answers, but nothing listens on port %s: the instance is still starting, or SSH_PORT is wrong.\n' "$connect_host" "$connect_port" ;;
    *'timed out'* | *'No route to host'* | *'Network is unreachable'* | *'not responding'*) printf '%s does not answer on port %s: check SSH_HOST, your network, and that the instance runs.\n' "$connect_host" "$connect_port" ;;
    *'kex_exchange_identification'* | *'Connection closed'* | *'Connection reset'* | *'banner exchange'*) printf '%s:%s answers, but not (yet) as an ssh server: the instance is still starting, or SSH_PORT is wrong.\n' "$connect_host" "$connect_port" ;;
    *'Address already in use'* | *'cannot listen to port'*) printf 'the local port is taken.\n' ;;
    '') printf 'The connection to %s was lost.\n' "$connect_host" ;;
    *) printf 'ssh to %s failed: %s\n' "$connect_host" "$(frame_clean "$(tail -n 1 <<<"$said")")" ;;
  esac
}
