# shellcheck shell=bash disable=SC2034 # connection.sh sources all that shares these names
# keys.sh - with which keys ssh logs in; sourced by connection.sh.
#
# SSH_KEY is the one that is offered, where it is set. Otherwise ssh offers what it would offer by
# itself: the agent's, those of ~/.ssh/config, the default files. Where the instance refuses those, the
# key files are offered without the agent's (an agent with many keys uses up the server's patience),
# and then the first that a passphrase opens.
# PASSPHRASE opens the key: it goes through a FIFO into an ssh-agent of this run's own, and is in no
# argument, no file and no child's environment.

connect_way=''   # named, plain, files or unlocked
connect_own_agent='' # yes: this run's agent holds the key
connect_locked='' # a key file that nobody could open

connect_named_key() { # SSH_KEY is there; a public key stands for one that only an agent holds
  local private
  [[ -n $connect_key ]] || return 0
  case $connect_key in \~ | \~/*) connect_key=$HOME${connect_key#\~} ;; esac
  [[ -f $connect_key ]] || connect_die "There is no key $connect_key (SSH_KEY)."
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

connect_ssh_home() { # ssh asks the system, not HOME
  local user
  user=$(id -un)
  [[ $user =~ ^[A-Za-z0-9_.-]+$ ]] && eval "printf '%s\n' ~$user"
}

connect_next_way() { # after a refusal: another choice of keys; false where there is no other
  local file tried=''
  case $connect_way in
    plain)
      connect_way=files
      if ssh-add -l >/dev/null 2>&1 && [[ -n $(connect_identities) ]]; then
        connect_ssh_options
        return 0
      fi
      connect_next_way
      ;;
    files)
      connect_way=unlocked
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
      [[ -z $tried ]] || connect_die "The passphrase does not open$tried: correct PASSPHRASE."
      return 1
      ;;
    *) return 1 ;;
  esac
}

# --- an agent of this run's own ------------------------------------------------------------------

connect_private_dir() { # a folder of this run's own, with a name short enough for sockets in it
  local above=${TMPDIR:-/tmp}
  [[ -z $connect_dir ]] || return 0
  # ssh splits its options at blanks, and a socket's name is short
  [[ ${#above} -lt 45 && $above != *[!A-Za-z0-9_./-]* ]] || above=/tmp
  connect_dir=$(mktemp -d "${above%/}/turbo.XXXXXX")
  # Outlives a kill -9 of this script (and of its process group) by a second, and takes all of it
  # away; set -m gives it a group of its own.
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

connect_ask_passphrase() { # KEY: sets PASSPHRASE; false where nobody can be asked
  [[ -z $PASSPHRASE ]] || return 0
  [[ -t 0 ]] || return 1
  printf '[%s] passphrase of %s: ' "$(basename "$0" .sh)" "$1" >&2
  IFS= read -rs PASSPHRASE || true
  printf '\n' >&2
}

connect_unlock() { # SSH_KEY can be used: open, in the user's agent, or put into this run's
  [[ -r $connect_key ]] || connect_die "$(id -un) cannot read the key $connect_key."
  connect_agent_has_key "$connect_key" && return
  if connect_key_is_public "$connect_key"; then
    connect_die "$connect_key is a public key, and no agent holds the private one: ssh-add it, or name the private key as SSH_KEY."
  fi
  connect_key_is_open "$connect_key" && return
  connect_ask_passphrase "$connect_key" || connect_die "$(connect_locked_sentence "$connect_key")"
  connect_add_key "$connect_key" || connect_die "The passphrase does not open $connect_key: correct PASSPHRASE."
  PASSPHRASE=''
}

connect_locked_sentence() { printf 'The key %s has a passphrase: set PASSPHRASE, or ssh-add it to your agent first.\n' "$1"; }

connect_add_key() { # KEY: puts it into this run's agent; false where PASSPHRASE does not open it
  local tenth writer adder status=0
  connect_private_dir
  for ((tenth = 0; tenth < 50; tenth++)); do
    [[ ! -S $connect_dir/agent ]] || break
    sleep 0.1
  done
  mkfifo -m 0600 "$connect_dir/answer"
  cat >"$connect_dir/askpass" <<'ASKPASS'
#!/bin/sh
# Answers once, and only the question for the passphrase: never one about a host key.
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
