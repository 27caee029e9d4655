use proptest::prelude::*;

use super::*;

const A: &str = "4f3c2b1a0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e0f9a8b7c6d5e4f3a";
const B: &str = "b00b5a1e0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e0f9a8b7c6d5e4f3a";
const UID: &str = "2f1c9a77-1b0e-4c55-9f0d-3a1b2c3d4e5f";

/// What the table means.
fn fill(template: &str) -> String {
    let filled = template.replace("{A}", A).replace("{B}", B);
    let filled = filled.replace("{a}", &A[..12]).replace("{b}", &B[..12]);
    filled.replace("{UID}", UID).replace("{U_ID}", &UID.replace('-', "_"))
}

/// The table of real paths: the workload's own cgroup, what is below, the workload, the repository.
fn cases() -> impl Iterator<Item = [String; 4]> {
    let lines = include_str!("paths.txt").lines().filter(|line| line.starts_with('/'));
    lines.map(|line| {
        let [path, workload, repository]: [&str; 3] = line.split_whitespace().collect::<Vec<_>>().try_into().unwrap();
        let (own, below) = path.split_once('|').unwrap();
        [own, below, workload, repository].map(fill)
    })
}

fn found(path: &[u8]) -> Found {
    match recognise(path) {
        Recognised::Workload(found) => found,
        other => panic!("{}: {other:?}", text(path)),
    }
}

#[test]
fn every_known_path_names_its_workload() {
    for [own, below, workload, repository] in cases() {
        let path = format!("{own}{below}");
        let found = found(path.as_bytes());
        assert_eq!(found.workload.to_string(), workload, "{path}");
        assert_eq!(found.repository, repository, "{path}");
        assert_eq!(
            String::from_utf8(found.cgroup.clone()).unwrap(),
            own.replace("//", "/"),
            "{path}"
        );
        assert_eq!(found.workload.namespace, HOST, "{path}");
        // Containers have an id of their own; for the others the cgroup stands for it.
        assert_eq!(found.runtime.is_some(), repository.starts_with("unresolved/"), "{path}");
        assert_eq!(found.runtime.is_none(), found.id == text(&found.cgroup), "{path}");
    }
    assert!(cases().count() > 60);
}

#[test]
fn the_full_id_and_the_container_around_are_kept() {
    let inner = found(fill("/docker/{B}/kubelet/kubepods/besteffort/pod{UID}/{A}/x").as_bytes());
    assert_eq!((inner.id.as_str(), inner.outer.as_slice()), (A, &[B.to_owned()][..]));
    assert!(found(fill("/docker/{B}").as_bytes()).outer.is_empty());
    assert_eq!(
        found(fill("/lxc/101/docker/{B}/docker/{A}").as_bytes()).outer,
        ["101", B]
    );
}

#[test]
fn a_container_inside_another_passes_for_none_elsewhere() {
    let paths = [
        "/docker/{A}",
        "/docker/{B}",
        "/docker/{B}/docker/{A}",
        "/docker/{A}/docker/{A}",
    ];
    let all = paths.map(|path| found(fill(path).as_bytes()));
    for (at, one) in all.iter().enumerate() {
        for other in &all[at + 1..] {
            assert_ne!(one.repository, other.repository);
            assert_ne!(one.workload, other.workload);
        }
    }
}

#[test]
fn the_runtimes_own_processes_are_helpers() {
    for path in [
        "/machine.slice/libpod-conmon-{A}.scope",
        "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-conmon-{A}.scope",
        "/libpod_parent/conmon",
        "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{U_ID}.slice/crio-conmon-{A}.scope",
        "/kubepods/besteffort/pod{UID}/crio-conmon-{A}",
        "/lxc.monitor.web1",
        "/lxc.monitor/101",
        "/lxc.monitor.web1/below",
    ] {
        assert_eq!(recognise(fill(path).as_bytes()), Recognised::Helper, "{path}");
    }
}

#[test]
fn what_a_profile_run_learns_is_not_the_machines() {
    for path in [
        "/wardline-run-17-0",
        "/wardline-run-17-0/docker/{A}",
        "/user.slice/wardline-run-17-0/x",
    ] {
        assert_eq!(recognise(fill(path).as_bytes()), Recognised::Helper, "{path}");
    }
    // Nobody hides in a cgroup that is called so.
    for (path, workload) in [
        ("/docker/{A}/wardline-run-17-0", "host/container/{a}"),
        ("/system.slice/a.service/wardline-run-17-0", "host/unit/a.service"),
        ("/mine/wardline-run-17-0/x", "host/cgroup/mine"),
        ("/wardline-run-17-0-mine", "host/cgroup/wardline-run-17-0-mine"),
    ] {
        let found = found(fill(path).as_bytes());
        assert_eq!(found.workload.to_string(), fill(workload), "{path}");
    }
}

#[test]
fn what_only_groups_cgroups_is_no_workload() {
    for path in [
        "",
        "/",
        "/..",
        "/system.slice",
        "/user.slice/user-1000.slice",
        r"/system.slice/system-systemd\x2dfsck.slice",
        "/machine.slice/machine-libpod_pod_{A}.slice",
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{U_ID}.slice",
        "/kubepods/besteffort/pod{UID}",
        "/docker",
        "/lxc",
        "/libpod_parent",
    ] {
        assert_eq!(recognise(fill(path).as_bytes()), Recognised::Group, "{path}");
    }
}

#[test]
fn names_that_only_look_like_ids_are_not_taken_for_containers() {
    let upper = A.to_uppercase();
    for path in [
        format!("/docker/{}", &A[1..]),
        format!("/docker/{A}0"),
        format!("/docker/{upper}"),
        format!("/system.slice/docker-{}.scope", &A[1..]),
        format!("/x/foo{A}"),
        format!("/x/other-{A}"),
        "/mine/default/redis".to_owned(),
        "/machine.slice/machine-.scope".to_owned(),
    ] {
        assert_eq!(found(path.as_bytes()).runtime, None, "{path}");
    }
}

#[test]
fn bytes_that_are_no_text_are_escaped() {
    assert_eq!(found(b"/lxc/\xff\n").workload.to_string(), r"host/container/\xff\n");
    assert_eq!(found(b"/caf\xc3\xa9/\xfe").repository, r"host/cgroup/café/\xfe");
    assert_eq!(
        found(b"/a b\x1b[0m.service").workload.to_string(),
        r"host/cgroup/a b\x1b[0m.service"
    );
    assert_eq!(found(b"/back\\slash").repository, r"host/cgroup/back\\slash");
    // An invalid byte cannot pass for the escape of a unit's name.
    assert_eq!(found(b"/system.slice/a\xffb.service").workload.kind, Kind::Cgroup);
    assert_eq!(found(br"/system.slice/a\xffb.service").workload.kind, Kind::Unit);
}

#[test]
fn a_path_longer_than_any_system_call_takes_is_cut() {
    let container = fill("/docker/{A}");
    let deep = format!("{container}{}", "/d".repeat(100_000));
    assert_eq!(found(deep.as_bytes()), found(container.as_bytes()));
    assert!(found("/x".repeat(100_000).as_bytes()).workload.name.len() <= PATH_BYTES_MAX);
}

proptest! {
    #[test]
    fn any_bytes_are_answered(path in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Recognised::Workload(found) = recognise(&path) {
            prop_assert_eq!(recognise(&found.cgroup), Recognised::Workload(found.clone()));
            prop_assert!(!found.workload.to_string().contains(char::is_control));
        }
    }

    /// Paths of the words that the rules look for, in any order.
    #[test]
    fn any_arrangement_of_known_names_is_answered(words in proptest::collection::vec(
        proptest::sample::select(&[
            "docker", "kubepods", "pod", "lxc", "default", "buildkit", ".scope", ".service", ".slice", "-", ":", "@", "/",
            "libpod", "crio-conmon", "machine-", "lxc.payload.", A, B, UID, "user@1.service", "é", "",
        ][..]), 0..20)) {
        let path = words.concat();
        if let Recognised::Workload(found) = recognise(path.as_bytes()) {
            prop_assert_eq!(recognise(&found.cgroup), Recognised::Workload(found));
        }
    }

    #[test]
    fn a_sub_cgroup_of_a_container_is_the_same_container(
        case in proptest::sample::select(cases().filter(|case| case[3].starts_with("unresolved/")).collect::<Vec<_>>()),
        below in proptest::collection::vec("[a-k_]{1,12}(\\.(service|scope|slice))?", 1..6),
    ) {
        let own = case[0].as_bytes();
        let path = [own, b"/", below.join("/").as_bytes()].concat();
        prop_assert_eq!(recognise(&path), recognise(own));
    }
}
