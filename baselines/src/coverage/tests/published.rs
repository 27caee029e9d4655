//! Worked examples, to every digit that is printed.

use crate::coverage::number::{real, whole};
use crate::coverage::{IncidenceCounts, UnitsNeeded};

/// Table of how many species were found in exactly k sampling units, for each k.
struct Sample {
    name: &'static str,
    units: u64,
    /// Pairs of k and the number of species, as in the publication.
    frequencies: &'static str,
}

impl Sample {
    fn counts(&self) -> IncidenceCounts {
        let pairs = self.frequencies.split_whitespace().map(|pair| {
            let (units, species) = pair.split_once(':').unwrap();
            (units.parse().unwrap(), species.parse().unwrap())
        });
        IncidenceCounts::from_frequencies(self.units, pairs).unwrap()
    }
}

/// Soil ciliates of Namibia: Foissner, Agatha and Berger 2002, "Soil ciliates from Namibia", Denisia 5, as tabled in the R
/// package `iNEXT`, data set `ciliates`.
const ETOSHA_PAN: Sample = Sample {
    name: "EtoshaPan",
    units: 19,
    frequencies: "1:107 2:44 3:26 4:14 5:6 6:5 7:4 8:3 9:2 10:2 11:1 12:1 14:1",
};
const CENTRAL_NAMIB: Sample = Sample {
    name: "CentralNamibDesert",
    units: 17,
    frequencies: "1:63 2:28 3:13 4:4 5:3 6:7 7:1 8:2 9:1 11:1 12:1 15:3 16:3",
};
const SOUTHERN_NAMIB: Sample = Sample {
    name: "SouthernNamibDesert",
    units: 15,
    frequencies: "1:82 2:28 3:14 4:8 5:6 6:1 7:1 8:2 9:2 10:1 11:2 12:2 13:1",
};

/// Ants of Costa Rica at five elevations: Longino and Colwell 2011, "Density compensation, species composition, and richness
/// of ants on a neotropical elevational gradient", Ecosphere 2, as tabled in the R package `iNEXT`, data set `ant`.
const ANTS: [Sample; 5] = [
    Sample {
        name: "h50m",
        units: 599,
        frequencies: "1:49 2:23 3:18 4:14 5:9 6:10 7:4 8:8 9:6 10:2 11:1 12:2 13:2 14:5 15:2 16:4 17:3 18:2 19:2 20:3 \
21:1 22:1 23:2 25:1 27:2 29:1 30:2 31:1 33:1 39:1 40:1 43:1 46:2 47:1 48:1 51:1 52:2 56:2 58:2 \
61:2 65:1 69:1 72:1 77:1 79:1 82:1 83:1 84:1 86:1 91:1 95:1 97:1 98:2 106:1 113:1 124:1 126:1 \
127:1 128:1 129:2 182:1 183:1 186:1 195:1 222:1 236:1 263:1 330:1",
    },
    Sample {
        name: "h500m",
        units: 230,
        frequencies: "1:71 2:34 3:12 4:14 5:9 6:11 7:8 8:4 9:7 10:5 11:2 12:3 13:4 14:2 15:1 16:2 17:4 18:1 19:1 20:1 \
21:2 23:1 24:1 25:3 26:1 27:1 30:1 31:2 32:2 33:1 34:1 36:1 37:1 38:4 39:2 41:1 42:1 43:1 44:1 \
45:1 46:1 47:1 49:1 52:2 53:1 54:1 56:1 60:2 65:1 73:1 78:1 123:1 131:1 133:1",
    },
    Sample {
        name: "h1070m",
        units: 150,
        frequencies: "1:28 2:16 3:13 4:3 5:1 6:3 7:6 8:1 9:1 10:1 11:4 12:3 13:4 14:1 15:1 16:4 18:1 19:2 21:1 22:1 \
23:1 24:1 25:3 26:1 30:1 31:3 32:1 34:1 36:1 38:1 39:1 43:2 45:2 46:1 54:1 60:1 68:1 74:1 80:1 \
96:1 99:1",
    },
    Sample {
        name: "h1500m",
        units: 200,
        frequencies: "1:13 2:4 3:2 4:2 5:4 6:2 9:4 11:2 17:2 18:1 19:1 23:2 24:1 25:3 29:1 30:1 32:1 33:1 43:1 50:1 \
53:1 73:1 74:1 76:1 79:1 113:1 144:1",
    },
    Sample {
        name: "h2000m",
        units: 200,
        frequencies: "1:1 2:2 3:1 4:1 8:2 13:1 15:1 19:1 23:1 34:1 59:1 80:1",
    },
];

/// Hsieh, Ma and Chao 2022, "A quick introduction to `iNEXT` via examples" (vignette of version 3.0), the output of
/// `iNEXT(ciliates, q = 0, datatype = "incidence_raw", endpoint = 150)`, list `$DataInfo`; `Estimator` of `$AsyEst`.
#[test]
fn ciliates_have_the_printed_coverage_and_richness() {
    for (sample, incidences, behaviours, coverage, richness) in [
        (&ETOSHA_PAN, 516, 216, "0.8017", "339.255"),
        (&CENTRAL_NAMIB, 379, 130, "0.8425", "196.706"),
        (&SOUTHERN_NAMIB, 358, 150, "0.7816", "262.067"),
    ] {
        let counts = sample.counts();
        assert_eq!((counts.incidences(), counts.behaviours()), (incidences, behaviours));
        let estimator = counts.estimator().unwrap();
        assert_eq!(format!("{:.4}", estimator.coverage()), coverage, "{}", sample.name);
        assert_eq!(
            format!("{:.3}", estimator.chao2().estimate),
            richness,
            "{}",
            sample.name
        );
    }
}

/// The same output, `$iNextEst$size_based`.
#[test]
fn ciliates_have_the_printed_curve() {
    for (sample, points) in [
        (
            &ETOSHA_PAN,
            [
                (1, "27.158", "0.190"),
                (10, "153.260", "0.680"),
                (20, "221.386", "0.810"),
                (88, "333.606", "0.991"),
                (150, "338.901", "0.999"),
            ],
        ),
        (
            &CENTRAL_NAMIB,
            [
                (1, "22.294", "0.374"),
                (10, "98.993", "0.764"),
                (24, "151.018", "0.892"),
                (87, "195.191", "0.996"),
                (150, "196.656", "1.000"),
            ],
        ),
        (
            &SOUTHERN_NAMIB,
            [
                (1, "23.867", "0.282"),
                (9, "112.485", "0.699"),
                (30, "207.213", "0.893"),
                (93, "259.337", "0.995"),
                (150, "261.886", "1.000"),
            ],
        ),
    ] {
        let counts = sample.counts();
        let estimator = counts.estimator().unwrap();
        for (units, behaviours, coverage) in points {
            let computed = (estimator.behaviours_at(units), estimator.coverage_at(units));
            let name = sample.name;
            assert_eq!(format!("{:.3}", computed.0), behaviours, "{name} {units}");
            assert_eq!(format!("{:.3}", computed.1), coverage, "{name} {units}");
        }
    }
}

/// The same output, `$iNextEst$coverage_based`, which has seven digits of coverage. Of its rows those that are extrapolated:
/// for fewer units than were observed, the table holds the coverage at a number of units that was searched for.
#[test]
fn ciliates_have_the_printed_extrapolated_coverage() {
    for (sample, points) in [
        (&ETOSHA_PAN, [(20, "0.8103610"), (88, "0.9909111"), (150, "0.9994305")]),
        (
            &CENTRAL_NAMIB,
            [(24, "0.8921419"), (87, "0.9964228"), (150, "0.9998814")],
        ),
        (
            &SOUTHERN_NAMIB,
            [(30, "0.8931001"), (93, "0.9946808"), (150, "0.9996478")],
        ),
    ] {
        let counts = sample.counts();
        for (units, coverage) in points {
            let computed = counts.estimator().unwrap().coverage_at(units);
            assert_eq!(format!("{computed:.7}"), coverage, "{} {units}", sample.name);
        }
    }
}

/// The numbers of species in the description of the data set.
#[test]
fn the_ants_are_all_here() {
    let species = ANTS.each_ref().map(|sample| sample.counts().behaviours());
    assert_eq!(species, [227, 241, 122, 56, 14]);
}

/// The same vignette, `estimateD(ant, datatype = "incidence_freq", base = "coverage", level = 0.985, conf = 0.95)`, q = 0:
/// the numbers of units that make a coverage of 0.985, with fractions, and the species these show.
#[test]
fn ants_need_the_printed_units_for_a_coverage_of_0_985() {
    for (sample, units, behaviours) in [(&ANTS[1], "342.859", "268.726"), (&ANTS[2], "158.951", "123.609")] {
        let counts = sample.counts();
        let estimator = counts.estimator().unwrap();
        let more = estimator.units_to(0.985);
        let name = sample.name;
        assert_eq!(format!("{:.3}", estimator.units() + more), units, "{name}");
        let all = real(counts.behaviours()) + estimator.new_beyond(more);
        assert_eq!(format!("{all:.3}"), behaviours, "{name}");
        assert_eq!(estimator.units_needed(0.985), UnitsNeeded::More(whole(more)));
    }
    // Fewer units than were observed: there `estimateD` draws a straight line between whole numbers.
    for (sample, units, behaviours) in [
        (&ANTS[0], 327.165, "197.488"),
        (&ANTS[3], 125.959, "50.479"),
        (&ANTS[4], 104.631, "12.910"),
    ] {
        let counts = sample.counts();
        let estimator = counts.estimator().unwrap();
        assert_eq!(estimator.units_needed(0.985), UnitsNeeded::Reached);
        let (below, part) = (whole(units) - 1, units.fract());
        let between = |at: &dyn Fn(u64) -> f64| at(below) * (1.0 - part) + at(below + 1) * part;
        let shown = between(&|units| estimator.behaviours_at(units));
        let coverage = between(&|units| estimator.coverage_at(units));
        assert_eq!(format!("{shown:.3}"), behaviours, "{}", sample.name);
        assert_eq!(format!("{coverage:.3}"), "0.985", "{}", sample.name);
    }
}

/// Ants caught on Barro Colorado Island: Ruzi, Zalamea, Roche, Achury, Dalling and Suarez, "Can variation in seed removal
/// patterns of Neotropical pioneer tree species be explained by local ant community composition?", Biotropica; the output of
/// `SpadeR::ChaoSpecies(..., "incidence_freq")` is in the comments of its scripts
/// (<https://github.com/sruzi24/Ruzi_etal_seed_removal_and_ant_communities>). Of frequent species only the number and the sum
/// of incidences is printed; no estimate depends on how that is spread, so here it is spread evenly.
#[test]
fn trapped_ants_have_the_printed_standard_errors_and_intervals() {
    for (name, units, frequencies, behaviours, incidences, coverage, richness) in [
        (
            "subterranean traps, controls",
            40,
            &[(1, 6), (5, 1), (7, 1), (8, 1), (9, 1)][..],
            10,
            35,
            "0.83",
            ["24.625", "13.216", "13.217", "76.490"],
        ),
        (
            "subterranean traps, with seeds",
            120,
            &[(1, 8), (2, 3), (3, 1), (5, 2), (21, 1), (22, 3)],
            18,
            114,
            "0.93",
            ["28.578", "10.189", "20.161", "69.765"],
        ),
        (
            "pitfalls, 25Ha",
            16,
            &[(1, 9), (2, 4), (3, 1), (10, 1)],
            15,
            30,
            "0.717",
            ["24.492", "8.489", "17.113", "57.648"],
        ),
        (
            "pitfalls, AVA",
            16,
            &[(1, 8), (2, 4), (3, 1), (9, 2), (10, 3)],
            18,
            67,
            "0.888",
            ["25.500", "7.049", "19.577", "53.671"],
        ),
        (
            "pitfalls, Drayton",
            16,
            &[(1, 8), (2, 5), (3, 1), (7, 2)],
            16,
            35,
            "0.789",
            ["22.000", "5.586", "17.275", "44.225"],
        ),
        (
            "pitfalls, Pearson",
            16,
            &[(1, 5), (2, 5), (3, 1), (4, 1), (10, 1), (11, 1)],
            14,
            43,
            "0.897",
            ["16.344", "2.799", "14.370", "28.838"],
        ),
        (
            "pitfalls, Zetek",
            16,
            &[(1, 15), (2, 2), (4, 1), (8, 2), (9, 1)],
            21,
            48,
            "0.693",
            ["73.734", "46.742", "32.857", "255.543"],
        ),
    ] {
        let counts = IncidenceCounts::from_frequencies(units, frequencies.iter().copied()).unwrap();
        assert_eq!(
            (counts.behaviours(), counts.incidences()),
            (behaviours, incidences),
            "{name}"
        );
        let estimator = counts.estimator().unwrap();
        let digits = coverage.len() - 2;
        assert_eq!(format!("{:.digits$}", estimator.coverage()), coverage, "{name}");
        let chao2 = estimator.chao2();
        let spread = chao2.spread.unwrap();
        let computed = [
            chao2.estimate,
            spread.standard_error,
            spread.interval.lower,
            spread.interval.upper,
        ];
        assert_eq!(
            computed.map(|number| format!("{number:.3}")),
            richness.map(str::to_owned),
            "{name}"
        );
    }
}

/// The same vignette, `$DataInfo` and `$size_based` of the spider data of Ellison et al. 2010 (treatment "Girdled"). Counts
/// of individuals obey the same formulas with every individual a unit: then T and U are the same number.
#[test]
fn spiders_have_the_printed_coverage_and_curve() {
    let individuals = [
        46, 22, 17, 15, 15, 9, 8, 6, 6, 4, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    ];
    let counts = IncidenceCounts::new(168, individuals).unwrap();
    let estimator = counts.estimator().unwrap();
    assert_eq!(format!("{:.4}", estimator.coverage()), "0.9289");
    for (units, behaviours, coverage) in [
        (168, "26.000", "0.929"),
        (248, "30.883", "0.948"),
        (336, "34.731", "0.964"),
    ] {
        assert_eq!(format!("{:.3}", estimator.behaviours_at(units)), behaviours);
        assert_eq!(format!("{:.3}", estimator.coverage_at(units)), coverage);
    }
}
