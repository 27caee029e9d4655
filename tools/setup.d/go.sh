# shellcheck shell=bash
# Go programs of the tests. Sourced by setup, apiserver and helm.

# go_of VERSION: prints a go command of at least this version: the one in PATH, else the release that its module proxy
# has, which a Go of any age can download and check (https://go.dev/ref/mod#toolchains).
go_of() {
  local wanted=$1 now module folder
  now=$(GOTOOLCHAIN=local go env GOVERSION)
  if not_older "$wanted" "${now#go}"; then
    command -v go
    return
  fi
  module=golang.org/toolchain@v0.0.1-go$wanted.$(go env GOOS)-$(go env GOARCH)
  folder=$cache/go/toolchains
  GOTOOLCHAIN=local GOFLAGS=-modcacherw GOMODCACHE=$folder go mod download "$module" >&2
  # Modules have no executable files: the go command that switches to a toolchain makes them so, too.
  find "$folder/$module/bin" "$folder/$module/pkg/tool" -type f -exec chmod +x {} +
  say "$folder/$module/bin/go"
}

# build_go SOURCE PROGRAM WHAT: builds the module in the folder tests/SOURCE as PROGRAM, unless that was made of the same
# source. Says so as WHAT, for it takes a while.
build_go() {
  local source=$root/tests/$1 program=$2 what=$3 now go
  now=$(cd "$source" && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum)
  mkdir -p "$(dirname "$program")" "$cache/go"
  # Two at a time would compile the same things twice.
  exec 8>"$cache/go/.lock"
  flock 8
  if [ ! -x "$program" ] || [ "$(cat "$program.source" 2>/dev/null)" != "$now" ]; then
    say "$what" >&2
    go=$(go_of "$(awk '$1 == "go" { print $2 }' "$source/go.mod")")
    (cd "$source" && GOTOOLCHAIN=local GOFLAGS=-mod=readonly GOCACHE=$cache/go/build \
      "$go" build -buildvcs=false -ldflags='-s -w' -o "$program.new" . >&2)
    mv "$program.new" "$program"
    printf '%s\n' "$now" >"$program.source"
  fi
  exec 8>&-
}
