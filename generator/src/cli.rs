//! The command line: what can be asked, and the help that teaches it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use baselines::coverage::{Criteria, parse_held, parse_target};
use baselines::recording::{Error, find};
use baselines::risks::{FindingKey, Text};
use baselines::time::{TimeError, UtcTime};
use clap::{Args, Parser, Subcommand};

use crate::listing::Format;
use crate::policy::Tetragon;

/// Where the recorder of a node writes.
pub const DEFAULT_RECORDING: &str = "/var/lib/wardline/recording.db";

/// The environment variable that names another recording.
pub const RECORDING_VARIABLE: &str = "WARDLINE_RECORDING";

/// Turn what workloads were seen doing into baselines to read and Tetragon policies to review
#[derive(Debug, Parser)]
#[command(
    name = "generate",
    version,
    after_help = "\
Examples:
  generate baselines                            documents in baselines-out/
  generate policies                             policies in policies/
  generate policies --baselines baselines-out   from (edited) documents
  generate policies --recording a.db b.db       what several nodes recorded
  generate policies --recording 'nodes/*.db'    the same for a folder's
  generate risks --baselines baselines-out      what needs a decision
  generate report --baselines baselines-out --html report.html
  generate diff before/ baselines-out/          what has changed
  source <(generate completions bash)           completions for this shell

Exit codes: 0 done, 1 failed (nothing half-written), 2 wrong usage,
3 there are differences (diff --exit-code)."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write one baseline document per image
    #[command(after_help = "\
A baseline says what an image did, how often, in how many containers, when,
and what could not be recorded. Documents are sorted and the same to the byte
for the same recordings, so that they can be kept and compared in git.

STATE is `ready` where enough was seen; -o json says what would help most.

Examples:
  generate baselines --out baselines/
  generate baselines --coverage-target 0.99 --coverage-held 48h
  generate baselines --recording node1.db node2.db -o json")]
    Baselines(Baselines),
    /// Write one Tetragon policy per image, in monitor mode
    #[command(after_help = "\
Allowed is exactly what was learned; each value has its evidence as a comment
beside it. A policy is written only if it reports nothing of its own baseline.
In monitor mode it reports the rest and denies nothing.

Where files are opened, names that programs make up (temporary files, process
ids, dates) become a Prefix or Postfix: the path templates of the baseline. The
comment beside one says what that admits among all recorded paths; --max-price
is a limit to it. One that admits a sensitive path, or one that is denied or
waits for a decision, is never used. What is executed is compared whole.

Warnings say what a policy cannot express, what its baseline misses, and what
else it applies to. Read them, and the top of each file, before you load one:
  kubectl apply --server-side -f policies/      in a cluster
  tetra tracingpolicy add policies/NAME.yaml    on a node without Kubernetes

Examples:
  generate policies --out policies/
  generate policies --baselines baselines/ --tetragon 1.6 -o yaml
  generate policies --baselines baselines/ --max-price 0   nothing but own paths
  generate policies --baselines baselines/ --max-price 50  admit up to 50 others")]
    Policies(Policies),
    /// Write a page to look at: risks, coverage, activity, processes, peers
    #[command(after_help = "\
One HTML file that loads nothing, from anywhere, and has no script: it can be
attached to a pull request and opened without a network. What waits for a
decision comes first. Long lists are cut, and say by how much. An earlier report
of that name is replaced; any other file is not.

Examples:
  generate report --baselines baselines/ --html report.html
  generate report --recording node1.db node2.db --html report.html")]
    Report(Report),
    /// List what is risky, and what people have decided about it
    #[command(after_help = "\
A catalogue of risks ships with this program; --catalogue adds to it, changes
it or turns entries off. What is `undecided` or `expired` needs a person's
decision: learning must not make a habit of an intrusion. `not learned` is what
debug sessions and the container runtime did. Decisions are read from the files
beside the baselines that `generate decide` writes.

Examples:
  generate risks --baselines baselines/
  generate risks --baselines baselines/ -o yaml    why, what to do, all evidence
  generate risks --baselines baselines/ --check    exit code 1 if any is open")]
    Risks(Risks),
    /// Decide about risks: allow or deny, with a reason
    #[command(after_help = "\
A decision is kept in IMAGE+decisions.yaml beside the image's baseline, for a
review in a pull request. It holds when the baseline is made anew. What is
denied is left out of the image's policies.

Examples:
  generate risks --baselines baselines/
  generate decide --baselines baselines/ --allow --who ada@shop.example \\
    --reason 'checks passwords at start-up, SHOP-12' KEY")]
    Decide(Decide),
    /// Show what has changed between two sets of baselines
    #[command(after_help = "\
OLD and NEW are baseline documents, folders of them, or recordings. Images are
matched by repository, so that a version is compared with its predecessor; what
cannot be matched without a guess is listed. Names that a known path template
stands for are not new.

Decisions hold for the next version: only what is new is up for review. What is
gone says something only where NEW was watched long enough; `weak evidence`
says why it was not.

Examples:
  generate diff baselines-before/ baselines-out/
  generate diff web-1.4.yaml web-1.5.yaml -o markdown    for a pull request
  generate diff old.db new.db -o json
  generate diff -q --exit-code before/ after/            for scripts

Exit codes: 0 done, 1 failed, 2 wrong usage; with --exit-code 3 if something
has changed (counts of what was seen before, and coverage, do not matter).")]
    Diff(Diff),
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// `generate baselines`.
#[derive(Debug, Args)]
pub struct Baselines {
    #[command(flatten)]
    pub(crate) recordings: Recordings,
    /// The folder to write into; other files in it are left alone
    #[arg(long, value_name = "DIR", default_value = "baselines-out")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) catalogue: Catalogue,
    #[command(flatten)]
    pub(crate) listing: Listing,
    #[command(flatten)]
    pub(crate) coverage: Coverage,
}

/// `generate policies`.
#[derive(Debug, Args)]
pub struct Policies {
    #[command(flatten)]
    pub(crate) recordings: Recordings,
    /// Read the baseline documents of a folder instead of recordings
    #[arg(long, value_name = "DIR", conflicts_with_all = ["recording", "target", "held", "starts", "dates"])]
    pub(crate) baselines: Option<PathBuf>,
    /// The folder to write into; other files in it are left alone
    #[arg(long, value_name = "DIR", default_value = "policies")]
    pub(crate) out: PathBuf,
    /// The Tetragon release that will load the policies
    #[arg(long, value_enum, value_name = "VERSION", default_value_t)]
    pub(crate) tetragon: Tetragon,
    /// Use no path template that becomes something which also admits more than N of all recorded paths, those that the
    /// image itself used not counted [default: as many as the template itself matches]
    #[arg(long, value_name = "N")]
    pub(crate) max_price: Option<u64>,
    #[command(flatten)]
    pub(crate) catalogue: Catalogue,
    #[command(flatten)]
    pub(crate) listing: Listing,
    #[command(flatten)]
    pub(crate) coverage: Coverage,
}

/// `generate report`.
#[derive(Debug, Args)]
pub struct Report {
    #[command(flatten)]
    pub(crate) recordings: Recordings,
    /// Read the baseline documents of a folder, and the decisions beside them, instead of recordings
    #[arg(long, value_name = "DIR", conflicts_with_all = ["recording", "target", "held", "starts", "dates"])]
    pub(crate) baselines: Option<PathBuf>,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    pub(crate) html: PathBuf,
    #[command(flatten)]
    pub(crate) catalogue: Catalogue,
    /// Do not tell which file was written
    #[arg(short, long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) coverage: Coverage,
}

/// `generate risks`.
#[derive(Debug, Args)]
pub struct Risks {
    #[command(flatten)]
    pub(crate) recordings: Recordings,
    /// Read the baseline documents of a folder, and the decisions beside them, instead of recordings
    #[arg(long, value_name = "DIR", conflicts_with = "recording")]
    pub(crate) baselines: Option<PathBuf>,
    /// List nothing; fail if a risk waits for a decision
    #[arg(long)]
    pub(crate) check: bool,
    #[command(flatten)]
    pub(crate) catalogue: Catalogue,
    #[command(flatten)]
    pub(crate) listing: Listing,
}

/// `generate decide`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("verdict").required(true))]
pub struct Decide {
    /// The keys of the findings, as `generate risks` lists them
    #[arg(value_name = "KEY", required = true)]
    pub(crate) findings: Vec<FindingKey>,
    /// The folder of the baselines; decisions are written beside them
    #[arg(long, value_name = "DIR")]
    pub(crate) baselines: PathBuf,
    /// It may be in policies
    #[arg(long, group = "verdict")]
    pub(crate) allow: bool,
    /// It is left out of policies, and of those made from later baselines, too
    #[arg(long, group = "verdict")]
    pub(crate) deny: bool,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Text,
    /// Who decides
    #[arg(long, value_name = "NAME")]
    pub(crate) who: Text,
    /// Until when it is allowed, such as 2027-01-31T00:00:00Z; then it needs a decision again
    #[arg(long, value_name = "TIME", value_parser = later, conflicts_with = "deny")]
    pub(crate) until: Option<UtcTime>,
    #[command(flatten)]
    pub(crate) catalogue: Catalogue,
    /// Do not tell which files were written
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// `generate diff`.
#[derive(Debug, Args)]
pub struct Diff {
    /// What there was: a baseline document, a folder of them, or a recording
    #[arg(value_name = "OLD")]
    pub(crate) old: PathBuf,
    /// What there is
    #[arg(value_name = "NEW")]
    pub(crate) new: PathBuf,
    /// Exit with 3 if something has changed
    #[arg(long)]
    pub(crate) exit_code: bool,
    #[command(flatten)]
    pub(crate) catalogue: Catalogue,
    /// How to print it
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) output: crate::diff::Format,
    /// Print nothing; warnings and errors still go to standard error
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// A moment that is still to come.
fn later(text: &str) -> Result<UtcTime, String> {
    let time: UtcTime = text.parse().map_err(|error: TimeError| error.to_string())?;
    if time.whole_second() > UtcTime::now() {
        Ok(time.whole_second())
    } else {
        Err(format!("{time} is over"))
    }
}

/// Where risks are described.
#[derive(Debug, Args)]
pub(crate) struct Catalogue {
    /// Files that add to the catalogue of risks, see docs/reference/risks.md
    #[arg(long, value_name = "FILE", num_args = 1.., help_heading = "Risks")]
    pub(crate) catalogue: Vec<PathBuf>,
}

const RECORDING_HELP: &str = "Recordings to add up, or what `profile export` made of them: files, folders, or quoted patterns such as 'nodes/*.db' \
     [default: what WARDLINE_RECORDING names, else /var/lib/wardline/recording.db]";

#[derive(Debug, Args)]
pub(crate) struct Recordings {
    // The variable is not left to clap: it would count as given, and conflict with --baselines.
    #[arg(long, value_name = "PATH", num_args = 1.., help = RECORDING_HELP)]
    recording: Vec<PathBuf>,
}

impl Recordings {
    /// What was named, else what the environment names, else the default.
    fn inputs(&self, variable: Option<OsString>) -> Vec<PathBuf> {
        match variable.filter(|path| !path.is_empty()) {
            _ if !self.recording.is_empty() => self.recording.clone(),
            Some(path) => vec![path.into()],
            None => vec![DEFAULT_RECORDING.into()],
        }
    }

    /// The files that are meant by that.
    ///
    /// # Errors
    /// As [`find`].
    pub(crate) fn paths(&self, variable: Option<OsString>) -> Result<Vec<PathBuf>, Error> {
        find(&self.inputs(variable))
    }
}

/// When enough was seen.
#[derive(Debug, Args)]
#[command(next_help_heading = "Coverage")]
pub(crate) struct Coverage {
    /// Ready takes this share of what comes next to have been seen, at the lower end of a 95 % interval
    #[arg(long = "coverage-target", value_name = "SHARE", default_value_t = Criteria::DEFAULT.target, value_parser = parse_target)]
    target: f64,
    /// For so long, in whole hours
    #[arg(long = "coverage-held", value_name = "TIME", default_value = "24h", value_parser = parse_held)]
    held: Duration,
    /// Ready takes so many starts, each apart from the others, or completed runs of a job
    #[arg(long = "coverage-starts", value_name = "COUNT", default_value_t = Criteria::DEFAULT.starts, value_parser = clap::value_parser!(u64).range(1..))]
    starts: u64,
    /// On so many dates
    #[arg(long = "coverage-dates", value_name = "COUNT", default_value_t = Criteria::DEFAULT.dates, value_parser = clap::value_parser!(u64).range(1..))]
    dates: u64,
}

impl Coverage {
    /// The criteria that were given.
    pub(crate) const fn criteria(&self) -> Criteria {
        Criteria {
            target: self.target,
            held: self.held,
            starts: self.starts,
            dates: self.dates,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Listing {
    /// How to print the list of what was written
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) output: Format,
    /// Print no list and no progress; warnings and errors still go to standard error
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn who_says_nothing_gets_the_usual_criteria() {
        let Command::Baselines(baselines) = Cli::parse_from(["generate", "baselines"]).command else {
            panic!("another command");
        };
        assert_eq!(baselines.coverage.criteria(), Criteria::default());
    }

    #[test]
    fn named_recordings_win_over_the_environment_and_that_over_the_default() {
        let none = Recordings { recording: Vec::new() };
        let named = Recordings {
            recording: vec!["a".into(), "b".into()],
        };
        assert_eq!(named.inputs(Some("env".into())), [PathBuf::from("a"), "b".into()]);
        assert_eq!(none.inputs(Some("env".into())), [PathBuf::from("env")]);
        assert_eq!(none.inputs(Some("".into())), [PathBuf::from(DEFAULT_RECORDING)]);
        assert_eq!(none.inputs(None), [PathBuf::from(DEFAULT_RECORDING)]);
    }
}
