# shellcheck shell=bash
# framing.sh - encodes a command for any login shell, and separates its output from what the login
# shell itself prints; sourced by connection.sh.
#
# sshd passes the command to the user's login shell, which reads its start-up files first. Neither
# their output nor the kind of shell may matter: the command is sent in octal, and a line with a random
# mark on stdout and stderr shows where its own output begins.

FRAME_HELD_LINES=20    # lines before the mark that are kept, to be shown if the mark never comes
FRAME_LINE_LENGTH=2000 # longer lines are cut

frame_quote() { # WORDS...: quoted as one line for a POSIX shell
  local word quoted='' apostrophe="'" escaped="'\\''"
  for word in "$@"; do
    case $word in
      '' | *[!A-Za-z0-9_./:=@%+,-]*) quoted+="'${word//$apostrophe/$escaped}' " ;;
      *) quoted+="$word " ;;
    esac
  done
  printf '%s\n' "${quoted% }"
}

frame_command() { # MARK SCRIPT: the command for ssh, with which sh there prints the mark and runs it
  local octal
  octal=$(printf '%s' "$2" | od -An -v -t o1 | tr -s ' ' '\n' | sed -n 's/^\(...\)$/\\0\1/p' | tr -d '\n')
  # shellcheck disable=SC2016
  printf "exec sh -c '%s' %s '%s'\n" \
    'printf "\n%s\n" "$0"; printf "\n%s\n" "$0" >&2; eval "$(printf %b "$1")"' "$1" "$octal"
}

frame_clean() { # TEXT: without terminal control characters, as one line of limited length
  local LC_ALL=C text=${1:0:$((FRAME_LINE_LENGTH + 1))}
  text=${text//$'\t'/ }
  text=${text//[[:cntrl:]]/}
  text=${text//$'\xc2'[$'\x80'-$'\x9f']/} # C1 controls in UTF-8
  if ((${#text} > FRAME_LINE_LENGTH)); then text=${text:0:FRAME_LINE_LENGTH}...; fi
  printf '%s\n' "$text"
}

frame_show() { # each line of stdin as soon as it comes, cleaned
  local LC_ALL=C line
  while IFS= read -r line || [[ -n $line ]]; do frame_clean "$line"; done
}

frame_stdout() { # MARK FILE: what follows the mark; unchanged, but cleaned for a terminal
  local LC_ALL=C line held=() # without a mark, what came instead is written to the file
  while IFS= read -r line || [[ -n $line ]]; do
    if [[ $line == "$1" ]]; then
      if [[ -t 1 ]]; then frame_show; else exec cat; fi
      return
    fi
    [[ -z $line || ${#held[@]} -ge $FRAME_HELD_LINES ]] || held+=("$line")
  done
  for line in '' ${held[@]+"${held[@]}"}; do frame_clean "$line"; done >"$2"
}

frame_stderr() { # MARK: what follows it, cleaned; if it never comes, what came instead
  local LC_ALL=C line held=()
  while IFS= read -r line || [[ -n $line ]]; do
    if [[ $line == "$1" ]]; then
      frame_show
      return
    fi
    [[ -z $line || ${#held[@]} -ge $FRAME_HELD_LINES ]] || held+=("$line")
  done
  for line in ${held[@]+"${held[@]}"}; do frame_clean "$line"; done
}
