//! What some namespaces' containers are of a recording.

use super::merges::{content, in_shop, lost, merged, part};
use super::*;
use crate::analysis::baselines;
use crate::document;
use crate::loss::Reason;
use crate::testing::{node, observation, window};

/// Two windows with a container in the namespace `host` and one in `shop`.
fn recorded(folder: &Folder) -> PathBuf {
    let path = folder.recording();
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    for (start, opened) in [(0, ["/a", "/b"]), (1000, ["/a", "/c"])] {
        let id = writer.start_window(&window(seconds(start))).unwrap();
        let lost = |cgroup_id, count| Loss {
            cgroup_id,
            reason: Reason::MapFull,
            count,
            first_seen: seconds(start),
            last_seen: seconds(start),
        };
        let seen = Flush {
            at: seconds(start + 60),
            containers: vec![container(1, "app"), in_shop(container(2, "web"))],
            observations: vec![
                observation(1, "/app", seconds(start)),
                observation(2, opened[0], seconds(start)),
                observation(2, opened[1], seconds(start + 1)),
            ],
            losses: vec![lost(Some(1), 5), lost(Some(2), 7), lost(None, 11)],
            ..Flush::default()
        };
        writer.flush(id, &seen).unwrap();
        writer
            .end_window(id, &EndReason::Completed, seconds(start + 61))
            .unwrap();
    }
    path
}

#[test]
fn a_part_has_what_one_namespace_did_and_lost_and_nothing_of_others() {
    let folder = Folder::new();
    let path = recorded(&folder);
    let whole = summary(&path);
    let shop = summary(&part(&path, "shop", "shop.db"));
    let source = &shop.sources[0];
    assert_eq!(
        (source.id, source.revision),
        (whole.sources[0].id.part("shop"), whole.sources[0].revision)
    );
    let expected = Part {
        whole: whole.sources[0].id,
        namespace: "shop".to_owned(),
    };
    assert_eq!((source.part.as_ref(), source.is_own), (Some(&expected), false));
    let names: Vec<_> = shop
        .containers
        .iter()
        .map(|seen| seen.container.image.repository.as_str())
        .collect();
    assert_eq!((names, shop.behaviours), (vec!["web"], 3));
    // Its own losses, and those that can be anybody's.
    let lost: Vec<_> = shop.losses.iter().map(|loss| (loss.cgroup_id, loss.count)).collect();
    assert_eq!(lost, [(None, 11 * 2), (Some(2), 7 * 2)]);
    let counted: Vec<_> = shop
        .windows
        .iter()
        .map(|window| (window.observations, window.new_behaviours))
        .collect();
    assert_eq!(counted, [(2, 2), (2, 1)]);
    let text = fs_text(&folder.0.path().join("shop.db"));
    assert!(!text.contains("/app") && !text.contains("unit-1"));
}

/// What anybody finds in the file who looks for text.
fn fs_text(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
}

#[test]
fn parts_add_up_to_the_whole_and_the_whole_replaces_them() {
    let folder = Folder::new();
    let path = recorded(&folder);
    let [host, shop] = ["host", "shop"].map(|name| part(&path, name, &format!("{name}.db")));
    let both = folder.0.path().join("both.db");
    extract(&path, &["shop".to_owned(), "host".to_owned()], &both, false).unwrap();
    let file = |name: &str| folder.0.path().join(name);
    // However they were taken, and how often.
    let parts = merged(&[host.clone(), shop.clone()], file("parts.db"));
    assert_eq!(
        content(&parts),
        content(&merged(&[both, shop.clone()], file("again.db")))
    );
    let behaviours = |files: &[PathBuf]| -> Vec<String> {
        let documents = baselines(files).unwrap();
        documents
            .iter()
            .map(|baseline| {
                document::to_yaml(baseline)
                    .split("behaviours:")
                    .nth(1)
                    .unwrap()
                    .to_owned()
            })
            .collect()
    };
    assert_eq!(
        behaviours(std::slice::from_ref(&parts)),
        behaviours(std::slice::from_ref(&path))
    );
    let report = merge(&[parts.clone(), path.clone()], &file("all.db"), false, |_, _| {}).unwrap();
    assert_eq!(
        content(&file("all.db")),
        content(&merged(std::slice::from_ref(&path), file("whole.db")))
    );
    assert_eq!(report.sources[0].replaced.len(), 2, "{report:?}");
    assert_eq!(behaviours(&[parts, path.clone()]), behaviours(&[path]));
}

#[test]
fn a_namespace_that_nobody_was_seen_of_has_an_empty_part_and_parts_have_none() {
    let folder = Folder::new();
    let path = recorded(&folder);
    let empty = part(&path, "nobody", "empty.db");
    let told = summary(&empty);
    assert_eq!((told.windows.len(), told.containers.len(), told.behaviours), (2, 0, 0));
    let error = extract(&empty, &["shop".to_owned()], &folder.0.path().join("never.db"), false).unwrap_err();
    assert!(error.to_string().contains("has no parts"), "{error}");
    assert!(!folder.0.path().join("never.db").exists());
}

#[test]
fn a_lost_recording_says_so_until_as_much_of_it_turns_up() {
    let folder = Folder::new();
    let path = recorded(&folder);
    let file = |name: &str| folder.0.path().join(name);
    let shop = part(&path, "shop", "shop.db");
    let Summary { sources, .. } = summary(&path);
    let (id, revision) = (sources[0].id, sources[0].revision);
    let told = |revision, why: &str| {
        let out = file(&format!("lost-{revision}-{why}.db"));
        write_lost(&lost(id, None, revision, why), &out).unwrap();
        out
    };
    let said = told(revision, "node n1 was lost before");
    let missing = summary(&said).windows[0].uncounted_losses().unwrap();
    assert!(missing.contains("node n1 was lost before"), "{missing}");
    assert_eq!(summary(&said).sources[0].lost, Some(id));
    // A part is not the whole, and an early copy is not what was there in the end.
    let kept = merged(&[said.clone(), shop], file("kept.db"));
    assert_eq!(summary(&kept).sources.len(), 2);
    let later = told(revision + 1, "later");
    let early = summary(&merged(&[later.clone(), path.clone()], file("early.db")));
    assert!(early.sources.iter().any(|source| source.lost == Some(id)));
    // The last word counts, once.
    let words = merged(&[later, said, told(revision, "again")], file("words.db"));
    assert_eq!(summary(&words).sources.len(), 1);
    assert_eq!(summary(&words).sources[0].revision, revision + 1);
    let all = merged(&[kept, path.clone()], file("all.db"));
    assert_eq!(content(&all), content(&merged(&[path], file("whole.db"))));
}
