//! Tells the tests where the profiler's build script has put the oracle's probes.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    match std::env::var("DEP_WARDLINE_PROBES_ORACLE") {
        Ok(object) => println!("cargo:rustc-env=WARDLINE_ORACLE_PROBES={object}"),
        Err(error) => println!("cargo:error=profiler/build.rs did not say where the oracle's probes are: {error}"),
    }
}
