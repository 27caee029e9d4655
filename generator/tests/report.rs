//! The page for people: run for real, and read as strictly as can be.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may what they share"
)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use baselines::behaviour::{Access, Phase, Provenance};
use baselines::document::{self, Baseline, Evidence, Open};
use baselines::path::FilePath;
use baselines::risks::{Catalogue, Decisions};
use baselines::time::UtcTime;
use common::Workshop;
use common::page::Page;
use generator::report::{self, DecisionsRead, Image};
use generator::risks::Risks;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn baseline(name: &str) -> Baseline {
    document::read(&golden(&format!("{name}.baseline.yaml"))).unwrap()
}

/// The report of one image, as of a day after it was seen.
fn report(baseline: &Baseline, decisions: Option<Decisions>) -> String {
    let catalogue = Catalogue::shipped();
    let risks = Risks::of(baseline, &catalogue, decisions);
    let image = Image {
        baseline,
        risks: &risks,
    };
    let now: UtcTime = "2026-11-23T00:00:00Z".parse().unwrap();
    report::html(&[image], &catalogue, DecisionsRead::Yes, now).unwrap()
}

#[test]
fn a_report_looks_like_this() {
    let html = report(&baseline("report"), None);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(golden("report.html"), &html).unwrap();
    }
    let expected = fs::read_to_string(golden("report.html")).unwrap();
    assert!(
        html == expected,
        "report.html has changed: UPDATE_GOLDEN=1 rewrites it, tools/look-at shows it"
    );
    Page::read(&html);
}

#[test]
fn every_part_is_there_and_what_waits_for_a_decision_comes_first() {
    let page = Page::read(&report(&baseline("report"), None));
    let ids: Vec<&str> = page
        .elements
        .iter()
        .filter(|it| it.name == "section")
        .filter_map(|it| it.get("id"))
        .collect();
    let parts = [
        "decisions",
        "images",
        "image-0",
        "image-0-coverage",
        "image-0-losses",
        "image-0-figures",
        "image-0-risks",
        "image-0-processes",
        "image-0-peers",
        "image-0-templates",
        "image-0-behaviours",
    ];
    assert_eq!(ids, parts);
    for said in [
        "The password hashes of the system were read",
        "undecided",
        "1 of 3",
        "learn again without the loss",
        "322 are known to be lost",
        "service/prod/db",
        "/var/log/app-{number}.log",
        "Of 1 behaviour, a part was hidden when it was recorded: [redacted] stands for it",
        "container-hours watched",
    ] {
        assert!(page.text.contains(said), "{said}");
    }
    // Two curves, ranks, containers, arrivals, hours, weekdays, starts, and the strip of losses.
    let drawings = page.elements.iter().filter(|it| it.name == "svg").count();
    assert_eq!(drawings, 9);
}

#[test]
fn names_that_attack_the_page_are_text() {
    let attacks = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "'/onmouseover='alert(1)",
        "</title></style></script><svg onload=alert(1)>",
        "]]><!--",
        "javascript:alert(1)",
        "&lt;b&gt;&#x3c;",
        "a\nb\r\u{0}\u{1b}[31m",
        "\u{202e}gnp.exe\u{2066}",
        "<style>*{display:none}",
        "https://attacker.example/?",
    ];
    for attack in attacks {
        let text = fs::read_to_string(golden("report.baseline.yaml")).unwrap();
        let mut baseline = document::from_yaml(&text).unwrap();
        let path = |number: usize| FilePath::canonical(format!("/{attack}{number}").into_bytes());
        baseline.image.repository = attack.to_owned();
        baseline.image.tag = Some(attack.to_owned());
        for container in &mut baseline.containers {
            container.workload.name = attack.to_owned();
            container.workload.namespace = attack.to_owned();
            container.id = attack.to_owned();
            container.node = attack.to_owned();
        }
        for source in &mut baseline.recordings {
            source.node = attack.to_owned();
            source.backends = vec![attack.to_owned()];
        }
        for loss in &mut baseline.losses {
            loss.container = Some(attack.to_owned());
        }
        baseline.uncounted_losses = vec![attack.to_owned()];
        baseline.coverage.as_mut().unwrap().advice = attack.to_owned();
        for (number, exec) in baseline.behaviours.exec.iter_mut().enumerate() {
            (exec.binary, exec.parent, exec.script) = (path(number + 1), path(number), Some(path(number)));
        }
        for (number, open) in baseline.behaviours.open.iter_mut().enumerate() {
            (open.path, open.subject) = (path(number), path(number));
        }
        for connect in &mut baseline.behaviours.connect {
            connect.subject = path(0);
            for reached in &mut connect.peers {
                reached.peer = baselines::peer::Peer::Service {
                    namespace: attack.to_owned(),
                    name: attack.to_owned(),
                };
            }
        }
        for template in &mut baseline.templates {
            (template.value, template.gives_up) = (attack.to_owned(), attack.to_owned());
            template.sensitive_paths = vec![path(0)];
        }
        let plain = Page::read(&report(&document::from_yaml(&text).unwrap(), None));
        let page = Page::read(&report(&baseline, None));
        // What a name is made of never changes what the page is made of: only risks are others, as programs are.
        let kinds = |page: &Page, name: &str| page.elements.iter().filter(|it| it.name == name).count();
        for element in ["section", "svg", "figure", "style", "meta", "h1", "h2", "title"] {
            assert_eq!(kinds(&page, element), kinds(&plain, element), "{element}: {attack:?}");
        }
        assert!(page.text.contains(&generator::printable(attack)), "{attack:?}");
    }
}

#[test]
fn much_is_cut_and_says_by_how_much() {
    let mut baseline = baseline("report");
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
    let open = |number: usize| Open {
        path: FilePath::canonical(format!("/srv/{number}").into_bytes()),
        access: Access::READ,
        backing: None,
        subject: FilePath::canonical(*b"/srv/server"),
        evidence: evidence.clone(),
    };
    baseline.behaviours.open = (0..20_000).map(open).collect();
    // A ring of programs, each of which executes the next, and one that executes a thousand.
    let exec = baseline.behaviours.exec[0].clone();
    let program = |number: usize| FilePath::canonical(format!("/ring/{number}").into_bytes());
    let ring = (0..500).map(|number| document::Exec {
        parent: program(number),
        binary: program((number + 1) % 500),
        ..exec.clone()
    });
    baseline.behaviours.exec = ring.collect();
    let html = report(&baseline, None);
    let page = Page::read(&html);
    for said in [
        "19900 more rows are left out.",
        "300 more executions are left out.",
        "Learned: 20000 opened or mapped files",
    ] {
        assert!(page.text.contains(said), "{said}");
    }
    assert!(html.len() < 500_000, "{}", html.len());
}

#[test]
fn images_beyond_what_a_page_holds_are_counted_and_what_waits_of_them_is_shown() {
    let catalogue = Catalogue::shipped();
    let (harmless, attacked) = (baseline("unit"), baseline("report"));
    let [no_risks, risks] = [&harmless, &attacked].map(|baseline| Risks::of(baseline, &catalogue, None));
    let harmless = Image {
        baseline: &harmless,
        risks: &no_risks,
    };
    let mut images = vec![harmless; 202];
    images.push(Image {
        baseline: &attacked,
        risks: &risks,
    });
    let html = report::html(&images, &catalogue, DecisionsRead::Yes, UtcTime::default()).unwrap();
    let page = Page::read(&html);
    assert!(page.text.contains("3 more images are left out"));
    assert!(page.text.contains("The password hashes of the system were read"));
}

#[test]
fn numbers_beyond_all_measure_are_drawn_as_well() {
    let mut baseline = baseline("report");
    let most = document::Number::new(1e300).unwrap();
    let statistics = baseline.statistics.as_mut().unwrap();
    for point in &mut statistics.accumulation.steady {
        (point.units, point.behaviours) = (u64::MAX, most);
    }
    statistics.accumulation.startup.truncate(1);
    for rank in &mut statistics.rank_frequency {
        (rank.rank, rank.count) = (u64::MAX, 0);
    }
    statistics.calendar = document::Calendar {
        watched_by_hour: document::Counts([u64::MAX; 24]),
        ..document::Calendar::default()
    };
    for (number, container) in baseline.containers.iter_mut().enumerate() {
        container.last_seen = UtcTime::from_nanos(if number == 0 { u64::MAX } else { 0 });
        container.startup_until = Some(UtcTime::from_nanos(u64::MAX));
    }
    for loss in &mut baseline.losses {
        loss.count = u64::MAX;
    }
    let html = report(&baseline, None);
    Page::read(&html);
    assert!(!html.contains("NaN") && !html.contains("inf\""), "{html}");
    // And nothing at all.
    let nothing = Page::read(&report(&self::baseline("unit"), None));
    assert!(nothing.text.contains("Nothing waits for a decision"));
}

#[test]
fn the_command_writes_a_whole_file_and_replaces_none_but_a_report() {
    let workshop = Workshop::new();
    workshop.baseline();
    for _ in 0..2 {
        let told = workshop.run(&["report", "--baselines", "baselines", "--html", "out/report.html"]);
        assert_eq!((told.code, told.stderr.as_str()), (Some(0), ""));
        assert!(told.stdout.starts_with("out/report.html: 1 image, "), "{}", told.stdout);
        Page::read(&fs::read_to_string(workshop.path("out/report.html")).unwrap());
    }
    assert_eq!(workshop.names("out"), ["report.html"]);
    fs::write(workshop.path("notes.html"), "<!doctype html>\n<p>mine").unwrap();
    for refused in ["notes.html", "out", "baselines/web.yaml"] {
        let told = workshop.run(&["report", "--baselines", "baselines", "--html", refused]);
        told.failed("will not replace");
    }
    assert_eq!(
        fs::read_to_string(workshop.path("notes.html")).unwrap(),
        "<!doctype html>\n<p>mine"
    );
    workshop
        .run(&["report", "--baselines", "missing", "--html", "other.html"])
        .failed("missing");
    assert!(!workshop.path("other.html").exists());
}

#[test]
fn a_report_of_recordings_says_that_decisions_were_not_read() {
    let workshop = Workshop::new();
    workshop.record("recording.db", "shop/web");
    let told = workshop.run(&["report", "--recording", "recording.db", "--html", "report.html", "-q"]);
    assert_eq!((told.code, told.stdout.as_str()), (Some(0), ""));
    assert!(told.stderr.contains("decisions were not read"), "{told:?}");
    let page = Page::read(&fs::read_to_string(workshop.path("report.html")).unwrap());
    assert!(page.text.contains("Decisions were not read"));
    // It was counted how often, and when.
    assert!(page.text.contains("container-hours watched"));
}

#[test]
fn what_was_decided_is_told_with_who_and_why() {
    let workshop = Workshop::new();
    workshop.record("recording.db", "shop/web");
    let told = workshop.run(&["baselines", "--recording", "recording.db", "--out", "b"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let listed = workshop.run(&["risks", "--baselines", "b", "-o", "json"]);
    let rows: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    let open: Vec<&str> = rows
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["state"] == "undecided")
        .map(|row| row["key"].as_str().unwrap())
        .collect();
    let decide = [
        "decide",
        "--baselines",
        "b",
        "--allow",
        "--who",
        "ada <ada@shop>",
        "--reason",
        "\"quoted\" & known",
    ];
    assert_eq!(workshop.run(&[&decide, &open[..]].concat()).code, Some(0));
    let told = workshop.run(&["report", "--baselines", "b", "--html", "report.html"]);
    assert_eq!(told.stdout, "report.html: 1 image, 0 risks to decide about\n");
    let page = Page::read(&fs::read_to_string(workshop.path("report.html")).unwrap());
    assert!(page.text.contains("Nothing waits for a decision."));
    assert!(page.text.contains("Allowed by ada <ada@shop> on "), "{}", page.text);
    assert!(page.text.contains(": \"quoted\" & known"));
}

#[test]
fn the_reader_of_these_tests_refuses_what_no_report_may_have() {
    let html = report(&baseline("unit"), None);
    let bad = [
        "<script>alert(1)</script>",
        "<img src=x>",
        "<p onclick=\"x\">x</p>",
        "<p style=\"color:red\">x</p>",
        "<a href=\"https://attacker.example/\">x</a>",
        "<a href=\"javascript:alert(1)\">x</a>",
        "<a href=\"#nowhere\">x</a>",
        "<p class=\"url(x)\">x</p>",
        "<p id=\"images\">x</p>",
        "<p>",
        "</p>",
        "a > b",
        "a & b",
        "&#x3c;",
        "\u{202e}",
        "\t",
        "<!-- x -->",
    ];
    for bad in bad {
        let forged = html.replacen("</main>", &format!("{bad}</main>"), 1);
        assert_ne!(forged, html);
        let read = std::panic::catch_unwind(|| Page::read(&forged));
        assert!(read.is_err(), "{bad}");
    }
    let lax = html.replacen("default-src 'none'; ", "", 1);
    assert!(std::panic::catch_unwind(|| Page::read(&lax)).is_err());
}
