#!/usr/bin/env bash
# setup.sh - install what this machine needs, check it, and change nothing when all is in place.
#
# Usage: ./setup.sh [options]
#
# Creates .venv beside this script from the pins in requirements.txt: for an NVIDIA card if there is
# one, otherwise for the CPU. For Debian and Ubuntu, a laptop or a rented instance; written for macOS,
# not tested on it. Copied alone, it installs the system packages and says what is left to do.
#
#   --cpu          install for the CPU, even with an NVIDIA card
#   --gpu          install for an NVIDIA card, even if none is found
#   --cluster      also Ray, for ENGINE=ray (requirements-cluster.txt)
#   --dev          also what the tests and linters need, Ray among it (on Debian and Ubuntu: browsers, ffmpeg, mpv)
#   --servers      with --dev: also openssh-server, dropbear-bin and nginx-light with RTMP, which start services
#   --system       only the system packages, no Python packages
#   --no-system    do not install system packages: no apt-get, no sudo
#   --check        render the test frame again, even if it was rendered before
#   --force        create .venv again
#   --venv DIR     create the environment in DIR instead of .venv
#   --list         print the pins for this machine, and change nothing
#   --dry-run      say what would be done, and change nothing
#   --verbose      show all of pip's output
#   -h, --help     this text
#
# From the environment: PYTHON (the interpreter to build on), TORCH_INDEX (PyTorch's package index
# or a mirror; default https://download.pytorch.org/whl), TORCH_INDEX_WAIT_S (how long it may take to
# answer; default 10), pip's own variables, and, for the test frame, those of realtime_stream.py:
# MODEL_ID (the model to fetch, or a folder), HF_ENDPOINT (a mirror).
#
# This file finds or installs the system packages and Python: it has to work alone, and before there
# is a Python. The rest is in deploy/environment, and what only --dev needs in deploy/test_packages.sh.

set -Eeuo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PYTHON_OLDEST=11 PYTHON_NEWEST=14 # 3.x
BASE_PACKAGES=(git curl rsync ca-certificates procps iproute2 python3 python3-venv python3-pip)

want_card='' # cpu or gpu; otherwise whatever is found
want_dev='' want_servers='' want_system_only='' want_no_system='' want_list='' want_dry_run=''
passed=()      # the options of deploy/environment
venv=$HERE/.venv
python='' python_seen='' # the interpreter that .venv is built on; the first one found if none is suitable
driver='' capability='' # of the NVIDIA card that is used, if any

setup_say() { printf '[setup] %s\n' "$*" >&2; }

setup_die() {
  setup_say "$*"
  exit 1
}

setup_usage() {
  setup_say "$1"
  printf 'Usage: ./setup.sh [options]; ./setup.sh --help lists them.\n' >&2
  exit 2
}

# --- the system's packages ----------------------------------------------------------------------

setup_has_apt() { [[ $(uname -s) == Linux ]] && command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; }

setup_missing() { # of these Debian packages, those that are not installed, one a line
  local package status
  for package in "$@"; do
    status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) || status=''
    [[ $status == installed ]] || printf '%s\n' "$package"
  done
}

setup_apt() { # PACKAGES...; false, with a message, if they are missing and cannot be installed
  local missing packages
  missing=$(setup_missing "$@" | tr '\n' ' ')
  missing=${missing% }
  [[ -n $missing ]] || return 0
  if [[ -n $want_no_system ]]; then
    setup_say "not installed: $missing (--no-system)."
    return 1
  fi
  if [[ -n $want_dry_run ]]; then
    setup_say "would install these system packages: $missing"
    return 0
  fi
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
  if [[ $(id -u) != 0 ]]; then
    if ! command -v sudo >/dev/null || ! { [[ -t 0 ]] || sudo -n true 2>/dev/null; }; then
      setup_say "missing, and not installable without root: sudo apt-get install $missing"
      return 1
    fi
    apt=(sudo "${apt[@]}")
  fi
  read -r -a packages <<<"$missing"
  setup_say "installing system packages: $missing"
  "${apt[@]}" update >/dev/null || setup_say "apt-get update failed; continuing with the existing package lists."
  if ! "${apt[@]}" install -y --no-install-recommends "${packages[@]}" >/dev/null </dev/null; then
    setup_say "apt-get could not install $missing; its output is shown above."
    return 1
  fi
}

setup_system_base() {
  if setup_has_apt; then
    setup_apt "${BASE_PACKAGES[@]}" || return
    command -v python >/dev/null || setup_apt python-is-python3 || setup_say 'the command python does not exist here: use python3.'
  elif [[ $(uname -s) == Darwin ]]; then
    if ! command -v git >/dev/null || ! command -v curl >/dev/null; then
      setup_die 'git or curl is missing: run xcode-select --install.'
    fi
  else
    setup_say 'this is neither Debian, Ubuntu nor macOS: git, curl, rsync and Python with venv must be installed already.'
  fi
}

setup_compiler() { # torch.compile builds small launchers with the machine's C compiler and Python.h
  local needed=()
  command -v cc >/dev/null || command -v gcc >/dev/null || needed=(gcc libc6-dev)
  "$python" -c 'import os, sysconfig as s; os.stat(s.get_path("include") + "/Python.h")' 2>/dev/null ||
    needed+=("python$(setup_python_version "$python")-dev")
  [[ -n ${needed[*]-} ]] || return 0
  if ! setup_has_apt || ! setup_apt ${needed[@]+"${needed[@]}"}; then
    setup_say 'without a C compiler and Python.h the stream runs uncompiled, and slower.'
  fi
}

# --- Python and the card ------------------------------------------------------------------------

setup_python_version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

setup_find_python() { # sets python; false if none is suitable, and python_seen is the first one found
  local candidate version
  local candidates=(python3 python3.13 python3.12 python3.11 python3.14 /venv/main/bin/python
    /opt/homebrew/bin/python3 /usr/local/bin/python3 /usr/bin/python3)
  python='' python_seen=''
  [[ -z ${PYTHON:-} ]] || candidates=("$PYTHON")
  for candidate in "${candidates[@]}"; do
    candidate=$(command -v "$candidate" 2>/dev/null) || continue
    version=$(setup_python_version "$candidate") || continue
    if [[ $version =~ ^3\.([0-9]+)$ ]] && ((BASH_REMATCH[1] >= PYTHON_OLDEST && BASH_REMATCH[1] <= PYTHON_NEWEST)); then
      python=$candidate
      return 0
    fi
    [[ -n $python_seen ]] || python_seen="$candidate is $version"
  done
  return 1
}

setup_python() { # sets python to one with venv, installed if need be
  local version
  if ! setup_find_python && [[ -z ${PYTHON:-} && -z $want_no_system ]] && setup_has_apt; then
    # Debian 12 and Ubuntu 24.04 have one as python3, Ubuntu 22.04 as python3.11.
    if ! command -v python3 >/dev/null; then
      setup_apt python3 python3-venv || true
    elif [[ -n $(apt-cache show python3.11 2>/dev/null) ]]; then
      setup_apt python3.11 python3.11-venv || true
    fi
    setup_find_python || true
  fi
  [[ -n $python ]] || setup_die "Python 3.$PYTHON_OLDEST to 3.$PYTHON_NEWEST is needed and ${python_seen:-none was found}: install one (Debian, Ubuntu: sudo apt-get install python3.11 python3.11-venv; macOS: brew install python@3.13), or choose one: PYTHON=/path/to/python3.12 ./setup.sh"
  version=$(setup_python_version "$python")
  "$python" -c 'import venv, ensurepip' 2>/dev/null && return
  if setup_has_apt; then
    setup_apt "python$version-venv" && [[ -n $want_dry_run ]] && return
    "$python" -c 'import venv, ensurepip' 2>/dev/null && return
  fi
  setup_die "$python has no venv module: sudo apt-get install python$version-venv"
}

setup_card_without_driver() { # a PCI display device of NVIDIA's
  local device
  for device in /sys/bus/pci/devices/*; do
    [[ -r $device/vendor && $(cat "$device/vendor") == 0x10de && $(cat "$device/class") == 0x03* ]] && return 0
  done
  return 1
}

setup_card() { # sets driver and capability to those of the first NVIDIA card that is to be used
  local tool answer='' number limit=()
  if [[ $(uname -s) == Darwin ]]; then
    [[ $want_card != gpu ]] || setup_usage '--gpu means an NVIDIA card, and macOS supports none.'
    [[ $(uname -m) == arm64 ]] || setup_die 'PyTorch no longer supports Intel Macs: use a Mac with Apple silicon, Linux, or a rented instance.'
    return
  fi
  [[ $want_card != cpu ]] || return 0
  if tool=$(command -v nvidia-smi || command -v /usr/lib/wsl/lib/nvidia-smi); then
    command -v timeout >/dev/null && limit=(timeout 30)
    answer=$(${limit[@]+"${limit[@]}"} "$tool" --query-gpu=driver_version,compute_cap --format=csv,noheader 2>/dev/null) || answer=''
  fi
  if [[ $answer =~ ^([0-9]+)\.([0-9]{1,3}) ]]; then
    number=$((BASH_REMATCH[1] * 1000 + 10#${BASH_REMATCH[2]})) # 525.60.13: 525060
    answer=${answer%%$'\n'*}
    driver=${answer%%,*}
    capability=${answer##*, }
    [[ $capability =~ ^[0-9]+\.[0-9]+$ ]] || capability=''
    ((number >= 525060)) ||
      setup_die "the NVIDIA driver $driver is older than 525.60, which the pinned torch needs: update it, rent a newer host, or use --cpu."
  elif [[ -z $want_card ]] && setup_card_without_driver; then
    setup_say 'there is an NVIDIA card, but nvidia-smi does not answer: without its driver the CPU is used.'
  fi
}

# --- the whole ----------------------------------------------------------------------------------

setup_free_gb() { # FOLDER: on its disk, or that of the nearest existing folder above it
  local folder=$1
  while [[ ! -d $folder ]]; do folder=$(dirname "$folder"); done
  df -Pk "$folder" | awk 'NR == 2 { printf "%d", $4 / 1048576 }'
}

setup_test_packages() { # where --dev asks for them
  [[ -n $want_dev ]] || return 0
  setup_need_deploy
  # shellcheck source=deploy/test_packages.sh
  . "$HERE/deploy/test_packages.sh"
  setup_install_test_packages
}

setup_alone() {
  setup_say 'requirements.txt is not beside this script, so only the system packages are set up.'
  setup_system_base || setup_die 'The system packages are incomplete; the reason is shown above.'
  setup_card
  setup_python
  if [[ -n $driver ]]; then
    setup_say "NVIDIA driver $driver: ok."
    setup_compiler
  fi
  setup_say "Python $(setup_python_version "$python") ($python): ok. $(setup_free_gb "$HERE") GB of disk free."
  setup_say 'The system packages are ready. Next, one of two:'
  setup_say '  on your own computer: ./start_stream_server.sh, which copies the program and does the rest;'
  setup_say "  by hand: copy requirements.txt, realtime_stream.py and the folders turbostream and deploy to $HERE, then bash $HERE/setup.sh again."
}

setup_need_deploy() {
  [[ -d $HERE/deploy/environment ]] || setup_die "The folder $HERE/deploy is missing: copy it there, and start again."
}

setup_environment() { # PYTHON COMMAND: becomes deploy/environment
  exec "$1" -I -B "$HERE/deploy/environment" "$2" --root "$HERE" --venv "$venv" --base "$python" --want "$want_card" \
    --driver "$driver" --capability "$capability" --free-gb "$(setup_free_gb "$venv")" ${passed[@]+"${passed[@]}"}
}

setup_options() {
  while (($#)); do
    case $1 in
      --cpu) want_card=cpu ;;
      --gpu) want_card=gpu ;;
      --cluster) passed+=("$1") ;;
      --dev) want_dev=yes passed+=("$1") ;;
      --servers) want_servers=yes ;;
      --system) want_system_only=yes ;;
      --no-system) want_no_system=yes ;;
      --check) passed+=("$1") ;;
      --force) passed+=("$1") ;;
      --venv)
        [[ -n ${2:-} ]] || setup_usage '--venv needs a folder.'
        case $2 in /*) venv=${2%/} ;; *) venv=$PWD/${2%/} ;; esac
        shift
        ;;
      --list) want_list=yes want_dry_run=yes ;;
      --dry-run) want_dry_run=yes ;;
      --verbose) passed+=("$1") ;;
      -h | --help)
        sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
        exit
        ;;
      *) setup_usage "there is no option $1." ;;
    esac
    shift
  done
}

main() {
  local command=install name
  trap 'setup_say "line $LINENO of setup.sh failed unexpectedly."' ERR
  setup_options "$@"
  if [[ -n $want_system_only ]]; then
    setup_system_base || setup_die 'The system packages are incomplete; the reason is shown above.'
    setup_test_packages
    return
  fi
  if [[ ! -f $HERE/requirements.txt ]]; then
    setup_alone
    return
  fi
  setup_need_deploy
  setup_card
  if [[ -z $want_dry_run && -x $venv/bin/python ]] && name=$(setup_environment "$venv/bin/python" is-ready 2>/dev/null); then
    setup_test_packages
    setup_say "everything is in place ($name)."
    return
  fi
  setup_python
  if [[ -n $want_list ]]; then
    command=list
  else
    [[ -z $want_dry_run ]] || command=plan
    setup_test_packages
    [[ -z $driver && $want_card != gpu ]] || setup_compiler
  fi
  setup_environment "$python" "$command"
}

main "$@"
