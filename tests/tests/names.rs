//! DNS names: what a container asked for when it got an address, whoever answered it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

#[path = "../guest/names.rs"]
mod names;

use std::path::Path;
use std::process::Command;

use end_to_end::{Scratch, finish, profile, profile_run};

use crate::names::{learned, names, names_are_seen};

#[test]
fn a_connection_has_the_name_that_was_asked_for_before_it() {
    names_are_seen();
}

#[test]
fn names_are_hidden_as_others_are_and_not_looked_at_when_they_are_not_wanted() {
    let hidden = Scratch::new();
    let done = learned(&hidden, &["--redact", "DB"]);
    assert_eq!(done.code(), 0, "{done}");
    let names_of = |scratch: &Scratch| names(&scratch.baseline("shop/web"));
    assert_eq!(names_of(&hidden)[&2][0].1.as_deref(), Some("[redacted].example"));

    let off = Scratch::new();
    let done = learned(&off, &["--no-dns"]);
    assert_eq!(done.code(), 0, "{done}");
    assert!(names_of(&off).values().all(Vec::is_empty));
    let status = off.status();
    assert_eq!(status["windows"][0]["dnsNames"], "off");
    assert!(!done.stderr.contains("DNS"), "{done}");
}

#[test]
fn where_names_cannot_be_seen_recording_goes_on_and_says_so() {
    let scratch = Scratch::new();
    let without = ["setpriv", "--bounding-set", "-net_admin"];
    // The command may do no more than we: it cannot make its network.
    let run = profile_run(scratch.recording(), "shop/web", &[], ["/bin/true"]);
    let done = finish(
        Command::new(without[0])
            .args(&without[1..])
            .arg(run.get_program())
            .args(run.get_args()),
    );
    assert_eq!(done.code(), 0, "{done}");
    let why = "this process has no CAP_NET_ADMIN";
    let warning = format!("warning: DNS names of whom containers reach are not seen: {why}");
    assert_eq!(done.stderr.matches(&warning).count(), 1, "{done}");
    let window = &scratch.status()["windows"][0];
    assert_eq!(
        (&window["dnsNames"], &window["dnsNamesUnseen"]),
        (&"unseen".into(), &why.into())
    );
    assert!(!scratch.baseline("shop/web").behaviours.exec.is_empty());
    let doctor = finish(
        Command::new(without[0])
            .args(&without[1..])
            .arg(profile().get_program())
            .arg("doctor"),
    );
    let line = doctor.stdout.lines().find(|line| line.contains("DNS names")).unwrap();
    assert!(
        line.contains(" no ") && (line.contains(why) || line.contains("hierarchy")),
        "{line}"
    );

    if Path::new("/sys/fs/cgroup/memory/tasks").exists() {
        let done = finish(&mut end_to_end::profile_start(
            scratch.recording(),
            &["--hierarchy", "memory", "--for", "100ms"],
        ));
        assert_eq!(done.code(), 0, "{done}");
        assert!(done.stderr.contains("sockets only by the unified one"), "{done}");
    }
}
