//! The program `profile`.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use miette::Diagnostic as _;
use profiler::cli::{Cli, Command, Import};
use profiler::commands::{
    agent, backup, collect, completions, doctor, export, import, look_at_coverage, look_up, merge, policy_for_learning,
    prune, run, start, status, windows,
};
use profiler::error::Failure;

fn main() -> ExitCode {
    let cli = Cli::parse();
    log();
    give_back_memory();
    let result = match &cli.command {
        Command::Doctor { output } => doctor::doctor(*output, cli.quiet),
        Command::Run(options) => run::run(options, cli.quiet),
        Command::Start(options) => start::start(options, cli.quiet),
        Command::Status {
            window: Some(window),
            kubeconfig,
            recording: _,
            output,
        } => windows::status(kubeconfig.as_deref(), window, *output, cli.quiet),
        Command::Status { recording, output, .. } => status::status(recording, *output, cli.quiet),
        Command::Stop {
            window: Some(window),
            kubeconfig,
            recording: _,
        } => windows::stop(kubeconfig.as_deref(), window, cli.quiet),
        Command::Stop { recording, .. } => windows::stop_local(recording, cli.quiet),
        Command::List { kubeconfig, output } => windows::list(kubeconfig.as_deref(), *output, cli.quiet),
        Command::Collect(options) => collect::collect(options, cli.quiet),
        Command::Merge {
            files,
            out,
            force,
            output,
        } => merge::merge(files, out, *force, *output, cli.quiet),
        Command::Export { files, parquet, force } => export::export(files, parquet, *force, cli.quiet),
        Command::Prune(options) => prune::prune(options, cli.quiet),
        Command::Backup { recording, out, force } => backup::backup(recording, out, *force, cli.quiet),
        Command::Restore {
            backup,
            recording,
            force,
            output,
        } => merge::restore(backup, recording, *force, *output, cli.quiet),
        Command::Import(Import::Tetragon(options)) => import::tetragon(options, cli.quiet),
        Command::Agent(options) => agent::agent(options, cli.quiet),
        Command::PolicyForLearning { tetragon, namespace } => policy_for_learning(*tetragon, namespace.as_deref()),
        Command::LookAtCoverage(options) => look_at_coverage::look_at_coverage(options),
        Command::LookUp { parent } => look_up::look_up(*parent),
        Command::Completions { shell } => completions(*shell),
    };
    result.unwrap_or_else(|failure| {
        report(&failure);
        failure.exit_code()
    })
}

/// What a busy moment took goes back to the system when it is over: by default glibc keeps what was once taken in large
/// pieces, and that for each thread (mallopt(3)).
fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: parameters of the allocator, set while there is one thread. Where they are refused, the defaults stay.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 128 * 1024);
    }
}

/// What went wrong and what to do, on standard error.
fn report(failure: &Failure) {
    let help = failure
        .help()
        .map(|help| format!("  help: {help}\n"))
        .unwrap_or_default();
    let text = format!("error: {failure}\n{help}");
    // Nobody is left to be told that standard error is gone.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Warnings to standard error; more with `WARDLINE_LOG=debug`.
fn log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("WARDLINE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
        .with_target(false)
        .init();
}
