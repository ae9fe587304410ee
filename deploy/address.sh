# shellcheck shell=bash disable=SC2034 # connection.sh sources all the files that share these names
# address.sh - the address of the instance; sourced by connection.sh.
#
# The first of these that is set: the environment, the top of the script, ssh_config.json or
# ssh_<ID>.json beside the scripts ({"host": ..., "port": ..., "user": ..., "key": ...}), the last
# rental. SSH_HOST is a name, an address, an alias of ~/.ssh/config, [user@]HOST:PORT,
# ssh://[user@]HOST[:PORT], or a whole command as the website shows it: ssh -p PORT root@HOST -L ...

connect_host='' connect_port='' connect_user='' connect_key='' connect_alias='' connect_source=''
connect_config_file='' # of a pasted -F
connect_gpus=''        # of a rental
connect_given=()       # the pasted options that are passed on to ssh unchanged

connect_json() { # FILE FIELD: a string or a number of a flat JSON object
  tr '\r\n' '  ' <"$1" |
    sed -nE "s/.*\"$2\"[[:space:]]*:[[:space:]]*(\"(([^\"\\\\]|\\\\.)*)\"|([0-9]+)).*/\\2\\4/p" |
    sed -e 's/\\\(.\)/\1/g'
}

connect_from_json() { # FILE
  local host
  host=$(connect_json "$1" host) connect_port=$(connect_json "$1" port)
  connect_user=$(connect_json "$1" user) connect_key=$(connect_json "$1" key)
  connect_alias=$(connect_json "$1" id) connect_gpus=$(connect_json "$1" gpus)
  connect_source=$1
  [[ -n $host ]] || connect_die "$1 contains no host: it should contain {\"host\": \"1.2.3.4\", \"port\": 22}."
  connect_destination "$host"
}

connect_words() { # LINE: its words, one a line; quotes group words, nothing is evaluated
  printf '%s\n' "$1" | tr '\t\r\n' '   ' | xargs printf '%s\n' 2>/dev/null ||
    connect_die "$connect_source has an unclosed quote: $1"
}

connect_destination() { # HOST, user@HOST:PORT, ssh://user@HOST:PORT/: sets what it names
  local rest=$1
  if [[ $rest == ssh://* ]]; then
    rest=${rest#ssh://}
    rest=${rest%%/*}
  fi
  if [[ $rest == *@* ]]; then
    connect_user=${rest%@*} rest=${rest##*@}
  fi
  if [[ $rest =~ ^\[([0-9A-Za-z:.%]+)\](:([0-9]+))?$ ]]; then
    connect_host=${BASH_REMATCH[1]} connect_port=${BASH_REMATCH[3]:-$connect_port}
  elif [[ $rest =~ ^([^:]+):([0-9]+)$ ]]; then
    connect_host=${BASH_REMATCH[1]} connect_port=${BASH_REMATCH[2]}
  else
    connect_host=$rest
  fi
  if [[ -z $connect_host || $connect_host == -* || $connect_host == *[[:space:][:cntrl:]\"\'\\*?\!,/]* ]]; then
    connect_die "'$1' is not a host name (set by $connect_source)."
  fi
}

connect_option() { # LETTER VALUE of a pasted line
  case $1 in
    p) connect_port=$2 ;;
    l) connect_user=$2 ;;
    i) connect_key=$2 ;;
    F) connect_config_file=$2 ;;
    J) connect_given+=(-J "$2") ;;
    o)
      case $(printf '%s' "$2" | tr '[:upper:]' '[:lower:]') in
        *forward* | control* | batchmode* | remotecommand* | requesttty*) ;; # set by the scripts themselves
        port[=\ ]*) connect_port=${2#*[= ]} ;;
        user[=\ ]*) connect_user=${2#*[= ]} ;;
        *) connect_given+=(-o "$2") ;;
      esac
      ;;
    b | B | c | m | I) connect_given+=("-$1" "$2") ;;
    *) ;; # forwardings and the like: the tunnel sets its own
  esac
}

connect_parse() { # "ssh -p PORT user@HOST -L ... command": sets what it names
  local words=() word lines letter value destination='' index=0
  lines=$(connect_words "$1") || exit 1
  while IFS= read -r word; do words+=("$word"); done <<<"$lines"
  case ${words[0]:-} in ssh | */ssh) index=1 ;; esac
  while ((index < ${#words[@]})); do
    word=${words[index]} index=$((index + 1))
    if [[ $word == -- ]]; then
      continue
    elif [[ $word == -* ]]; then
      word=${word#-}
      while [[ -n $word ]]; do
        letter=${word:0:1} word=${word:1}
        case $letter in
          [BbcDEeFIiJLlmOoPpQRSWw])
            value=$word word=''
            if [[ -z $value ]]; then value=${words[index]:-} index=$((index + 1)); fi
            connect_option "$letter" "$value"
            ;;
          4 | 6 | C) connect_given+=("-$letter") ;;
          *) ;;
        esac
      done
    elif [[ -z $destination ]]; then
      destination=$word
    else
      connect_say "ignored in $connect_source: the command '${words[*]:index-1}'."
      break
    fi
  done
  [[ -n $destination ]] || connect_die "$connect_source contains no host: $1"
  connect_destination "$destination"
}

connect_configure() { # FOLDER of the scripts; the environment takes precedence over edited scripts
  local folder=$1 files=() file edited_port=${SSH_PORT:-}
  SSH_HOST=${given_host:-${SSH_HOST:-}}
  if [[ -z $given_passphrase && -n ${PASSPHRASE:-} ]] && connect_others_read "$0"; then
    connect_say "WARNING: others can read $0, which contains your passphrase: chmod 700 $0"
  fi
  PASSPHRASE=${given_passphrase:-${PASSPHRASE:-}}
  if [[ -n $SSH_HOST ]]; then
    connect_source='SSH_HOST'
    connect_parse "$SSH_HOST"
    [[ -z $given_host || -z $connect_port ]] || edited_port=''
  else
    for file in "$folder"/ssh_[0-9]*.json; do [[ ! -f $file ]] || files+=("$file"); done
    if [[ -f $folder/ssh_config.json ]]; then
      connect_from_json "$folder/ssh_config.json"
    elif [[ -n ${files[0]:-} ]]; then
      [[ -z ${files[1]:-} ]] || connect_die "There are several instances ($(cd "$folder" && printf '%s ' ssh_[0-9]*.json)): copy the right one to ssh_config.json, or set SSH_HOST."
      connect_from_json "${files[0]}"
      file=${files[0]##*/ssh_}
      connect_alias=${connect_alias:-${file%.json}}
    elif [[ -f $CONNECT_HOME/rental.json ]]; then
      connect_from_json "$CONNECT_HOME/rental.json"
    else
      connect_die 'No instance is configured: set SSH_HOST and SSH_PORT at the top of this script or in the environment, write ssh_config.json, or rent one with deploy/vast.sh up.'
    fi
  fi
  connect_port=${given_port:-${edited_port:-$connect_port}}
  connect_user=${given_user:-$connect_user}
  connect_key=${given_key:-$connect_key}
  [[ -z $connect_port || $connect_port =~ ^[1-9][0-9]{0,4}$ && $connect_port -le 65535 ]] ||
    connect_die "SSH_PORT must be a number from 1 to 65535, not '$connect_port' (set by $connect_source)."
  [[ $connect_user != -* && $connect_user != *[[:space:][:cntrl:]\"]* ]] ||
    connect_die "'$connect_user' is not a user name (set by $connect_source)."
  connect_named_key
}
