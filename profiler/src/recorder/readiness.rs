//! Where a container's start-up ends, if its pod has a probe that tells.

use baselines::behaviour::Phase;
use baselines::time::UtcTime;

use crate::kubernetes::pods::Ready;

/// What is known of a container's readiness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Readiness {
    /// Nobody tells: the clock counts, see [`profiler_common::phase`].
    #[default]
    Untold,
    /// It is not ready yet.
    Awaited,
    /// It is ready, or was, since then.
    Since(UtcTime),
    /// As before; but it was found running, and may have been ready once long ago: until then the clock counts.
    ByClockUntil(UtcTime),
}

impl Readiness {
    /// After the cluster has said this. Whoever was ready once has started up, whatever becomes of it.
    pub(super) fn told(self, ready: Ready, now: UtcTime, was_found_running: bool) -> Self {
        let since = if was_found_running {
            Self::ByClockUntil
        } else {
            Self::Since
        };
        match (self, ready) {
            (Self::Since(_) | Self::ByClockUntil(_), _) => self,
            (_, Ready::No) => Self::Awaited,
            (_, Ready::Yes) => since(now),
            (_, Ready::Since(at)) => since(at.min(now)),
        }
    }

    /// The phase of what was seen last at this time, where the clock says another one.
    pub(super) fn phase(self, last: UtcTime, by_clock: Phase) -> Phase {
        match self {
            Self::Untold => by_clock,
            Self::Awaited => Phase::Startup,
            Self::Since(at) if last < at => Phase::Startup,
            Self::ByClockUntil(at) if last < at => by_clock,
            Self::Since(_) | Self::ByClockUntil(_) => Phase::Steady,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> UtcTime {
        UtcTime::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn whoever_was_ready_once_has_started_up() {
        let told = |words: &[Ready]| {
            let all = words.iter().zip(10..);
            all.fold(Readiness::Untold, |known, (ready, now)| {
                known.told(*ready, at(now), false)
            })
        };
        let cases: [(&[Ready], Readiness); 7] = [
            (&[], Readiness::Untold),
            (&[Ready::No, Ready::No], Readiness::Awaited),
            (
                &[Ready::No, Ready::Yes, Ready::No, Ready::Yes],
                Readiness::Since(at(11)),
            ),
            (&[Ready::Yes], Readiness::Since(at(10))),
            // Nobody heard of it for a while.
            (&[Ready::Since(at(3))], Readiness::Since(at(3))),
            (&[Ready::No, Ready::Since(at(3))], Readiness::Since(at(3))),
            // Another clock.
            (&[Ready::Since(at(99))], Readiness::Since(at(10))),
        ];
        for (words, expected) in cases {
            assert_eq!(told(words), expected, "{words:?}");
        }
    }

    #[test]
    fn readiness_counts_more_than_the_clock() {
        let (startup, steady) = (Phase::Startup, Phase::Steady);
        for by_clock in [startup, steady] {
            assert_eq!(Readiness::Untold.phase(at(5), by_clock), by_clock);
            assert_eq!(Readiness::Awaited.phase(at(5), by_clock), startup);
            let phases = [4, 5, 6].map(|last| Readiness::Since(at(5)).phase(at(last), by_clock));
            assert_eq!(phases, [startup, steady, steady]);
            let found = Readiness::Untold.told(Ready::Since(at(5)), at(9), true);
            let phases = [4, 5].map(|last| found.phase(at(last), by_clock));
            assert_eq!(phases, [by_clock, steady]);
        }
    }
}
