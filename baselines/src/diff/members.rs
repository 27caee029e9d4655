//! The behaviours of a baseline, made ready to be compared.

use std::collections::BTreeMap;

use crate::analysis::generalised::{self, Generalised, Place, form};
use crate::behaviour::{Access, Action, Behaviour, Capabilities};
use crate::document::{Baseline, Evidence, Reached};
use crate::path::FilePath;
use crate::risks::core;
use crate::templates::{Template, TemplateSet};

/// A behaviour whatever its arguments are: no policy compares them.
#[derive(Debug)]
pub(super) struct Member<'a> {
    /// The behaviour without arguments.
    pub(super) core: Behaviour,
    /// The same without what can grow: rights to a file, capabilities, the user.
    pub(super) neutral: Behaviour,
    pub(super) is_learned: bool,
    pub(super) reached: Vec<&'a Reached>,
    pub(super) evidence: Evidence,
    /// How many behaviours of the document that are.
    pub(super) behaviours: u64,
}

impl Member<'_> {
    /// What it generalises to by these templates, and by whom it reached itself.
    pub(super) fn generalise<'b>(&'b self, templates: &Templates<'_>) -> Generalised<'b> {
        templates.generalise(&self.neutral, &self.reached)
    }
}

/// The members of a baseline, sorted: each behaviour at most twice, once learned and once not.
pub(super) fn members(baseline: &Baseline) -> Vec<Member<'_>> {
    let mut members: BTreeMap<(Behaviour, bool), Member<'_>> = BTreeMap::new();
    for (is_learned, list) in [(true, &baseline.behaviours), (false, &baseline.not_learned)] {
        for (behaviour, reached, evidence) in list.all_reached() {
            let core = core(&behaviour);
            members
                .entry((core.clone(), is_learned))
                .and_modify(|member| {
                    add(&mut member.evidence, evidence);
                    member.reached.extend(reached);
                    member.behaviours += 1;
                })
                .or_insert_with(|| Member {
                    neutral: neutral(&core),
                    core,
                    is_learned,
                    reached: reached.iter().collect(),
                    evidence: evidence.clone(),
                    behaviours: 1,
                });
        }
    }
    members.into_values().collect()
}

/// Adds up. Units, containers and nodes can be the same ones, so that the most is what there is at least.
pub(super) fn add(sum: &mut Evidence, other: &Evidence) {
    sum.count = sum.count.saturating_add(other.count);
    sum.units = sum.units.max(other.units);
    sum.containers = sum.containers.max(other.containers);
    sum.nodes = sum.nodes.max(other.nodes);
    sum.first_seen = sum.first_seen.min(other.first_seen);
    sum.last_seen = sum.last_seen.max(other.last_seen);
    sum.phases.extend(&other.phases);
    sum.phases.sort_unstable();
    sum.phases.dedup();
    sum.provenance.extend(&other.provenance);
    sum.provenance.sort_unstable();
    sum.provenance.dedup();
}

fn neutral(core: &Behaviour) -> Behaviour {
    let mut neutral = core.clone();
    match &mut neutral.action {
        Action::Open { access, .. } => *access = Access::default(),
        Action::Raise { user, capabilities, .. } => (*user, *capabilities) = (0, Capabilities::default()),
        _ => {}
    }
    neutral
}

/// Path templates, each once.
#[derive(Debug)]
pub(super) struct Templates<'a> {
    pub(super) all: Vec<&'a Template>,
    set: TemplateSet,
}

impl<'a> Templates<'a> {
    pub(super) fn of(baselines: impl IntoIterator<Item = &'a Baseline>) -> Self {
        let templates = baselines.into_iter().flat_map(|baseline| &baseline.templates);
        let mut all: Vec<&Template> = templates.map(|it| &it.template).collect();
        all.sort_unstable();
        all.dedup();
        let set = TemplateSet::new(all.iter().copied());
        Self { all, set }
    }

    /// The places in `all` of the templates that match.
    pub(super) fn matching(&self, path: &FilePath) -> Vec<usize> {
        self.set.matching(path)
    }

    /// The widest template that matches; of those that are equally wide, the first.
    pub(super) fn place<'b>(&self, path: &'b FilePath) -> Place<'b> {
        let covers = |one: usize, other: usize| match (self.all.get(one), self.all.get(other)) {
            (Some(one), Some(other)) => one.covers(other),
            _ => false,
        };
        let matching = self.matching(path).into_iter();
        let widest = matching.reduce(|widest, next| {
            let is_wider = covers(next, widest) && !covers(widest, next);
            if is_wider { next } else { widest }
        });
        widest.map_or(Place::Path(path), Place::Template)
    }

    /// What a behaviour generalises to by these templates, and by whom it reached.
    pub(super) fn generalise<'b>(&self, neutral: &'b Behaviour, reached: &[&'b Reached]) -> Generalised<'b> {
        let peers = reached.iter().map(|it| (&it.peer, it.dns_name.as_ref()));
        form(neutral, generalised::whom(peers), |path| self.place(path))
    }
}
