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
build_go tetragon-check "$cache/tools/bin/tetragon-check" \
  'setup: building tetragon-check, which reads policies as Tetragon does'
"$root/tools/apiserver" >/dev/null
"$root/tools/helm" >/dev/null
