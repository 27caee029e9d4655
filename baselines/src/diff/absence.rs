//! How much it says that something was not seen again.

use serde::Serialize;

use super::image::backends;
use crate::behaviour::Phase;
use crate::coverage::State;
use crate::document::{Baseline, Evidence};
use crate::serde_text;

/// Why it says little that something was not seen of the newer version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Doubt {
    /// The newer version is not `ready`: there is more of it than was seen.
    NotReady {
        /// What it is; `unknown` where nobody has said.
        state: State,
    },
    /// It was too rare to be seen again in the time that the newer version was watched.
    TooRare {
        /// In how many units it was seen.
        seen: u64,
        /// Of how many that were watched of its phases.
        of: u64,
        /// How many of them were watched of the newer version.
        watched: u64,
    },
    /// The versions were recorded with other backends: what one of them cannot see is not gone.
    OtherBackends {
        /// With which the older version was, as far as that is known.
        #[serde(with = "serde_text::escaped")]
        old: Vec<String>,
        /// With which the newer one was.
        #[serde(with = "serde_text::escaped")]
        new: Vec<String>,
    },
}

/// Why it says little that what has this evidence in the older version was not seen of the newer one. Nothing: it was watched
/// long enough.
pub(super) fn doubts(evidence: &Evidence, old: &Baseline, new: &Baseline) -> Vec<Doubt> {
    let state = new.coverage.as_ref().map_or(State::Unknown, |coverage| coverage.state);
    let not_ready = (state != State::Ready).then_some(Doubt::NotReady { state });
    let (before, now) = (backends(old), backends(new));
    let other_backends = (before != now).then_some(Doubt::OtherBackends { old: before, new: now });
    let doubts = [not_ready, too_rare(evidence, old, new), other_backends];
    doubts.into_iter().flatten().collect()
}

/// By the rule of three (Hanley and Lippman-Hand 1983): what was not seen in n units can happen in 3/n of them, or something
/// that happens less than once in 20 times did.
fn too_rare(evidence: &Evidence, old: &Baseline, new: &Baseline) -> Option<Doubt> {
    let (of, watched) = (units(old, &evidence.phases)?, units(new, &evidence.phases)?);
    let seen = evidence.units;
    let is_rare = u128::from(seen) * u128::from(watched) < 3 * u128::from(of);
    is_rare.then_some(Doubt::TooRare { seen, of, watched })
}

/// How many units of these phases were watched, where that is known.
fn units(baseline: &Baseline, phases: &[Phase]) -> Option<u64> {
    let coverage = baseline.coverage.as_ref()?;
    let units = phases.iter().map(|phase| match phase {
        Phase::Startup => coverage.startup.units,
        Phase::Steady => coverage.steady.as_ref().map_or(0, |steady| steady.units),
    });
    Some(units.fold(0, u64::saturating_add))
}
