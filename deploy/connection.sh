# shellcheck shell=bash
# connection.sh - the ssh connection to the instance; sourced by the scripts of the laptop.
#
# address.sh finds the address, keys.sh the key; framing.sh encodes a command, login_shell.sh checks
# the shell that receives it, explain.sh explains errors. What the user set (SSH_HOST, SSH_PORT,
# SSH_USER, SSH_KEY, or a pasted command) takes precedence over ~/.ssh/config, and that over the
# defaults: port 22, and root unless the host is an alias. Host keys are kept in a separate file, one
# name for each instance.

CONNECT_HOME=${TURBOSTREAM_HOME:-$HOME/.turbostream}

connect_dir='' connect_watcher='' connect_child='' connect_greeted=''
connect_options=(-o BatchMode=yes)

# shellcheck source=deploy/address.sh
. "${BASH_SOURCE[0]%/*}/address.sh"
# shellcheck source=deploy/keys.sh
. "${BASH_SOURCE[0]%/*}/keys.sh"
# shellcheck source=deploy/framing.sh
. "${BASH_SOURCE[0]%/*}/framing.sh"
# shellcheck source=deploy/explain.sh
. "${BASH_SOURCE[0]%/*}/explain.sh"
# shellcheck source=deploy/login_shell.sh
. "${BASH_SOURCE[0]%/*}/login_shell.sh"

connect_say() { printf '[%s] %s\n' "$(basename "$0" .sh)" "$*" >&2; }

connect_die() {
  connect_say "$*"
  exit 1
}

# --- secrets ------------------------------------------------------------------------------------

connect_exported() { [[ $(declare -p "$1" 2>/dev/null) == declare\ -*x* ]]; }

# Call it first. If the environment has secrets, the script executes itself again without them: a
# shell cannot change its initial environment, and every subshell would show it.
connect_environment() { # the script's arguments
  local secret=''
  if [[ ${CONNECT_SECRET:-} =~ ^[0-9]+$ ]]; then # the descriptor to read it from
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

# --- ssh's options ------------------------------------------------------------------------------

connect_effective() { # NAME: its values for this host after ssh_config, one a line
  sed -n "s/^$1 //p" "$connect_dir/effective"
}

connect_ask_ssh() { # the configuration that ssh would use
  ssh "${connect_options[@]}" ${connect_given[@]+"${connect_given[@]}"} -G "$connect_host" \
    >"$connect_dir/effective" 2>"$connect_dir/said" </dev/null ||
    connect_die "ssh rejects its options or its configuration: $(frame_clean "$(tail -n 1 "$connect_dir/said")")"
}

connect_write_config() { # the user's configuration, followed by the defaults
  local file=${connect_config_file:-$HOME/.ssh/config} name
  case $file in \~/*) file=$HOME${file#\~} ;; esac
  {
    [[ ! -f $file ]] || printf 'Include "%s"\n' "$file"
    [[ -n $connect_config_file || ! -f /etc/ssh/ssh_config ]] || printf 'Include /etc/ssh/ssh_config\n'
    printf 'Host %s\n' "$connect_host"
    if [[ -z $connect_key && $HOME != "$(connect_ssh_home)" ]]; then
      for name in id_ed25519 id_ecdsa id_rsa; do
        [[ ! -f $HOME/.ssh/$name ]] || printf '  IdentityFile "%s"\n' "$HOME/.ssh/${name//%/%%}"
      done
    fi
  } >"$connect_dir/config"
  connect_options=(-F "$connect_dir/config")
  [[ -z $connect_port ]] || connect_options+=(-o "Port=$connect_port")
  connect_ask_ssh
  # An alias has a user of its own; a plain address comes from the website: root.
  if [[ -z $connect_user && $(connect_effective hostname) == "$(printf '%s' "$connect_host" | tr '[:upper:]' '[:lower:]')" ]]; then
    printf '  User root\n' >>"$connect_dir/config"
  fi
  [[ -z $connect_user ]] || connect_options+=(-o "User=$connect_user")
  connect_ask_ssh
  connect_port=$(connect_effective port) connect_user=$(connect_effective user)
}

connect_ssh_options() { # sets connect_options
  connect_options=(
    -F "$connect_dir/config"
    ${connect_given[@]+"${connect_given[@]}"}
    -o Port="$connect_port" -o User="$connect_user"
    -o BatchMode=yes
    -o ConnectTimeout="${SSH_CONNECT_TIMEOUT_S:-10}"
    -o ServerAliveInterval="${SSH_ALIVE_S:-15}" -o ServerAliveCountMax=3
    -o StrictHostKeyChecking=accept-new
    -o UserKnownHostsFile="\"${CONNECT_HOME//%/%%}/known_hosts\""
    -o HostKeyAlias="$connect_alias"
    -o HashKnownHosts=no
    -o LogLevel=ERROR
    -o RequestTTY=no -o RemoteCommand=none
  )
  case $connect_key_choice in
    named | unlocked) connect_options+=(-o IdentitiesOnly=yes -o IdentityFile="\"${connect_key//%/%%}\"") ;;
    files) connect_options+=(-o IdentitiesOnly=yes) ;;
  esac
  [[ -z $connect_own_agent ]] || connect_options+=(-o IdentityAgent="$connect_dir/agent")
}

connect_prepare() { # sets all that ssh needs
  local agent
  connect_private_dir
  mkdir -p "$CONNECT_HOME"
  chmod 0700 "$CONNECT_HOME"
  connect_write_config
  connect_alias=${connect_alias:-$connect_host-$connect_port}
  agent=$(connect_effective identityagent)
  case $agent in \~/*) agent=$(connect_ssh_home)${agent#\~} ;; esac
  [[ $agent != /* ]] || export SSH_AUTH_SOCK="$agent"
  connect_key_choice=plain
  if [[ -n $connect_key ]]; then
    connect_key_choice=named
    connect_unlock
  fi
  connect_ssh_options
}

# --- the connection -----------------------------------------------------------------------------

connect_was_refused() { # OUTPUT of ssh: another key may help; after kex_... a jump host refused
  [[ $1 != *kex_exchange_identification* && ($1 == *'Permission denied'* || $1 == *'Too many authentication failures'*) ]]
}

connect_open() { # one connection for all commands of this run; checked before each use
  local status
  ssh -F /dev/null -O check -o ControlPath="$connect_dir/master" x >/dev/null 2>&1 && return
  while :; do
    status=0
    # Without the user's forwardings, which the tunnel may have to set up itself.
    ssh "${connect_options[@]}" -o ClearAllForwardings=yes \
      -o ControlMaster=yes -o ControlPersist=20 -o ControlPath="$connect_dir/master" \
      -N -f "$connect_host" >/dev/null 2>"$connect_dir/said" </dev/null || status=$?
    ((status)) || break
    if grep -q 'kex_exchange_identification' "$connect_dir/said"; then
      # Behind a jump host, a persistent connection does not show what the inner ssh prints.
      ssh "${connect_options[@]}" -o ControlPath=none -T "$connect_host" true >/dev/null 2>"$connect_dir/said" </dev/null && continue
    fi
    connect_was_refused "$(cat "$connect_dir/said")" && connect_next_keys && continue
    connect_die "$(connect_explain <"$connect_dir/said")"
  done
  PASSPHRASE=''
  if [[ -z $connect_greeted ]]; then
    connect_greeted=yes
    connect_greet
  fi
}

connect_run() { # COMMAND...: runs it there, without input
  connect_pipe "$@" </dev/null
}

connect_pipe() { # COMMAND...: runs it there, with this input
  connect_script "exec $(frame_quote "$@")"
}

connect_host_sh() { # COMMAND [ARGUMENTS]: of deploy/host.sh there, sent along in one stream with its steps
  local folder=${BASH_SOURCE[0]%/*}
  connect_pipe bash -s -- "$1" "${REMOTE_DIR:-default}" "${@:2}" < <(cat "$folder"/host/*.sh "$folder/host.sh")
}

# In the background, so that a signal to this script is handled at once. Status 97 if the login shell
# there ended before it ran the script.
connect_script() { # SCRIPT for sh there, with this input
  local call mark=turbostream-$RANDOM$RANDOM$RANDOM status=0
  connect_open
  call=$(mktemp "$connect_dir/call.XXXXXX")
  {
    {
      {
        (connect_ssh "$mark" "$1") 2>&3 3>&- || status=$?
        printf '%s\n' "$status" >"$call"
      } | frame_stdout "$mark" "$call.unmarked" 3>&-
    } 3>&1 >&4 | frame_stderr "$mark" >&2
  } 4>&1 <&0 &
  connect_child=$!
  wait "$connect_child" || true
  connect_child=''
  status=$(cat "$call")
  if [[ -e $call.unmarked ]]; then
    mv -f "$call.unmarked" "$connect_dir/unmarked"
    [[ $status == 255 ]] || status=97
  fi
  rm -f "$call"
  return "${status:-255}"
}

connect_ssh() { # MARK SCRIPT
  local command
  command=$(frame_command "$1" "$2")
  exec ssh "${connect_options[@]}" -o ControlMaster=no -o ControlPath="$connect_dir/master" -T "$connect_host" "$command" 4>&-
}

connect_close() { # removes all that this run has started or written
  trap '' INT TERM HUP # a second Ctrl-C may not interrupt this
  [[ -n $connect_dir ]] || return 0
  [[ -z $connect_child ]] || kill "$connect_child" 2>/dev/null || true
  ssh -F /dev/null -O exit -o ControlPath="$connect_dir/master" x >/dev/null 2>&1 || true
  if [[ -n $connect_watcher ]]; then
    kill "$connect_watcher" 2>/dev/null || true
    wait "$connect_watcher" 2>/dev/null || true
  fi
  rm -rf "$connect_dir"
}
