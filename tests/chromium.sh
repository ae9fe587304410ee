#!/bin/sh
# Chromium without what costs two fifths of the CPU time of opening a page and what no page can see: in
# every window two pages for the popup of the address bar, which a headless window does not show, and
# a renderer in reserve. Of several --disable-features Chromium obeys only the last: Playwright's own
# is extended here.
for argument in "$@"; do
  shift
  case $argument in
    --disable-features=*)
      argument="$argument,WebUIOmniboxPopup,WebUIOmniboxAimPopup,SpareRendererForSitePerProcess" ;;
  esac
  set -- "$@" "$argument"
done
exec "$(command -v chromium || command -v chromium-browser)" "$@"
