//! What holds for every set of paths, and whatever is denied.

use baselines::path::{FilePath, Origin};
use baselines::templates::sensitive;
use generator::policy::{Forbidden, Input};
use proptest::prelude::*;

use super::{Admits, compile, input, learned, paths};

/// Paths that have much in common, some sensitive.
fn path() -> impl Strategy<Value = FilePath> {
    let name = prop_oneof![
        4 => "[0-9]{1,3}",
        3 => "job-[0-9]{1,2}(\\.log)?",
        2 => "[0-9a-f]{8}",
        2 => "tmp[a-z0-9]{6}",
        1 => "2024-0[1-9]-1[0-9]",
        2 => prop::sample::select(vec!["token", "id_rsa", ".ssh", "a", "b", "status", "list", "x.key"]).prop_map(str::to_owned),
    ];
    let start = prop::sample::select(vec!["/proc", "/tmp", "/srv/app", "/srv/app/a", "/home/ada", "/var/log"]);
    (start, prop::collection::vec(name, 1..4))
        .prop_map(|(start, names)| FilePath::canonical(format!("{start}/{}", names.join("/")).into_bytes()))
}

/// Enough of one shape that something folds.
fn many() -> impl Strategy<Value = Vec<FilePath>> {
    let shape = prop::sample::select(vec![
        "/srv/app/job-#.log",
        "/tmp/#",
        "/proc/#/status",
        "/srv/app/a/#/list",
        "/home/ada/#",
    ]);
    let numbers = prop::collection::btree_set(1..400_u32, 0..12);
    let shapes = prop::collection::vec((shape, numbers), 0..4).prop_map(|shapes| {
        let all = shapes.into_iter();
        let all =
            all.flat_map(|(shape, numbers)| numbers.into_iter().map(move |it| shape.replace('#', &it.to_string())));
        paths(all)
    });
    (shapes, prop::collection::vec(path(), 0..30)).prop_map(|(shapes, paths)| [shapes, paths].concat())
}

/// Now and then one that is not known as a whole, or of a file without a name.
fn any_path() -> impl Strategy<Value = FilePath> {
    let origin = prop_oneof![12 => Just(Origin::Canonical), 1 => prop::sample::select(&Origin::ALL[..])];
    (path(), origin).prop_map(|(path, origin)| FilePath::new(path.as_bytes(), origin))
}

fn ruling() -> impl Strategy<Value = Forbidden> {
    prop::sample::select(vec![Forbidden::Denied, Forbidden::Undecided])
}

proptest! {
    #[test]
    fn all_that_was_learned_and_nothing_that_is_denied_is_admitted(
        seen in many(),
        denied in prop::collection::btree_map(any_path(), ruling(), 0..4),
        picked in prop::collection::vec(any::<prop::sample::Index>(), 0..2),
        others in prop::collection::vec(path(), 0..40),
        exec in prop::collection::vec(path(), 0..2),
        max_price in prop::option::of(0..30_u64),
    ) {
        // Some of what is denied was seen, and taken out as `generate policies` does.
        let mut forbidden = denied;
        if !seen.is_empty() {
            forbidden.extend(picked.iter().map(|index| (index.get(&seen).clone(), Forbidden::Denied)));
        }
        let (kept, gone): (Vec<FilePath>, Vec<FilePath>) = seen.into_iter()
            .partition(|path| forbidden.get(path) != Some(&Forbidden::Denied));
        prop_assume!(!kept.is_empty());
        // Templates were mined before anybody decided.
        let exec: Vec<FilePath> = exec.into_iter().filter(|path| !forbidden.contains_key(path)).collect();
        let mut baseline = learned(&[kept.clone(), gone.clone()].concat(), &exec, &others);
        baseline.behaviours.open.retain(|open| !gone.contains(&open.path));
        let with = compile(&Input { forbidden: forbidden.clone(), max_price, ..input(&baseline) });
        baseline.templates.clear();
        let without = compile(&Input { forbidden: forbidden.clone(), max_price, ..input(&baseline) });
        let (with, without) = (Admits::opens(&with), Admits::opens(&without));

        prop_assert!(without.beginnings.is_empty() && without.ends.is_empty());
        for path in &kept {
            prop_assert!(with.path(path), "{path} was learned");
            prop_assert!(without.path(path));
        }
        for path in &exec {
            prop_assert!(with.path(path) && !with.by_part(path), "{path} is executed");
        }
        for (path, why) in forbidden.iter().filter(|(path, _)| path.origin() == Origin::Canonical) {
            prop_assert!(!with.by_part(path), "{path}: {why:?}");
            prop_assert!(*why == Forbidden::Undecided || !with.path(path), "{path} is denied");
        }
        for path in others.iter().chain(&kept).chain(&gone) {
            prop_assert!(!without.path(path) || with.path(path), "{path} is admitted without templates only");
            prop_assert!(sensitive(path).is_none() || !with.by_part(path), "{path} is sensitive");
        }
        if max_price == Some(0) {
            for path in &others {
                prop_assert!(!with.by_part(path) || kept.contains(path) || gone.contains(path), "{path} costs something");
            }
        }
    }
}
