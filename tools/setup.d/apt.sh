# shellcheck shell=bash
# Installing Debian packages without a question asked. Sourced by setup.

apt_works() { have apt-get && [ "$(id -u)" -eq 0 ]; }

# installed PACKAGE PROOF: dpkg knows best (it also tells a half-installed package); elsewhere the proof has to do.
installed() {
  if have dpkg-query; then
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
  else
    have "$2" || [ -e "$2" ]
  fi
}

# Waits for other users of dpkg instead of failing; keeps changed settings files; starts no pager, dialogue or
# needrestart. 9>&-: a service that a package starts must not inherit setup's lock.
quiet_apt() {
  DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get -q -y -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 \
    -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold "$@" </dev/null 9>&-
}

# apt_lacks ARRAY PACKAGE...: puts those packages into the array that apt cannot install, after fetching newer lists if
# needed.
apt_lacks() {
  local -n lacking=$1
  local package
  shift
  quiet_apt install --simulate "$@" >/dev/null 2>&1 || quiet_apt update >"$cache/apt.log" 2>&1 || true
  lacking=()
  for package in "$@"; do
    [[ $(apt-cache policy "$package") == *'Candidate: '[^\(]* ]] || lacking+=("$package") # "(none)", or no line at all
  done
}

# apt_install PACKAGE...: the long output goes to a file, which is shown when it is of interest.
apt_install() {
  local log=$cache/apt.log attempt
  for attempt in 1 2 3; do
    quiet_apt install --no-install-recommends "$@" >>"$log" 2>&1 && return
    # What usually helps: newer lists (the version listed was replaced by another), finishing what was interrupted,
    # patience.
    say "  apt failed (attempt $attempt of 3), see $log"
    quiet_apt update >>"$log" 2>&1 || true
    dpkg --configure -a >>"$log" 2>&1 </dev/null || true
    sleep $((attempt * 5))
  done
  tail -n 20 "$log" >&2
  die "apt could not install: $*" "the messages above are the end of $log"
}
