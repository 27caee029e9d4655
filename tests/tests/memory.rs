//! Memory stays within its bound whatever is new, and what found no room is counted.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use end_to_end::{Cgroup, Running, Scratch, profile_start, start, unique, workload};

const FILES: u64 = 200_000;
/// What `--memory` is unless somebody says otherwise, in bytes.
const MEMORY: u64 = 64 << 20;

/// A field of a file in `/proc/PID/fdinfo`, such as `memlock: 4096`.
fn field(text: &str, name: &str) -> Option<u64> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.split_whitespace().next()?.parse().ok()
}

/// The most memory that a process has had, and the kernel's tables that it holds, each in bytes.
///
/// The ring buffer is one of the tables, and we see its pages in our own memory as well, twice (`ringbuf_map_mmap`,
/// kernel/bpf/ringbuf.c): they are no further memory.
fn memory(process: &Running) -> (u64, u64) {
    const RING_BUFFER: u64 = 27;
    let resident = process.peak_memory();
    let descriptors = fs::read_dir(format!("/proc/{}/fdinfo", process.id())).unwrap();
    // One that was closed meanwhile is no table.
    let texts = descriptors.filter_map(|entry| fs::read_to_string(entry.unwrap().path()).ok());
    let tables: BTreeMap<u64, String> = texts.filter_map(|text| Some((field(&text, "map_id")?, text))).collect();
    let bytes = tables.values().map(|text| field(text, "memlock").unwrap()).sum();
    let rings = tables
        .values()
        .filter(|text| field(text, "map_type") == Some(RING_BUFFER));
    let seen_twice = rings.map(|text| 2 * field(text, "max_entries").unwrap()).sum::<u64>();
    (resident - seen_twice, bytes)
}

#[test]
fn with_ever_new_files_what_was_recorded_and_lost_adds_up_within_the_memory_allowed() {
    let scratch = Scratch::new();
    // In memory: 200,000 files take a disk a while.
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let folder = folder.path();
    let mut window = start(&mut profile_start(scratch.recording(), &[]));
    window.wait_for("the window", |window| window.stderr().contains("learning "));
    let name = unique("files");
    let cgroup = Cgroup::create(&name);
    let mut create = Command::new(workload());
    create.arg("create").arg(folder).arg(FILES.to_string());
    let done = cgroup.start(&mut create).finish();
    assert_eq!(done.code(), 0, "{done}");
    // What is being written then is the most there is.
    std::thread::sleep(std::time::Duration::from_secs(3));
    let (own, tables) = memory(&window);
    window.signal(libc::SIGTERM);
    let done = window.finish();
    assert_eq!(done.code(), 0, "{done}");

    let image = format!("host/cgroup/{name}");
    let opens = scratch.baseline(&image).behaviours.open;
    let created = opens
        .iter()
        .filter(|open| open.path.as_bytes().starts_with(folder.as_os_str().as_encoded_bytes()));
    let recorded: u64 = created.map(|open| open.evidence.count).sum();
    let status = scratch.status();
    let losses = status["losses"].as_array().unwrap().iter();
    let losses = losses.filter(|loss| loss["workload"].to_string().contains(&name));
    let lost: u64 = losses.map(|loss| loss["count"].as_u64().unwrap()).sum();
    println!(
        "recorded {recorded}, lost {lost}; own memory {} KiB, tables {} KiB",
        own >> 10,
        tables >> 10
    );
    assert_eq!(recorded + lost, FILES, "{status:#}");
    assert!(own + tables <= MEMORY, "own {own} bytes and tables {tables}");
}
