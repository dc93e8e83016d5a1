#!/usr/bin/env bash
# Installs what a fresh Debian, Ubuntu or macOS machine lacks. Does nothing, quickly, where nothing is missing.
set -euo pipefail

fail() {
  echo "setup: $*" >&2
  exit 1
}

check_go() {
  command -v go >/dev/null || fail "Go is missing: install Go $(sed -n 's/^go //p' go.mod) or newer from https://go.dev/dl/"
  local have want
  have=$(go env GOVERSION)
  have=${have#go}
  want=$(sed -n 's/^go //p' go.mod)
  if [ "$(printf '%s\n%s\n' "$want" "${have%% *}" | sort -V | head -n 1)" != "$want" ]; then
    fail "Go $have is too old: go.mod asks for $want"
  fi
}

# A PostgreSQL server program of version 15 or newer, where packages put it.
have_postgres() {
  local dir version
  for dir in /usr/lib/postgresql/*/bin /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin /usr/pgsql-*/bin $(command -v postgres >/dev/null && dirname "$(command -v postgres)"); do
    if [ ! -x "$dir/postgres" ] || [ ! -x "$dir/initdb" ]; then continue; fi
    version=$("$dir/postgres" --version | sed -E 's/[^0-9]*([0-9]+).*/\1/')
    [ "$version" -ge 15 ] && return 0
  done
  return 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    fail "this needs root: run '$*' as root, or install sudo"
  fi
}

install_postgres() {
  case "$(uname -s)" in
    Linux)
      command -v apt-get >/dev/null || fail "install the PostgreSQL server, version 15 or newer, with your system's package manager"
      echo "setup: installing the PostgreSQL server"
      # The package would start a server of its own; only its programs are wanted.
      as_root mkdir -p /etc/postgresql-common
      if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
        echo "create_main_cluster = false" | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
      fi
      as_root apt-get update -qq
      as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null
      ;;
    Darwin)
      command -v brew >/dev/null || fail "install Homebrew (https://brew.sh), or the PostgreSQL server, version 15 or newer"
      brew install postgresql@15
      ;;
    *) fail "install the PostgreSQL server, version 15 or newer" ;;
  esac
  have_postgres || fail "the PostgreSQL server is still not there, or older than version 15"
}

have_chromium() {
  [ -n "${CHROMIUM:-}" ] || command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null ||
    [ -d "/Applications/Google Chrome.app" ]
}

# For the journeys in a browser only: Node with npm, and Chromium.
install_browser() {
  if ! command -v npm >/dev/null || [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 20 ]; then
    fail "Node 20 or newer with npm is missing: see https://nodejs.org"
  fi
  have_chromium && return
  case "$(uname -s)" in
    Linux)
      command -v apt-get >/dev/null || fail "install Chromium with your system's package manager"
      echo "setup: installing Chromium"
      as_root apt-get update -qq
      as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
      ;;
    Darwin) brew install --cask google-chrome ;;
    *) fail "install Chromium" ;;
  esac
}

cd "$(dirname "$0")/.."
check_go
have_postgres || install_postgres
if [ "${1:-}" = browser ]; then install_browser; fi
