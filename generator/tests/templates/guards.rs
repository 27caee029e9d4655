//! Each guard by itself.

use std::collections::BTreeMap;

use baselines::document::{Baseline, Comparison, PathTemplate};
use baselines::path::{FilePath, Origin};
use generator::policy::{Forbidden, Input};

use super::{Admits, compile, input, jobs, learned, paths, told};

fn plain() -> Baseline {
    learned(&jobs("app"), &[], &[])
}

fn limited(others: &[&str], max_price: Option<u64>) -> Input {
    Input {
        max_price,
        ..input(&learned(&jobs("app"), &[], &paths(others)))
    }
}

#[test]
fn what_would_admit_what_must_not_be_stays_as_it_was_recorded() {
    let forbidden = |path: FilePath, why| Input {
        forbidden: BTreeMap::from([(path, why)]),
        ..input(&plain())
    };
    let versions = (1..4).map(|day| format!("/srv/tls/..2026_11_2{day}_09_00_00.1/token"));
    let homes = (1..=6).map(|number| format!("/home/app/{number}"));
    let cases: Vec<(&str, Input, Option<&str>)> = vec![
        ("nothing is wrong", input(&plain()), None),
        (
            "a denied path",
            forbidden(FilePath::canonical(*b"/srv/app/job-evil"), Forbidden::Denied),
            Some("Prefix /srv/app/job- admits `/srv/app/job-evil`, which is denied"),
        ),
        (
            "an undecided path",
            forbidden(FilePath::canonical(*b"/srv/app/job-2.log"), Forbidden::Undecided),
            Some("admits `/srv/app/job-2.log`, which is a risk that waits for a decision"),
        ),
        (
            "a denied file that was deleted",
            forbidden(
                FilePath::new(*b"/srv/app/job-x (deleted)", Origin::Deleted),
                Forbidden::Denied,
            ),
            Some("admits `/srv/app/job-x (deleted)`, which is denied"),
        ),
        (
            "a denied path of which only the end is known",
            forbidden(FilePath::new(*b"/x", Origin::Cut), Forbidden::Denied),
            Some(
                "nobody can tell whether Prefix /srv/app/job- admits a path that is denied and is not known as a whole",
            ),
        ),
        (
            "a denied path elsewhere",
            forbidden(FilePath::canonical(*b"/srv/app/jobs"), Forbidden::Denied),
            None,
        ),
        (
            "a denied file without a path",
            forbidden(FilePath::new(*b"memfd:x", Origin::Memfd), Forbidden::Denied),
            None,
        ),
        (
            "a sensitive path that was recorded",
            limited(&["/srv/app/job-x/id_rsa"], Some(1000)),
            Some("Prefix /srv/app/job- admits sensitive paths (`/srv/app/job-x/id_rsa`)"),
        ),
        (
            "sensitive paths of its own",
            input(&learned(&paths(versions), &[], &[])),
            Some("Prefix /srv/tls/.. admits sensitive paths (`/srv/tls/..2026_11_21_09_00_00.1/token`"),
        ),
        (
            "a place that is sensitive",
            input(&learned(&paths(homes), &[], &[])),
            Some("Prefix /home/app/ could admit sensitive paths ("),
        ),
        (
            "something that is executed",
            input(&learned(&jobs("app"), &paths(["/srv/app/job-runner"]), &[])),
            Some("Prefix /srv/app/job- admits `/srv/app/job-runner`, which is executed"),
        ),
        (
            "something else that is executed",
            input(&learned(&jobs("app"), &paths(["/srv/app/run"]), &[])),
            None,
        ),
    ];
    check_guards(cases);
}

#[test]
fn what_costs_too_much_stays_as_it_was_recorded() {
    let edited = |edit: fn(&mut PathTemplate)| {
        let mut baseline = plain();
        edit(&mut baseline.templates[0]);
        input(&baseline)
    };
    let others = |texts: &[&str]| limited(texts, None);
    let cases: Vec<(&str, Input, Option<&str>)> = vec![
        (
            "a document that says something else",
            edited(|it| it.value = "/srv/".to_owned()),
            Some("Prefix /srv/ is not what it becomes: the document was edited"),
        ),
        (
            "a document without a value",
            edited(|it| it.value = String::new()),
            Some("is not what it becomes"),
        ),
        (
            "another operator in the document",
            edited(|it| it.operator = Comparison::Postfix),
            Some("is not what it becomes"),
        ),
        ("others that match the template", others(&["/srv/app/job-9.log"]), None),
        (
            "others that do not",
            others(&["/srv/app/job-9.log", "/srv/app/job-list"]),
            Some(
                "Prefix /srv/app/job- also admits 2 of all recorded paths, and the template itself 1: --max-price 2 takes it",
            ),
        ),
        (
            "a limit that it is within",
            limited(&["/srv/app/job-9.log", "/srv/app/job-list"], Some(2)),
            None,
        ),
        (
            "a limit that it is beyond",
            limited(&["/srv/app/job-9.log"], Some(0)),
            Some("Prefix /srv/app/job- also admits 1 of all recorded paths, and --max-price is 0"),
        ),
        ("a limit of nothing, which it keeps", limited(&[], Some(0)), None),
    ];
    check_guards(cases);
}

/// Without a reason the template is used; with one the paths stay as they were recorded, and people are told.
#[track_caller]
fn check_guards(cases: Vec<(&str, Input, Option<&str>)>) {
    for (name, input, why) in cases {
        let policy = compile(&input);
        let admits = Admits::opens(&policy);
        let behaviours = &input.baseline.behaviours;
        // Executing a file opens it.
        let (opened, executed) = (behaviours.open.len(), behaviours.exec.len());
        let (said, warned) = (told(&policy), policy.warnings.concat());
        let Some(why) = why else {
            assert_eq!((admits.whole.len(), admits.beginnings.len()), (executed, 1), "{name}");
            assert!(
                !said.contains("Not generalised") && policy.warnings.is_empty(),
                "{name}: {said}"
            );
            continue;
        };
        assert!(
            admits.beginnings.is_empty() && admits.ends.is_empty(),
            "{name}: {admits:?}"
        );
        assert_eq!(admits.whole.len(), opened + executed, "{name}");
        assert!(
            said.contains("Not generalised to `") && said.contains(why),
            "{name}: {said}"
        );
        let count = "1 path template is not used, so that names which are new will be reported: ";
        assert!(warned.starts_with(count) && warned.contains(why), "{name}: {warned}");
        assert!(
            said.contains("Not used: 1 template; the hook for security_file_open says why."),
            "{name}"
        );
    }
}
