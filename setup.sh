#!/usr/bin/env bash
# setup.sh - install what this machine needs, check it, and do nothing where nothing is left to do.
#
# Usage: ./setup.sh [options]
#
# Makes .venv beside this script from the pins in requirements.txt: for an NVIDIA card where there
# is one, else for the processor. Debian and Ubuntu, a laptop or a rented instance; written for
# macOS, not run on it. Copied somewhere alone, it installs the system's part and says what is left.
#
#   --cpu          install for the processor, also where there is an NVIDIA card
#   --gpu          install for an NVIDIA card, also where none is seen
#   --dev          also what the tests and linters need (on Debian and Ubuntu: browsers, ffmpeg, mpv)
#   --servers      with --dev: also openssh-server, dropbear-bin and nginx-light; two of them start services
#   --system       only the system's packages, nothing of Python's
#   --no-system    leave the system's packages alone: no apt-get, no sudo
#   --check        paint the check's frame again, also where it has been painted
#   --force        make .venv anew
#   --venv DIR     put the environment there instead of into .venv
#   --list         print the pins that this machine gets, and change nothing
#   --dry-run      say what would be done, and change nothing
#   --verbose      show everything that pip says
#   -h, --help     this text
#
# From the environment: PYTHON (the interpreter to build on), TORCH_INDEX (PyTorch's package index
# or a mirror of it; default https://download.pytorch.org/whl), TORCH_INDEX_WAIT_S (how long it may
# take to answer; default 10), pip's own variables, and, for the frame that is painted at the end,
# realtime_stream.py's: MODEL_ID (its model is fetched, or a folder taken), HF_ENDPOINT (a mirror).

set -Eeuo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TORCH_INDEX=${TORCH_INDEX:-https://download.pytorch.org/whl}
INDEX_WAIT_S=${TORCH_INDEX_WAIT_S:-10}
PYTHON_OLDEST=11 PYTHON_NEWEST=14 # 3.x
FORMAT=1                          # raise it to have every environment made anew

BASE_PACKAGES=(git curl rsync ca-certificates procps iproute2 python3 python3-venv python3-pip)
DEV_PACKAGES=(fonts-dejavu-core ffmpeg mpv shellcheck rsync pv curl git make procps iproute2 lsof openssh-client)
BROWSER_PACKAGES=(chromium firefox-esr)
SERVER_PACKAGES=(openssh-server dropbear-bin nginx-light)

want_kind='' want_dev='' want_servers='' want_system_only='' want_no_system=''
want_check='' want_force='' want_list='' want_dry_run='' want_verbose=''
venv=$HERE/.venv
kind=''           # cpu: no NVIDIA card; cu13: PyPI's CUDA 13 build; cu12: a CUDA 12 build for older drivers
torch_tag=''      # the build's mark behind torch's version: cpu, cu128, cu126
torch_index=''    # the index that has it
python=''         # the interpreter that .venv is built on
python_seen=''    # what was found where none of them will do
driver=''         # the NVIDIA driver's version, where there is one
cu12_tags=(cu129 cu128 cu126) # the CUDA 12 builds that this card can run, the newest first
key_home='' key_base='' key_dev=''
ticker=''         # the process that shows progress
worker=''         # the process that works
holds_lock=''

# --- talk ---------------------------------------------------------------------------------------

setup_say() { printf '[setup] %s\n' "$*" >&2; }

setup_die() {
  setup_say "$*"
  exit 1
}

setup_help() { sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

setup_usage() {
  setup_say "$1"
  printf 'Usage: ./setup.sh [options]; ./setup.sh --help lists them.\n' >&2
  exit 2
}

# --- small things that macOS and Debian do differently ------------------------------------------

setup_hash() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -c 1-16; }

setup_free_gb() { # the folder, or the nearest one above it that exists
  local folder=$1
  while [[ ! -d $folder ]]; do folder=$(dirname "$folder"); done
  df -Pk "$folder" | awk 'NR == 2 { printf "%d", $4 / 1048576 }'
}

setup_need_disk() { # GB, what for
  local free
  free=$(setup_free_gb "$venv")
  ((free >= $1)) || setup_die "$2 needs $1 GB of disk, and $(dirname "$venv") has $free GB free: make room, or name another disk with --venv DIR."
}

setup_version_at_least() { # 570.86.15 525.60
  local have=$1 least=$2
  local have_major=${have%%.*} have_rest=${have#*.} least_major=${least%%.*} least_rest=${least#*.}
  ((have_major > least_major)) || { ((have_major == least_major)) && ((10#${have_rest%%.*} >= 10#${least_rest%%.*})); }
}

# --- running a long step quietly ----------------------------------------------------------------

setup_progress() { # one line about what pip is doing, out of its log
  awk '/^ *Downloading / { name = $2; sub(/.*\//, "", name); sub(/-py.*|-cp.*/, "", name) }
       /^Progress [0-9]+ of [0-9]+/ { have = $2; all = $4 }
       /^Installing collected packages/ { installing = 1 }
       END {
         if (installing) printf "unpacking"
         else if (name != "" && all > 20000000) printf "%s: %d of %d MB", name, have / 1e6, all / 1e6
         else if (name != "") printf "%s", name
         else printf "working" }' "$1" 2>/dev/null || true
}

setup_tick() { # log: every second on a terminal, every 20 s elsewhere
  local log=$1 seconds=0
  while sleep 1 && kill -0 "$$" 2>/dev/null; do # not longer than the script itself
    seconds=$((seconds + 1))
    if [[ -t 2 ]]; then
      printf '\r\033[K[setup]   %d s, %s' "$seconds" "$(tail -n 400 "$log" | setup_progress -)" >&2
    elif ((seconds % 20 == 0)); then
      setup_say "  $seconds s, $(tail -n 400 "$log" | setup_progress -)"
    fi
  done
}

setup_stop_ticker() {
  [[ -n $ticker ]] || return 0
  kill "$ticker" 2>/dev/null || true
  wait "$ticker" 2>/dev/null || true
  ticker=''
  [[ ! -t 2 ]] || printf '\r\033[K' >&2
}

setup_quietly() { # command...; its words go to the log, and are shown when it fails
  local log=$venv.lock/log status=0
  local temporary=$venv.lock/tmp # on the disk that was measured, and swept whatever happens
  mkdir -p "$temporary"
  if [[ -n $want_verbose ]]; then
    TMPDIR=$temporary "$@" >&2
    return
  fi
  : >"$log"
  setup_tick "$log" &
  ticker=$!
  # In the background, so that a signal is heard at once; known to the lock, so that the next run
  # waits for it where this one is killed.
  TMPDIR=$temporary "$@" >>"$log" 2>&1 </dev/null &
  worker=$!
  printf '%s\n' "$worker" >>"$venv.lock/pids"
  wait "$worker" || status=$?
  worker=''
  setup_stop_ticker
  ((status == 0)) && return
  { grep -v '^Progress ' "$log" || true; } | tail -n 15 >&2
  return "$status"
}

# --- one at a time ------------------------------------------------------------------------------

setup_holder() { # the first process named by the lock that still lives
  local process
  while read -r process; do
    if kill -0 "$process" 2>/dev/null && [[ $(ps -o stat= -p "$process" 2>/dev/null) != Z* ]]; then
      printf '%s\n' "$process"
      return
    fi
  done < <(cat "$venv.lock/pids" 2>/dev/null)
}

setup_lock() {
  local lock=$venv.lock holder said=''
  mkdir -p "$(dirname "$venv")" 2>/dev/null || true
  while ! mkdir "$lock" 2>/dev/null; do
    [[ -d $lock ]] || setup_die "$(dirname "$venv") cannot be written to by $(id -un)."
    [[ -s $lock/pids ]] || sleep 1 # it may just be being taken
    holder=$(setup_holder)
    if [[ -z $holder ]]; then
      rm -rf "$lock" # left by one that was killed
    else
      [[ -n $said ]] || setup_say "another setup.sh (process $holder) is at work here: waiting for it. (If that is wrong: rm -r $lock)"
      said=yes
      sleep 1
    fi
  done
  holds_lock=yes
  printf '%s\n' "$$" >"$lock/pids"
}

setup_leave() {
  setup_stop_ticker
  if [[ -n $worker ]]; then
    kill "$worker" 2>/dev/null || true
    wait "$worker" 2>/dev/null || true
  fi
  [[ -z $holds_lock ]] || rm -rf "$venv.lock"
}

# --- the system's packages ----------------------------------------------------------------------

setup_has_apt() { [[ $(uname -s) == Linux ]] && command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; }

setup_missing() { # of these Debian packages, those that are not installed, one a line
  local package state
  for package in "$@"; do
    state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) || state=''
    [[ $state == installed ]] || printf '%s\n' "$package"
  done
}

setup_apt() { # packages...; false, with a sentence, where they are missing and may not be installed
  local missing packages
  missing=$(setup_missing "$@" | tr '\n' ' ')
  missing=${missing% }
  [[ -n $missing ]] || return 0
  if [[ -n $want_no_system ]]; then
    setup_say "not installed: $missing (left alone, as --no-system says)."
    return 1
  fi
  if [[ -n $want_dry_run ]]; then
    setup_say "would install from the system's packages: $missing"
    return 0
  fi
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
  if [[ $(id -u) != 0 ]]; then
    if ! command -v sudo >/dev/null || ! { [[ -t 0 ]] || sudo -n true 2>/dev/null; }; then
      setup_say "missing and not installable without root: sudo apt-get install $missing"
      return 1
    fi
    apt=(sudo "${apt[@]}")
  fi
  read -r -a packages <<<"$missing"
  setup_say "installing from the system's packages: $missing"
  "${apt[@]}" update >/dev/null || setup_say "apt-get update failed; going on with the lists that are there."
  if ! "${apt[@]}" install -y --no-install-recommends "${packages[@]}" >/dev/null </dev/null; then
    setup_say "apt-get could not install $missing; what it said stands above."
    return 1
  fi
}

setup_compiler() { # torch.compile builds small launchers with the machine's C compiler and Python.h
  local needed=()
  command -v cc >/dev/null || command -v gcc >/dev/null || needed=(gcc libc6-dev)
  "$python" -c 'import os, sysconfig as s; os.stat(s.get_path("include") + "/Python.h")' 2>/dev/null ||
    needed+=("python$(setup_python_version "$python")-dev")
  [[ -n ${needed[*]-} ]] || return 0
  if ! setup_has_apt || ! setup_apt ${needed[@]+"${needed[@]}"}; then
    setup_say 'without a C compiler and Python.h the stream runs, uncompiled and slower.'
  fi
}

setup_system_base() {
  if setup_has_apt; then
    setup_apt "${BASE_PACKAGES[@]}" || return
    command -v python >/dev/null || setup_apt python-is-python3 || setup_say 'there is no command python here: type python3.'
  elif [[ $(uname -s) == Darwin ]]; then
    if ! command -v git >/dev/null || ! command -v curl >/dev/null; then
      setup_die 'git or curl is missing: run xcode-select --install.'
    fi
  else
    setup_say 'this is neither Debian, Ubuntu nor macOS: git, curl, rsync and Python with venv are expected to be there.'
  fi
}

setup_system_dev() {
  local packages=("${DEV_PACKAGES[@]}") package
  if ! setup_has_apt; then
    command -v ffmpeg >/dev/null && command -v mpv >/dev/null && return
    setup_say 'the browser and player tests need Chromium, ffmpeg and mpv; install them as this system does it (macOS: brew install ffmpeg mpv && brew install --cask chromium).'
    return 0
  fi
  if ! grep -qi '^ID=ubuntu' /etc/os-release 2>/dev/null; then
    packages+=("${BROWSER_PACKAGES[@]}")
  elif ! command -v chromium >/dev/null; then
    setup_say 'Ubuntu has Chromium only as a snap: .venv/bin/playwright install --with-deps chromium gives the tests one.'
  fi
  [[ -z $want_servers ]] || packages+=("${SERVER_PACKAGES[@]}")
  setup_apt "${packages[@]}" || setup_say 'the tests that need these will fail.'
  if [[ -z $want_servers ]]; then
    package=$(setup_missing "${SERVER_PACKAGES[@]}" | tr '\n' ' ')
    [[ -z $package ]] || setup_say "left out, since they start services: ${package% } (./setup.sh --dev --servers installs them)."
  fi
}

# --- Python -------------------------------------------------------------------------------------

setup_python_version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

setup_python_fits() { # 3.12
  [[ $1 =~ ^3\.([0-9]+)$ ]] && ((BASH_REMATCH[1] >= PYTHON_OLDEST && BASH_REMATCH[1] <= PYTHON_NEWEST))
}

setup_find_python() { # sets python, or is false and sets python_seen to what was found instead
  local candidate version
  python='' python_seen=''
  local candidates=(python3 python3.13 python3.12 python3.11 python3.14 /venv/main/bin/python
    /opt/homebrew/bin/python3 /usr/local/bin/python3 /usr/bin/python3)
  [[ -z ${PYTHON:-} ]] || candidates=("$PYTHON")
  for candidate in "${candidates[@]}"; do
    candidate=$(command -v "$candidate" 2>/dev/null) || continue
    version=$(setup_python_version "$candidate") || continue
    if setup_python_fits "$version"; then
      python=$candidate
      return 0
    fi
    [[ -n $python_seen ]] || python_seen="$candidate is $version"
  done
  return 1
}

setup_python() {
  local version
  if ! setup_find_python && [[ -z ${PYTHON:-} && -z $want_no_system ]] && setup_has_apt; then
    # Debian 12 and Ubuntu 24.04 have one as python3, Ubuntu 22.04 as python3.11
    if ! command -v python3 >/dev/null; then
      setup_apt python3 python3-venv || true
    elif [[ -n $(apt-cache show python3.11 2>/dev/null) ]]; then
      setup_apt python3.11 python3.11-venv || true
    fi
    setup_find_python || true
  fi
  [[ -n $python ]] || setup_die "Python 3.$PYTHON_OLDEST to 3.$PYTHON_NEWEST is needed and ${python_seen:-none was found}: install one (Debian, Ubuntu: sudo apt-get install python3.11 python3.11-venv; macOS: brew install python@3.13), or name one: PYTHON=/path/to/python3.12 ./setup.sh"
  version=$(setup_python_version "$python")
  "$python" -c 'import venv, ensurepip' 2>/dev/null && return
  if setup_has_apt; then
    setup_apt "python$version-venv" && [[ -n $want_dry_run ]] && return
    "$python" -c 'import venv, ensurepip' 2>/dev/null && return
  fi
  setup_die "$python has no venv module: sudo apt-get install python$version-venv"
}

# --- which build of torch -----------------------------------------------------------------------

setup_nvidia() { # "580.65.06, 8.9" of the first card, or nothing
  local tool answer limit=()
  tool=$(command -v nvidia-smi || command -v /usr/lib/wsl/lib/nvidia-smi) || return 0
  command -v timeout >/dev/null && limit=(timeout 30)
  answer=$(${limit[@]+"${limit[@]}"} "$tool" --query-gpu=driver_version,compute_cap --format=csv,noheader 2>/dev/null) || return 0
  [[ $answer =~ ^[0-9]+\.[0-9.]+ ]] || return 0
  printf '%s\n' "${answer%%$'\n'*}"
}

setup_card_without_driver() {
  local device
  for device in /sys/bus/pci/devices/*; do
    [[ -r $device/vendor && $(cat "$device/vendor") == 0x10de && $(cat "$device/class") == 0x03* ]] && return 0
  done
  return 1
}

setup_kind() { # sets kind and driver
  local card capability
  card='' capability=''
  [[ $want_kind == cpu ]] || card=$(setup_nvidia)
  if [[ $(uname -s) == Darwin ]]; then
    [[ $want_kind != gpu ]] || setup_usage '--gpu means an NVIDIA card, and macOS drives none.'
    [[ $(uname -m) == arm64 ]] || setup_die 'PyTorch has no build for Intel Macs any more: use a Mac with Apple silicon, Linux, or a rented instance.'
    kind=cpu
    return
  fi
  if [[ -z $card ]]; then
    kind=cpu
    [[ $want_kind != gpu ]] || kind=cu13
    if [[ -z $want_kind ]] && setup_card_without_driver; then
      setup_say 'there is an NVIDIA card, but nvidia-smi does not answer: without its driver this will run on the processor.'
    fi
    return
  fi
  driver=${card%%,*}
  capability=${card##*, }
  [[ $capability =~ ^[0-9]+\.[0-9]+$ ]] || capability=''
  setup_version_at_least "$driver" 525.60 ||
    setup_die "the NVIDIA driver $driver is older than any build of the pinned torch can run on (525.60): update it, rent a newer host, or take --cpu."
  kind=cu12
  if setup_version_at_least "$driver" 580.0 && { [[ -z $capability ]] || setup_version_at_least "$capability" 7.5; }; then
    kind=cu13
  fi
  if [[ -n $capability ]]; then
    if setup_version_at_least "$capability" 10.0; then cu12_tags=(cu129 cu128); fi # Blackwell: 12.8 and newer
    if ! setup_version_at_least "$capability" 7.5; then cu12_tags=(cu126); fi     # Volta and older: up to 12.6
  fi
}

setup_pins() { sed -e 's/[[:space:]]*#.*$//' -e '/^[[:space:]]*$/d' "$HERE/requirements.txt"; }

setup_torch_pin() { setup_pins | sed -n 's/^torch==//p'; }

setup_index_has() { # tag: PyTorch's index answers in time and lists this torch in that build
  "$python" - "$TORCH_INDEX/$1/torch/" "torch-$(setup_torch_pin)" "$1" "$INDEX_WAIT_S" <<'PYTHON' 2>/dev/null
import os, signal, ssl, sys, urllib.request

url, wheel, tag, seconds = sys.argv[1:]
signal.alarm(int(seconds))  # ends this process, also in the middle of a name look-up
authorities = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
context = ssl.create_default_context(cafile=authorities) if url.startswith("https") else None
page = urllib.request.urlopen(url, context=context).read().decode("utf-8", "replace")
sys.exit(not any(f"{wheel}{plus}{tag}-" in page for plus in ("+", "%2B", "%2b")))
PYTHON
}

setup_find_torch() { # before anything is made: sets torch_tag and torch_index where PyTorch's index is used
  local tag
  setup_keys
  if setup_done home "$key_home" && setup_done base "$key_base" && [[ -z $want_force ]]; then return; fi
  if [[ $kind == cpu ]]; then
    setup_need_disk 3 'torch for the processor'
    if [[ $(uname -s) == Linux ]] && setup_index_has cpu; then torch_tag=cpu; fi
  else
    setup_need_disk 12 'torch for CUDA (about 3 GB to fetch)'
  fi
  if [[ $kind == cu12 ]]; then
    for tag in "${cu12_tags[@]}"; do
      [[ -n $torch_tag ]] || ! setup_index_has "$tag" || torch_tag=$tag
    done
    [[ -n $torch_tag ]] || setup_die "the NVIDIA driver $driver needs a CUDA 12 build of torch $(setup_torch_pin), and $TORCH_INDEX offers none that this card can run (tried: ${cu12_tags[*]}): make it reachable, set TORCH_INDEX to a mirror, update the driver to 580 or newer, or take --cpu."
  fi
  [[ -z $torch_tag ]] || torch_index=$TORCH_INDEX/$torch_tag
}

setup_warn_of_plain_pip() { # no processor build from PyTorch's index: say what plain pip's means
  local offered
  if [[ $kind != cpu || -n $torch_tag || $(uname -s) != Linux ]]; then return; fi
  setup_say "PyTorch's index ($TORCH_INDEX/cpu) did not answer within $INDEX_WAIT_S s: taking torch from plain pip."
  offered=$("$venv/bin/python" -m pip install -q --dry-run --ignore-installed --no-deps --report - "torch==$(setup_torch_pin)" 2>/dev/null </dev/null |
    sed -n 's/.*"version": "\([^"]*+cpu\)".*/\1/p') || offered=''
  if [[ -n $offered ]]; then
    setup_say "pip knows a processor build ($offered): about 200 MB to fetch."
  elif [[ $(uname -m) == x86_64 ]]; then
    setup_say 'for Linux that is the CUDA build: more than 1 GB to fetch, about 3 GB, and 6 GB on the disk. It runs without a card all the same. Ctrl-C now if that is too much.'
    setup_need_disk 10 "plain pip's torch"
  fi
}

# The one place where requirements.txt becomes this machine's list.
setup_list() {
  local drop=''
  case $kind in
    cpu) drop='xformers|nvidia-[a-z0-9-]*' ;;
    cu12) drop='nvidia-[a-z0-9-]*' ;; # this build of torch brings its own
    cu13) ;;
  esac
  [[ $(uname -s)-$(uname -m) == Linux-x86_64 ]] || drop='xformers|nvidia-[a-z0-9-]*' # no build of xformers
  setup_pins | { if [[ -n $drop ]]; then grep -vE "^($drop)=="; else cat; fi; } |
    sed -e "s/^\(torch==[^+]*\)\$/\1${torch_tag:++$torch_tag}/"
}

# --- the environment ----------------------------------------------------------------------------

setup_done() { [[ -f $venv/.setup/$1 && $(cat "$venv/.setup/$1") == "$2" ]]; }

setup_mark() { printf '%s\n' "$2" >"$venv/.setup/$1"; }

setup_keys() { # what each finished step is remembered by
  local pins
  pins=$(setup_pins)
  key_home="$FORMAT $kind $(setup_python_version "$venv/bin/python" || true)"
  key_base="$key_home $(printf '%s\n' "$pins" | setup_hash)"
  key_dev="$key_base $({ cat "$HERE/requirements-dev.txt" 2>/dev/null || true; } | setup_hash)"
}

setup_is_ready() {
  [[ -z $want_force ]] || return 1
  setup_keys
  setup_done home "$key_home" && setup_done base "$key_base" && [[ ! -e $venv/.setup/torn ]] || return 1
  [[ -z $want_dev ]] || setup_done dev "$key_dev" || return 1
  [[ -z $want_check ]] && setup_done check "$key_base"
}

setup_venv() { # an environment that works, made anew where it is half made or of another kind
  setup_keys
  if [[ -z $want_force && ! -e $venv/.setup/torn ]] && setup_done home "$key_home" &&
    "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    return 0
  fi
  [[ ! -e $venv/.setup/torn ]] || setup_say 'the last run was interrupted while it unpacked: making the environment anew.'
  setup_say "making $venv with Python $(setup_python_version "$python") ($python)"
  setup_quietly "$python" -m venv --clear "$venv" || setup_die "$python could not make $venv; what it said stands above."
  mkdir -p "$venv/.setup"
  touch "$venv/.setup/torn"
  setup_quietly "$venv/bin/python" -m pip install --disable-pip-version-check --upgrade 'pip>=25.1' ||
    setup_die 'pip could not be brought up to date: is the network there? Run ./setup.sh again.'
  setup_keys
  rm -f "$venv/.setup/torn"
  setup_mark home "$key_home"
}

setup_pip() { # step, what it is, pip's arguments...
  local step=$1 what=$2
  shift 2
  setup_say "$what"
  # Torn: a package that was half unpacked looks installed to pip. The mark stays while pip works.
  touch "$venv/.setup/torn"
  if ! setup_quietly "$venv/bin/python" -m pip install --disable-pip-version-check --no-input \
    --progress-bar "$([[ -n $want_verbose ]] && echo on || echo raw)" "$@"; then
    grep -q '^Installing collected packages' "$venv.lock/log" 2>/dev/null || rm -f "$venv/.setup/torn"
    setup_die "$step could not be installed; pip's words stand above. Run ./setup.sh again when the cause is gone: it goes on from here."
  fi
  rm -f "$venv/.setup/torn"
}

setup_packages() {
  local list=$venv/.setup/requirements index=() count
  setup_done base "$key_base" && return
  setup_warn_of_plain_pip
  setup_list >"$list"
  count=$(wc -l <"$list")
  [[ -z $torch_index ]] || index=(--extra-index-url "$torch_index")
  setup_pip 'The packages' "installing $((count)) pinned packages and what they need ($(setup_name))" \
    ${index[@]+"${index[@]}"} -r "$list"
  setup_mark base "$key_base"
}

setup_dev_packages() {
  setup_done dev "$key_dev" && return
  setup_pip 'The packages for the tests' 'installing what the tests and linters need' \
    -r "$HERE/requirements-dev.txt" -c "$venv/.setup/requirements"
  setup_mark dev "$key_dev"
}

setup_name() {
  case $kind in
    cpu) printf 'for the processor' ;;
    cu12) printf 'for an NVIDIA card with driver %s: CUDA 12' "$driver" ;;
    cu13) printf 'for an NVIDIA card: CUDA 13' ;;
  esac
}

# --- the check ----------------------------------------------------------------------------------

setup_check() {
  local cuda=no
  [[ $kind == cpu || -z $driver ]] || cuda=yes
  setup_say 'checking: importing everything'
  "$venv/bin/python" - "$cuda" <<'PYTHON' >&2 || setup_die 'The check failed; the reason stands above. ./setup.sh --force makes the environment anew.'
import importlib, sys, warnings

warnings.simplefilter("ignore")
for name in (
    "torch", "diffusers", "transformers", "accelerate", "safetensors", "huggingface_hub",
    "flask", "flask_cors", "werkzeug", "gevent", "PIL", "numpy",
):  # fmt: skip
    try:
        importlib.import_module(name)
    except Exception as error:
        sys.exit(f"[setup] {name} does not import: {error}")
if sys.argv[1] == "yes":
    import torch

    if not torch.cuda.is_available():
        sys.exit("[setup] torch is here, but it does not reach the NVIDIA card.")
PYTHON
  if [[ -f $HERE/realtime_stream.py ]]; then
    setup_say 'checking: painting one frame'
    (cd "$HERE" && "$venv/bin/python" realtime_stream.py --check >&2) ||
      setup_die 'No frame was painted; the reason stands above. Run ./setup.sh again when the cause is gone.'
    setup_mark check "$key_base"
  else
    setup_say 'realtime_stream.py is not here yet: no frame was painted.'
  fi
}

# --- the whole ----------------------------------------------------------------------------------

setup_alone() {
  setup_say 'requirements.txt is not beside this script, so this is the system part only.'
  setup_system_base || setup_die 'The system part is not complete; the reason stands above.'
  setup_kind
  setup_python
  if [[ -n $driver ]]; then
    setup_say "NVIDIA driver $driver: good."
    setup_compiler
  fi
  setup_say "Python $(setup_python_version "$python") ($python): good. $(setup_free_gb "$HERE") GB of disk free."
  setup_say 'The system part is done. Next, one of two:'
  setup_say '  on your own computer: ./start_stream_server.sh, which copies the program and does the rest;'
  setup_say "  by hand: copy requirements.txt, realtime_stream.py and the folder turbostream to $HERE, then bash $HERE/setup.sh again."
}

setup_plan() {
  if [[ -n $want_dev ]]; then setup_system_dev; fi
  if [[ $kind == cu1? ]]; then setup_compiler; fi
  if setup_is_ready; then
    setup_say "nothing to do: $venv is in place ($(setup_name))."
    return
  fi
  setup_say "would install into $venv ($(setup_name)), on Python $(setup_python_version "$python") ($python):"
  setup_list | sed 's/^/[setup]   /' >&2
  [[ -z $want_dev ]] || sed -e '/^#/d' -e 's/^/[setup]   /' "$HERE/requirements-dev.txt" >&2
}

setup_options() {
  while (($#)); do
    case $1 in
      --cpu) want_kind=cpu ;;
      --gpu) want_kind=gpu ;;
      --dev) want_dev=yes ;;
      --servers) want_servers=yes ;;
      --system) want_system_only=yes ;;
      --no-system) want_no_system=yes ;;
      --check) want_check=yes ;;
      --force) want_force=yes ;;
      --venv)
        [[ -n ${2:-} ]] || setup_usage '--venv needs a folder.'
        case $2 in /*) venv=${2%/} ;; *) venv=$PWD/${2%/} ;; esac
        shift
        ;;
      --list) want_list=yes ;;
      --dry-run) want_dry_run=yes ;;
      --verbose) want_verbose=yes ;;
      -h | --help) setup_help && exit ;;
      *) setup_usage "there is no option $1." ;;
    esac
    shift
  done
}

main() {
  trap 'setup_say "stopped by a failure in line $LINENO that nothing here expects."' ERR
  setup_options "$@"
  export PIP_DISABLE_PIP_VERSION_CHECK=1
  if [[ -n $want_system_only ]]; then
    setup_system_base || setup_die 'The system part is not complete; the reason stands above.'
    [[ -z $want_dev ]] || setup_system_dev
    return
  fi
  if [[ ! -f $HERE/requirements.txt ]]; then
    setup_alone
    return
  fi
  setup_kind
  if [[ -n $want_list ]]; then
    setup_list
    return
  fi
  if [[ -z $want_dry_run ]] && setup_is_ready; then
    [[ -z $want_dev ]] || setup_system_dev
    setup_say "everything is in place ($(setup_name))."
    return
  fi
  setup_python
  if [[ -n $want_dry_run ]]; then
    setup_plan
    return
  fi
  [[ -z $want_dev ]] || setup_system_dev
  [[ $kind == cpu ]] || setup_compiler
  trap setup_leave EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap 'exit 129' HUP
  setup_lock
  setup_find_torch
  setup_venv
  setup_packages
  [[ -z $want_dev ]] || setup_dev_packages
  { [[ -z $want_check ]] && setup_done check "$key_base"; } || setup_check
  setup_say "done ($(setup_name))."
}

main "$@"
