//! From a baseline to a policy: the pure core of `generate policies`.
//!
//! The shape is one `kprobes` policy an image, in monitor mode, with exact lists of what was observed; only where files are
//! opened, path templates take the place of names that programs make up. Every limit that
//! Tetragon has, and every way in which a policy loads and is silently wrong, is respected or refused here and checked
//! again on the finished text by [`crate::selfcheck`].

mod connections;
mod header;
pub(crate) mod model;
mod paths;
mod render;
mod scope;
mod templates;

use std::collections::{BTreeMap, BTreeSet};

use baselines::document::{Baseline, Exec};
use baselines::path::{FilePath, Origin};
use baselines::risks::Decisions;

use crate::error::{Error, printable};
use crate::evidence::{Use, enumerate};
use crate::{selfcheck, yaml};
use model::{Action, Argument, Call, Errno, Filter, Hook, Operator, Policy, Selector, Value};
use paths::Paths;
use scope::Scoped;
pub use templates::Forbidden;
use templates::{Chosen, Guards};
pub(crate) use templates::{executed_paths, is_admitted, sensitive_paths};

/// The Tetragon release that a policy is written for.
///
/// What is written today means the same to both; the word goes into the policy for whoever loads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Tetragon {
    /// Any 1.6 release
    #[value(name = "1.6")]
    V1_6,
    /// Any 1.7 release
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
    /// What people have decided, where that is kept beside the document.
    pub decisions: Option<Decisions>,
    /// How many risks need a decision; None where nobody has looked.
    pub undecided: Option<usize>,
    /// How many behaviours were taken out because they are denied.
    pub denied: usize,
    /// Paths that no template may admit, see [`crate::risks::Risks::forbidden`].
    pub forbidden: BTreeMap<FilePath, Forbidden>,
    /// The most recorded paths that what a template becomes may admit beside the image's own; `None` for as many as the
    /// template itself matches.
    pub max_price: Option<u64>,
}

impl Input {
    /// A baseline whose document has these bytes.
    pub fn new(baseline: Baseline, document: &[u8]) -> Self {
        Self {
            baseline,
            hash: format!("sha256:{}", scope::sha256(document)),
            decisions: None,
            undecided: None,
            denied: 0,
            forbidden: BTreeMap::new(),
            max_price: None,
        }
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

/// The policy for one image, checked against its own baseline.
///
/// # Errors
/// [`Error::NoRepository`] for an image that nothing can be selected by, [`Error::SelfCheck`] where the policy would
/// report what its baseline allows or breaks a limit of Tetragon: both mean that nothing may be written.
pub fn compile(input: &Input, tetragon: Tetragon) -> Result<Compiled, Error> {
    let baseline = &input.baseline;
    let repository = &baseline.image.repository;
    if repository.is_empty() || !scope::is_host(repository) && !yaml::agent_reads(repository) {
        return Err(Error::NoRepository {
            image: baseline.image.to_string(),
        });
    }
    let mut report = Report::default();
    let (hooks, not_watched) = hooks(input, &mut report);
    let Scoped {
        scope,
        comments,
        warnings,
    } = scope::scope(baseline);
    report.warnings.extend(warnings);
    let policy = Policy {
        header: header::header(input, tetragon, comments, &mut report),
        name: scope::name(&baseline.image),
        annotations: header::annotations(input, tetragon, &scope),
        scope,
        hooks,
        not_watched,
    };
    let yaml = render::render(&policy);
    selfcheck::check(&yaml, baseline, &report.inexpressible, &input.forbidden).map_err(|source| Error::SelfCheck {
        image: baseline.image.to_string(),
        source,
    })?;
    let warnings = report.warnings.iter().map(|warning| printable(warning)).collect();
    Ok(Compiled {
        name: policy.name,
        yaml,
        warnings,
    })
}

/// What people have to be told, and what the self-check must know.
#[derive(Debug, Default)]
struct Report<'a> {
    warnings: Vec<String>,
    inexpressible: BTreeSet<&'a FilePath>,
    needs_kernel_5_11: bool,
    /// What the header says of path templates.
    templates: Option<String>,
}

impl<'a> Report<'a> {
    fn add(&mut self, paths: &Paths<'a>, done: &str) {
        self.warnings.extend(paths.warnings(done));
        self.inexpressible.extend(paths.inexpressible());
        self.needs_kernel_5_11 |= paths.needs_kernel_5_11();
    }

    /// The comment for a hook that would have an empty list. A warning too, if something was learned.
    fn not_watched(&mut self, call: Call, what: &str, paths: &Paths<'a>) -> String {
        if paths.is_anything_left_out() {
            self.warnings.push(format!(
                "no {what} is watched, because none that was learned can be in a policy"
            ));
            format!(
                "No hook for {}: no learned {what} can be in a policy. They all pass unseen.",
                call.function()
            )
        } else {
            format!(
                "No hook for {}: no {what} was learned. They all pass unseen.",
                call.function()
            )
        }
    }
}

/// The hooks, and why others are missing.
fn hooks<'a>(input: &'a Input, report: &mut Report<'a>) -> (Vec<Hook>, Vec<String>) {
    let baseline = &input.baseline;
    let containers = baseline.containers.len();
    let (exec, no_exec) = exec_hook(baseline, report);
    let (open, no_open) = open_hook(input, report);
    let connect = connections::hook(&baseline.behaviours.connect, containers);
    let no_send =
        "No hook for security_socket_sendmsg: this version writes none, whether or not datagrams sent without \
        connect (sendto) were learned. They pass unseen."
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
    // Whoever may execute any file of a name that is made up may execute anything that can be written there.
    if let Some(made_up) = templates::executed(&baseline.templates, &paths) {
        comments.push(format!("WARNING: {made_up}."));
        report.warnings.push(made_up);
    }
    let values = paths.values(containers);
    if values.is_empty() {
        // An empty list would match everything or nothing, depending on the operator (facts 2.3).
        comments.insert(0, report.not_watched(Call::Exec, "execution", &paths));
        return (None, comments);
    }
    let report_rest = |comment: &str, argument, operator, values| Selector {
        comments: vec![comment.to_owned()],
        filters: vec![Filter {
            argument,
            operator,
            values,
        }],
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
        comments.push(format!(
            "NO GUARD against executing anonymous (memfd) files: it would report this image's own behaviour ({}). \
             Every memfd execution passes unseen, since no list of paths sees those.",
            nameless.join("; ")
        ));
        report.warnings.push(format!(
            "executes files without a name ({}): the policy has no guard against that, so every memfd execution passes \
             unseen",
            enumerate(nameless.iter())
        ));
    }
    selectors.push(report_rest(
        "Everything but the binaries, scripts and interpreters that were observed.",
        Argument::File,
        Operator::NotEqual,
        values,
    ));
    (
        Some(Hook {
            call: Call::Exec,
            comments,
            selectors,
        }),
        Vec::new(),
    )
}

/// The binaries and scripts of executions. `how` says what an empty list of words would not.
fn executed<'a>(execs: &'a [Exec], how: &str) -> Paths<'a> {
    let mut paths = Paths::default();
    for exec in execs {
        let used = |how: String| Use {
            how,
            subject: &exec.parent,
            evidence: &exec.evidence,
        };
        let Some(script) = &exec.script else {
            paths.add(&exec.binary, used(how.to_owned()));
            continue;
        };
        paths.add(script, used(how.to_owned()));
        paths.add(
            &exec.binary,
            used(format!(
                "interpreter of {}",
                crate::evidence::shorten(&script.to_text())
            )),
        );
    }
    paths
}

/// The learned executions that the link-count guard would report.
fn nameless(execs: &[Exec]) -> Vec<String> {
    let has_no_name = |path: &&FilePath| matches!(path.origin(), Origin::Memfd | Origin::Anonymous | Origin::Deleted);
    let executions: BTreeSet<String> = execs
        .iter()
        .flat_map(|exec| [Some(&exec.binary), exec.script.as_ref()].map(|path| (exec, path)))
        .filter_map(|(exec, path)| {
            path.filter(has_no_name)
                .map(|path| format!("{} executes {path}", exec.parent))
        })
        .collect();
    executions.into_iter().collect()
}

/// Opens: everything but the learned paths, the layer files behind them, and what executions open.
fn open_hook<'a>(input: &'a Input, report: &mut Report<'a>) -> (Option<Hook>, Vec<String>) {
    let baseline = &input.baseline;
    let containers = baseline.containers.len();
    let (mut paths, mut backing) = (Paths::default(), Paths::default());
    // What is mapped was opened before: a mapping does not pass this hook.
    for open in baseline.behaviours.opens() {
        let used = |how: String| Use {
            how,
            subject: &open.subject,
            evidence: &open.evidence,
        };
        paths.add(&open.path, used(open.access.to_string().replace(',', "+")));
        if let Some(layer) = &open.backing {
            backing.add(
                layer,
                used(format!(
                    "layer file of {}",
                    crate::evidence::shorten(&open.path.to_text())
                )),
            );
        }
    }
    paths.add_missing(backing);
    paths.add_missing(executed(&baseline.behaviours.exec, "opened by executing it"));
    let guards = Guards {
        max_price: input.max_price,
        forbidden: &input.forbidden,
        sensitive: &sensitive_paths(baseline),
        executed: &executed_paths(baseline),
    };
    let chosen = Chosen::new(&baseline.templates, &paths, guards);
    let filters = chosen.filters(&mut paths, containers);
    report.add(&paths, "opening");
    report.warnings.extend(chosen.warning());
    report.templates = chosen.summary(guards);
    let mut comments = paths.left_out_comments(containers);
    comments.extend(chosen.refused_comments());
    if filters.is_empty() {
        comments.insert(0, report.not_watched(Call::Open, "open", &paths));
        return (None, comments);
    }
    let selector = Selector {
        comments: vec!["Everything but the files and directories that were observed.".to_owned()],
        filters,
        action: Action::Override(Errno::Eacces),
    };
    (
        Some(Hook {
            call: Call::Open,
            comments,
            selectors: vec![selector],
        }),
        Vec::new(),
    )
}
