# shellcheck shell=bash disable=SC2034 # connection.sh sources all the files that share these names
# keys.sh - chooses the keys with which ssh logs in; sourced by connection.sh.
#
# If SSH_KEY is set, only that key is offered. Otherwise ssh offers its usual ones: those of the agent,
# of ~/.ssh/config, and the default files. If the instance refuses those, the key files are offered
# without the agent's keys (an agent with many keys uses up the attempts that the server allows), and
# then the first key file that a passphrase unlocks.
# PASSPHRASE is passed through a FIFO to an ssh-agent that only this run uses, and never in an
# argument, a file or the environment of a child.

connect_key_choice='' # named, plain, files or unlocked
connect_own_agent=''  # yes: this run's agent holds the key
connect_locked=''     # a key file that could not be unlocked

connect_named_key() { # checks SSH_KEY; a public key stands for one that only an agent holds
  local private
  [[ -n $connect_key ]] || return 0
  case $connect_key in \~ | \~/*) connect_key=$HOME${connect_key#\~} ;; esac
  [[ -f $connect_key ]] || connect_die "The key $connect_key (SSH_KEY) does not exist."
  private=${connect_key%.pub}
  [[ ! -f $private ]] || connect_agent_has_key "$private" || connect_key=$private
}

connect_key_is_public() { grep -qE '^(ssh|ecdsa|sk)-' "$1" 2>/dev/null; }

connect_key_is_open() { # FILE: it needs no passphrase
  ssh-keygen -y -P '' -f "$1" >/dev/null 2>&1 </dev/null
}

connect_agent_has_key() { # FILE: the user's own agent holds it already
  local public
  public=$(cut -d ' ' -f 2 "${1%.pub}.pub" 2>/dev/null) || return 1
  [[ -n $public ]] && ssh-add -L 2>/dev/null | grep -qF "$public"
}

connect_identities() { # the key files that ssh offers by itself, one a line
  local file
  connect_effective identityfile | while IFS= read -r file; do
    case $file in \~/*) file=$(connect_ssh_home)${file#\~} ;; esac
    [[ ! -f $file ]] || printf '%s\n' "$file"
  done
}

connect_ssh_home() { # the home that ssh uses: the system's entry, not HOME
  local user
  user=$(id -un)
  [[ $user =~ ^[A-Za-z0-9_.-]+$ ]] && eval "printf '%s\n' ~$user"
}

connect_next_keys() { # after a refusal: the next choice of keys; false if there is none
  local file tried=''
  case $connect_key_choice in
    plain)
      connect_key_choice=files
      if ssh-add -l >/dev/null 2>&1 && [[ -n $(connect_identities) ]]; then
        connect_ssh_options
        return 0
      fi
      connect_next_keys
      ;;
    files)
      connect_key_choice=unlocked
      while IFS= read -r file <&3; do
        if connect_key_is_open "$file" || connect_agent_has_key "$file"; then continue; fi
        connect_locked=${connect_locked:-$file}
        connect_ask_passphrase "$file" || return 1
        if connect_add_key "$file"; then
          connect_key=$file
          connect_ssh_options
          return 0
        fi
        tried="$tried $file"
      done 3< <(connect_identities)
      [[ -z $tried ]] || connect_die "The passphrase does not unlock$tried: correct PASSPHRASE."
      return 1
      ;;
    *) return 1 ;;
  esac
}

# --- an agent for this run only ------------------------------------------------------------------

connect_private_dir() { # a folder for this run only, with a name short enough for sockets in it
  local above=${TMPDIR:-/tmp}
  [[ -z $connect_dir ]] || return 0
  # ssh splits its options at blanks, and limits the length of a socket's name
  [[ ${#above} -lt 45 && $above != *[!A-Za-z0-9_./-]* ]] || above=/tmp
  connect_dir=$(mktemp -d "${above%/}/turbo.XXXXXX")
  # Removes everything within a second after a kill -9 of this script or of its process group; set -m
  # puts it in another group.
  set -m
  # shellcheck disable=SC2016
  ssh-agent -a "$connect_dir/agent" sh -c '
    trap "exit 0" TERM
    trap "kill $SSH_AGENT_PID; ssh -F /dev/null -O exit -o ControlPath=\"$2/master\" x 2>/dev/null; rm -rf -- \"$2\"" EXIT
    trap "" INT HUP
    while kill -0 "$1" 2>/dev/null; do sleep 1 & wait $!; done' watcher "$$" "$connect_dir" \
    >/dev/null 2>&1 </dev/null &
  connect_watcher=$!
  set +m
}

connect_ask_passphrase() { # KEY: sets PASSPHRASE; false without a terminal to ask at
  [[ -z $PASSPHRASE ]] || return 0
  [[ -t 0 ]] || return 1
  printf '[%s] passphrase of %s: ' "$(basename "$0" .sh)" "$1" >&2
  IFS= read -rs PASSPHRASE || true
  printf '\n' >&2
}

connect_unlock() { # makes SSH_KEY usable: without passphrase, in the user's agent, or in this run's
  [[ -r $connect_key ]] || connect_die "$(id -un) cannot read the key $connect_key."
  connect_agent_has_key "$connect_key" && return
  if connect_key_is_public "$connect_key"; then
    connect_die "$connect_key is a public key, and no agent holds the private one: ssh-add it, or set SSH_KEY to the private key."
  fi
  connect_key_is_open "$connect_key" && return
  connect_ask_passphrase "$connect_key" || connect_die "$(connect_locked_sentence "$connect_key")"
  connect_add_key "$connect_key" || connect_die "The passphrase does not unlock $connect_key: correct PASSPHRASE."
  PASSPHRASE=''
}

connect_locked_sentence() { printf 'The key %s has a passphrase: set PASSPHRASE, or ssh-add it to your agent first.\n' "$1"; }

connect_add_key() { # KEY: adds it to this run's agent; false if PASSPHRASE does not unlock it
  local tenth writer adder status=0
  connect_private_dir
  for ((tenth = 0; tenth < 50; tenth++)); do
    [[ ! -S $connect_dir/agent ]] || break
    sleep 0.1
  done
  mkfifo -m 0600 "$connect_dir/answer"
  cat >"$connect_dir/askpass" <<'ASKPASS'
#!/bin/sh
# Answers once, and only the prompt for the passphrase, never one about a host key.
case $1 in "Enter passphrase for "*) ;; *) exit 1 ;; esac
mkdir "$0.asked" 2>/dev/null || exit 1
exec cat "${0%/*}/answer"
ASKPASS
  chmod 0700 "$connect_dir/askpass"
  printf '%s\n' "$PASSPHRASE" >"$connect_dir/answer" &
  writer=$!
  SSH_AUTH_SOCK=$connect_dir/agent SSH_ASKPASS=$connect_dir/askpass SSH_ASKPASS_REQUIRE=force DISPLAY=${DISPLAY:-:0} \
    ssh-add -q "$1" >"$connect_dir/add.log" 2>&1 </dev/null &
  adder=$!
  for ((tenth = 0; tenth < 200; tenth++)); do
    kill -0 "$adder" 2>/dev/null || break
    sleep 0.1
  done
  kill "$adder" 2>/dev/null || true
  wait "$adder" || status=$?
  kill "$writer" 2>/dev/null || true
  wait "$writer" 2>/dev/null || true
  rm -rf "$connect_dir/answer" "$connect_dir/askpass" "$connect_dir/askpass.asked"
  ((status == 0)) || return 1
  connect_own_agent=yes
}
