# shellcheck shell=bash
# connection.sh - where the instance is and how it is reached; sourced by the scripts of the laptop.
#
# From the environment, else from the top of the script, else from ssh_config.json or ssh_<ID>.json
# beside the scripts ({"host": ..., "port": ..., "user": ..., "key": ...}), else from the last
# rental: SSH_HOST (a name, an address, or the whole line that the website shows: ssh -p PORT
# root@HOST ...), SSH_PORT, SSH_USER, SSH_KEY. PASSPHRASE opens the key: it goes through a FIFO into
# an ssh-agent of this run's own, and is in no argument, no file and no child's environment.
# Host keys are kept in a file of their own, one name for each instance.

CONNECT_HOME=${TURBOSTREAM_HOME:-$HOME/.turbostream}

connect_dir='' connect_watcher='' connect_child=''
connect_host='' connect_port='' connect_user='' connect_key='' connect_alias='' connect_source=''
connect_options=(-o BatchMode=yes)

connect_say() { printf '[%s] %s\n' "$(basename "$0" .sh)" "$*" >&2; }

connect_die() {
  connect_say "$*"
  exit 1
}

# --- secrets ------------------------------------------------------------------------------------

connect_exported() { [[ $(declare -p "$1" 2>/dev/null) == declare\ -*x* ]]; }

# Call it first. Where secrets came in the environment, the script starts itself again without them
# (a shell cannot clean the environment that it was given, and every subshell would show it).
connect_environment() { # the script's arguments
  local secret=''
  if [[ ${CONNECT_SECRET:-} =~ ^[0-9]+$ ]]; then # the descriptor that it is read from
    IFS= read -r PASSPHRASE <&"$CONNECT_SECRET" || true
    eval "exec $CONNECT_SECRET<&-"
    unset CONNECT_SECRET
  elif connect_exported PASSPHRASE || connect_exported VAST_API_KEY; then
    secret=${PASSPHRASE:-}
    unset PASSPHRASE VAST_API_KEY
    CONNECT_SECRET=3 exec "$BASH" "$0" "$@" 3< <(printf '%s\n' "$secret")
  fi
  given_host=${SSH_HOST:-} given_port=${SSH_PORT:-} given_user=${SSH_USER:-} given_key=${SSH_KEY:-}
  given_passphrase=${PASSPHRASE:-}
  unset SSH_HOST SSH_PORT SSH_USER SSH_KEY PASSPHRASE
}

connect_others_read() { # FILE: others than its owner can read it
  local mode
  mode=$(ls -ldn "$1" 2>/dev/null) || return 1
  [[ ${mode:4:6} == *r* ]]
}

# --- where --------------------------------------------------------------------------------------

connect_json() { # FILE FIELD: a string or a number of a flat JSON object
  tr '\n' ' ' <"$1" | sed -n "s/.*\"$2\"[[:space:]]*:[[:space:]]*\"\{0,1\}\([^\",}]*[^\",} ]\)\"\{0,1\}.*/\1/p"
}

connect_from_json() { # FILE
  connect_host=$(connect_json "$1" host) connect_port=$(connect_json "$1" port)
  connect_user=$(connect_json "$1" user) connect_key=$(connect_json "$1" key)
  connect_alias=$(connect_json "$1" id)
  connect_source=$1
  [[ -n $connect_host ]] || connect_die "$1 names no host: it should hold {\"host\": \"1.2.3.4\", \"port\": 22}."
}

connect_parse() { # "ssh -p PORT user@HOST -L ...": sets what it names
  local words=() word previous=''
  read -r -a words <<<"$1"
  for word in ${words[@]+"${words[@]}"}; do
    case $previous in
      -p) connect_port=$word ;;
      -i) connect_key=$word ;;
      -l) connect_user=$word ;;
      -L | -R | -D | -o | -F | -J) ;;
      *)
        case $word in
          ssh | -*) ;;
          *) connect_host=$word ;;
        esac
        ;;
    esac
    previous=$word
  done
  if [[ $connect_host == *@* ]]; then
    connect_user=${connect_host%%@*} connect_host=${connect_host#*@}
  fi
}

connect_configure() { # FOLDER of the scripts; what the environment gave wins over what was edited in
  local folder=$1 files=() file
  SSH_HOST=${given_host:-${SSH_HOST:-}} SSH_PORT=${given_port:-${SSH_PORT:-}}
  if [[ -z $given_passphrase && -n ${PASSPHRASE:-} ]] && connect_others_read "$0"; then
    connect_say "CAREFUL: others can read $0, where your passphrase stands: chmod 700 $0"
  fi
  PASSPHRASE=${given_passphrase:-${PASSPHRASE:-}}
  if [[ -n $SSH_HOST ]]; then
    connect_source='SSH_HOST'
    connect_parse "$SSH_HOST"
  else
    for file in "$folder"/ssh_[0-9]*.json; do [[ ! -f $file ]] || files+=("$file"); done
    if [[ -f $folder/ssh_config.json ]]; then
      connect_from_json "$folder/ssh_config.json"
    elif [[ -n ${files[0]:-} ]]; then
      [[ -z ${files[1]:-} ]] || connect_die "There are several instances ($(cd "$folder" && printf '%s ' ssh_[0-9]*.json)): copy the one you mean to ssh_config.json, or set SSH_HOST."
      connect_from_json "${files[0]}"
      file=${files[0]##*/ssh_}
      connect_alias=${connect_alias:-${file%.json}}
    elif [[ -f $CONNECT_HOME/rental.json ]]; then
      connect_from_json "$CONNECT_HOME/rental.json"
    else
      connect_die 'No instance is named: set SSH_HOST and SSH_PORT at the top of this script or in the environment, write ssh_config.json, or rent one with deploy/vast.sh up.'
    fi
  fi
  connect_port=${SSH_PORT:-${connect_port:-22}}
  connect_user=${given_user:-${connect_user:-root}}
  connect_key=${given_key:-$connect_key}
  [[ $connect_port =~ ^[1-9][0-9]{0,4}$ ]] || connect_die "SSH_PORT must be a number from 1 to 65535, not '$connect_port' (given by $connect_source)."
  connect_alias=${connect_alias:-$connect_host-$connect_port}
  connect_find_key
}

connect_find_key() {
  local name
  if [[ -n $connect_key ]]; then
    [[ ${connect_key%%/*} != \~ ]] || connect_key=$HOME/${connect_key#*/}
    [[ -f $connect_key ]] || connect_die "There is no key $connect_key (SSH_KEY)."
    return
  fi
  for name in id_ed25519 id_ecdsa id_rsa; do
    if [[ -f $HOME/.ssh/$name ]]; then
      connect_key=$HOME/.ssh/$name
      return
    fi
  done
  ssh-add -l >/dev/null 2>&1 || connect_die 'There is no ssh key: make one with ssh-keygen -t ed25519, add its .pub to your Vast.ai account (Account, SSH Keys), or name another as SSH_KEY.'
}

# --- the key ------------------------------------------------------------------------------------

connect_private_dir() { # a folder of this run's own, with a name short enough for sockets in it
  local above=${TMPDIR:-/tmp}
  [[ -z $connect_dir ]] || return 0
  ((${#above} < 45)) || above=/tmp
  connect_dir=$(mktemp -d "${above%/}/turbo.XXXXXX")
  # Outlives a kill -9 of this script (and of its process group) by a second, and takes all of it
  # away; set -m gives it a group of its own.
  set -m
  # shellcheck disable=SC2016
  ssh-agent -a "$connect_dir/agent" sh -c '
    trap "exit 0" TERM
    trap "kill $SSH_AGENT_PID; ssh -O exit -o ControlPath=\"$2/master\" x 2>/dev/null; rm -rf -- \"$2\"" EXIT
    trap "" INT HUP
    while kill -0 "$1" 2>/dev/null; do sleep 1 & wait $!; done' watcher "$$" "$connect_dir" \
    >/dev/null 2>&1 </dev/null &
  connect_watcher=$!
  set +m
}

connect_key_is_open() { # the key file needs no passphrase
  ssh-keygen -y -P '' -f "$connect_key" >/dev/null 2>&1 </dev/null
}

connect_agent_has_key() { # the user's own agent holds it already
  local public
  public=$(cut -d ' ' -f 2 "$connect_key.pub" 2>/dev/null) || return 1
  [[ -n $public ]] && ssh-add -L 2>/dev/null | grep -qF "$public"
}

connect_unlock() { # puts the key into this run's agent
  local tenth writer adder status=0
  [[ -z $connect_key ]] && return
  [[ -r $connect_key ]] || connect_die "$(id -un) cannot read the key $connect_key."
  connect_key_is_open && return
  connect_agent_has_key && return
  if [[ -z $PASSPHRASE ]]; then
    [[ -t 0 ]] || connect_die "The key $connect_key has a passphrase: set PASSPHRASE, or ssh-add it to your agent first."
    printf '[%s] passphrase of %s: ' "$(basename "$0" .sh)" "$connect_key" >&2
    IFS= read -rs PASSPHRASE || true
    printf '\n' >&2
  fi
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
    ssh-add -q "$connect_key" >"$connect_dir/add.log" 2>&1 </dev/null &
  adder=$!
  for ((tenth = 0; tenth < 200; tenth++)); do
    kill -0 "$adder" 2>/dev/null || break
    sleep 0.1
  done
  kill "$adder" 2>/dev/null || true
  wait "$adder" || status=$?
  kill "$writer" 2>/dev/null || true
  wait "$writer" 2>/dev/null || true
  PASSPHRASE=''
  rm -rf "$connect_dir/answer" "$connect_dir/askpass" "$connect_dir/askpass.asked"
  ((status == 0)) || connect_die "The passphrase does not open $connect_key: correct PASSPHRASE."
}

# --- the line -----------------------------------------------------------------------------------

connect_prepare() { # all that ssh needs to be told
  connect_private_dir
  connect_unlock
  mkdir -p "$CONNECT_HOME"
  chmod 0700 "$CONNECT_HOME"
  connect_options=(
    -p "$connect_port" -l "$connect_user"
    -o BatchMode=yes
    -o ConnectTimeout="${SSH_CONNECT_TIMEOUT_S:-10}"
    -o ServerAliveInterval="${SSH_ALIVE_S:-15}" -o ServerAliveCountMax=3
    -o StrictHostKeyChecking=accept-new
    -o UserKnownHostsFile="$CONNECT_HOME/known_hosts"
    -o HostKeyAlias="$connect_alias"
    -o HashKnownHosts=no
    -o LogLevel=ERROR
  )
  if [[ -n $connect_key ]]; then
    connect_options+=(-o IdentitiesOnly=yes -i "$connect_key")
    [[ ! -S $connect_dir/agent ]] || connect_agent_has_key || connect_options+=(-o IdentityAgent="$connect_dir/agent")
  fi
}

connect_explain() { # what ssh said, on stdin: one sentence; 1 where trying again cannot help
  local said
  said=$(cat)
  case $said in
    *'Could not resolve hostname'*)
      printf 'There is no host called %s: check SSH_HOST (given by %s).\n' "$connect_host" "$connect_source"
      return 1
      ;;
    *'REMOTE HOST IDENTIFICATION HAS CHANGED'* | *'Host key verification failed'* | *'host key'*'has changed'*)
      printf 'The host key of %s has changed: another machine answers at %s:%s. If you rented anew, forget the old one: ssh-keygen -R %s -f %s\n' "$connect_alias" "$connect_host" "$connect_port" "$connect_alias" "$CONNECT_HOME/known_hosts"
      return 1
      ;;
    *'Permission denied'*)
      printf '%s refuses the key %s for %s: add %s.pub to your Vast.ai account (Account, SSH Keys) and to the instance, or name another as SSH_KEY.\n' "$connect_host" "${connect_key:-of your agent}" "$connect_user" "${connect_key:-it}"
      return 1
      ;;
    *'Too many authentication failures'*)
      printf '%s refuses after too many keys: name the right one as SSH_KEY.\n' "$connect_host"
      return 1
      ;;
    *'Connection refused'*) printf '%s answers, but nothing listens on port %s: check SSH_PORT, or the instance is still starting.\n' "$connect_host" "$connect_port" ;;
    *'timed out'* | *'No route to host'* | *'Network is unreachable'* | *'not responding'*) printf '%s does not answer on port %s: check SSH_HOST, your network, and that the instance runs.\n' "$connect_host" "$connect_port" ;;
    *'kex_exchange_identification'* | *'Connection closed'* | *'Connection reset'* | *'banner exchange'*) printf '%s:%s answers, but not as an ssh server (yet): the instance may still be starting, or SSH_PORT is another.\n' "$connect_host" "$connect_port" ;;
    *'Address already in use'* | *'cannot listen to port'*) printf 'the local port is taken.\n' ;;
    '') printf 'The line to %s broke.\n' "$connect_host" ;;
    *) printf 'ssh to %s failed: %s\n' "$connect_host" "$(tail -n 1 <<<"$said")" ;;
  esac
}

connect_open() { # one line for all commands of this run; checked before each use
  local status=0
  ssh -O check -o ControlPath="$connect_dir/master" "$connect_host" >/dev/null 2>&1 && return
  ssh "${connect_options[@]}" -o ControlMaster=yes -o ControlPersist=20 -o ControlPath="$connect_dir/master" \
    -N -f "$connect_host" >/dev/null 2>"$connect_dir/said" </dev/null || status=$?
  ((status == 0)) || connect_die "$(connect_explain <"$connect_dir/said")"
}

connect_run() { # command...: there, its input closed
  connect_pipe "$@" </dev/null
}

connect_pipe() { # command...: there, with this input
  local quoted status=0
  quoted=$(printf '%q ' "$@")
  connect_open
  # In the background, so that a signal to this script is heard at once.
  ssh "${connect_options[@]}" -o ControlMaster=no -o ControlPath="$connect_dir/master" -T "$connect_host" "$quoted" <&0 &
  connect_child=$!
  wait "$connect_child" || status=$?
  connect_child=''
  return "$status"
}

connect_close() { # nothing of this run stays behind
  trap '' INT TERM HUP # a second Ctrl-C may not interrupt this
  [[ -n $connect_dir ]] || return 0
  [[ -z $connect_child ]] || kill "$connect_child" 2>/dev/null || true
  ssh -O exit -o ControlPath="$connect_dir/master" "${connect_host:-x}" >/dev/null 2>&1 || true
  if [[ -n $connect_watcher ]]; then
    kill "$connect_watcher" 2>/dev/null || true
    wait "$connect_watcher" 2>/dev/null || true
  fi
  rm -rf "$connect_dir"
}
