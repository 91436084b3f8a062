# shellcheck shell=bash
# Shared by the scripts in this folder; sourced, not run. Goes to the project's folder, so that every script works
# from anywhere.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
script=${0##*/}
logs=build/logs

say() { printf '%s: %s\n' "$script" "$*"; }
die() {
  printf '%s: %s\n' "$script" "$*" >&2
  exit 1
}

# usage TEXT ARGUMENTS...: prints TEXT and ends if --help is among the arguments.
usage() {
  local text=$1 argument
  shift
  for argument in "$@"; do
    case $argument in
      -h | --help)
        printf '%s\n' "$text"
        exit 0
        ;;
    esac
  done
}

# logged NAME COMMAND...: runs a talkative command into build/logs/NAME.log; shows the end of it if it fails.
logged() {
  local log=$logs/$1.log
  shift
  mkdir -p "$logs"
  if ! "$@" >"$log" 2>&1 </dev/null; then
    tail -n 20 "$log" >&2
    die "failed: $* (all of its output: $log)"
  fi
}

# need_packages PURPOSE PACKAGE...: installs the Debian packages that are missing; asks apt for nothing otherwise.
need_packages() {
  local purpose=$1 package installed missing=() root=()
  shift
  command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
    die "expected a Debian 12 machine (apt-get and dpkg-query); elsewhere install the likes of: $*"
  installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null || true)
  for package in "$@"; do
    grep -qxF "$package installed" <<<"$installed" || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "no sudo here; as root, run: apt-get install --no-install-recommends ${missing[*]}"
    root=(sudo)
  fi
  say "installing Debian packages ($purpose): ${missing[*]}"
  logged apt-update "${root[@]}" apt-get -q update
  logged apt-install "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get -q install --yes --no-install-recommends "${missing[@]}"
}

# Parallel compilations: one per CPU, and 2 GB of memory for each.
build_jobs() {
  local cpus memory
  cpus=$(nproc)
  memory=$(awk '/^MemAvailable:/ { print int($2 / 2000000) }' /proc/meminfo)
  [ "$memory" -ge 1 ] || memory=1
  echo $((cpus < memory ? cpus : memory))
}
