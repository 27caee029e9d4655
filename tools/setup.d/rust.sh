# shellcheck shell=bash
# Which Rust compilers and linker there are. Sourced by setup and bpf-cargo; docs/explanation/toolchain.md tells why
# two.

# not_older MINIMUM VERSION
not_older() { printf '%s\n%s\n' "$1" "$2" | sort -V -C; }

minimum_rust() { sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml"; }

# Whether the programs of this workspace can be compiled: a cargo, and a rustc that is new enough.
host_rust() { have cargo && have rustc && not_older "$(minimum_rust)" "$(rustc --version | awk '{ print $2 }')"; }

# compiles_bpf RUSTC: whether it has the source of core, which is compiled along with the probes, and an LLVM whose
# output bpf-linker can read.
compiles_bpf() {
  [ -f "$("$1" --print sysroot)/lib/rustlib/src/rust/library/core/src/lib.rs" ] &&
    not_older "$("$1" -vV | sed -n 's/^LLVM version: //p')" "$LLVM.99"
}

# bpf_toolchain: prints what to give to cargo to choose a compiler for the probes: a rustup toolchain ("+bpf" is a link
# to Debian's compiler that setup makes), or nothing where cargo is not rustup's and its only compiler will do.
bpf_toolchain() {
  local toolchain rustc
  if have rustup; then
    for toolchain in bpf nightly; do
      rustc=$(rustup which --toolchain "$toolchain" rustc 2>/dev/null) || continue
      if compiles_bpf "$rustc"; then
        say "+$toolchain"
        return
      fi
    done
    return 1
  fi
  have rustc && compiles_bpf rustc
}

# bpf_linker: prints where it is: as told, ours of the pinned version, or any other.
bpf_linker() {
  local ours=$cache/tools/bin/bpf-linker
  if [ -n "${WARDLINE_BPF_LINKER:-}" ]; then
    say "$WARDLINE_BPF_LINKER"
  elif [ "$("$ours" --version 2>/dev/null)" = "bpf-linker $BPF_LINKER" ]; then # runs, so its libraries are there too
    say "$ours"
  else
    command -v bpf-linker
  fi
}

# llvm_prefix: prints where LLVM's development files are that bpf-linker is built with.
llvm_prefix() {
  local prefix
  for prefix in "${LLVM_PREFIX:-}" "$(llvm-config-"$LLVM" --prefix 2>/dev/null || true)" "/usr/lib/llvm-$LLVM"; do
    if [ -x "$prefix/bin/llvm-config" ] && [ -d "$prefix/include/llvm-c" ]; then
      say "$prefix"
      return
    fi
  done
  return 1
}

# install_crate NAME VERSION [CARGO OPTIONS]: builds a tool into the cache folder. cargo puts the program there when it
# is complete; what the build leaves behind is removed, also by the next run when this one is interrupted.
install_crate() {
  local name=$1 version=$2 build=$cache/build
  shift 2
  rm -rf "$build"
  (cd "$cache" && CARGO_TARGET_DIR=$build cargo install --quiet --locked --force --root "$cache/tools" \
    --version "$version" "$@" "$name") ||
    die "cargo could not build $name $version" "its messages are above"
  rm -rf "$build"
}
