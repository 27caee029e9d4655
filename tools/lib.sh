# shellcheck shell=bash
# Shared by the scripts in this folder: where things are, and how to speak. Source it, do not run it.
set -Eeuo pipefail
# A command that fails unexpectedly ends the script (-e); never without saying which.
trap 'printf "%s: failed at line %s: %s\n" "${0##*/}" "$LINENO" "$BASH_COMMAND" >&2' ERR

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=tools/versions
. "$root/tools/versions"

# Everything that is downloaded or built for the project and is not part of it. Outside the checkout, so that a fresh
# clone (CI makes one every time) finds it again. Absolute, because tools change folders.
if [ -z "${WARDLINE_CACHE:-}" ]; then
  : "${HOME:?is not set: set HOME, or WARDLINE_CACHE to the folder for downloads and build output}"
fi
cache=$(realpath -m "${WARDLINE_CACHE:-${XDG_CACHE_HOME:-${HOME:-}/.cache}/wardline}")

say() { printf '%s\n' "$*"; }

# die WHAT [WHAT TO DO]: one message on stderr, exit code 1.
die() {
  printf '%s: %s\n' "${0##*/}" "$1" >&2
  [ $# -lt 2 ] || printf '  %s\n' "$2" >&2
  exit 1
}

# usage [PROBLEM]: with a problem, says it and ends with exit code 2; without, prints the manual: the comment at the top
# of the running script.
usage() {
  if [ $# -gt 0 ]; then
    printf '%s: %s\n  %s --help explains\n' "${0##*/}" "$1" "$0" >&2
    exit 2
  fi
  sed -n '2,/^[^#]/ s/^# \{0,1\}//p' "$0"
  exit 0
}

have() { command -v "$1" >/dev/null 2>&1; }
