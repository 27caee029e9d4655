//! When enough was seen, as options.

use std::path::PathBuf;
use std::time::Duration;

use baselines::coverage::{Criteria, parse_held, parse_target};
use clap::Args;

/// What it takes to be ready.
#[derive(Debug, Args)]
#[command(next_help_heading = "Coverage")]
pub struct Coverage {
    /// End when every image that the window saw is ready: when this share of what it does next is estimated to have been
    /// seen (the lower end of a 95 % interval) [without a share: 0.95].
    #[arg(long = "until-covered", value_name = "SHARE", num_args = 0..=1, default_missing_value = "0.95", value_parser = parse_target)]
    pub target: Option<f64>,
    /// For how long, in whole hours.
    #[arg(long = "coverage-held", value_name = "TIME", default_value = "24h", requires = "target", value_parser = parse_held)]
    pub held: Duration,
    /// How many starts of each image it takes, apart from each other, or completed runs of a job.
    #[arg(long = "coverage-starts", value_name = "COUNT", default_value_t = Criteria::DEFAULT.starts, requires = "target", value_parser = clap::value_parser!(u64).range(1..))]
    pub starts: u64,
    /// On how many dates.
    #[arg(long = "coverage-dates", value_name = "COUNT", default_value_t = Criteria::DEFAULT.dates, requires = "target", value_parser = clap::value_parser!(u64).range(1..))]
    pub dates: u64,
}

impl Coverage {
    /// What it takes, with the usual target where none was given.
    pub fn criteria(&self) -> Criteria {
        Criteria {
            target: self.target.unwrap_or(Criteria::DEFAULT.target),
            held: self.held,
            starts: self.starts,
            dates: self.dates,
        }
    }
}

/// `profile look-at-coverage`.
#[derive(Debug, Args)]
pub struct LookAtCoverage {
    /// Who asks.
    pub parent: u32,
    /// The recording that somebody records into.
    #[arg(long, value_name = "FILE")]
    pub recording: PathBuf,
    /// Say what a cluster has to know.
    #[arg(long)]
    pub summaries: bool,
    /// What it takes.
    #[command(flatten)]
    pub coverage: Coverage,
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command, Start};

    fn start(options: &[&str]) -> Result<Start, String> {
        let words = ["profile", "start"].iter().chain(options);
        match Cli::try_parse_from(words).map_err(|error| error.to_string())?.command {
            Command::Start(start) => Ok(start),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn a_window_ends_by_coverage_only_if_somebody_says_so() {
        assert_eq!(start(&[]).unwrap().coverage.target, None);
        let usual = start(&["--until-covered", "--for", "1h"]).unwrap();
        assert_eq!(usual.coverage.target, Some(Criteria::DEFAULT.target));
        assert_eq!(usual.coverage.criteria(), Criteria::default());
        let own = [
            "--until-covered",
            "0.9",
            "--coverage-held",
            "0h",
            "--coverage-starts=2",
            "--coverage-dates=1",
        ];
        let expected = Criteria {
            target: 0.9,
            held: Duration::ZERO,
            starts: 2,
            dates: 1,
        };
        assert_eq!(start(&own).unwrap().coverage.criteria(), expected);
        for wrong in [
            &["--until-covered", "1"][..],
            &["--until-covered", "0.9", "--coverage-held", "90m"],
            &["--until-covered", "0.9", "--coverage-starts", "0"],
            // Nobody waits for it.
            &["--coverage-held", "1h"],
            &["--coverage-dates", "1"],
        ] {
            assert!(start(wrong).is_err(), "{wrong:?}");
        }
    }
}
