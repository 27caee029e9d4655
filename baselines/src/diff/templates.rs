//! How path templates have changed.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::changes::Class;
use super::members::Templates;
use super::{Both, Version};
use crate::analysis::generalised::paths;
use crate::document::{Baseline, Comparison, PathTemplate};
use crate::serde_text;
use crate::templates::Template;

/// A template that only one side has, or that admits more or less than it did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateChange {
    /// Added, gone, widened or narrowed.
    pub class: Class,
    /// The template.
    pub template: Template,
    /// The narrower ones of the other side that this one takes the place of, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub instead_of: Vec<Template>,
    /// What it was on the older side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<TemplatePrice>,
    /// What it is on the newer one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<TemplatePrice>,
}

/// What a template becomes in a policy, and what that would admit of the paths that are known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplatePrice {
    /// How a policy compares paths with it.
    pub operator: Comparison,
    /// With which text.
    #[serde(with = "serde_text::escaped")]
    pub value: String,
    /// How many known paths of other images the template admits.
    pub also_admits: u64,
    /// How many the policy would.
    pub policy_also_admits: u64,
    /// How many of these are sensitive.
    pub sensitive: u64,
}

impl TemplatePrice {
    fn of(template: &PathTemplate) -> Self {
        Self {
            operator: template.operator,
            value: template.value.clone(),
            also_admits: template.also_admits,
            policy_also_admits: template.policy_also_admits,
            sensitive: template.sensitive,
        }
    }

    /// What it costs, the worst first.
    fn cost(&self) -> (u64, u64, u64) {
        (self.sensitive, self.policy_also_admits, self.also_admits)
    }
}

/// For each wider template the narrower ones of the other side.
type Overlaps<'a> = BTreeMap<&'a Template, BTreeSet<&'a Template>>;

/// All changes, sorted by class and template.
pub(super) fn changes(versions: Both<&Version<'_>>) -> Vec<TemplateChange> {
    let (old, new) = (versions.old.baseline, versions.new.baseline);
    let overlaps = overlaps(old, new);
    let prices = |baseline: &Baseline| -> BTreeMap<Template, TemplatePrice> {
        let priced = baseline.templates.iter();
        priced.map(|it| (it.template.clone(), TemplatePrice::of(it))).collect()
    };
    let (olds, news) = (prices(old), prices(new));
    let all: BTreeSet<&Template> = olds.keys().chain(news.keys()).collect();
    let changes = all.into_iter().filter_map(|template| {
        let both = Both {
            old: olds.get(template).cloned(),
            new: news.get(template).cloned(),
        };
        change(template, both, &overlaps)
    });
    let mut changes: Vec<TemplateChange> = changes.collect();
    changes.sort_by(|a, b| (a.class, &a.template).cmp(&(b.class, &b.template)));
    changes
}

fn change(
    template: &Template,
    Both { old, new }: Both<Option<TemplatePrice>>,
    overlaps: &Both<Overlaps<'_>>,
) -> Option<TemplateChange> {
    let narrower = |overlaps: &Overlaps<'_>| -> Vec<Template> {
        let narrower = overlaps.get(template).into_iter().flatten();
        narrower.map(|narrow| (*narrow).clone()).collect()
    };
    let (class, instead_of) = match (&old, &new) {
        (Some(before), Some(after)) => match before.cost().cmp(&after.cost()) {
            Ordering::Less => (Class::Widened, Vec::new()),
            Ordering::Greater => (Class::Narrowed, Vec::new()),
            // Another operator lets other names in, though none of them was recorded.
            Ordering::Equal if (before.operator, &before.value) != (after.operator, &after.value) => {
                (Class::Widened, Vec::new())
            }
            Ordering::Equal => return None,
        },
        (None, _) => match narrower(&overlaps.new) {
            none if none.is_empty() => (Class::Added, none),
            some => (Class::Widened, some),
        },
        (_, None) => match narrower(&overlaps.old) {
            none if none.is_empty() => (Class::Gone, none),
            some => (Class::Narrowed, some),
        },
    };
    Some(TemplateChange {
        class,
        template: template.clone(),
        instead_of,
        old,
        new,
    })
}

/// On each side the templates that cover another one of the other side. Only those are tried that match a path in common:
/// all with all would take for ever where there are many.
fn overlaps<'a>(old: &'a Baseline, new: &'a Baseline) -> Both<Overlaps<'a>> {
    let (olds, news) = (Templates::of([old]), Templates::of([new]));
    let mut pairs = BTreeSet::new();
    for (behaviour, _) in old.behaviours.all().chain(new.behaviours.all()) {
        for path in paths(&behaviour) {
            let matching = news.matching(path);
            for one in olds.matching(path) {
                pairs.extend(matching.iter().map(|other| (one, *other)));
            }
        }
    }
    let mut overlaps = Both::<Overlaps<'a>>::default();
    let add = |overlaps: &mut Overlaps<'a>, wide: &'a Template, narrow: &'a Template| {
        if wide != narrow && wide.covers(narrow) {
            overlaps.entry(wide).or_default().insert(narrow);
        }
    };
    for (one, other) in pairs {
        if let (Some(one), Some(other)) = (olds.all.get(one), news.all.get(other)) {
            add(&mut overlaps.old, one, other);
            add(&mut overlaps.new, other, one);
        }
    }
    overlaps
}
