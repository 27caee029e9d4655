//! Which path templates a policy uses, and why it does not use the others.
//!
//! A template is used where files are opened, and only if all guards let it pass; else its paths stay as they were recorded.
//! Executions never use one: a name that programs make up is a file that they have written, and who may execute any such
//! file may execute anything. So may who starts an interpreter and can open any such script: what admits a file that is
//! executed is not used for opens either.

use std::collections::{BTreeMap, BTreeSet};

use baselines::document::{Baseline, Behaviours, Comparison, PathTemplate};
use baselines::path::{FilePath, Origin};
use baselines::templates::{Operator, TemplateSet, sensitive};

use super::model::{self, Argument, Filter, Value};
use super::paths::Paths;
use crate::evidence::{Use, counted, describe, enumerate, shorten};
use crate::yaml::agent_reads;

/// Why no template may admit a path. The words are for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Forbidden {
    /// Somebody has denied what was done with it.
    Denied,
    /// What was done with it is a risk, and waits for a decision.
    Undecided,
}

impl Forbidden {
    const fn why(self) -> &'static str {
        match self {
            Self::Denied => "is denied",
            Self::Undecided => "is a risk that waits for a decision",
        }
    }
}

/// What no template may do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guards<'a> {
    /// The most recorded paths that it may admit beside the image's own. What the template itself matches, if nobody has said.
    pub(super) max_price: Option<u64>,
    /// Paths that it must not admit.
    pub(super) forbidden: &'a BTreeMap<FilePath, Forbidden>,
    /// Neither these, each of which is sensitive: see [`sensitive_paths`].
    pub(super) sensitive: &'a BTreeSet<&'a FilePath>,
    /// Nor these, each of which is executed: see [`executed_paths`].
    pub(super) executed: &'a BTreeSet<&'a FilePath>,
}

/// The binaries and scripts that were learned.
pub(crate) fn executed_paths(baseline: &Baseline) -> BTreeSet<&FilePath> {
    let execs = baseline.behaviours.exec.iter();
    execs
        .flat_map(|exec| [Some(&exec.binary), exec.script.as_ref()])
        .flatten()
        .collect()
}

/// The sensitive paths that a document knows: those that its containers opened, and those of other images which are listed
/// with its templates.
pub(crate) fn sensitive_paths(baseline: &Baseline) -> BTreeSet<&FilePath> {
    let seen = [&baseline.behaviours, &baseline.not_learned].map(Behaviours::opens);
    let seen = seen.into_iter().flatten().map(|open| &open.path);
    let known = baseline.templates.iter().flat_map(|template| &template.sensitive_paths);
    seen.filter(|path| sensitive(path).is_some()).chain(known).collect()
}

/// The templates that are about paths of one hook.
#[derive(Debug, Default)]
pub(super) struct Chosen<'a> {
    /// Those that are used, by what they become: several can become the same.
    used: BTreeMap<Operator, Vec<Matched<'a>>>,
    refused: Vec<(Matched<'a>, String)>,
}

/// A template and the paths of the hook that it stands for.
#[derive(Debug)]
struct Matched<'a> {
    template: &'a PathTemplate,
    paths: Vec<&'a str>,
}

impl<'a> Chosen<'a> {
    /// Of these templates those that the guards let pass.
    pub(super) fn new(templates: &'a [PathTemplate], paths: &Paths<'a>, guards: Guards<'_>) -> Self {
        let mut chosen = Self::default();
        for matched in matched(templates, paths) {
            match guards.refusal(&matched) {
                Some(why) => chosen.refused.push((matched, why)),
                None => chosen
                    .used
                    .entry(matched.template.operator())
                    .or_default()
                    .push(matched),
            }
        }
        chosen
    }

    /// What is left of the paths that these templates stand for, taken out of the list, and what they become.
    pub(super) fn filters(&self, paths: &mut Paths<'a>, containers: usize) -> Vec<Filter> {
        let mut taken: BTreeMap<&str, Vec<Use<'a>>> = BTreeMap::new();
        for path in self.used.values().flatten().flat_map(|matched| &matched.paths) {
            if let Some(uses) = paths.take(path) {
                taken.insert(path, uses);
            }
        }
        let value = |(operator, all): (&Operator, &Vec<Matched<'a>>)| {
            let members: BTreeSet<&str> = all.iter().flat_map(|matched| matched.paths.iter().copied()).collect();
            let uses: Vec<Use<'_>> = members
                .iter()
                .filter_map(|path| taken.get(path))
                .flatten()
                .cloned()
                .collect();
            Value {
                text: operator.value().to_owned(),
                evidence: format!("{}; {}", stands_for(all, members.len()), describe(&uses, containers)),
            }
        };
        let list = |is_wanted: fn(&Operator) -> bool| {
            let wanted = self.used.iter().filter(|(operator, _)| is_wanted(operator));
            wanted.map(value).collect::<Vec<Value>>()
        };
        let lists = [
            (
                model::Operator::NotPrefix,
                list(|operator| matches!(operator, Operator::Prefix(_))),
            ),
            (
                model::Operator::NotPostfix,
                list(|operator| matches!(operator, Operator::Postfix(_))),
            ),
            (model::Operator::NotEqual, paths.values(containers)),
        ];
        // An empty list would match everything or nothing, depending on the operator (facts 2.3).
        let filled = lists.into_iter().filter(|(_, values)| !values.is_empty());
        let filter = |(operator, values)| Filter {
            argument: Argument::File,
            operator,
            values,
        };
        filled.map(filter).collect()
    }

    /// The paragraph at the top of the policy; none if there is nothing to say.
    pub(super) fn summary(&self, guards: Guards<'_>) -> Option<String> {
        let refused = match self.refused.len() {
            0 => None,
            count => Some(format!(
                "Not used: {}; the hook for {} says why.",
                counted(count, "template"),
                model::Call::Open.function()
            )),
        };
        let sentences: Vec<String> = self.summary_of_used(guards).into_iter().chain(refused).collect();
        (!sentences.is_empty()).then(|| format!("Path templates: {}", sentences.join(" ")))
    }

    fn summary_of_used(&self, guards: Guards<'_>) -> Option<String> {
        let used: Vec<&Matched<'_>> = self.used.values().flatten().collect();
        let paths: BTreeSet<&str> = used.iter().flat_map(|matched| matched.paths.iter().copied()).collect();
        let prices = self.used.values().filter_map(|all| all.iter().map(price).max());
        let price = prices.fold(0, u64::saturating_add);
        let words = ["Prefix", "Postfix"].map(|word| {
            let count = self.used.keys().filter(|operator| operator.word() == word).count();
            (count > 0).then(|| format!("{count} {word}"))
        });
        let words: Vec<String> = words.into_iter().flatten().collect();
        let limit = match guards.max_price {
            None => "no more than it matches itself (no --max-price)".to_owned(),
            Some(most) => format!("at most {most} (--max-price)"),
        };
        (!used.is_empty()).then(|| {
            format!(
                "{} for {} that were opened, as {}. Among all recorded paths, of every image, they also admit at most {price}, \
                 none of them sensitive, denied or undecided; one may admit {limit}. What else is in the image is not known \
                 here. What is executed is compared whole.",
                match used.len() {
                    1 => "1 stands".to_owned(),
                    count => format!("{count} stand"),
                },
                counted(paths.len(), "recorded path"),
                words.join(" and "),
            )
        })
    }

    /// A paragraph for each template that is not used.
    pub(super) fn refused_comments(&self) -> Vec<String> {
        let comment = |(matched, why): &(Matched<'_>, String)| {
            format!(
                "Not generalised to `{}`: {why}. {} stay as recorded, and other names are reported.",
                matched.template.template,
                counted(matched.paths.len(), "path"),
            )
        };
        self.refused.iter().map(comment).collect()
    }

    /// What to tell people of those.
    pub(super) fn warning(&self) -> Option<String> {
        let names = self
            .refused
            .iter()
            .map(|(matched, why)| format!("`{}` ({why})", shorten(&matched.template.template.to_string())));
        let names: Vec<String> = names.collect();
        (!names.is_empty()).then(|| {
            format!(
                "{} not used, so that names which are new will be reported: {}",
                match names.len() {
                    1 => "1 path template is".to_owned(),
                    count => format!("{count} path templates are"),
                },
                enumerate(names.iter())
            )
        })
    }
}

/// The templates that some of these paths match.
fn matched<'a>(templates: &'a [PathTemplate], paths: &Paths<'a>) -> Vec<Matched<'a>> {
    let set = TemplateSet::new(templates.iter().map(|template| &template.template));
    let mut members: Vec<Vec<&'a str>> = vec![Vec::new(); templates.len()];
    for path in paths.texts() {
        for index in set.matching(&FilePath::canonical(path.as_bytes())) {
            if let Some(members) = members.get_mut(index) {
                members.push(path);
            }
        }
    }
    // One that has no wildcard is its path.
    let matched = templates
        .iter()
        .zip(members)
        .filter(|(template, members)| template.operator != Comparison::Equal && !members.is_empty());
    matched.map(|(template, paths)| Matched { template, paths }).collect()
}

/// The paragraph for executions that have names which programs make up; none if there are none.
pub(super) fn executed(templates: &[PathTemplate], paths: &Paths<'_>) -> Option<String> {
    let all = matched(templates, paths);
    let names: Vec<String> = all
        .iter()
        .map(|matched| format!("`{}`", shorten(&matched.template.template.to_string())))
        .collect();
    let members: BTreeSet<&str> = all.iter().flat_map(|matched| matched.paths.iter().copied()).collect();
    (!names.is_empty()).then(|| {
        format!(
            "{} executed under names that programs make up ({}): executions are compared whole, so that other such names will \
             be reported",
            match members.len() {
                1 => "1 file was".to_owned(),
                count => format!("{count} files were"),
            },
            enumerate(names.iter())
        )
    })
}

fn price(matched: &Matched<'_>) -> u64 {
    matched.template.policy_also_admits
}

/// Which templates, for how much, at which price.
fn stands_for(all: &[Matched<'_>], paths: usize) -> String {
    let each: Vec<String> = all
        .iter()
        .map(|Matched { template, .. }| format!("{} (gives up {})", template.template, template.gives_up))
        .collect();
    let price = all.iter().map(price).max().unwrap_or_default();
    let by_template = all
        .iter()
        .fold(0_u64, |sum, matched| sum.saturating_add(matched.template.also_admits));
    format!(
        "template {} for {}; also admits {price} of all recorded paths ({} of them match it), 0 sensitive",
        each.join(", "),
        counted(paths, "path"),
        by_template.min(price),
    )
}

impl Guards<'_> {
    /// Why a template is not used; the worst first.
    fn refusal(&self, matched: &Matched<'_>) -> Option<String> {
        let template = matched.template;
        let operator = template.operator();
        let compilations = template.template.compilations();
        if !compilations.iter().any(|compiled| compiled.operator == operator) {
            return Some(format!("{operator} is not what it becomes: the document was edited"));
        }
        self.admits_forbidden(&operator)
            .or_else(|| self.admits_sensitive(template, &operator))
            .or_else(|| self.admits_executed(&operator))
            .or_else(|| {
                let directory = operator.exposes_fixed()?;
                Some(format!(
                    "{operator} could admit files in {directory}, which come with the image"
                ))
            })
            .or_else(|| {
                (!agent_reads(operator.value()))
                    .then(|| format!("{operator} has a character that Tetragon's agent does not read"))
            })
            .or_else(|| self.costs_too_much(template, &operator))
    }

    fn admits_forbidden(&self, operator: &Operator) -> Option<String> {
        self.forbidden.iter().find_map(|(path, why)| {
            let why = why.why();
            match is_admitted(operator, path) {
                Some(true) => Some(format!("{operator} admits `{}`, which {why}", shorten(&path.to_text()))),
                Some(false) => None,
                None => Some(format!(
                    "nobody can tell whether {operator} admits a path that {why} and is not known as a whole (`{}`)",
                    shorten(&path.to_text())
                )),
            }
        })
    }

    fn admits_sensitive(&self, template: &PathTemplate, operator: &Operator) -> Option<String> {
        let admitted = self
            .sensitive
            .iter()
            .filter(|path| is_admitted(operator, path) != Some(false));
        let names: Vec<String> = admitted.map(|path| format!("`{}`", shorten(&path.to_text()))).collect();
        if !names.is_empty() {
            return Some(format!(
                "{operator} admits sensitive paths ({})",
                enumerate(names.iter())
            ));
        }
        // Only the first of them are listed, and in documents that were edited none.
        if template.sensitive > 0 {
            return Some(format!(
                "{operator} admits {} of the recorded paths that are sensitive",
                template.sensitive
            ));
        }
        let exposed = operator.exposes();
        let exposed: Vec<String> = exposed.iter().map(|entry| format!("`{}`", entry.pattern)).collect();
        if matches!(operator, Operator::Postfix(_)) {
            return Some(format!(
                "{operator} would admit files of that name in every directory, sensitive ones too"
            ));
        }
        (!exposed.is_empty()).then(|| format!("{operator} could admit sensitive paths ({})", enumerate(exposed.iter())))
    }

    /// An interpreter runs whatever script it may open.
    fn admits_executed(&self, operator: &Operator) -> Option<String> {
        let admitted = self
            .executed
            .iter()
            .find(|path| is_admitted(operator, path) == Some(true))?;
        Some(format!(
            "{operator} admits `{}`, which is executed",
            shorten(&admitted.to_text())
        ))
    }

    fn costs_too_much(&self, template: &PathTemplate, operator: &Operator) -> Option<String> {
        let (price, by_template) = (template.policy_also_admits, template.also_admits);
        match self.max_price {
            None if price > by_template => Some(format!(
                "{operator} also admits {price} of all recorded paths, and the template itself {by_template}: \
                 --max-price {price} takes it"
            )),
            Some(most) if price > most => Some(format!(
                "{operator} also admits {price} of all recorded paths, and --max-price is {most}"
            )),
            _ => None,
        }
    }
}

/// Whether a policy with this operator admits a path; `None` if it is not known well enough to tell.
pub(crate) fn is_admitted(operator: &Operator, path: &FilePath) -> Option<bool> {
    match path.origin() {
        Origin::Canonical => Some(operator.admits(path)),
        // Before its name was removed, too.
        Origin::Deleted => {
            let before = path.as_bytes().strip_suffix(b" (deleted)").unwrap_or(path.as_bytes());
            Some(operator.admits(path) || operator.admits(&FilePath::canonical(before)))
        }
        // Tetragon compares no path of these.
        Origin::Memfd | Origin::Anonymous => Some(false),
        Origin::Unreachable | Origin::AsCalled | Origin::Cut | Origin::Unknown | Origin::Redacted => None,
    }
}
