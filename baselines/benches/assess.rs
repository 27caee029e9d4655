//! What holding an image against the risk catalogue costs beyond reading its baseline: 5,000 behaviours, of which one in a
//! hundred is a matter of the catalogue, in turns and in one run.
//!
//! Run it with `cargo bench -p baselines --bench assess`.
#![expect(clippy::unwrap_used, reason = "a benchmark may stop at the first surprise")]

use std::time::{Duration, Instant};

use baselines::behaviour::{Access, Action, Behaviour, Phase, Protocol, Provenance};
use baselines::document::{self, ApiVersion, Baseline, Behaviours, Evidence, Kind};
use baselines::path::FilePath;
use baselines::risks::{Catalogue, Seen};
use baselines::time::UtcTime;
use baselines::workload::Image;

const BEHAVIOURS: usize = 5_000;
const ROUNDS: usize = 15;

fn main() {
    let baseline = baseline();
    let text = document::to_yaml(&baseline);
    let [mut assess, mut read, mut make] = [vec![], vec![], vec![]];
    let mut findings = 0;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let catalogue = Catalogue::shipped();
        make.push(start.elapsed());

        let start = Instant::now();
        findings = catalogue.assess(&Seen::from(&baseline)).len();
        assess.push(start.elapsed());

        let start = Instant::now();
        document::from_yaml(&text).unwrap();
        read.push(start.elapsed());
    }
    let entries = Catalogue::shipped().entries().len();
    let [assess, read, make] = [assess, read, make].map(|times| median(times).as_secs_f64() * 1e3);
    println!("{BEHAVIOURS} behaviours, {entries} entries, {findings} findings, medians of {ROUNDS} rounds\n");
    println!("| assess, ms | read the baseline, ms | ratio | make the catalogue, once, ms |\n|---|---|---|---|");
    println!("| {assess:.1} | {read:.1} | {:.2} | {make:.1} |", assess / read);
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap()
}

fn baseline() -> Baseline {
    let evidence = Evidence {
        count: 1,
        units: 1,
        containers: 1,
        nodes: 1,
        days: None,
        rate: None,
        first_seen: UtcTime::default(),
        last_seen: UtcTime::default(),
        phases: vec![Phase::Steady],
        provenance: vec![Provenance::Workload],
    };
    let path = |text: String| FilePath::canonical(text.into_bytes());
    let mut behaviours = Behaviours::default();
    for number in 0..BEHAVIOURS {
        let action = match number % 100 {
            0 => Action::Exec {
                binary: path("/usr/bin/dash".to_owned()),
                script: Some(path(format!("/opt/app/bin/step-{number}.sh"))),
                arguments: None,
            },
            1..=10 => Action::Connect {
                address: "10.0.0.7".parse().unwrap(),
                port: u16::try_from(number).unwrap(),
                protocol: Protocol::Tcp,
            },
            _ => Action::Open {
                path: path(format!(
                    "/opt/app/lib/python3.12/site-packages/package_{number}/module.py"
                )),
                access: Access::READ,
                backing: None,
            },
        };
        let subject = path(format!("/opt/app/bin/server-{}", number % 7));
        behaviours.push(Behaviour { subject, action }, evidence.clone());
    }
    Baseline {
        api_version: ApiVersion,
        kind: Kind,
        image: Image {
            repository: "shop/web".to_owned(),
            tag: None,
            digest: None,
        },
        recordings: Vec::new(),
        containers: Vec::new(),
        losses: Vec::new(),
        uncounted_losses: Vec::new(),
        coverage: None,
        behaviours,
        templates: Vec::new(),
        not_learned: Behaviours::default(),
        statistics: None,
    }
}
