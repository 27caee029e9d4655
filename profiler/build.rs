//! Compiles the probes with the BPF toolchain and hands the object to `probes.rs`.
//!
//! Why a second compiler: docs/explanation/toolchain.md. `make setup` installs it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The toolchains that can compile for BPF, best first: `rustup toolchain link bpf`, a rustup nightly with rust-src, and
/// a distribution's compiler that is the only one there is.
const TOOLCHAINS: [&[&str]; 3] = [&["+bpf"], &["+nightly"], &[]];

fn main() {
    let probes = Path::new("../profiler-ebpf");
    for watched in ["src", "Cargo.toml", "Cargo.lock", ".cargo/config.toml"] {
        println!("cargo:rerun-if-changed={}", probes.join(watched).display());
    }
    println!("cargo:rerun-if-changed=../profiler-common/src");
    for variable in ["WARDLINE_BPF_LINKER", "WARDLINE_CACHE"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    match build(probes) {
        Ok(object) => println!("cargo:rustc-env=WARDLINE_PROBES={}", object.display()),
        Err(problem) => {
            eprintln!("error: the probes could not be compiled\n  why: {problem}\n  help: run `make setup`, which installs the BPF toolchain");
            std::process::exit(1);
        }
    }
}

fn build(probes: &Path) -> Result<PathBuf, String> {
    let target = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?).join("probes");
    let linker = linker()?;
    let mut problems = Vec::new();
    for toolchain in TOOLCHAINS {
        if !is_there(toolchain) {
            problems.push(format!("`cargo {}` is not there", toolchain.join(" ")));
            continue;
        }
        let status = cargo(toolchain)
            .args(["build", "--release", "--locked", "--quiet", "--target-dir"])
            .arg(&target)
            .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &linker)
            // aya-ebpf and our own atomic_xadd use features that are unstable everywhere.
            .env("RUSTC_BOOTSTRAP", "1")
            .current_dir(probes)
            .status()
            .map_err(|error| error.to_string())?;
        if status.success() {
            return Ok(target.join("bpfel-unknown-none/release/profiler-probes"));
        }
        return Err(format!("`cargo {}` failed: {status}", toolchain.join(" ")));
    }
    Err(problems.join("; "))
}

/// Cargo without what the surrounding cargo and rustup put into our environment: they are for another compiler.
fn cargo(toolchain: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(toolchain);
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name == "RUSTUP_TOOLCHAIN" || name == "RUSTC" || name == "RUSTFLAGS" || name == "RUSTDOC" || name == "CARGO"
            || name == "RUSTC_WRAPPER" || name == "RUSTC_WORKSPACE_WRAPPER"
            || name.starts_with("CARGO_") && name != "CARGO_HOME" && !name.starts_with("CARGO_HTTP")
                && !name.starts_with("CARGO_NET") && !name.starts_with("CARGO_REGISTR")
        {
            command.env_remove(&*name);
        }
    }
    command
}

/// Whether this toolchain is there and has the core library's source, which `-Zbuild-std` compiles.
fn is_there(toolchain: &[&str]) -> bool {
    let output = |arguments: &[&str]| {
        let mut command = cargo(toolchain);
        command.args(arguments).output().ok().filter(|output| output.status.success())
    };
    let Some(sysroot) = output(&["rustc", "--quiet", "-Zunstable-options", "--print", "sysroot"]).or_else(|| {
        let mut rustc = Command::new("rustc");
        rustc.env_remove("RUSTUP_TOOLCHAIN").args(toolchain).args(["--print", "sysroot"]);
        rustc.output().ok().filter(|output| output.status.success())
    }) else {
        return false;
    };
    let sysroot = PathBuf::from(String::from_utf8_lossy(&sysroot.stdout).trim());
    sysroot.join("lib/rustlib/src/rust/library/core/Cargo.toml").exists()
}

/// bpf-linker: where the environment says, where `make setup` puts it, or wherever the shell finds it.
fn linker() -> Result<PathBuf, String> {
    if let Some(linker) = env::var_os("WARDLINE_BPF_LINKER") {
        let linker = PathBuf::from(linker);
        return if linker.is_file() { Ok(linker) } else { Err(format!("WARDLINE_BPF_LINKER={} is no file", linker.display())) };
    }
    let cache = env::var_os("WARDLINE_CACHE")
        .map(PathBuf::from)
        .or_else(|| env::var_os("XDG_CACHE_HOME").map(|cache| PathBuf::from(cache).join("wardline")))
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/wardline")));
    let cached = cache.map(|cache| cache.join("tools/bin/bpf-linker")).filter(|linker| linker.is_file());
    let path = env::var_os("PATH").unwrap_or_default();
    cached
        .or_else(|| env::split_paths(&path).map(|folder| folder.join("bpf-linker")).find(|linker| linker.is_file()))
        .ok_or_else(|| "bpf-linker is not installed".to_owned())
}
