# shellcheck shell=bash disable=SC2154 # connection.sh sources all the files that share these names
# login_shell.sh - checks that the login shell on the instance runs a command; sourced by
# connection.sh.

connect_greet() { # the login shell there runs a command, and bash is installed
  local status=0 said
  connect_hello || status=$?
  if ((status == 97)) && grep -qiE 'tmux|no sessions|not a terminal' <<<"$said"; then
    connect_say "the login shell of $connect_user there starts tmux instead of the command: creating an empty ~/.no_auto_tmux there, which switches that off."
    : >"$connect_dir/empty"
    status=0
    connect_put_no_auto_tmux && connect_hello || status=$?
    ((status == 0)) || connect_die "tmux could not be switched off there: log in, run touch ~/.no_auto_tmux, and start again."
  fi
  case $status in
    0) ;;
    90) connect_die 'The instance has no bash: install it there (apt-get install bash, apk add bash), and start again.' ;;
    97) connect_die "The login shell of $connect_user on $connect_host ended before it ran a command. It said: ${said:-nothing}" ;;
    *) connect_die "The connection to $connect_host was lost: $said" ;;
  esac
}

connect_hello() { # sets said: the output that came instead of an answer
  local status=0
  connect_script 'command -v bash >/dev/null || exit 90' >/dev/null 2>"$connect_dir/said" </dev/null || status=$?
  said=$(cat "$connect_dir/said" "$connect_dir/unmarked" 2>/dev/null | grep -v '^$' | tail -n 3 | tr '\n' ' ') || said=''
  said=${said% }
  return "$status"
}

connect_put_no_auto_tmux() {
  local host=$connect_host
  [[ $host != *:* ]] || host="[$host]"
  sftp -q -b - "${connect_options[@]}" -o ControlMaster=no -o ControlPath="$connect_dir/master" "$host" \
    >/dev/null 2>&1 <<<"put $connect_dir/empty .no_auto_tmux"
}
