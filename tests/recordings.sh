#!/bin/sh
# Human speech for the tests: two Debian packages, unpacked as data into the shared cache, not
# installed. Without apt-get the tests that need them are skipped, and say so.
set -eu
cache="${REALTIME_RECORDINGS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/realtime-core/recordings}"
packages="asterisk-core-sounds-en asterisk-core-sounds-en-g722 pocketsphinx-testdata"
[ -e "$cache/complete" ] && exit 0
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || {
  echo "recordings: no apt-get here; tests on human speech will be skipped"
  exit 0
}
mkdir -p "$cache"
cd "$cache"
apt-get download $packages >/dev/null 2>&1 || {
  apt-get update -qq || true
  apt-get download $packages >/dev/null || {
    echo "recordings: the packages could not be downloaded; tests on human speech will be skipped"
    exit 0
  }
}
for file in ./*.deb; do dpkg-deb -x "$file" .; done
rm -f ./*.deb
touch complete
echo "recordings: ready in $cache"
