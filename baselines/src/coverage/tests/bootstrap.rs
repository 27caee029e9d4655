//! How sure coverage is.

use std::collections::{BTreeMap, BTreeSet};

use crate::coverage::number::real;
use crate::coverage::random::Random;
use crate::coverage::{Cluster, ClusterError, Clusters, CountError, IncidenceCounts, NoEstimate, Resampling};

fn cluster(units: u64, seen: &[(&'static str, u64)]) -> Cluster<&'static str> {
    Cluster {
        units,
        seen: seen.to_vec(),
    }
}

#[test]
fn clusters_that_cannot_be_are_refused_and_named() {
    let fine = || cluster(3, &[("a", 3)]);
    for (wrong, error) in [
        (
            cluster(3, &[("a", 0)]),
            ClusterError::Count {
                cluster: 1,
                error: CountError::NeverSeen,
            },
        ),
        (
            cluster(3, &[("a", 4)]),
            ClusterError::Count {
                cluster: 1,
                error: CountError::MoreThanUnits { seen: 4, units: 3 },
            },
        ),
        (cluster(3, &[("a", 1), ("a", 1)]), ClusterError::Twice { cluster: 1 }),
        (
            cluster(u64::MAX, &[]),
            ClusterError::Count {
                cluster: 1,
                error: CountError::TooMany,
            },
        ),
    ] {
        assert_eq!(Clusters::new([fine(), wrong]), Err(error));
    }
}

#[test]
fn what_only_one_cluster_did_is_what_the_others_would_have_missed() {
    // Of 6 + 6 + 8 incidences, the third cluster's 2 of `rare` are of a behaviour that no other shows.
    let clusters = Clusters::new([
        cluster(4, &[("a", 4), ("b", 2)]),
        cluster(4, &[("a", 4), ("b", 2)]),
        cluster(4, &[("a", 4), ("b", 2), ("rare", 2)]),
    ])
    .unwrap();
    let coverage = clusters.coverage(&Resampling::default()).unwrap();
    // To the unit that is nothing: `rare` was seen twice, and nothing once.
    assert!((coverage.estimate - 1.0).abs() < 1e-12);
    assert!((coverage.between_clusters.unwrap() - 0.9).abs() < 1e-12);
    // One other alone would miss those 2 of 20 for certain.
    assert!((clusters.first_surprise() - 0.1).abs() < 1e-12);
    // Where the third is drawn thrice (1 time of 27, more than 2.5 %), a quarter of all is new.
    assert!((coverage.interval.unwrap().lower - 0.75).abs() < 1e-12);
}

#[test]
fn the_interval_leaves_out_two_and_a_half_percent_on_a_side() {
    // One cluster of forty has an eightieth of all incidences to itself. It is drawn as often as a binomial number says:
    // three times or more in 7.8 of 100 draws, four times or more in 1.8.
    let alike = || cluster(10, &[("a", 9), ("b", 9)]);
    let other = cluster(10, &[("a", 9), ("rare", 9)]);
    let clusters = Clusters::new((0..39).map(|_| alike()).chain([other])).unwrap();
    let resampling = Resampling {
        replicates: 50_000,
        ..Resampling::default()
    };
    let coverage = clusters.coverage(&resampling).unwrap();
    assert!(
        (coverage.interval.unwrap().lower - (1.0 - 3.0 / 80.0)).abs() < 1e-12,
        "{coverage:?}"
    );
}

#[test]
fn fewer_than_two_clusters_that_did_something_have_no_interval() {
    let busy = || cluster(3, &[("a", 3), ("b", 1)]);
    for clusters in [vec![busy()], vec![busy(), cluster(100, &[]), cluster(0, &[])]] {
        let coverage = Clusters::new(clusters)
            .unwrap()
            .coverage(&Resampling::default())
            .unwrap();
        assert_eq!(
            (coverage.clusters, coverage.interval, coverage.between_clusters),
            (1, None, None)
        );
    }
    let idle = Clusters::new([cluster(5, &[]), cluster(5, &[])]).unwrap();
    assert_eq!(idle.coverage(&Resampling::default()), Err(NoEstimate::NothingSeen));
    let none = Clusters::new(Vec::<Cluster<u8>>::new()).unwrap();
    assert_eq!(none.coverage(&Resampling::default()), Err(NoEstimate::NoUnit));
}

#[test]
fn a_few_resamplings_make_an_interval_and_none_makes_none() {
    let clusters = Clusters::new([cluster(3, &[("a", 3), ("b", 1)]), cluster(3, &[("a", 3)])]).unwrap();
    for (replicates, some) in [(0, false), (1, true), (39, true), (2_000, true)] {
        let resampling = Resampling {
            replicates,
            ..Resampling::default()
        };
        assert_eq!(
            clusters.coverage(&resampling).unwrap().interval.is_some(),
            some,
            "{replicates}"
        );
    }
}

#[test]
fn clusters_without_novelty_prove_what_the_binomial_distribution_lets_them() {
    let day = || cluster(144, &[("a", 144), ("b", 20)]);
    for (days, surprise, provable) in [
        (2, 0.1, "0.9224"),
        (3, 0.1, "0.9368"),
        (4, 0.1, "0.9473"),
        (5, 0.1, "0.9549"),
        (29, 0.1, "0.9902"),
        // Nothing assumed: 0.05^(1/n).
        (3, 1.0, "0.3684"),
        (58, 1.0, "0.9497"),
        (59, 1.0, "0.9505"),
    ] {
        let resampling = Resampling {
            surprise,
            ..Resampling::default()
        };
        let clusters = Clusters::new((0..days).map(|_| day())).unwrap();
        let coverage = clusters.coverage(&resampling).unwrap();
        assert_eq!(
            format!("{:.4}", coverage.interval.unwrap().lower),
            provable,
            "{days} {surprise}"
        );
        assert!((coverage.interval.unwrap().upper - 1.0).abs() < 1e-12);
        let missing = coverage.clusters_missing(0.95).unwrap();
        let needed = if surprise < 1.0 { 5 } else { 59 };
        assert_eq!(missing, u64::saturating_sub(needed, days), "{days} {surprise}");
        assert_eq!(coverage.clusters_missing(1.0), None);
        assert_eq!(coverage.clusters_missing(f64::NAN), None);
    }
}

#[test]
fn clusters_that_differ_prove_less() {
    // Of each half the other cluster knows nothing, so a surprise may be that large.
    let clusters = Clusters::new([
        cluster(9, &[("all", 5), ("a", 5)]),
        cluster(9, &[("all", 5), ("b", 5)]),
        cluster(9, &[("all", 5), ("a", 5)]),
        cluster(9, &[("all", 5), ("b", 5)]),
    ])
    .unwrap();
    let coverage = clusters.coverage(&Resampling::default()).unwrap();
    assert!((coverage.surprise - 1.0 / 3.0).abs() < 1e-12, "{}", coverage.surprise);
    assert!((coverage.between_clusters.unwrap() - 1.0).abs() < 1e-12);
    assert_eq!(format!("{:.4}", coverage.interval.unwrap().lower), "0.8243");
}

const UNITS: u64 = 12;
const BEHAVIOURS: u64 = 120;

/// In how many of a hundred clusters a behaviour shows at all.
fn clusters_percent(behaviour: u64) -> u64 {
    [90, 60, 40, 25, 12, 6, 3, 1][usize::try_from(behaviour % 8).unwrap()]
}

/// In how many units of such a cluster.
fn units_seen(behaviour: u64) -> u64 {
    1 + behaviour * 7 % UNITS
}

fn sample(random: &mut Random) -> Vec<Cluster<u64>> {
    let percent: Vec<u64> = (0..100).collect();
    (0..12)
        .map(|_| Cluster {
            units: UNITS,
            seen: (0..BEHAVIOURS)
                .filter(|&behaviour| *random.choose(&percent).unwrap() < clusters_percent(behaviour))
                .map(|behaviour| (behaviour, units_seen(behaviour)))
                .collect(),
        })
        .collect()
}

/// Of the incidences in a further cluster, those that belong to behaviours which the sample shows.
fn truth(sample: &[Cluster<u64>]) -> f64 {
    let mean = |behaviour: u64| real(clusters_percent(behaviour) * units_seen(behaviour));
    let seen = |cluster: &Cluster<u64>| cluster.seen.iter().map(|seen| seen.0).collect::<Vec<_>>();
    let known: BTreeSet<u64> = sample.iter().flat_map(seen).collect();
    known.into_iter().map(mean).sum::<f64>() / (0..BEHAVIOURS).map(mean).sum::<f64>()
}

/// The lower end of the interval that drawing whole clusters and computing coverage anew would make.
fn naive(sample: &[Cluster<u64>], random: &mut Random) -> f64 {
    let mut replicates: Vec<f64> = (0..200)
        .map(|_| {
            let mut seen: BTreeMap<u64, u64> = BTreeMap::new();
            for _ in sample {
                for (behaviour, units) in &random.choose(sample).unwrap().seen {
                    *seen.entry(*behaviour).or_default() += units;
                }
            }
            let units = UNITS * u64::try_from(sample.len()).unwrap();
            let counts = IncidenceCounts::new(units, seen.into_values()).unwrap();
            counts.estimator().unwrap().coverage()
        })
        .collect();
    replicates.sort_by(f64::total_cmp);
    replicates[4]
}

/// Where clusters differ: each behaviour belongs to what only some of them do.
#[test]
fn the_lower_end_is_below_the_truth_in_about_95_of_100_samples_and_whole_clusters_drawn_anew_make_one_that_is_not() {
    const SAMPLES: u64 = 100;
    let mut random = Random::new(1);
    let (mut below, mut naive_below) = (0, 0);
    for seed in 0..SAMPLES {
        let sample = sample(&mut random);
        let truth = truth(&sample);
        naive_below += u64::from(naive(&sample, &mut random) <= truth);
        let resampling = Resampling {
            seed,
            ..Resampling::default()
        };
        let coverage = Clusters::new(sample).unwrap().coverage(&resampling).unwrap();
        below += u64::from(coverage.interval.unwrap().lower <= truth);
    }
    assert!(below * 100 >= SAMPLES * 93, "{below} of {SAMPLES}");
    assert!(naive_below * 100 <= SAMPLES * 10, "{naive_below} of {SAMPLES}");
}

#[test]
fn ten_thousand_behaviours_in_a_thousand_clusters_are_no_burden() {
    // No time is asserted; what takes a second here would take minutes if pairs of clusters and behaviours were kept for
    // each resampling.
    let clusters = (0..1_000_u64).map(|day| Cluster {
        units: 144,
        seen: (0..10_000_u64)
            .filter(|behaviour| (behaviour * 31 + day * 17) % 100 < 10)
            .map(|behaviour| (behaviour, 1 + behaviour % 144))
            .collect(),
    });
    let coverage = Clusters::new(clusters)
        .unwrap()
        .coverage(&Resampling::default())
        .unwrap();
    assert_eq!(coverage.clusters, 1_000);
    assert!(coverage.interval.unwrap().lower > 0.9);
}
