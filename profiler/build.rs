//! Compiles the probes with the BPF toolchain and hands the objects to `probes.rs`, to the benchmark and to the
//! end-to-end tests.
//!
//! Why a second compiler: docs/explanation/toolchain.md. `make setup` installs it; tools/bpf-cargo finds it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

fn main() {
    let probes = Path::new("../profiler-ebpf");
    for watched in ["src", "Cargo.toml", "Cargo.lock", ".cargo/config.toml"] {
        println!("cargo:rerun-if-changed={}", probes.join(watched).display());
    }
    for watched in [
        "../profiler-common/src",
        "../tools/bpf-cargo",
        "../tools/setup.d/rust.sh",
    ] {
        println!("cargo:rerun-if-changed={watched}");
    }
    for variable in ["WARDLINE_BPF_LINKER", "WARDLINE_CACHE"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    match build() {
        Ok(objects) => {
            for (variable, object) in [
                ("WARDLINE_PROBES", "profiler-probes"),
                ("WARDLINE_REFERENCE_PROBES", "reference-probes"),
            ] {
                println!("cargo:rustc-env={variable}={}", objects.join(object).display());
            }
            // For build scripts of packages that depend on this one, by `links` in Cargo.toml.
            println!("cargo:oracle={}", objects.join("oracle-probes").display());
        }
        Err(problem) => {
            eprintln!(
                "error: the probes could not be compiled: {problem}\n  help: run `make setup`, which installs the BPF toolchain"
            );
            exit(1);
        }
    }
}

/// Compiles, and returns the folder with the objects.
fn build() -> Result<PathBuf, String> {
    let target = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?).join("probes");
    let status = Command::new("../tools/bpf-cargo")
        .args(["build", "--release", "--locked", "--quiet", "--bins", "--target-dir"])
        .arg(&target)
        .status()
        .map_err(|error| format!("tools/bpf-cargo: {error}"))?;
    if !status.success() {
        return Err(format!("tools/bpf-cargo: {status}"));
    }
    Ok(target.join("bpfel-unknown-none/release"))
}
