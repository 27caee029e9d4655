//! `profile import`: a recording of what another program has seen.

mod agent;
mod display;
mod tell;

use std::path::PathBuf;
use std::process::ExitCode;

use baselines::time::UtcTime;

use super::{print, printable, say};
use crate::cli::{ImportTetragon, Output};
use crate::error::Failure;
use crate::import::tetragon::node::Rules;
use crate::import::tetragon::sources::{self, Plan};
use crate::import::tetragon::summary::Summary;
use crate::import::tetragon::{Importer, Options, Target, stream};
use crate::table::serialise;
use display::Display;
use tell::{Document, table};

/// How far ahead the clocks of nodes may be.
const DAY_NANOS: u64 = 86_400_000_000_000;

/// Imports Tetragon's events.
///
/// # Errors
/// [`Failure::Import`] where a source cannot be read or holds no event, [`Failure::Recording`].
pub fn tetragon(options: &ImportTetragon, quiet: bool) -> Result<ExitCode, Failure> {
    let sockets: Vec<PathBuf> = options.sources.iter().filter_map(|it| stream::socket(it)).collect();
    if options.duration.is_some() && sockets.is_empty() {
        return Err(Failure::Usage {
            what: "--for says how long to listen to an agent, and none is named".to_owned(),
            help: "name its socket, such as unix:///var/run/tetragon/tetragon.sock, or leave --for out".to_owned(),
        });
    }
    let summary = match (&sockets[..], options.sources.len()) {
        ([], _) => {
            let plan = sources::plan(&options.sources)?;
            from_files(importer(options, selector(&plan)), &plan, quiet)?
        }
        ([socket], 1) => {
            let importer = importer(options, format!("events of the agent at {}", socket.display()));
            agent::follow(importer, socket, options.duration, quiet)?
        }
        _ => {
            return Err(Failure::Usage {
                what: "an agent's socket and something else are given as sources".to_owned(),
                help: "import them one after the other, into the same recording".to_owned(),
            });
        }
    };
    conclude(&summary, options.output, quiet)
}

fn importer(options: &ImportTetragon, selector: String) -> Importer {
    Importer::new(Options {
        target: if options.recording.is_dir() {
            Target::Folder(options.recording.clone())
        } else {
            Target::File(options.recording.clone())
        },
        node: options.node.clone(),
        latest: Some(UtcTime::from_nanos(
            UtcTime::now().nanos().cast_unsigned().saturating_add(DAY_NANOS),
        )),
        rules: Rules {
            startup: options.startup,
            record_arguments: options.record_args,
        },
        selector,
    })
}

fn from_files(mut importer: Importer, plan: &Plan, quiet: bool) -> Result<Summary, Failure> {
    for note in &plan.notes {
        importer.note(note.clone());
    }
    let mut display = Display::new(quiet, plan.bytes);
    let result = plan.sources.iter().try_for_each(|source| {
        importer.read(source, &mut |importer, read| display.show(importer.lines(), read))?;
        display.next();
        Ok(())
    });
    display.clear();
    match result {
        Ok(()) => importer.finish(),
        Err(failure) => Err(give_up(importer, failure)),
    }
}

/// What is written already ends with the reason, and the reason is what is told.
fn give_up(importer: Importer, failure: Failure) -> Failure {
    let why = failure.to_string();
    if let Err(second) = importer.abandon(&why) {
        tracing::warn!(%second, "the window could not be ended");
    }
    failure
}

/// What the window says of where it comes from: the names of a few files.
fn selector(plan: &Plan) -> String {
    const NAMED: usize = 3;
    let mut names: Vec<String> = plan.sources.iter().take(NAMED).map(sources::Source::name).collect();
    let more = plan.sources.len() - names.len();
    if more > 0 {
        names.push(format!("{more} more"));
    }
    format!("import of {}", names.join(", "))
}

fn conclude(summary: &Summary, output: Output, quiet: bool) -> Result<ExitCode, Failure> {
    for note in &summary.notes {
        say(false, &format!("warning: {}", printable(note)));
    }
    if !quiet {
        let text = match output {
            Output::Table => table(summary),
            Output::Json | Output::Yaml => serialise(&Document::from(summary), output)?,
        };
        print(text.as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}
