//! The baseline document: everything known about one image, for people to read and for `generate policies` to compile.
//!
//! Version 1 of the schema. Documents are YAML, one an image, sorted, and the same to the byte for the same recordings.
//! Times are UTC (RFC 3339, whole seconds); durations and counts say their unit.
//!
//! Reading is strict: an unknown field, version or reason is an error with line and column, and so is YAML that baselines
//! never need (anchors, tags, text or brackets over several lines). Names are written as paths are, with escapes for what
//! a terminal would hide, so that a reviewer sees every byte.

mod behaviours;
mod coverage;
mod file_name;
mod header;
mod lines;
mod statistics;
mod templates;
mod yaml;

use serde::{Deserialize, Serialize};

use crate::behaviour::{Phase, Provenance};
use crate::dns::DnsName;
use crate::loss::Reason;
use crate::peer::Peer;
use crate::recording::RecordingId;
use crate::serde_text;
use crate::time::UtcTime;

pub use crate::workload::{Image, Workload};
pub use behaviours::{Behaviours, Connect, ConnectUnix, Exec, Listen, Open, Raise, Send};
pub use coverage::{Coverage, Criteria, Interval, Number, PhaseCoverage, Reliability, UnitsNeeded};
pub use file_name::file_name;
pub use header::{ApiVersion, HeaderError, Kind};
pub use statistics::{
    Accumulation, Activity, Calendar, Counts, CurvePoint, Quantiles, RankCount, Rate, StartsOfDay, Statistics,
};
pub use templates::{Comparison, PathTemplate};
pub use yaml::{DocumentError, SIZE_MAX, from_yaml, read, to_yaml};
pub(crate) use yaml::{Fault, Unread, parse, place, print, read_text};

/// The version written into `apiVersion`.
pub const API_VERSION: &str = "wardline.dev/v1";

/// The word written into `kind`.
pub const KIND: &str = "Baseline";

/// One image's baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Baseline {
    /// Always [`API_VERSION`].
    pub api_version: ApiVersion,
    /// Always [`KIND`].
    pub kind: Kind,
    /// What the baseline is about.
    pub image: Image,
    /// The recordings it was made from, sorted by id.
    pub recordings: Vec<Source>,
    /// The containers that ran the image, sorted by workload, then first seen.
    pub containers: Vec<Container>,
    /// What was not recorded and could concern this image. Empty, with `uncounted_losses` empty too, means: nothing is
    /// known to be missing.
    pub losses: Vec<Loss>,
    /// Why windows that this image ran in can have missed something without counting it.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "serde_text::escaped")]
    pub uncounted_losses: Vec<String>,
    /// How much of what the image does has been seen. Documents of programs that did not estimate it have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<Coverage>,
    /// What was learned (provenance `workload` and `kubelet`).
    pub behaviours: Behaviours,
    /// What paths of learned behaviours were generalised to, for `coverage`, and what a policy of it would admit beside them;
    /// sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<PathTemplate>,
    /// What was seen and not learned: debug sessions (`entered`) and the container runtime (`runtime`).
    pub not_learned: Behaviours,
    /// How often, how much and when. Documents of programs that did not count that have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistics: Option<Statistics>,
}

/// A recording that went into the document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Source {
    /// The recording's id.
    pub recording: RecordingId,
    /// Its revision: a higher one of the same id replaces.
    pub revision: u64,
    /// The node's host name.
    #[serde(with = "serde_text::escaped")]
    pub node: String,
    /// The backends of its windows, sorted. What a backend cannot see is in no list of losses.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "serde_text::escaped")]
    pub backends: Vec<String>,
    /// What retention took away from it: evidence that there was and that is not in this document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Removed>,
}

/// Windows of a recording that had seen the image and that retention took away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Removed {
    /// How many.
    pub windows: u64,
    /// When the first one began.
    pub from: UtcTime,
    /// When the last one ended.
    pub until: UtcTime,
}

/// One container that ran the image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Container {
    /// Where it belongs.
    pub workload: Workload,
    /// When it started; if it ran already, when it was first seen.
    pub first_seen: UtcTime,
    /// When it was last known to be alive.
    pub last_seen: UtcTime,
    /// The container's id, or the cgroup's path where there is none.
    #[serde(with = "serde_text::escaped")]
    pub id: String,
    /// The node's host name.
    #[serde(with = "serde_text::escaped")]
    pub node: String,
    /// It ran before the window began: its start was not seen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// When it was last seen to start up. Left out where it was not, and by programs that did not note it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup_until: Option<UtcTime>,
}

/// Something that happened and was not recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Loss {
    /// Why.
    pub reason: Reason,
    /// How many observations were lost.
    pub count: u64,
    /// The [`Container::id`] it happened in, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "serde_text::escaped")]
    pub container: Option<String>,
}

/// How often, where and when a behaviour was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Evidence {
    /// How many times.
    pub count: u64,
    /// In how many sampling units: container starts (startup) and container x 10 minutes (steady).
    pub units: u64,
    /// In how many containers.
    pub containers: u64,
    /// On how many nodes.
    pub nodes: u64,
    /// On how many dates (UTC). Documents of programs that did not count them have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<u64>,
    /// The first time.
    pub first_seen: UtcTime,
    /// The last time.
    pub last_seen: UtcTime,
    /// In which phases, sorted.
    pub phases: Vec<Phase>,
    /// How its processes came into the containers, sorted.
    pub provenance: Vec<Provenance>,
    /// How often in an hour of a container. Documents of programs that did not count that have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
}

/// Whom a behaviour reached, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Reached {
    /// Whom, as the cluster knew it at that moment.
    pub peer: Peer,
    /// What the container had asked for when it got the address, if that was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_name: Option<DnsName>,
    /// How many times.
    pub count: u64,
    /// From how many containers.
    pub containers: u64,
    /// The first time.
    pub first_seen: UtcTime,
    /// The last time.
    pub last_seen: UtcTime,
}

#[cfg(test)]
mod tests;
