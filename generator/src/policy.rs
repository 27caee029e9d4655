//! From a baseline to a policy: the pure core of `generate policies`.
//!
//! The shape is one `kprobes` policy an image, in monitor mode, with exact lists of what was observed. Every limit that
//! Tetragon has, and every way in which a policy loads and is silently wrong, is respected or refused here and checked
//! again on the finished text by [`crate::selfcheck`].

mod connections;
pub(crate) mod model;
mod paths;
mod render;
mod scope;

use std::collections::BTreeSet;

use baselines::document::{Baseline, Exec};
use baselines::path::{FilePath, Origin};

use crate::error::{Error, printable};
use crate::evidence::{Use, counted};
use crate::{selfcheck, yaml};
use model::{Action, Argument, Call, Errno, Filter, Hook, Operator, Policy, Scope, Selector, Value};
use paths::Paths;
use scope::Scoped;

/// The Tetragon release that a policy is written for.
///
/// What is written today means the same to both; the word goes into the policy for whoever loads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Tetragon {
    /// 1.6.x.
    #[value(name = "1.6")]
    V1_6,
    /// 1.7.x.
    #[default]
    #[value(name = "1.7")]
    V1_7,
}

impl Tetragon {
    const fn word(self) -> &'static str {
        match self {
            Self::V1_6 => "1.6",
            Self::V1_7 => "1.7",
        }
    }
}

/// A baseline and the document that it was read from.
#[derive(Clone, Debug)]
pub struct Input {
    /// The content.
    pub baseline: Baseline,
    /// `sha256:` and the hash of the document's bytes.
    pub hash: String,
}

impl Input {
    /// A baseline whose document has these bytes.
    pub fn new(baseline: Baseline, document: &[u8]) -> Self {
        Self { baseline, hash: format!("sha256:{}", scope::sha256(document)) }
    }
}

/// A finished policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// The object's name, also the file's.
    pub name: String,
    /// The document.
    pub yaml: String,
    /// What a person must know before loading it.
    pub warnings: Vec<String>,
}

/// How many annotation bytes the list of recordings may take; beyond, it is given as a hash. Kubernetes allows 256 KiB
/// for all annotations together.
const RECORDINGS_BYTES_MAX: usize = 16 << 10;

/// The policy for one image, checked against its own baseline.
///
/// # Errors
/// [`Error::NoRepository`] for an image that nothing can be selected by, [`Error::SelfCheck`] where the policy would
/// report what its baseline allows or breaks a limit of Tetragon: both mean that nothing may be written.
pub fn compile(input: &Input, tetragon: Tetragon) -> Result<Compiled, Error> {
    let baseline = &input.baseline;
    if baseline.image.repository.is_empty() || !yaml::agent_reads(&baseline.image.repository) {
        return Err(Error::NoRepository { image: baseline.image.to_string() });
    }
    let mut report = Report::default();
    let (hooks, not_watched) = hooks(baseline, &mut report);
    let Scoped { scope, comments, warnings } = scope::scope(baseline);
    report.warnings.extend(warnings);
    let policy = Policy {
        header: header(baseline, tetragon, comments, &mut report),
        name: scope::name(&baseline.image),
        annotations: annotations(input, tetragon, &scope),
        scope,
        hooks,
        not_watched,
    };
    let yaml = render::render(&policy);
    selfcheck::check(&yaml, baseline, &report.inexpressible)
        .map_err(|source| Error::SelfCheck { image: baseline.image.to_string(), source })?;
    let warnings = report.warnings.iter().map(|warning| printable(warning)).collect();
    Ok(Compiled { name: policy.name, yaml, warnings })
}

/// What people have to be told, and what the self-check must know.
#[derive(Debug, Default)]
struct Report<'a> {
    warnings: Vec<String>,
    inexpressible: BTreeSet<&'a FilePath>,
    needs_kernel_5_11: bool,
}

impl<'a> Report<'a> {
    fn add(&mut self, paths: &Paths<'a>, done: &str) {
        self.warnings.extend(paths.warnings(done));
        self.inexpressible.extend(paths.inexpressible());
        self.needs_kernel_5_11 |= paths.needs_kernel_5_11();
    }
}

/// The hooks, and why others are missing.
fn hooks<'a>(baseline: &'a Baseline, report: &mut Report<'a>) -> (Vec<Hook>, Vec<String>) {
    let containers = baseline.containers.len();
    let (exec, no_exec) = exec_hook(baseline, report);
    let (open, no_open) = open_hook(baseline, report);
    let connect = connections::hook(&baseline.behaviours.connect, containers);
    let no_send = "No hook for security_socket_sendmsg: datagrams sent without connect (sendto) are not recorded by \
        this version, so a hook would report what was never observed. They pass unseen."
        .to_owned();
    (
        exec.into_iter().chain(open).chain([connect]).collect(),
        no_exec.into_iter().chain(no_open).chain([no_send]).collect(),
    )
}

/// Executions: everything but the learned binaries, scripts and interpreters, and every file without a name.
fn exec_hook<'a>(baseline: &'a Baseline, report: &mut Report<'a>) -> (Option<Hook>, Vec<String>) {
    let containers = baseline.containers.len();
    let execs = &baseline.behaviours.exec;
    let paths = executed(execs, "");
    report.add(&paths, "executing");
    let mut comments = paths.left_out_comments(containers);
    let values = paths.values(containers);
    if values.is_empty() {
        // An empty list would match everything or nothing, depending on the operator (facts 2.3).
        comments.insert(0, "No hook for security_bprm_check: there is no execution to allow.".to_owned());
        return (None, comments);
    }
    let report_rest = |comment: &str, argument, operator, values| Selector {
        comments: vec![comment.to_owned()],
        filters: vec![Filter { argument, operator, values }],
        action: Action::Override(Errno::Eperm),
    };
    let mut selectors = Vec::new();
    let nameless = nameless(execs);
    if nameless.is_empty() {
        selectors.push(report_rest(
            "Files without a name: anonymous (memfd) ones, which no list of paths sees, and deleted ones.",
            Argument::LinkCount,
            Operator::Equal,
            vec![Value::constant("0")],
        ));
    } else {
        let what = nameless.join("; ");
        comments.push(format!(
            "NO GUARD against executing anonymous (memfd) files: it would report this image's own behaviour ({what}). \
             Every memfd execution passes unseen, since no list of paths sees those."
        ));
        report.warnings.push(format!(
            "executes files without a name ({what}): the policy has no guard against that, so every memfd execution \
             passes unseen"
        ));
    }
    selectors.push(report_rest(
        "Everything but the binaries, scripts and interpreters that were observed.",
        Argument::File,
        Operator::NotEqual,
        values,
    ));
    (Some(Hook { call: Call::Exec, comments, selectors }), Vec::new())
}

/// The binaries and scripts of executions. `how` says what an empty list of words would not.
fn executed<'a>(execs: &'a [Exec], how: &str) -> Paths<'a> {
    let mut paths = Paths::default();
    for exec in execs {
        let used = |how: String| Use { how, subject: &exec.parent, evidence: &exec.evidence };
        let Some(script) = &exec.script else {
            paths.add(&exec.binary, used(how.to_owned()));
            continue;
        };
        paths.add(script, used(how.to_owned()));
        paths.add(&exec.binary, used(format!("interpreter of {}", crate::evidence::shorten(&script.to_text()))));
    }
    paths
}

/// The learned executions that the link-count guard would report.
fn nameless(execs: &[Exec]) -> Vec<String> {
    let has_no_name = |path: &&FilePath| matches!(path.origin(), Origin::Memfd | Origin::Deleted);
    let executions: BTreeSet<String> = execs
        .iter()
        .flat_map(|exec| [Some(&exec.binary), exec.script.as_ref()].map(|path| (exec, path)))
        .filter_map(|(exec, path)| path.filter(has_no_name).map(|path| format!("{} executes {path}", exec.parent)))
        .collect();
    executions.into_iter().collect()
}

/// Opens: everything but the learned paths, the layer files behind them, and what executions open.
fn open_hook<'a>(baseline: &'a Baseline, report: &mut Report<'a>) -> (Option<Hook>, Vec<String>) {
    let containers = baseline.containers.len();
    let (mut paths, mut backing) = (Paths::default(), Paths::default());
    for open in &baseline.behaviours.open {
        let used = |how: String| Use { how, subject: &open.subject, evidence: &open.evidence };
        paths.add(&open.path, used(open.access.to_string().replace(',', "+")));
        if let Some(layer) = &open.backing {
            backing.add(layer, used(format!("layer file of {}", crate::evidence::shorten(&open.path.to_text()))));
        }
    }
    paths.add_missing(backing);
    paths.add_missing(executed(&baseline.behaviours.exec, "opened by executing it"));
    report.add(&paths, "opening");
    let mut comments = paths.left_out_comments(containers);
    let values = paths.values(containers);
    if values.is_empty() {
        comments.insert(0, "No hook for security_file_open: there is no open to allow.".to_owned());
        return (None, comments);
    }
    let selector = Selector {
        comments: vec!["Everything but the files and directories that were observed.".to_owned()],
        filters: vec![Filter { argument: Argument::File, operator: Operator::NotEqual, values }],
        action: Action::Override(Errno::Eacces),
    };
    (Some(Hook { call: Call::Open, comments, selectors: vec![selector] }), Vec::new())
}

fn header(baseline: &Baseline, tetragon: Tetragon, scope: Vec<String>, report: &mut Report<'_>) -> Vec<String> {
    let behaviours = &baseline.behaviours;
    let partial = baseline.containers.iter().filter(|container| container.partial).count();
    let mut header = vec![
        format!(
            "What {} was seen doing is allowed, everything else is reported. Monitor mode: nothing is denied.",
            baseline.image
        ),
        format!(
            "Written by `generate policies` {} for Tetragon {} from {}, {} and {} in {}. The comment beside a value is its \
             evidence.",
            env!("CARGO_PKG_VERSION"),
            tetragon.word(),
            counted(behaviours.exec.len(), "exec"),
            counted(behaviours.open.len(), "open"),
            counted(behaviours.connect.len(), "connect"),
            counted(baseline.containers.len(), "container"),
        ),
    ];
    header.extend(scope);
    if partial > 0 {
        let containers = counted(baseline.containers.len(), "container");
        header.push(format!("Of {containers}, {partial} ran before the recording began: what starting does was not seen."));
    }
    let not_learned = &baseline.not_learned;
    let not_learned = not_learned.exec.len() + not_learned.open.len() + not_learned.connect.len();
    if not_learned > 0 {
        header.push(format!(
            "Seen but not learned, so reported: {} of debug sessions or of the container runtime.",
            counted(not_learned, "behaviour")
        ));
    }
    if let Some(losses) = losses(baseline) {
        header.push(format!("WARNING: the baseline is lossy ({losses}). What is missing in it will be reported."));
        report.warnings.push(format!("the baseline is lossy ({losses}): what is missing in it will be reported"));
    }
    if report.needs_kernel_5_11 {
        header.push("A path here is longer than 510 bytes: this policy loads on kernel 5.11 and later only.".to_owned());
    }
    header
}

/// What is missing in the baseline, if anything is.
fn losses(baseline: &Baseline) -> Option<String> {
    let counted = baseline.losses.iter().map(|loss| match &loss.container {
        Some(container) => format!("{} {} in container {container}", loss.count, loss.reason),
        None => format!("{} {}", loss.count, loss.reason),
    });
    let losses: Vec<String> = counted.chain(baseline.uncounted_losses.iter().cloned()).collect();
    (!losses.is_empty()).then(|| losses.join(", "))
}

fn annotations(input: &Input, tetragon: Tetragon, scope: &Scope) -> Vec<(&'static str, String)> {
    let recordings: BTreeSet<String> =
        input.baseline.recordings.iter().map(|it| format!("{}@{}", it.recording, it.revision)).collect();
    let count = recordings.len();
    let recordings = recordings.into_iter().collect::<Vec<_>>().join(",");
    let recordings = if recordings.len() <= RECORDINGS_BYTES_MAX {
        recordings
    } else {
        format!("{count} recordings, sha256:{}", scope::sha256(recordings.as_bytes()))
    };
    vec![
        ("baseline", input.hash.clone()),
        ("generator", env!("CARGO_PKG_VERSION").to_owned()),
        ("image", printable(&input.baseline.image.to_string())),
        ("recordings", recordings),
        ("scope", if *scope == Scope::Node { "node" } else { "image" }.to_owned()),
        ("tetragon", tetragon.word().to_owned()),
    ]
}
