# shellcheck shell=bash
# The part of setup that only the tests need: not packages, but built or downloaded into the cache folder. Sourced by
# setup.

if [ "$("$cache/tools/bin/cargo-deny" --version 2>/dev/null)" != "cargo-deny $CARGO_DENY" ]; then
  say "setup: building cargo-deny $CARGO_DENY, which checks licences and origin of the crates (about 3 minutes, once)"
  # It runs for a second: optimising it as its authors do would take longer than all its runs.
  CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
    install_crate cargo-deny "$CARGO_DENY"
fi

# shellcheck disable=SC2086 # a list
"$root/tools/kernels" $KERNELS

# tetragon-check reads policies exactly as Tetragon's agent does, for it is made of the agent's own code.
build_tetragon_check() {
  local source=$root/tests/tetragon-check program=$cache/tools/bin/tetragon-check now wanted
  if ! have go; then
    say "setup: no Go here, so generated policies will not be checked with Tetragon's own parser"
    return
  fi
  now=$(go env GOVERSION) wanted=$(awk '$1 == "go" { print $2 }' "$source/go.mod")
  if ! not_older "$wanted" "${now#go}"; then
    say "setup: Go ${now#go} is too old ($wanted is needed) to check generated policies with Tetragon's own parser"
    return
  fi
  now=$(cd "$source" && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum)
  [ -x "$program" ] && [ "$(cat "$program.source" 2>/dev/null)" = "$now" ] && return
  say "setup: building tetragon-check, which reads policies as Tetragon does"
  (cd "$source" && GOTOOLCHAIN=local GOFLAGS=-mod=readonly go build -o "$program.new" .)
  mv "$program.new" "$program"
  printf '%s\n' "$now" >"$program.source"
}
[ ! -e "$root/tests/tetragon-check/main.go" ] || build_tetragon_check
