//! How much of what an image does has been seen, and whether that is enough.
//!
//! Data in, data out: nothing here knows of recordings. A **unit** is one container start (startup) or ten minutes of one
//! container (steady). A **cluster** is what belongs together and is no independent evidence among itself: the units of one
//! container in one day, and those of the containers of one workload that were started together; the caller decides.
//!
//! | file | question it answers |
//! |---|---|
//! | `incidence` | In how many units was each behaviour seen, and what follows from that? |
//! | `accumulation` | How many behaviours do fewer or more units show? |
//! | `clusters` | What did each cluster do that no other did? |
//! | `interval` | How sure is that? |
//! | `unit_length` | Would longer or shorter units say something else? |
//! | `criteria` | What does it take? |
//! | `readiness` | Is it enough, and what would help most? |
//!
//! What coverage means, what it does not, and every formula with its source: `docs/explanation/coverage.md`.
//!
//! ```
//! use baselines::coverage::{Cluster, Clusters, IncidenceCounts, Resampling, UnitsNeeded};
//!
//! // A hundred units; the port was seen in all of them, the configuration in one, and so on.
//! let counts = IncidenceCounts::new(100, [100, 40, 12, 2, 1])?;
//! let estimator = counts.estimator()?;
//! assert_eq!(format!("{:.2}", estimator.chao2().estimate), "5.50");
//! assert_eq!(format!("{:.4}", estimator.coverage()), "0.9937");
//! assert_eq!(estimator.units_needed(0.995), UnitsNeeded::More(12));
//!
//! // The same from clusters, which say how far the estimate can be trusted. Three container-days, alike:
//! let day = || Cluster { units: 144, seen: vec![("open /etc/app.conf", 1), ("connect 10.0.0.7", 140)] };
//! let coverage = Clusters::new([day(), day(), day()])?.coverage(&Resampling::default())?;
//! assert_eq!(coverage.estimate, 1.0);
//! let interval = coverage.interval.ok_or("three clusters have an interval")?;
//! assert_eq!(format!("{:.3}", interval.lower), "0.937"); // Three days cannot prove more.
//! assert_eq!(coverage.clusters_missing(0.95), Some(2)); // Five can prove 0.95.
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod accumulation;
mod clusters;
mod criteria;
mod incidence;
mod interval;
mod number;
mod random;
mod readiness;
#[cfg(test)]
mod tests;
mod unit_length;

pub use accumulation::{Accumulation, CurvePoint};
pub use clusters::{Cluster, ClusterError, Clusters};
pub use criteria::{Criteria, parse_held, parse_target};
pub use incidence::{CountError, Estimator, IncidenceCounts, Interval, NoEstimate, Richness, Spread, UnitsNeeded};
pub use interval::{CoverageEstimate, Resampling};
pub use readiness::{Advice, Evidence, Exposure, Losses, PhaseCoverage, Readiness, State};
pub use unit_length::{Reliability, TOLERANCE, reliability};
