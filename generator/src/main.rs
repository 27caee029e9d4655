//! `generate`: baselines and policies from recordings. See `generate --help`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use generator::cli::{Cli, Command, RECORDING_VARIABLE};
use generator::{commands, explain, printable};

/// The exit code of `generate diff --exit-code` where something has changed.
const DIFFERENT: u8 = 3;

fn main() -> ExitCode {
    let variable = std::env::var_os(RECORDING_VARIABLE);
    // Wrong usage ends here, with exit code 2.
    let told = match Cli::parse().command {
        Command::Baselines(arguments) => commands::baselines(&arguments, variable),
        Command::Policies(arguments) => commands::policies(&arguments, variable),
        Command::Report(arguments) => commands::report(&arguments, variable),
        Command::Risks(arguments) => commands::risks(&arguments, variable),
        Command::Decide(arguments) => commands::decide(&arguments),
        Command::Diff(arguments) => commands::diff(&arguments),
        Command::Completions { shell } => return print(&completions(shell)),
    };
    match told {
        Ok(told) => {
            for warning in told.warnings {
                eprintln!("warning: {}", printable(&warning));
            }
            match print(told.listing.as_bytes()) {
                ExitCode::SUCCESS if told.differs => ExitCode::from(DIFFERENT),
                code => code,
            }
        }
        Err(error) => {
            eprint!("{}", explain(&error));
            ExitCode::FAILURE
        }
    }
}

fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "generate", &mut script);
    script
}

/// A reader that has seen enough (`generate ... | head`) is no failure.
fn print(text: &[u8]) -> ExitCode {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("error: cannot write to standard output\n  why: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
