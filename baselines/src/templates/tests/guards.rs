//! What never folds.

use super::{mined_from, paths, templates};
use crate::path::{FilePath, Origin};
use crate::templates::{Aside, Options, SENSITIVE, Template, mine, mine_with, sensitive};

fn numbered(count: usize, path: impl Fn(usize) -> String) -> Vec<String> {
    (1..=count).map(path).collect()
}

#[test]
fn nothing_folds_below_its_threshold() {
    let hash = |number| format!("/srv/a/b/{number:08x}f");
    let cases: [(usize, &dyn Fn(usize) -> String); 3] = [
        (5, &|number| format!("/srv/a/b/{number}")),
        (3, &hash),
        (2, &|number| format!("/proc/{number}/stat")),
    ];
    for (threshold, path) in cases {
        let count = |count| mined_from(numbered(count, path)).0.len();
        assert_eq!((count(threshold - 1), count(threshold)), (0, 1), "{}", path(1));
    }
    let strict = Options {
        numbers: 50,
        ..Options::default()
    };
    assert_eq!(
        mine(&paths(numbered(49, |number| format!("/srv/a/b/{number}"))), &strict)
            .templates
            .len(),
        0
    );
    let careless = Options {
        numbers: 0,
        ..Options::default()
    };
    assert_eq!(
        mine(&paths(["/srv/a/b/1"]), &careless).templates.len(),
        0,
        "one name shows nothing"
    );
}

#[test]
fn the_first_names_of_a_path_stay() {
    let cases = [
        ("/{}", vec![]),
        ("/data/{}", vec![]),
        ("/data/temp-{}.rdb", vec![]),
        ("/data/{}/x", vec![]),
        ("/data/x/{}", vec!["/data/x/{number}"]),
        ("/proc/{}", vec!["/proc/{pid}"]),
        ("/proc/{}/stat", vec!["/proc/{pid}/stat"]),
        ("/proc/x{}/stat", vec![]),
        ("/tmp/{}", vec!["/tmp/{number}"]),
        ("/tmp{}/x", vec![]),
    ];
    for (pattern, expected) in cases {
        let (templates, _) = mined_from(numbered(20, |number| pattern.replace("{}", &number.to_string())));
        assert_eq!(templates, expected, "{pattern}");
    }
    let deeper = Options {
        depth: 4,
        ..Options::default()
    };
    let flat = paths(numbered(20, |number| format!("/a/b/{number}/{number}")));
    let mined = mine(&flat, &deeper);
    assert_eq!(
        templates(&mined),
        Vec::<String>::new(),
        "the number in the fourth name is alone in its directory"
    );
    assert_eq!(
        templates(&mine(
            &flat,
            &Options {
                depth: 1,
                ..Options::default()
            }
        )),
        ["/a/b/{number}/{number}"]
    );
}

#[test]
fn no_wildcard_takes_the_place_of_what_a_sensitive_entry_spells_out() {
    let cases = [
        "/proc/{}/environ",
        "/proc/{}/mem",
        "/proc/{}/task/{}/mem",
        "/home/app/.ssh/key{}",
        "/srv/app/keys/{}.key",
        "/srv/app/keys/id_ed2551{}",
        "/etc/sudoers.d/{}",
        "/run/secrets/{}",
        "/run/secrets/app/db{}",
        "/etc/ssl/private/{}/x{}",
        "/var/lib/kubelet/pki/client-{}.pem",
    ];
    for pattern in cases {
        let (templates, rest) = mined_from(numbered(9, |number| pattern.replace("{}", &number.to_string())));
        assert_eq!((templates, rest.len()), (vec![], 9), "{pattern}");
    }
    // The wildcard is elsewhere, and what it admits is of the same kind.
    let (templates, _) = mined_from(numbered(20, |number| format!("/srv/tenants/{number}/tls.key")));
    assert_eq!(templates, ["/srv/tenants/{number}/tls.key"], "the name stays");
}

#[test]
fn every_entry_is_well_formed_and_found() {
    for entry in SENSITIVE {
        let path = entry.pattern.replace("**/", "").replace('*', "name");
        let path = if path.starts_with('/') {
            path
        } else {
            format!("/some/where/{path}")
        };
        let found = sensitive(&FilePath::canonical(path.as_bytes())).unwrap_or_else(|| panic!("{path} is not found"));
        assert!(!found.why.is_empty());
        let is_short_cut_safe = entry.pattern.starts_with('/')
            || entry.pattern.starts_with('.')
            || !entry.pattern.contains('/')
                && entry
                    .pattern
                    .rsplit('.')
                    .next()
                    .is_some_and(|end| !entry.pattern.starts_with('*') || end.len() < 5);
        assert!(is_short_cut_safe, "{}", entry.pattern);
        assert!(
            !entry.pattern.ends_with("**") && !entry.pattern.contains("//"),
            "{}",
            entry.pattern
        );
    }
    for path in [
        "/etc/passwd",
        "/srv/tokens",
        "/srv/my_token",
        "/proc/1/status",
        "/a/ssh/x",
    ] {
        assert_eq!(sensitive(&FilePath::canonical(path.as_bytes())), None, "{path}");
    }
    assert!(sensitive(&FilePath::new(*b"/etc/shadow", Origin::Cut)).is_none());
}

/// A template that a guarded path was kept out of does not match it.
#[test]
fn siblings_of_what_is_sensitive_fold_without_it() {
    let mut all = numbered(20, |number| format!("/srv/app/keys/x.a{number}b{number}"));
    all.push("/srv/app/keys/id_rsa".to_owned());
    all.push("/srv/app/keys/7.key".to_owned());
    let all = paths(all);
    let mined = mine(&all, &Options::default());
    for found in &mined.templates {
        assert!(found.members.iter().all(|member| sensitive(member).is_none()));
        assert!(!found.template.matches(&all[20]) && !found.template.matches(&all[21]));
    }
    assert_eq!(mined.aside.sensitive, 1, "in the name id_rsa nothing could fold");
}

#[test]
fn paths_that_no_policy_compares_are_put_aside_and_counted() {
    let odd: [(&[u8], Origin); 11] = [
        (b"memfd:1", Origin::Memfd),
        (b"/srv/a/b/1", Origin::Cut),
        (b"/srv/a/b/2 (deleted)", Origin::Deleted),
        (b"", Origin::Unknown),
        (b"/srv/a/b/[redacted]", Origin::Redacted),
        (b"relative/1", Origin::Canonical),
        (b"/srv//b/1", Origin::Canonical),
        (b"/srv/a/b/", Origin::Canonical),
        (b"/srv/a/../1", Origin::Canonical),
        (b"/srv/a/./1", Origin::Canonical),
        (b"/srv/a/\0/1", Origin::Canonical),
    ];
    let mut all: Vec<FilePath> = odd
        .iter()
        .map(|(bytes, origin)| FilePath::new(*bytes, *origin))
        .collect();
    all.push(FilePath::canonical(b"/1".repeat(1_000_000)));
    all.push(FilePath::canonical(
        [&b"/srv/a/b/"[..], &b"1".repeat(1_000_000)].concat(),
    ));
    all.extend(paths(numbered(20, |number| format!("/proc/{number}/environ"))));
    all.extend(paths(["/usr/bin/x1", "/usr/bin/x2", "/usr/bin/x2"]));
    let mined = mine(&all, &Options::default());
    assert_eq!(mined.templates, []);
    assert_eq!(
        mined.paths.len(),
        all.len() - 1,
        "nothing is lost, and what is there twice is there once"
    );
    assert_eq!(
        mined.aside,
        Aside {
            not_canonical: 13,
            sensitive: 20,
            fixed: 2
        }
    );
}

#[test]
fn deep_paths_and_wide_directories_end() {
    let deep =
        (0..10).map(|number| FilePath::canonical([b"/a".repeat(2040), format!("/{number}").into_bytes()].concat()));
    let deep: Vec<FilePath> = deep.collect();
    assert_eq!(mine(&deep, &Options::default()).templates.len(), 1);
    let wide = paths(numbered(20_000, |number| {
        format!("/a/b/{number}_x{number}/y{}", number % 7)
    }));
    let mined = mine(&wide, &Options::default());
    assert_eq!(templates(&mined), ["/a/b/{number}_x{number}/y{number}"]);
}

#[test]
fn bytes_that_are_no_text_fold_like_others() {
    let all: Vec<FilePath> = (0..9)
        .map(|number| FilePath::canonical([b"/a/\xff{/\xfe*", format!("{number}").as_bytes()].concat()))
        .collect();
    let mined = mine(&all, &Options::default());
    assert_eq!(templates(&mined), [r"/a/\xff\x7b/\xfe*{number}"]);
    assert_eq!(mined.templates[0].members.len(), 9);
}

#[test]
fn templates_that_are_there_stay_and_take_what_they_match() {
    let template: Template = "/srv/a/b/{number}".parse().unwrap();
    let all = paths(["/srv/a/b/1", "/srv/a/b/x"]);
    let mined = mine_with(std::slice::from_ref(&template), &all, &Options::default());
    assert_eq!(templates(&mined), ["/srv/a/b/{number}"]);
    assert_eq!(
        (&mined.templates[0].members, &mined.paths),
        (&vec![&all[0]], &vec![&all[1]])
    );
}
