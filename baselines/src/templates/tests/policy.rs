//! What becomes of templates in a policy, and what it costs.

use super::paths;
use crate::path::FilePath;
use crate::templates::{
    Corpus, MaxPrice, Operator, Options, POSTFIX_BYTES_MAX, PREFIX_BYTES_MAX, Template, TemplateSet, cross_validate,
    mine,
};

#[test]
fn templates_compile_to_the_tightest_operator() {
    let cases = [
        ("/etc/hosts", "Equal /etc/hosts", ""),
        ("/", "Equal /", ""),
        ("/var/log/app-{number}.log", "Prefix /var/log/app-", "{number}.log"),
        // The prefix would be all of /proc, and other processes' memory with it.
        ("/proc/{pid}/status", "Postfix /status", "/proc/{pid}"),
        (
            "/srv/data/{uuid}/very/long/tail/x.txt",
            "Postfix /very/long/tail/x.txt",
            "/srv/data/{uuid}",
        ),
        ("/srv/data/{number}", "Prefix /srv/data/", "{number}"),
        ("/srv/{number}/{number}.log", "Prefix /srv/", "{number}/{number}.log"),
        (
            "/run/secrets/kubernetes.io/serviceaccount/..{timestamp}/token",
            "Prefix /run/secrets/kubernetes.io/serviceaccount/..",
            "{timestamp}/token",
        ),
        (r"/srv/a\x7bb/{number}", "Prefix /srv/a{b/", "{number}"),
        (r"/srv/\xffx/{number}", "Prefix /srv/", r"\xffx/{number}"),
        (r"/srv/\xff/plain", "Prefix /srv/", r"\xff/plain"),
    ];
    for (template, operator, gives_up) in cases {
        let compiled = template.parse::<Template>().unwrap().operators();
        assert_eq!(
            (compiled.operator.to_string(), compiled.gives_up),
            (operator.to_owned(), gives_up.to_owned()),
            "{template}"
        );
    }
}

#[test]
fn an_operator_that_reaches_into_a_sensitive_place_says_so() {
    let prefix = |text: &str| Operator::Prefix(text.to_owned());
    let postfix = |text: &str| Operator::Postfix(text.to_owned());
    let cases = [
        (prefix("/var/log/app-"), None),
        (prefix("/etc/config/.."), None),
        (prefix("/srv/.cache/x/"), None),
        (prefix("/home/ada/.cache/x-"), None),
        (prefix("/"), Some("/etc/shadow")),
        (prefix("/etc/shad"), Some("/etc/shadow")),
        (prefix("/proc/"), Some("/proc/*/environ")),
        (prefix("/proc/1"), Some("/proc/*/environ")),
        (
            prefix("/run/secrets/kubernetes.io/serviceaccount/.."),
            Some("/run/secrets/**/*"),
        ),
        (prefix("/root/"), Some(".ssh/*")),
        (prefix("/home/"), Some(".ssh/*")),
        (prefix("/home/ad"), Some(".ssh/*")),
        (prefix("/home/ada/"), Some(".ssh/*")),
        (prefix("/home/ada/.ssh/k"), Some(".ssh/*")),
        (prefix("/srv/."), Some(".ssh/*")),
        (prefix("/srv/.n"), Some(".netrc")),
        (postfix("/status"), None),
        (postfix("/token"), Some("token")),
        (postfix("/x.key"), Some("*.key")),
        (postfix("n"), Some("token")),
        (Operator::Equal("/etc/hosts".to_owned()), None),
        (Operator::Equal("/etc/shadow".to_owned()), Some("/etc/shadow")),
    ];
    for (operator, expected) in cases {
        let found: Vec<&str> = operator.exposes().iter().map(|entry| entry.pattern).collect();
        match expected {
            None => assert!(found.is_empty(), "{operator}: {found:?}"),
            Some(pattern) => assert!(found.contains(&pattern), "{operator}: {found:?}"),
        }
    }
}

#[test]
fn a_prefix_that_ends_above_a_directory_of_programs_says_so() {
    for (prefix, expected) in [
        ("/usr/local/", Some("/usr/local/bin")),
        ("/usr/local/b", Some("/usr/local/bin")),
        ("/usr/bin/x", Some("/usr/bin")),
        ("/usr/binary/", None),
        ("/srv/data/", None),
    ] {
        assert_eq!(
            Operator::Prefix(prefix.to_owned()).exposes_fixed(),
            expected,
            "{prefix}"
        );
    }
}

#[test]
fn the_root_is_found_in_a_set_that_has_nothing_else() {
    let root = FilePath::canonical(*b"/");
    let template: Template = "/".parse().unwrap();
    assert_eq!(TemplateSet::new([&template]).matching(&root), [0]);
    assert_eq!(TemplateSet::new([]).matching(&root), [0; 0]);
}

#[test]
fn operators_stay_within_what_tetragon_compares() {
    let long = "é".repeat(200);
    let template: Template = format!("/{long}{{number}}{long}").parse().unwrap();
    let lengths: Vec<usize> = template
        .compilations()
        .iter()
        .map(|compiled| compiled.operator.value().len())
        .collect();
    // Cut between characters, and not within one.
    assert_eq!(lengths, [PREFIX_BYTES_MAX, POSTFIX_BYTES_MAX - 1]);
    let path = FilePath::canonical(format!("/{long}7{long}").into_bytes());
    assert!(
        template
            .compilations()
            .iter()
            .all(|compiled| compiled.operator.admits(&path))
    );
}

#[test]
fn a_corpus_chooses_what_admits_least() {
    let template: Template = "/srv/data/{number}/x.conf".parse().unwrap();
    assert_eq!(template.operators().operator, Operator::Prefix("/srv/data/".to_owned()));
    let own = paths(["/srv/data/1/x.conf", "/srv/data/2/x.conf"]);
    let others = paths(["/srv/data/other", "/srv/data/3/x.conf", "/srv/data/3/x.key"]);
    let price = &Corpus::new(&own, &others).prices(std::slice::from_ref(&template))[0];
    assert_eq!((price.covered, price.template.admitted), (2, 1));
    assert_eq!(price.compiled.operator, Operator::Postfix("/x.conf".to_owned()));
    assert_eq!((price.policy.admitted, price.policy.sensitive_count), (1, 0));
}

#[test]
fn templates_that_cost_too_much_are_refused_with_the_reason() {
    let own = paths((1..=5).flat_map(|number| {
        [
            format!("/var/log/a-{number}.log"),
            format!("/srv/keys/x{number}"),
            format!("/opt/x/{number}"),
        ]
    }));
    let others = paths(["/srv/keys/server.key", "/opt/x/one", "/opt/x/two", "/opt/x/9"]);
    let corpus = Corpus::new(&own, &others);
    let priced = corpus.refuse(
        mine(&own, &Options::default()),
        MaxPrice {
            admitted: 2,
            sensitive: 0,
        },
    );
    let made: Vec<String> = priced
        .made
        .iter()
        .map(|(found, _)| found.template.to_string())
        .collect();
    assert_eq!(made, ["/srv/keys/x{number}", "/var/log/a-{number}.log"]);
    assert_eq!(
        priced.refused[0].why,
        "Prefix /opt/x/ admits 3 known paths that the image has not used, and 2 is the maximum"
    );
    assert_eq!(priced.paths.len(), 5, "members of what is refused stay as they are");

    let own = paths((1..=5).map(|number| format!("/srv/keys/{number}")));
    let corpus = Corpus::new(&own, &others);
    let priced = corpus.refuse(
        mine(&own, &Options::default()),
        MaxPrice {
            admitted: 2,
            sensitive: 0,
        },
    );
    assert_eq!(priced.made, []);
    assert_eq!(
        priced.refused[0].why,
        "Prefix /srv/keys/ admits 1 sensitive paths that the image has not used, and 0 is the maximum"
    );
    assert_eq!(priced.refused[0].price.policy.sensitive, [&others[0]]);
}

#[test]
fn a_lower_threshold_recalls_more_and_admits_more() {
    let container = |number: u32| {
        paths([
            format!("/srv/app/jobs/{number}"),
            "/etc/hosts".to_owned(),
            format!("/proc/{}/stat", 100 + number),
        ])
    };
    let containers: Vec<Vec<FilePath>> = (0..6).map(container).collect();
    let others = paths(["/srv/app/jobs/77", "/proc/1/stat", "/srv/app/jobs/x"]);
    let settings = [3, 5, 6].map(|numbers| Options {
        numbers,
        ..Options::default()
    });
    let results = cross_validate(&containers, &others, 6, &settings);
    let rows: Vec<_> = results
        .iter()
        .map(|row| {
            (
                row.folds,
                row.held_out,
                row.known,
                row.matched,
                row.templates,
                row.admitted,
                row.admitted_by_policy,
            )
        })
        .collect();
    // Five containers have five jobs: the third setting needs six, and keeps to process ids.
    assert_eq!(
        rows,
        [
            (6, 18, 6, 18, 12, 12, 18),
            (6, 18, 6, 18, 12, 12, 18),
            (6, 18, 6, 12, 6, 6, 6)
        ]
    );
    assert_eq!(
        (results[2].recall(), results[2].recall_without_templates()),
        (Some(12.0 / 18.0), Some(6.0 / 18.0))
    );
    for folds in [0, 1] {
        assert_eq!(cross_validate(&containers, &[], folds, &settings)[0].recall(), None);
    }
    assert_eq!(
        cross_validate(&containers[..1], &[], 5, &settings)[0].folds,
        0,
        "nothing to try it on"
    );
}
