# shellcheck shell=bash disable=SC2154 # host.sh sources all the files that share these names
# environment.sh - a release's Python environment and settings; sourced by host.sh.

host_environment() { # FOLDER of a release: finds or creates its interpreter, written to .deploy/python
  local folder=$1 key python setup=()
  if [[ -n ${INSTANCE_PYTHON:-} ]]; then
    python=$INSTANCE_PYTHON
    [[ -x $python ]] || host_die "INSTANCE_PYTHON is $python, which does not exist or cannot be run."
    "$python" -c 'import torch, diffusers, transformers, flask, flask_cors, gevent, PIL' 2>/dev/null 9>&- ||
      host_die "INSTANCE_PYTHON ($python) lacks packages that requirements.txt lists: leave it unset to have an environment created."
  else
    key=$(sha256sum <"$folder/requirements.txt" | cut -c 1-12)
    python=$base/envs/$key/bin/python
    # With the server's settings: the check at the end of setup.sh fetches the model that they name.
    # shellcheck disable=SC1091
    (
      . "$folder/.deploy/settings"
      [[ ${ENGINE:-local} != ray ]] || setup=(--cluster)
      exec bash "$folder/setup.sh" --venv "$base/envs/$key" ${setup[@]+"${setup[@]}"} 9>&-
    ) ||
      host_die 'The environment is incomplete; the reason is shown above. Once it is fixed, start again: setup continues from there.'
  fi
  printf '%s\n' "$python" >"$folder/.deploy/python"
}

host_settings() { # FOLDER NAME=VALUE...: writes the settings that the loop gives the server
  local settings=$1/.deploy/settings pair public
  rm -f "$settings"
  (umask 077 && : >"$settings") # it may contain a stream key
  {
    printf 'export STATE_DIR=%q HANDOVER=take SERVER_HOST=0.0.0.0 PYTHONUNBUFFERED=1\n' "$base/state"
    for pair in "${@:2}"; do printf 'export %s=%q\n' "${pair%%=*}" "${pair#*=}"; done
  } >>"$settings"
  public=$(host_public_address "$(host_port_of "$1")")
  if [[ -n $public ]] && ! grep -q '^export PUBLIC_ADDRESS=' "$settings"; then
    printf 'export PUBLIC_ADDRESS=%q\n' "$public" >>"$settings"
  fi
}

host_public_address() { # PORT: the public HOST:PORT that Vast.ai has mapped to it, if any
  { tr '\0' '\n' <"${GUARD_ENVIRON:-/proc/1/environ}"; } 2>/dev/null | awk -F = -v mapped="VAST_TCP_PORT_$1" '
    $1 == "PUBLIC_IPADDR" { host = $2 }
    $1 == mapped { port = $2 }
    END { gsub(/ /, "", host); if (host != "" && port != "") print host ":" port }' || true
}

host_port_of() { # FOLDER: the port in its settings, else the program's default
  (
    unset SERVER_PORT
    # shellcheck disable=SC1091
    [[ ! -f $1/.deploy/settings ]] || . "$1/.deploy/settings"
    printf '%s\n' "${SERVER_PORT:-$(sed -n 's/^SERVER_PORT = \([0-9]*\).*/\1/p' "$1/realtime_stream.py")}"
  )
}
