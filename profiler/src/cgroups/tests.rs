use std::process::{Command, Stdio};
use std::time::Duration;

use super::mounts::{distinct, hierarchies, path_in};
use super::*;

const V2: Kind = Kind::V2;
const MEMORY: Kind = Kind::V1 {
    controller: Controller::Memory,
};
const PIDS: Kind = Kind::V1 {
    controller: Controller::Pids,
};
const CPU: Kind = Kind::V1 {
    controller: Controller::Cpu,
};
const CPUACCT: Kind = Kind::V1 {
    controller: Controller::Cpuacct,
};

/// Kind, mount point and root of the mount of every hierarchy in a mountinfo.
fn parsed(mountinfo: &str) -> Vec<(Kind, String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    distinct(hierarchies(mountinfo.as_bytes()))
        .into_iter()
        .map(|found| {
            (
                found.kind,
                text(found.mount_point.as_os_str().as_bytes()),
                text(&found.root_of_mount),
            )
        })
        .collect()
}

#[test]
fn hierarchies_are_found_in_real_mount_tables() {
    let unified = "\
24 29 0:22 / /proc rw,nosuid - proc proc rw
33 23 0:28 / /sys/fs/cgroup rw,nosuid,nodev,noexec shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
";
    assert_eq!(parsed(unified), [(V2, "/sys/fs/cgroup".into(), "/".into())]);

    let hybrid = "\
31 23 0:28 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755
32 31 0:29 / /sys/fs/cgroup/unified rw shared:7 master:1 - cgroup2 cgroup2 rw
34 31 0:31 / /sys/fs/cgroup/systemd rw shared:8 - cgroup cgroup rw,xattr,name=systemd
38 31 0:35 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct
39 31 0:36 / /sys/fs/cgroup/memory rw shared:10 - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/cpuset rw shared:11 - cgroup cgroup rw,cpuset
";
    assert_eq!(
        parsed(hybrid),
        [
            (V2, "/sys/fs/cgroup/unified".into(), "/".into()),
            (CPU, "/sys/fs/cgroup/cpu,cpuacct".into(), "/".into()),
            (CPUACCT, "/sys/fs/cgroup/cpu,cpuacct".into(), "/".into()),
            (MEMORY, "/sys/fs/cgroup/memory".into(), "/".into()),
        ]
    );

    let in_a_container = "\
1 2 0:29 /docker/4f3c /sys/fs/cgroup/memory ro master:10 - cgroup cgroup rw,memory
3 2 0:29 / /host/sys/fs/cgroup/memory ro - cgroup cgroup rw,memory
4 2 0:30 /.. /sys/fs/cgroup/pids ro - cgroup cgroup rw,pids
";
    assert_eq!(
        parsed(in_a_container),
        [
            (MEMORY, "/host/sys/fs/cgroup/memory".into(), "/".into()),
            (PIDS, "/sys/fs/cgroup/pids".into(), "/..".into())
        ]
    );

    let odd_name = "1 2 0:3 / /mnt/a\\040b\\134c\\011\\477 rw - cgroup2 none rw\n";
    assert_eq!(parsed(odd_name), [(V2, "/mnt/a b\\c\t\\477".into(), "/".into())]);
}

#[test]
fn damaged_mount_tables_are_no_hierarchies() {
    for text in [
        "",
        "\n\n",
        "1 2 3",
        "1 2 0:3 / /x rw",
        "1 2 0:3 / /x rw -",
        "1 2 0:3 / /x rw - cgroup2",
        "- - - -",
        "\0",
    ] {
        assert_eq!(parsed(text), [], "{text:?}");
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_parsed(text in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        let _ = hierarchies(&text);
        let _ = path_in(&text, V2);
    }
}

#[test]
fn a_process_is_found_in_each_hierarchy() {
    let text =
        b"12:pids:/user.slice\n5:cpu,cpuacct:/a:b\n4:memory:/\n1:name=systemd:/init.scope\n0::/gone.scope (deleted)\n";
    let cases: [(Kind, Option<&[u8]>); 5] = [
        (V2, Some(b"/gone.scope")),
        (PIDS, Some(b"/user.slice")),
        (CPUACCT, Some(b"/a:b")),
        (MEMORY, Some(b"/")),
        (
            Kind::V1 {
                controller: Controller::Devices,
            },
            None,
        ),
    ];
    for (kind, path) in cases {
        assert_eq!(path_in(text, kind).as_deref(), path, "{kind:?}");
    }
}

/// A folder that looks like a hierarchy in which the given cgroups exist.
fn fake(kind: Kind, cgroups: &[&str]) -> (tempfile::TempDir, Hierarchy) {
    let folder = tempfile::tempdir().unwrap();
    for cgroup in cgroups {
        fs::create_dir_all(folder.path().join(cgroup)).unwrap();
    }
    let mount_point = folder.path().to_owned();
    (
        folder,
        Hierarchy {
            kind,
            mount_point,
            root_of_mount: b"/".to_vec(),
        },
    )
}

#[test]
fn a_walk_lists_parents_first_and_follows_no_links() {
    let (folder, hierarchy) = fake(V2, &["a", "a/b", "c"]);
    std::os::unix::fs::symlink("/", folder.path().join("link")).unwrap();
    let walk = hierarchy.walk().unwrap();
    let mut paths: Vec<_> = walk
        .cgroups
        .iter()
        .map(|cgroup| String::from_utf8(cgroup.path.clone()).unwrap())
        .collect();
    assert_eq!(paths[0], "/");
    assert_eq!(paths[3], "/a/b");
    paths.sort();
    assert_eq!(paths, ["/", "/a", "/a/b", "/c"]);
    assert!(walk.complete);
}

#[test]
fn paths_outside_of_the_mount_are_not_visible() {
    let (folder, mut hierarchy) = fake(V2, &["x"]);
    hierarchy.root_of_mount = b"/docker/4f3c".to_vec();
    assert_eq!(hierarchy.directory_of(b"/docker/4f3c").unwrap(), folder.path());
    assert_eq!(
        hierarchy.directory_of(b"/docker/4f3c/x").unwrap(),
        folder.path().join("x")
    );
    for path in ["/", "/docker", "/docker/4f3cd", "/docker/4f3c/../b", "/docker/4f3c/.."] {
        let error = hierarchy.id_of(path.as_bytes()).unwrap_err();
        assert!(matches!(error, CgroupError::NotVisible { .. }), "{path}: {error}");
    }
    hierarchy.root_of_mount = b"/".to_vec();
    assert_eq!(hierarchy.directory_of(b"/").unwrap(), folder.path());
    assert_eq!(hierarchy.directory_of(b"/../x"), None);
}

#[test]
fn errors_say_what_to_do() {
    use miette::Diagnostic as _;
    for (number, word) in [
        (libc::EROFS, "privileged container"),
        (libc::EACCES, "run as root"),
        (libc::EPERM, "run as root"),
    ] {
        let error = at("create", "/sys/fs/cgroup/x")(io::Error::from_raw_os_error(number));
        assert!(error.to_string().contains("create /sys/fs/cgroup/x"), "{error}");
        assert!(error.help().unwrap().to_string().contains(word), "{error}");
    }
}

/// The hierarchies of this machine in which we may make cgroups. Not every machine that runs the tests has one.
fn writable() -> Vec<Hierarchy> {
    let hierarchies = mounted().unwrap();
    let writable: Vec<_> = hierarchies
        .into_iter()
        .filter(|hierarchy| hierarchy.create_for_run().is_ok())
        .collect();
    if writable.is_empty() {
        eprintln!("skipped: no cgroup hierarchy can be written to (not root, or in a container)");
    }
    writable
}

/// A process that joined the cgroup and then became `sh -c script`.
fn spawn_in(cgroup: &OwnedCgroup, script: &str) -> std::process::Child {
    let entrance = cgroup.directory().join("cgroup.procs");
    let script = format!("echo $$ > {} && exec setsid sh -c '{script}'", entrance.display());
    Command::new("sh")
        .args(["-c", &script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Until the first line of output, which says that the script has got that far.
fn wait_for_line(child: &mut std::process::Child) -> String {
    let mut line = String::new();
    io::BufRead::read_line(&mut io::BufReader::new(child.stdout.as_mut().unwrap()), &mut line).unwrap();
    line
}

#[test]
fn a_cgroup_is_made_beside_us_and_goes_with_its_owner() {
    for hierarchy in writable() {
        let cgroup = hierarchy.create_for_run().unwrap();
        let (path, id) = (cgroup.path().to_vec(), cgroup.id());
        assert!(path.starts_with(&hierarchy.own().unwrap()), "{hierarchy:?}");
        assert_eq!(hierarchy.id_of(&path).unwrap(), id);
        assert!(
            hierarchy
                .walk()
                .unwrap()
                .cgroups
                .contains(&Cgroup { path: path.clone(), id })
        );
        assert!(!cgroup.is_populated().unwrap());
        drop(cgroup);
        assert!(hierarchy.id_of(&path).is_err(), "{hierarchy:?}");
    }
}

#[test]
fn what_a_killed_predecessor_left_is_removed_once_nobody_runs_in_it() {
    for hierarchy in writable() {
        let own = hierarchy.own().unwrap();
        // Alive while its cgroup is furnished: other tests remove what dead ones left, too.
        let mut predecessor = Command::new("sleep").arg("600").spawn().unwrap();
        let name = format!("wardline-run-{}-0", predecessor.id());
        let left_behind = hierarchy.create_child(&own, &name).unwrap();
        fs::create_dir(left_behind.directory().join("inner")).unwrap();
        let mut child = spawn_in(&left_behind, "echo ready; exec sleep 600");
        wait_for_line(&mut child);
        predecessor.kill().unwrap();
        predecessor.wait().unwrap();

        hierarchy.create_for_run().unwrap();
        assert!(left_behind.is_populated().unwrap(), "a command that runs is left alone");
        child.kill().unwrap();
        child.wait().unwrap();
        let is_removed = || {
            hierarchy.create_for_run().unwrap();
            !left_behind.directory().exists()
        };
        // The kernel lets go of a process a moment after it has ended.
        assert!((0..1000).any(|_| is_removed()), "{hierarchy:?}");
    }
}

#[test]
fn what_outlives_the_command_is_killed_with_its_own_cgroups() {
    for hierarchy in writable() {
        let cgroup = hierarchy.create_for_run().unwrap();
        let directory = cgroup.directory().to_owned();
        let inner = directory.join("a/b");
        fs::create_dir_all(&inner).unwrap();
        let script = format!(
            "trap \"\" TERM INT HUP; sleep 600 & echo $! > {}/cgroup.procs; sleep 600 & echo ready; wait",
            inner.display()
        );
        let mut child = spawn_in(&cgroup, &script);
        assert_eq!(wait_for_line(&mut child), "ready\n");
        assert!(cgroup.is_populated().unwrap());

        let removed = cgroup.remove(Duration::ZERO).unwrap();
        assert!(removed.killed >= 3, "{removed:?} in {hierarchy:?}");
        assert!(!directory.exists());
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap()),
            Some(libc::SIGKILL)
        );
    }
}

#[test]
fn what_ends_soon_by_itself_is_not_killed() {
    for hierarchy in writable() {
        let cgroup = hierarchy.create_for_run().unwrap();
        let mut child = spawn_in(&cgroup, "echo ready; sleep 0.2");
        wait_for_line(&mut child);
        let waiting = std::thread::spawn(move || child.wait().unwrap());
        assert_eq!(cgroup.remove(Duration::from_mins(1)).unwrap(), Removed { killed: 0 });
        assert!(waiting.join().unwrap().success());
    }
}

#[test]
fn a_cgroup_that_somebody_else_removed_is_no_error() {
    for hierarchy in writable() {
        let cgroup = hierarchy.create_for_run().unwrap();
        fs::remove_dir(cgroup.directory()).unwrap();
        assert_eq!(cgroup.remove(Duration::ZERO).unwrap(), Removed { killed: 0 });
    }
}

#[test]
fn a_threaded_parent_is_refused() {
    for hierarchy in writable().iter().filter(|hierarchy| hierarchy.kind == V2) {
        let parent = hierarchy.create_for_run().unwrap();
        let inner = hierarchy.create_child(parent.path(), "inner").unwrap();
        fs::write(inner.directory().join("cgroup.type"), "threaded").unwrap();
        let error = hierarchy.create_child(inner.path(), "innermost").unwrap_err();
        assert!(matches!(error, CgroupError::Threaded { .. }), "{error}");
        assert!(hierarchy.id_of(&join(inner.path(), b"innermost")).is_err());
    }
}
