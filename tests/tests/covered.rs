//! A window that ends when enough was seen: by itself, and not before, and not in silence where that cannot be.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

use std::sync::atomic::{AtomicU32, Ordering};

use end_to_end::kubelet::{Container, NODE, bare, end, learn, pulled, spec_of};
use end_to_end::{Running, Scratch, StubServer, baselines};
use serde_json::json;

/// What the image of these tests is called.
const IMAGE: &str = "web";
/// As little as can be asked for, but for the share: the fewest starts that can prove it are two.
const FEW: [&str; 7] = [
    "--until-covered=0.9",
    "--coverage-held=0h",
    "--coverage-starts=3",
    "--coverage-dates=1",
    "--coverage-looks=1s",
    "--startup=1s",
    "--namespace=production",
];
/// How often a container does what it does, half a second apart: at first while it starts up.
const TIMES: usize = 12;

/// Starts a container of a pod of a workload of its own: those of one workload that start together are one start.
fn run(server: &StubServer, files: &[String]) -> Container {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let mut pod = bare("production", &format!("web-{number}"));
    pod["spec"] = spec_of(IMAGE);
    pod["spec"]["nodeName"] = NODE.into();
    pod["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "apps/v1", "kind": "StatefulSet", "name": format!("web-{number}"), "controller": true,
        "uid": format!("57a7ef00-0000-4000-9000-{number:012x}"),
    }]);
    pod["metadata"]["uid"] = format!("c0e2ed00-0000-4000-9000-{:06x}{number:06x}", std::process::id()).into();
    let steps = files
        .iter()
        .map(|file| ["open", file, "1", "1", "then", "sleep", "500"]);
    let container = Container::doing(&pod, &steps.collect::<Vec<_>>().join(&"then"));
    pod["status"] = json!({"phase": "Running", "containerStatuses": [container.status(IMAGE, &pulled(IMAGE))]});
    server.apply(pod);
    container
}

/// The same file again and again.
fn alike(scratch: &Scratch) -> Vec<String> {
    vec![scratch.file("opened", "").to_str().unwrap().to_owned(); TIMES]
}

/// Files that nobody else opens, with names of letters: they are no numbers that a pattern could stand for.
fn unlike(scratch: &Scratch, container: u8) -> Vec<String> {
    let letter = |at: usize| char::from(b'a' + u8::try_from(at).unwrap());
    let name = |at: usize| format!("page{}{}", letter(container.into()), letter(at));
    let files = (0..TIMES).map(|at| scratch.file(&name(at), ""));
    files.map(|file| file.to_str().unwrap().to_owned()).collect()
}

/// Starts a window, with these options beside [`FEW`].
fn window(server: &StubServer, scratch: &Scratch, options: &[&str]) -> Running {
    learn(scratch, &server.kubeconfig(), &[&FEW, options].concat())
}

fn end_reason(scratch: &Scratch) -> String {
    scratch.status()["windows"][0]["endReason"].as_str().unwrap().to_owned()
}

#[test]
fn a_window_ends_by_itself_when_enough_was_seen() {
    let (server, scratch) = (StubServer::start(), Scratch::new());
    let recorder = window(&server, &scratch, &["--for=10m"]);
    let files = alike(&scratch);
    let containers = [(); 3].map(|()| run(&server, &files));
    let done = recorder.finish();
    assert_eq!(done.code(), 0, "{done}");
    assert_eq!(end_reason(&scratch), "covered", "{done}");
    assert!(done.stderr.contains("coverage: 1 of 1 images are ready"), "{done}");
    assert!(done.stderr.contains("enough was seen of every image"), "{done}");
    drop(containers);
}

#[test]
fn a_window_goes_on_while_containers_do_what_none_did_before() {
    let (server, scratch) = (StubServer::start(), Scratch::new());
    let mut recorder = window(&server, &scratch, &[]);
    let containers = [0, 1, 2].map(|container| run(&server, &unlike(&scratch, container)));
    recorder.wait_for("the first of them", |recorder| {
        recorder.stderr().contains("is learning")
    });
    recorder.wait_for("what all of them open", |_| {
        let opened = |path: &[u8]| path.windows(5).any(|part| part == b"/page");
        let opens = baselines(scratch.recording())
            .into_iter()
            .flat_map(|baseline| baseline.behaviours.open);
        opens.filter(|open| opened(open.path.as_bytes())).count() == TIMES * containers.len()
    });
    // As many starts as those that were enough where they were alike; it is looked at again and again.
    let looked = |recorder: &Running| recorder.stderr().matches("0 of 1 images ready").count();
    let before = looked(&recorder);
    recorder.wait_for("more looks", |recorder| looked(recorder) > before + 1);
    let said = end(recorder);
    assert!(said.contains("coverage: 0 of 1 images are ready"), "{said}");
    assert_eq!(end_reason(&scratch), "interrupted", "{said}");
    drop(containers);
}

#[test]
fn a_window_that_lost_something_says_once_that_it_goes_on_until_its_time_is_over() {
    let (server, scratch) = (StubServer::start(), Scratch::new());
    // Less than a program opens to start.
    let options = ["--for=40s", "--behaviours-per-container=2"];
    let recorder = window(&server, &scratch, &options);
    let files = alike(&scratch);
    let containers = [(); 3].map(|()| run(&server, &files));
    let done = recorder.finish();
    assert_eq!(done.code(), 0, "{done}");
    assert_eq!(end_reason(&scratch), "completed", "{done}");
    let warnings: Vec<&str> = done
        .stderr
        .lines()
        .filter(|line| line.contains("cannot end by coverage"))
        .collect();
    let [warning] = warnings[..] else {
        panic!("{warnings:#?} in {done}");
    };
    assert!(warning.contains(&format!("shop/{IMAGE}:1.4")), "{warning}");
    assert!(warning.contains("is lossy: something was lost"), "{warning}");
    drop(containers);
}
