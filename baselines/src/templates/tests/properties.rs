//! What must hold for every set of paths.

use proptest::collection::vec;
use proptest::prelude::*;

use super::paths;
use crate::path::FilePath;
use crate::templates::sensitive::{Guard, is_guarded};
use crate::templates::{Corpus, Mined, Options, SENSITIVE, Template, TemplateSet, mine, mine_with, sensitive};

/// Paths that have much in common, made of what folds and what does not.
fn path() -> impl Strategy<Value = FilePath> {
    let name = prop_oneof![
        3 => "[0-9]{1,3}",
        2 => "[ab][0-9]{1,2}(-[0-9])?",
        2 => "[0-9a-f]{2}",
        2 => "[0-9a-f]{8}",
        1 => "[0-9][0-9a-f]{7}",
        1 => "(tmp|php)[a-z0-9]{6}",
        1 => "web-[bcdf24]{6}-[xz79]{5}",
        1 => "2024-0[1-9]-1[0-9]",
        1 => "[1-3]\\.[0-9]\\.[0-9]",
        2 => prop::sample::select(vec!["proc", "tmp", "task", "token", "environ", "id_rsa", ".ssh", "a", "b", "a.b", "x.key", "{", "*"])
            .prop_map(str::to_owned),
    ];
    let start = prop::sample::select(vec!["", "/proc", "/tmp", "/a/b", "/a/b/c", "/etc/ssl", "/usr/bin"]);
    let odd = crate::testing::paths();
    let usual = (start, vec(name, 1..5))
        .prop_map(|(start, names)| FilePath::canonical(format!("{start}/{}", names.join("/")).into_bytes()));
    prop_oneof![20 => usual, 1 => odd]
}

/// Paths that an entry of the list has, with some characters changed.
fn near_sensitive() -> impl Strategy<Value = String> {
    let entry = prop::sample::select(SENSITIVE.to_vec());
    let name = prop_oneof!["[0-9]{1,4}", "[a-z]{2}[0-9]", "[0-9a-f]{8}", "a"];
    let changes = vec((any::<prop::sample::Index>(), "[0-9a-z]{1,2}"), 0..4);
    (entry, name, vec("[a-z0-9]{1,7}", 0..3), changes).prop_map(|(entry, name, start, changes)| {
        let many = [start.join("/"), String::new()].join("/");
        let path = entry
            .pattern
            .replace("**/", many.trim_start_matches('/'))
            .replace('*', &name);
        let mut path = if path.starts_with('/') {
            path
        } else {
            format!("/srv/x/{}{path}", many.trim_start_matches('/'))
        };
        for (index, text) in changes {
            let at = index.index(path.len());
            if path.get(at..=at).is_some_and(|old| old != "/") {
                path.replace_range(at..=at, &text);
            }
        }
        path
    })
}

fn options() -> impl Strategy<Value = Options> {
    (1..5_usize, 1..4_usize, 1..4_usize, 1..5_usize).prop_map(|(numbers, unique, pids, depth)| Options {
        numbers,
        unique,
        pids,
        depth,
    })
}

fn template_of(mined: &Mined) -> Vec<Template> {
    mined.templates.iter().map(|found| found.template.clone()).collect()
}

/// Templates made of anything.
fn template() -> impl Strategy<Value = Template> {
    let wildcard = prop::sample::select(vec![
        "{number}",
        "{pid}",
        "{version}",
        "{date}",
        "{timestamp}",
        "{uuid}",
        "{hex:2}",
        "{hex:64}",
        "{pod-hash}",
        "{pod-suffix}",
        "{random:6}",
    ]);
    let literal = vec(any::<u8>(), 1..6).prop_map(|bytes| {
        let text = FilePath::canonical(bytes).to_text();
        text.replace('/', "_")
            .replace(r"\x00", "_")
            .replace('{', r"\x7b")
            .replace('}', r"\x7d")
    });
    let token = prop_oneof![wildcard.prop_map(str::to_owned), literal];
    let component = vec(token, 1..4).prop_map(|tokens| tokens.concat());
    vec(component, 0..5).prop_filter_map("a name is . or ..", |names| {
        format!("/{}", names.join("/")).parse().ok()
    })
}

proptest! {
    #[test]
    fn every_path_is_kept_and_a_template_matches_its_members(all in vec(path(), 0..120), options in options()) {
        let mined = mine(&all, &options);
        let mut kept: Vec<&FilePath> = mined.paths.clone();
        for found in &mined.templates {
            prop_assert!(!found.members.is_empty() && !found.template.is_literal());
            for member in &found.members {
                prop_assert!(found.template.matches(member), "{} {member}", found.template);
                prop_assert!(found.template.covers(&Template::of_path(member).unwrap()));
            }
            kept.extend(&found.members);
        }
        let mut all: Vec<&FilePath> = all.iter().collect();
        all.sort();
        all.dedup();
        kept.sort();
        prop_assert_eq!(kept, all);
    }

    #[test]
    fn generalising_twice_changes_nothing(all in vec(path(), 0..120), options in options()) {
        let mined = mine(&all, &options);
        let templates = template_of(&mined);
        let again = mine_with(&templates, mined.paths.iter().copied(), &options);
        prop_assert_eq!(template_of(&again), templates.clone());
        prop_assert_eq!(&again.paths, &mined.paths);
        // Nor does it with all paths once more.
        let again = mine_with(&templates, &all, &options);
        prop_assert_eq!(template_of(&again), templates);
        prop_assert_eq!(&again.paths, &mined.paths);
    }

    #[test]
    fn more_paths_never_narrow(all in vec(path(), 0..120), more in vec(path(), 0..60), others in vec(path(), 0..60), options in options()) {
        let before = mine(&all, &options);
        let after = mine(all.iter().chain(&more), &options);
        for path in all.iter().chain(&others) {
            let matches = |mined: &Mined| mined.templates.iter().any(|found| found.template.matches(path));
            prop_assert!(!matches(&before) || matches(&after), "{path}");
        }
    }

    #[test]
    fn the_order_of_paths_does_not_matter(all in vec(path(), 0..120).prop_shuffle(), options in options()) {
        let mut sorted = all.clone();
        sorted.sort();
        let [ours, theirs] = [&all, &sorted].map(|paths| {
            let mut mined = mine(paths, &options);
            mined.paths.sort();
            mined.templates.iter_mut().for_each(|found| found.members.sort());
            mined
        });
        prop_assert_eq!(ours, theirs);
    }

    /// What is sensitive is matched only by templates that were made of nothing else.
    #[test]
    fn no_template_reaches_a_sensitive_path(all in vec(path(), 0..120), others in vec(path(), 0..120), options in options()) {
        let mined = mine(&all, &options);
        for found in &mined.templates {
            let reaches = others.iter().any(|path| sensitive(path).is_some() && found.template.matches(path));
            prop_assert!(!reaches || found.members.iter().all(|member| sensitive(member).is_some()), "{}", found.template);
        }
    }

    /// What spares most paths the closer look never spares one that needs it.
    #[test]
    fn a_quick_look_finds_all_that_a_closer_one_does(path in near_sensitive(), depth in 2..5_usize) {
        let directory = path.rsplit_once('/').unwrap().0.as_bytes();
        let quick = Guard::of_directory(directory, depth).is_guarded(path.as_bytes(), depth);
        prop_assert_eq!(quick, is_guarded(path.as_bytes(), depth), "{}", path);
    }

    #[test]
    fn every_template_survives_text(template in template()) {
        prop_assert_eq!(template.to_string().parse::<Template>(), Ok(template));
    }

    #[test]
    fn a_set_finds_what_its_templates_match(all in vec(path(), 0..80), others in vec(path(), 0..40), more in vec(template(), 0..5)) {
        let mined = mine(&all, &Options { numbers: 2, unique: 2, ..Options::default() });
        let mut templates = template_of(&mined);
        templates.extend(more);
        templates.sort();
        templates.dedup();
        let set = TemplateSet::new(&templates);
        for path in all.iter().chain(&others) {
            let one_by_one: Vec<usize> = (0..templates.len()).filter(|index| templates[*index].matches(path)).collect();
            prop_assert_eq!(set.matching(path), one_by_one);
        }
    }

    #[test]
    fn what_a_policy_compares_admits_all_that_a_template_matches(all in vec(path(), 0..120), options in options(), more in vec(template(), 0..5)) {
        let templates: Vec<Template> = template_of(&mine(&all, &options)).into_iter().chain(more).collect();
        for template in &templates {
            let best = template.operators();
            prop_assert!(template.compilations().contains(&best));
            for compiled in template.compilations() {
                let admits = all.iter().filter(|path| template.matches(path)).all(|path| compiled.operator.admits(path));
                prop_assert!(admits, "{template}: {}", compiled.operator);
                prop_assert!(!compiled.operator.value().is_empty());
            }
        }
    }

    #[test]
    fn prices_are_what_counting_gives(own in vec(path(), 0..60), others in vec(path(), 0..60), options in options()) {
        let mined = mine(&own, &options);
        let templates = template_of(&mined);
        let corpus = Corpus::new(&own, &others);
        let mut unused: Vec<&FilePath> = others.iter().filter(|path| Template::of_path(path).is_some() && !own.contains(path)).collect();
        unused.sort();
        unused.dedup();
        for (template, price) in templates.iter().zip(corpus.prices(&templates)) {
            let count = |admits: &dyn Fn(&FilePath) -> bool| unused.iter().filter(|path| admits(path)).count() as u64;
            prop_assert_eq!(price.template.admitted, count(&|path| template.matches(path)));
            prop_assert_eq!(price.policy.admitted, count(&|path| price.compiled.operator.admits(path)));
            let is_sensitive = |path: &FilePath| price.compiled.operator.admits(path) && sensitive(path).is_some();
            prop_assert_eq!(price.policy.sensitive_count, count(&is_sensitive));
            prop_assert!(price.policy.admitted >= price.template.admitted);
        }
    }
}

#[test]
fn nothing_comes_of_nothing() {
    assert_eq!(mine(&[], &Options::default()), Mined::default());
    assert_eq!(mine(&paths(["/"]), &Options::default()).paths.len(), 1);
}
