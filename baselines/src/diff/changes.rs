//! How behaviours have changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Serialize, Serializer};

use super::absence::{Doubt, doubts};
use super::members::{Member, Templates, add, members};
use super::risks::Verdicts;
use super::{Both, Version};
use crate::analysis::generalised::{Form, Generalised, Place, Whom};
use crate::behaviour::{Access, Action, Behaviour, Capabilities};
use crate::document::{Evidence, Reached};
use crate::path::{FilePath, Origin, escape};
use crate::peer::Peer;
use crate::risks::{FindingKey, Written};

/// What has become of something. The order is the one in which changes are listed: what has to be looked at is first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// It was not there before.
    Added,
    /// There is more of it: a right to a file, a capability, a user, whom it reaches, names that no template stood for.
    Widened,
    /// It is learned and was not, or the other way round; or it is of other phases, or done by others (the kubelet).
    Reclassified,
    /// It was not seen any more.
    Gone,
    /// There is less of it, and of nothing more.
    Narrowed,
}

impl Class {
    /// Every class, in order.
    pub const ALL: [Self; 5] = [
        Self::Added,
        Self::Widened,
        Self::Reclassified,
        Self::Gone,
        Self::Narrowed,
    ];

    /// The word used for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Widened => "widened",
            Self::Reclassified => "re-classified",
            Self::Gone => "gone",
            Self::Narrowed => "narrowed",
        }
    }
}

/// What of a change has to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Review {
    /// A policy of the newer version would allow it, and nobody has looked at it.
    Due,
    /// Decisions allow it.
    Allowed,
    /// Decisions deny it: it stays out of policies.
    Denied,
    /// A policy of the newer version allows nothing more for it.
    None,
}

/// Something that there is more or less of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// A right to a file.
    Access(Access),
    /// A user id that privileges were raised to.
    User(u32),
    /// A capability that privileges were raised to.
    Capability(Capabilities),
    /// Whom an address stood for.
    Reached(String),
    /// A behaviour, as a sentence, that generalises to the same, and not by what the other side knows.
    Behaviour(String),
}

impl fmt::Display for Right {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Access(access) => access.fmt(formatter),
            Self::User(user) => write!(formatter, "user {user}"),
            Self::Capability(capability) => capability.fmt(formatter),
            Self::Reached(text) | Self::Behaviour(text) => formatter.pad(text),
        }
    }
}

/// One change. Each behaviour of both sides is in at most one.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// What it is.
    pub class: Class,
    /// The behaviours as one sentence, with templates for the paths that generalise.
    pub what: String,
    /// What there is more of; only of what is on both sides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gained: Vec<Right>,
    /// What there is less of; only of what is on both sides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<Right>,
    /// How it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Occurrence>,
    /// How it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Occurrence>,
    /// The findings of the newer version that are about it; of what is gone, those of the older one. Sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub risks: Vec<FindingKey>,
    /// What has to be looked at.
    pub review: Review,
    /// Why it says little that something was not seen any more. Empty where it says something, and where nothing is missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub weak_because: Vec<Doubt>,
}

/// How something is on one side.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Occurrence {
    /// Whether it was learned.
    pub learned: bool,
    /// How well known it is, added up; of units, containers and nodes the most that one of the behaviours has.
    pub evidence: Evidence,
    /// The behaviours, without arguments, sorted.
    #[serde(serialize_with = "written")]
    pub behaviours: Vec<Behaviour>,
}

fn written<S: Serializer>(behaviours: &[Behaviour], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(behaviours.iter().cloned().map(Written))
}

/// Where the behaviours of one side's document have gone. They add up to all that it lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Accounted {
    /// In changes.
    pub changed: u64,
    /// On the other side, too.
    pub unchanged: u64,
    /// Not on the other side, but what they generalise to is known there: another name under a template, another address of
    /// the same peer.
    pub covered: u64,
}

/// What is the same one when generalised by what both sides know.
#[derive(Debug, Default)]
struct Group<'a, 'b> {
    old: Vec<&'b Member<'a>>,
    new: Vec<&'b Member<'a>>,
}

/// All changes, sorted by class and sentence, and where all behaviours have gone.
pub(super) fn changes(versions: Both<&Version<'_>>, verdicts: &Both<Verdicts>) -> (Vec<Change>, Both<Accounted>) {
    let (old, new) = (versions.old.baseline, versions.new.baseline);
    let members = Both {
        old: members(old),
        new: members(new),
    };
    let templates = Both {
        old: Templates::of([old]),
        new: Templates::of([new]),
    };
    let all_templates = Templates::of([old, new]);
    let mut reached: BTreeMap<&Behaviour, Vec<&Reached>> = BTreeMap::new();
    for member in members.old.iter().chain(&members.new) {
        reached.entry(&member.core).or_default().extend(&member.reached);
    }
    let mut groups: BTreeMap<Generalised<'_>, Group<'_, '_>> = BTreeMap::new();
    for (is_new, member) in members
        .old
        .iter()
        .map(|it| (false, it))
        .chain(members.new.iter().map(|it| (true, it)))
    {
        let peers = reached.get(&member.core).map(Vec::as_slice).unwrap_or_default();
        let group = groups
            .entry(all_templates.generalise(&member.neutral, peers))
            .or_default();
        let side = if is_new { &mut group.new } else { &mut group.old };
        side.push(member);
    }
    let (mut changes, mut accounted) = (Vec::new(), Both::<Accounted>::default());
    for (form, group) in &groups {
        let change = group.change(form, &templates, &all_templates, versions, verdicts);
        group.account(change.is_some(), &mut accounted);
        changes.extend(change);
    }
    changes.sort_by(|a, b| (a.class, &a.what).cmp(&(b.class, &b.what)));
    (changes, accounted)
}

impl<'a, 'b> Group<'a, 'b> {
    fn account(&self, is_changed: bool, accounted: &mut Both<Accounted>) {
        let count = |own: &[&Member<'_>], others: &[&Member<'_>], accounted: &mut Accounted| {
            let known: BTreeSet<&Behaviour> = others.iter().map(|other| &other.neutral).collect();
            for member in own {
                let place = match (is_changed, known.contains(&member.neutral)) {
                    (true, _) => &mut accounted.changed,
                    (false, true) => &mut accounted.unchanged,
                    (false, false) => &mut accounted.covered,
                };
                *place += member.behaviours;
            }
        };
        count(&self.old, &self.new, &mut accounted.old);
        count(&self.new, &self.old, &mut accounted.new);
    }

    /// Only what was learned, where both sides have learned it; else everything.
    fn compared(&self) -> Self {
        let is_of_both = is_learned(&self.old) && is_learned(&self.new);
        let keep = |members: &[&'b Member<'a>]| -> Vec<&'b Member<'a>> {
            let kept = members.iter().filter(|it| it.is_learned || !is_of_both);
            kept.copied().collect()
        };
        Self {
            old: keep(&self.old),
            new: keep(&self.new),
        }
    }

    fn change(
        &self,
        form: &Generalised<'_>,
        templates: &Both<Templates<'_>>,
        all_templates: &Templates<'_>,
        versions: Both<&Version<'_>>,
        verdicts: &Both<Verdicts>,
    ) -> Option<Change> {
        let compared = self.compared();
        let (old, new) = (
            occurrence(&self.old, &compared.old),
            occurrence(&self.new, &compared.new),
        );
        let (mut gained, mut lost) = (Vec::new(), Vec::new());
        let class = match (&old, &new) {
            (None, _) => Class::Added,
            (_, None) => Class::Gone,
            (Some(before), Some(after)) => {
                gained = gains(&compared.old, &compared.new, &templates.old);
                lost = gains(&compared.new, &compared.old, &templates.new);
                let how = |it: &Occurrence| (it.evidence.phases.clone(), it.evidence.provenance.clone());
                if before.learned != after.learned {
                    Class::Reclassified
                } else if !gained.is_empty() {
                    Class::Widened
                } else if !lost.is_empty() {
                    Class::Narrowed
                } else if how(before) != how(after) {
                    Class::Reclassified
                } else {
                    return None;
                }
            }
        };
        let is_unlearned = |old: &Occurrence| old.learned && new.as_ref().is_some_and(|new| !new.learned);
        let weak_because = match &old {
            Some(old) if class == Class::Gone || !lost.is_empty() || is_unlearned(old) => {
                doubts(&old.evidence, versions.old.baseline, versions.new.baseline)
            }
            _ => Vec::new(),
        };
        let (shown, of_shown) = match class {
            Class::Gone => (&compared.old, &verdicts.old),
            _ => (&compared.new, &verdicts.new),
        };
        Some(Change {
            class,
            what: sentence(form, shown, all_templates)?,
            review: self.review(class, &verdicts.new),
            risks: of_shown.findings(shown.iter().map(|member| &member.core)),
            gained,
            lost,
            old,
            new,
            weak_because,
        })
    }

    fn review(&self, class: Class, verdicts: &Verdicts) -> Review {
        let learned = |members: &[&Member<'_>]| -> BTreeSet<Behaviour> {
            let learned = members.iter().filter(|member| member.is_learned);
            learned.map(|member| member.core.clone()).collect()
        };
        let (before, now) = (learned(&self.old), learned(&self.new));
        let is_more = match class {
            Class::Added | Class::Widened => !now.is_empty(),
            Class::Reclassified => before.is_empty() && !now.is_empty(),
            Class::Gone | Class::Narrowed => false,
        };
        if !is_more {
            return Review::None;
        }
        let mut more: Vec<&Behaviour> = now.difference(&before).collect();
        // An address can stand for somebody else.
        if more.is_empty() {
            more.extend(&now);
        }
        verdicts.review(&more)
    }
}

fn is_learned(members: &[&Member<'_>]) -> bool {
    members.iter().any(|member| member.is_learned)
}

/// `None` for no members.
fn occurrence(all: &[&Member<'_>], compared: &[&Member<'_>]) -> Option<Occurrence> {
    let (first, others) = compared.split_first()?;
    let mut evidence = first.evidence.clone();
    for other in others {
        add(&mut evidence, &other.evidence);
    }
    let behaviours: BTreeSet<&Behaviour> = all.iter().map(|member| &member.core).collect();
    Some(Occurrence {
        learned: is_learned(compared),
        evidence,
        behaviours: behaviours.into_iter().cloned().collect(),
    })
}

/// What of `to` there is not in `from`, which has these templates.
fn gains(from: &[&Member<'_>], to: &[&Member<'_>], templates: &Templates<'_>) -> Vec<Right> {
    let known = rights(from);
    let mut gained: BTreeSet<Right> = rights(to).into_iter().filter(|right| !known.contains(right)).collect();
    gained.extend(new_peers(from, to));
    let names: BTreeSet<&Behaviour> = from.iter().map(|member| &member.neutral).collect();
    let forms: BTreeSet<Generalised<'_>> = from.iter().map(|member| member.generalise(templates)).collect();
    let is_new =
        |member: &&&Member<'_>| !names.contains(&member.neutral) && !forms.contains(&member.generalise(templates));
    let new = to.iter().filter(is_new);
    gained.extend(new.map(|member| Right::Behaviour(member.core.to_string())));
    gained.into_iter().collect()
}

fn rights(members: &[&Member<'_>]) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for member in members {
        match &member.core.action {
            Action::Open { access, .. } => {
                let bits = (0..u8::BITS).filter_map(|bit| Access::from_bits(1 << bit));
                rights.extend(bits.filter(|bit| access.contains(*bit)).map(Right::Access));
            }
            Action::Raise { user, capabilities, .. } => {
                rights.insert(Right::User(*user));
                let bits = (0..u64::BITS).map(|bit| Capabilities(1 << bit));
                let held = bits.filter(|bit| capabilities.0 & bit.0 != 0);
                rights.extend(held.map(Right::Capability));
            }
            _ => {}
        }
    }
    rights
}

/// Whom addresses stand for now and did not before, where both is known.
fn new_peers(from: &[&Member<'_>], to: &[&Member<'_>]) -> Vec<Right> {
    fn known<'b>(members: &[&'b Member<'_>]) -> Vec<&'b Reached> {
        let reached = members.iter().flat_map(|member| member.reached.iter().copied());
        let is_known = |it: &&Reached| !matches!(it.peer, Peer::Unknown(_)) || it.dns_name.is_some();
        reached.filter(is_known).collect()
    }
    let before = known(from);
    let named: BTreeSet<_> = before.iter().map(|it| (&it.peer, it.dns_name.as_ref())).collect();
    let peers: BTreeSet<_> = before.iter().map(|it| &it.peer).collect();
    // Names may have been recorded on one side only.
    let is_known = |it: &&Reached| match &it.dns_name {
        None => peers.contains(&it.peer),
        Some(name) => named.contains(&(&it.peer, Some(name))) || named.contains(&(&it.peer, None)),
    };
    let new = known(to).into_iter().filter(|it| !before.is_empty() && !is_known(it));
    new.map(|it| {
        Right::Reached(match &it.dns_name {
            Some(name) => format!("{} ({name})", it.peer),
            None => it.peer.to_string(),
        })
    })
    .collect()
}

/// The behaviours as one sentence. `None` for no members.
fn sentence((_, form): &Generalised<'_>, members: &[&Member<'_>], templates: &Templates<'_>) -> Option<String> {
    let mut shown = members.first()?.core.clone();
    let generalised = |path: &FilePath| match templates.place(path) {
        Place::Template(place) => {
            let template = templates.all.get(place).map(ToString::to_string);
            template.and_then(|text| FilePath::from_text(&text, Origin::Canonical).ok())
        }
        Place::Path(_) => None,
    };
    let rename = |path: &mut FilePath| {
        if let Some(template) = generalised(path) {
            *path = template;
        }
    };
    rename(&mut shown.subject);
    match &mut shown.action {
        Action::Exec { binary, script, .. } => {
            rename(binary);
            script.as_mut().map(rename);
        }
        Action::Open { path, access, .. } => {
            rename(path);
            for member in members {
                if let Action::Open { access: more, .. } = member.core.action {
                    *access = *access | more;
                }
            }
        }
        Action::ConnectUnix { path } => rename(path),
        Action::Raise {
            binary, capabilities, ..
        } => {
            rename(binary);
            for member in members {
                if let Action::Raise { capabilities: more, .. } = member.core.action {
                    capabilities.0 |= more.0;
                }
            }
        }
        Action::Connect { .. } | Action::Send { .. } | Action::Listen { .. } => {}
    }
    let whom = match form {
        Form::Connect(Whom::Pods(peer), ..) | Form::Send(Whom::Pods(peer), ..) => format!(", {peer}"),
        Form::Connect(Whom::Name(name), ..) | Form::Send(Whom::Name(name), ..) => {
            format!(", {}", escape(name.as_str().as_bytes()))
        }
        _ => return Some(shown.to_string()),
    };
    let addresses: BTreeSet<&Behaviour> = members.iter().map(|member| &member.neutral).collect();
    let more = match addresses.len().saturating_sub(1) {
        0 => String::new(),
        more => format!(", and {more} more of its addresses"),
    };
    Some(format!("{shown}{whom}{more}"))
}
