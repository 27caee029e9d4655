//! `profile collect`: the recordings of a learning window, from all nodes.

use std::cell::Cell;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{merge, print, printable, runtime, say};
use crate::cli::{self, Output};
use crate::collect::{Collected, Node, Outcome, Progress, Settings, collect as bring};
use crate::error::Failure;
use crate::kubernetes::connect::{ConnectError, Source};
use crate::kubernetes::token::{Tokens, Whose};
use crate::table::{Table, serialise};

/// How many nodes are told of by a line of their own that may lack something.
const LOSSY_MAX: usize = 10;

/// Collects a window, with a progress bar on a terminal, and prints what came from where.
///
/// # Errors
/// [`Failure`].
pub fn collect(options: &cli::Collect, quiet: bool) -> Result<ExitCode, Failure> {
    let source = Source::find(options.kubeconfig.as_deref())?.ok_or(ConnectError::NotFound)?;
    let mut namespaces = options.namespaces.clone();
    namespaces.sort();
    namespaces.dedup();
    let settings = Settings {
        window: options.window.clone(),
        namespaces,
        without: options.without.clone(),
        out: options.out.clone(),
        force: options.force,
        bytes_max: options.recording_max,
    };
    runtime()?.block_on(async {
        let client = source.client().await?;
        let whose = match options.service_account.clone() {
            Some((namespace, name)) => Whose::ServiceAccount(namespace, name),
            None => Whose::User,
        };
        if matches!(whose, Whose::User) {
            let better = "--service-account shows them one that is good for nothing else";
            say(
                quiet,
                &format!("the agents are shown your own token, which whoever rules a node can read; {better}"),
            );
        }
        let tokens = Tokens::new(source, client.clone(), whose);
        let display = Display::new(quiet);
        let collected = bring(&client, &tokens, &settings, &display).await;
        display.clear();
        show(&options.window, &options.out, &collected?, options.output, quiet)
    })
}

fn show(window: &str, out: &Path, collected: &Collected, output: Output, quiet: bool) -> Result<ExitCode, Failure> {
    let warn = |text: &str| say(false, &format!("warning: {text}"));
    for node in &collected.nodes {
        if let Outcome::Lost(why) = &node.outcome {
            warn(&format!(
                "what node {} has learned is lost: {}",
                printable(&node.name),
                printable(why)
            ));
        }
    }
    let lossy: Vec<String> = collected
        .nodes
        .iter()
        .filter_map(|node| {
            Some(format!(
                "{} ({})",
                printable(&node.name),
                printable(node.lossy.as_ref()?)
            ))
        })
        .collect();
    for node in lossy.iter().take(LOSSY_MAX) {
        warn(&format!("something can be missing of node {node}"));
    }
    if lossy.len() > LOSSY_MAX {
        warn(&format!(
            "and of {} other nodes: -o json lists them",
            lossy.len() - LOSSY_MAX
        ));
    }
    if let Some(message) = &collected.message {
        warn(&format!("of the learning window {window}: {}", printable(message)));
    }
    if collected.goes_on {
        let again = "collect it again with --force when it is over";
        warn(&format!(
            "the learning window {window} goes on: this is what it has learned so far; {again}"
        ));
    }
    if !quiet {
        let text = match output {
            Output::Table => table(window, out, collected),
            Output::Json | Output::Yaml => serialise(&Document::of(window, out, collected), output)?,
        };
        print(text.as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn table(window: &str, out: &Path, collected: &Collected) -> String {
    let mut table = Table::new(["NODE", "RECORDING", "BYTES"]);
    for node in &collected.nodes {
        let (word, bytes) = told(&node.outcome);
        let bytes = bytes.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string());
        table.row([printable(&node.name), word.to_owned(), bytes]);
    }
    let came = collected
        .nodes
        .iter()
        .filter(|node| matches!(node.outcome, Outcome::Collected(_)))
        .count();
    format!(
        "Collected {window} into {}: recordings of {came} of {} nodes, {} behaviours, {} bytes\n\n{table}",
        out.display(),
        collected.nodes.len(),
        collected.merged.behaviours,
        collected.merged.bytes
    )
}

fn told(outcome: &Outcome) -> (&'static str, Option<u64>) {
    match outcome {
        Outcome::Collected(bytes) => ("collected", Some(*bytes)),
        Outcome::Nothing => ("none", None),
        Outcome::Lost(_) => ("lost", None),
    }
}

/// The same for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    window: String,
    /// The window goes on.
    goes_on: bool,
    nodes: Vec<NodeDocument>,
    #[serde(flatten)]
    merged: merge::Document,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeDocument {
    node: String,
    /// collected, none, lost.
    recording: &'static str,
    bytes: Option<u64>,
    /// Why it is lost.
    why: Option<String>,
    /// Why something can be missing in it.
    lossy: Option<String>,
}

impl Document {
    fn of(window: &str, out: &Path, collected: &Collected) -> Self {
        let node = |node: &Node| {
            let (recording, bytes) = told(&node.outcome);
            NodeDocument {
                node: node.name.clone(),
                recording,
                bytes,
                why: match &node.outcome {
                    Outcome::Lost(why) => Some(why.clone()),
                    Outcome::Collected(_) | Outcome::Nothing => None,
                },
                lossy: node.lossy.clone(),
            }
        };
        Self {
            window: window.to_owned(),
            goes_on: collected.goes_on,
            nodes: collected.nodes.iter().map(node).collect(),
            merged: merge::Document::of(out, &collected.merged),
        }
    }
}

/// A bar on a terminal; elsewhere only lines that stay.
struct Display {
    is_quiet: bool,
    bar: Option<ProgressBar>,
    expected: Cell<u64>,
}

impl Display {
    fn new(is_quiet: bool) -> Self {
        let bar = (!is_quiet && io::stderr().is_terminal()).then(|| ProgressBar::new(0));
        let style = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left");
        if let (Some(bar), Ok(style)) = (&bar, style) {
            bar.set_style(style);
        }
        Self {
            is_quiet,
            bar,
            expected: Cell::new(0),
        }
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Progress for Display {
    fn expect(&self, bytes: u64) {
        self.expected.set(self.expected.get().saturating_add(bytes));
        if let Some(bar) = &self.bar {
            bar.set_length(self.expected.get());
        }
    }

    fn broke_off(&self, bytes: u64) {
        self.expected.set(self.expected.get().saturating_sub(bytes));
        if let Some(bar) = &self.bar {
            bar.set_length(self.expected.get());
        }
    }

    fn came(&self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
        }
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => say(self.is_quiet, text),
        }
    }
}
