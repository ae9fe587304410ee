# shellcheck shell=bash disable=SC2154 # setup.sh sets the options
# test_packages.sh - the system packages that the tests need; sourced by setup.sh for --dev.

DEV_PACKAGES=(fonts-dejavu-core ffmpeg mpv shellcheck rsync pv curl git make procps iproute2 lsof openssh-client)
BROWSER_PACKAGES=(chromium firefox-esr)
SERVER_PACKAGES=(openssh-server dropbear-bin nginx-light libnginx-mod-rtmp)

setup_install_test_packages() {
  local packages=("${DEV_PACKAGES[@]}") left_out
  if ! setup_has_apt; then
    command -v ffmpeg >/dev/null && command -v mpv >/dev/null && return
    setup_say 'the browser and player tests need Chromium, ffmpeg and mpv: install them (macOS: brew install ffmpeg mpv && brew install --cask chromium).'
    return 0
  fi
  if ! grep -qi '^ID=ubuntu' /etc/os-release 2>/dev/null; then
    packages+=("${BROWSER_PACKAGES[@]}")
  elif ! command -v chromium >/dev/null; then
    setup_say 'Ubuntu has Chromium only as a snap: .venv/bin/playwright install --with-deps chromium installs one for the tests.'
  fi
  [[ -z $want_servers ]] || packages+=("${SERVER_PACKAGES[@]}")
  setup_apt "${packages[@]}" || setup_say 'the tests that need these will fail.'
  if [[ -z $want_servers ]]; then
    left_out=$(setup_missing "${SERVER_PACKAGES[@]}" | tr '\n' ' ')
    [[ -z $left_out ]] || setup_say "left out, because they start services: ${left_out% } (./setup.sh --dev --servers installs them)."
  fi
}
