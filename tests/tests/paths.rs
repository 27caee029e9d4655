//! Paths come out as a policy compares them: canonical, from the task's own root, byte for byte.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

#[path = "../guest/story.rs"]
#[allow(dead_code, reason = "each test file is a crate of its own and uses a part of this")]
mod story;

use std::fs;

use end_to_end::{Scratch, generated};
use serde_json::json;

use story::{Story, assemble, nothing_else, seen};

#[test]
fn symbolic_links_and_relative_paths_are_resolved() {
    let story = Story::of(
        r#"
os.makedirs("a/b/c")
create("a/b/c/file")
os.symlink("a/b", "link")
os.symlink(HERE + "/a/b/c/file", "direct")
touch(HERE + "/a/b/c/file")
touch("link/c/file", times=2)
touch("direct", times=3)
touch("a/../a/./b//c/file", times=4)
folder = opened("a/b", os.O_PATH | os.O_DIRECTORY)
touch("c/file", dir_fd=folder, times=5)
os.chdir("a/b/c")
touch("file", times=6)
touch("../../../a/b/c/file", os.O_WRONLY | os.O_APPEND)
"#,
    );
    assert_eq!(
        story.opens(nothing_else),
        seen([
            ("@/a/b/c/file (read)", 1 + 2 + 3 + 4 + 5 + 6),
            ("@/a/b/c/file (write)", 1),
            ("@/a/b/c/file (write,create)", 1),
        ])
    );
    story.assert_nothing_is_lost();
}

#[test]
fn names_keep_their_bytes_and_documents_escape_them() {
    let story = Story::of(
        r##"
names = [b"sp ace", b"new\nline", b"bad\xff\xfe", b"back\\slash", "caf\u00e9 \u202e".encode(), b"tab\t", b"esc\x1b[31m",
         b"quotes \"'", b"nel\xc2\x85", b"# hash", b"- y: [", b"x" * 255]
for name in names:
    touch(os.fsencode(HERE) + b"/" + name, os.O_RDWR | os.O_CREAT)
"##,
    );
    let long = format!("@/{} (read,write,create)", "x".repeat(255));
    assert_eq!(
        story.opens(nothing_else),
        seen([
            ("@/sp ace (read,write,create)", 1),
            (r"@/new\nline (read,write,create)", 1),
            (r"@/bad\xff\xfe (read,write,create)", 1),
            (r"@/back\\slash (read,write,create)", 1),
            (r"@/café \xe2\x80\xae (read,write,create)", 1),
            (r"@/tab\t (read,write,create)", 1),
            (r"@/esc\x1b[31m (read,write,create)", 1),
            (r#"@/quotes "' (read,write,create)"#, 1),
            (r"@/nel\xc2\x85 (read,write,create)", 1),
            ("@/# hash (read,write,create)", 1),
            ("@/- y: [ (read,write,create)", 1),
            (&long, 1),
        ])
    );
    story.assert_nothing_is_lost();

    // In documents, too, and they are read back as what they were.
    let folder = story.scratch.path("baselines");
    let document = &generated("baselines", story.scratch.recording(), &folder)[0];
    let text = fs::read_to_string(document).unwrap();
    assert!(
        text.chars()
            .all(|character| character == '\n' || !character.is_control()),
        "{text}"
    );
    assert!(text.contains(r"bad\xff\xfe"), "{text}");
    assert_eq!(
        baselines::document::read(document).unwrap().behaviours,
        story.baseline.behaviours
    );
}

#[test]
fn a_renamed_grandparent_gives_each_open_the_name_that_it_had_then() {
    let story = Story::of(
        r#"
os.makedirs("before/parent")
create("before/parent/file")
touch("before/parent/file", times=7)
for _ in range(100):
    os.rename("before", "after")
    touch("after/parent/file", times=2)
    os.rename("after", "before")
    touch("before/parent/file")
"#,
    );
    assert_eq!(
        story.opens(nothing_else),
        seen([
            ("@/before/parent/file (write,create)", 1),
            ("@/before/parent/file (read)", 107),
            ("@/after/parent/file (read)", 200),
        ])
    );
    story.assert_nothing_is_lost();
}

#[test]
fn what_is_created_under_one_name_and_read_under_another_is_known_by_both() {
    let story = Story::of(
        r#"
os.makedirs("staged/parent")
create("staged/parent/file")
os.rename("staged", "published")
touch("published/parent/file", times=2)
"#,
    );
    assert_eq!(
        story.opens(nothing_else),
        seen([
            ("@/staged/parent/file (write,create)", 1),
            ("@/published/parent/file (read)", 2),
        ])
    );
    story.assert_nothing_is_lost();
}

#[test]
fn a_directory_in_the_place_of_a_removed_one_is_not_taken_for_it() {
    // On an overlay, whose inodes have no generation, over a file system that gives the same numbers again: dentries, too,
    // are freed a moment later, and then their memory is used again.
    let story = Story::of(
        r#"
import time
own_mounts()
for folder in "lower", "upper", "work", "merged":
    os.mkdir(folder)
mount("overlay", "merged", "overlay", data="lowerdir=lower,upperdir=upper,workdir=work")
os.chdir("merged")
for number in range(150):
    top = "top%d" % number
    os.makedirs(top + "/same")
    create(top + "/same/file")
    time.sleep(0.01)
    os.unlink(top + "/same/file")
    time.sleep(0.01)
    os.rmdir(top + "/same")
    time.sleep(0.01)
    os.rmdir(top)
"#,
    );
    let expected = (0..150).map(|number| {
        let path = format!("top{number}/same/file");
        (format!("@/merged/{path} (write,create, in its layer /{path})"), 1)
    });
    assert_eq!(story.opens(nothing_else), expected.collect());
    story.assert_nothing_is_lost();
}

#[test]
fn a_file_that_is_replaced_a_thousand_times_is_one_behaviour_and_described_once() {
    let story = Story::of(
        r#"
for _ in range(1000):
    create("new")
    os.rename("new", "file")
    touch("file", times=2)
"#,
    );
    assert_eq!(
        story.opens(nothing_else),
        seen([("@/new (write,create)", 1000), ("@/file (read)", 2000)])
    );
    story.assert_nothing_is_lost();
    // One for each name and access, and some dozens for python itself and for what others execute.
    let descriptions = story.scratch.descriptions();
    assert!((2..1000).contains(&descriptions), "{descriptions}");
}

#[test]
fn parts_of_an_overlay_have_their_whole_path_in_the_layer() {
    let story = Story::of(
        r#"
own_mounts()
for folder in "lower/deep/er", "upper", "work", "merged", "part":
    os.makedirs(folder)
create("lower/deep/er/file")
mount("overlay", "merged", "overlay", data="lowerdir=lower,upperdir=upper,workdir=work")
touch("merged/deep/er/file")
mount("merged/deep", "part", flags=BIND)
touch("part/er/file", times=2)
touch("part", times=3)
os.chroot("merged/deep")
touch("/er/file", times=4)
os.chroot("/er")
touch("/file", times=5)
"#,
    );
    assert_eq!(
        story.opens(|open| open.starts_with("/er/") || open.starts_with("/file")),
        seen([
            ("@/lower/deep/er/file (write,create)", 1),
            ("@/merged/deep/er/file (read, in its layer /deep/er/file)", 1),
            ("@/part/er/file (read, in its layer /deep/er/file)", 2),
            ("@/part (read, in its layer /deep)", 3),
            ("/er/file (read, in its layer /deep/er/file)", 4),
            ("/file (read, in its layer /deep/er/file)", 5),
        ])
    );
    story.assert_nothing_is_lost();
}

#[test]
fn a_path_that_is_too_long_keeps_its_end_and_says_that_it_is_cut() {
    // 20 names of 250 bytes are longer than PATH_MAX; 128 components, with those of the folder, are as many as the probes
    // follow, and 129 are one too many.
    let story = Story::of(
        r#"
def descend(names):
    for name in names:
        os.mkdir(name)
        os.chdir(name)
    create("file")
    touch("file", times=2)
    os.chdir(HERE)
descend([chr(97 + number) * 250 for number in range(20)])
above = HERE.count("/")
descend(["e"] * (127 - above))
descend(["d"] * (128 - above))
"#,
    );
    let name = |number: u8| format!("/{}", char::from(b'a' + number).to_string().repeat(250));
    // As many whole names as fit into 4,096 bytes together with "/file".
    let long: String = (4..20).map(name).collect();
    let above = story.here.matches('/').count();
    // Without its first component.
    let (_, rest) = story.here[1..].split_once('/').unwrap();
    let cut = format!("/{rest}{}", "/d".repeat(128 - above));
    let whole = "/e".repeat(127 - above);
    assert_eq!(
        story.opens(|open| open.starts_with("cut:")),
        seen([
            (&format!("cut:{long}/file (write,create)"), 1),
            (&format!("cut:{long}/file (read)"), 2),
            (&format!("cut:{cut}/file (write,create)"), 1),
            (&format!("cut:{cut}/file (read)"), 2),
            (&format!("@{whole}/file (write,create)"), 1),
            (&format!("@{whole}/file (read)"), 2),
        ])
    );
    // Each of the four was cut.
    let losses = story.scratch.status()["losses"].clone();
    assert_eq!(
        (&losses[0]["reason"], &losses[0]["count"]),
        (&json!("unresolved_path"), &json!(4)),
        "{losses:#}"
    );
}

#[test]
fn two_bind_mounts_of_one_directory_are_two_places_and_so_is_one_that_moved() {
    let story = Story::of(
        r#"
own_mounts()
os.makedirs("real/sub")
create("real/sub/file")
for place in "one", "two", "moved":
    os.mkdir(place)
mount("real", "one", flags=BIND)
mount("real", "two", flags=BIND)
for _ in range(10):
    touch("real/sub/file")
    touch("one/sub/file", times=2)
    touch("two/sub/file", times=3)
touch("two")
mount("one", "moved", flags=MOVE)
touch("moved/sub/file")
unmount("two")
mount("real/sub", "two", flags=BIND)
touch("two/file")
"#,
    );
    assert_eq!(
        story.opens(nothing_else),
        seen([
            ("@/real/sub/file (write,create)", 1),
            ("@/real/sub/file (read)", 10),
            ("@/one/sub/file (read)", 20),
            ("@/two/sub/file (read)", 30),
            ("@/two (read)", 1),
            ("@/moved/sub/file (read)", 1),
            ("@/two/file (read)", 1),
        ])
    );
    story.assert_nothing_is_lost();
}

#[test]
fn paths_begin_at_the_root_of_the_task() {
    let story = Story::of(
        r#"
os.makedirs("jail/in")
create("jail/in/file")
create("outside")
folder = opened(".", os.O_DIRECTORY)
touch("jail/in/file")
os.chroot("jail")
touch("/in/file", times=2)
os.chdir("/in")
touch("file", times=3)
touch("../../../in/file", times=4)
touch("/")
# Still reachable, but not from the root.
touch("outside", dir_fd=folder)
touch("jail/in/file", dir_fd=folder)
"#,
    );
    assert_eq!(
        story.opens(|open| open.starts_with("/in/") || open.starts_with("/ ")),
        seen([
            ("@/jail/in/file (write,create)", 1),
            ("@/outside (write,create)", 1),
            ("@ (read)", 1),
            ("@/jail/in/file (read)", 1),
            ("/in/file (read)", 2 + 3 + 4 + 1),
            ("/ (read)", 1),
            ("unreachable:@/outside (read)", 1),
        ])
    );
    story.assert_nothing_is_lost();
}

#[test]
fn pivot_root_changes_paths_and_a_detached_tree_has_none() {
    let story = Story::of(
        r#"
own_mounts()
os.mkdir("new")
mount("tmpfs", "new", "tmpfs")
os.makedirs("new/old")
os.mkdir("new/sub")
create("new/sub/file")
folder = opened("new/sub", os.O_PATH | os.O_DIRECTORY)
touch("new/sub/file")
os.chdir("new")
pivot_root(".", "old")
os.chdir("/")
touch("/sub/file", times=2)
touch("file", dir_fd=folder, times=3)
touch("/old/etc/passwd")
unmount("/old", DETACH)
touch("/sub/file", times=4)
mount("/sub", "/old", flags=BIND)
folder = opened("/old", os.O_PATH | os.O_DIRECTORY)
touch("/old/file")
unmount("/old", DETACH)
touch("file", dir_fd=folder)
"#,
    );
    assert_eq!(
        story.opens(|open| open.contains("/file ") || open.contains("/old")),
        seen([
            ("@/new/sub/file (write,create)", 1),
            ("@/new/sub/file (read)", 1),
            ("/sub/file (read)", 2 + 3 + 4),
            ("/old/etc/passwd (read)", 1),
            ("/old/file (read)", 1),
            ("unreachable:/file (read)", 1),
        ])
    );
    story.assert_nothing_is_lost();
}

#[test]
fn files_without_a_name_say_so() {
    let story = Story::of(
        r#"
create("file")
descriptor = opened("file")
os.unlink("file")
touch("/proc/self/fd/%d" % descriptor)
memory = os.memfd_create("a name\n")
touch("/proc/self/fd/%d" % memory, os.O_RDWR)
reading, writing = os.pipe()
touch("/proc/self/fd/%d" % reading)
touch(".", os.O_TMPFILE | os.O_RDWR)
"#,
    );
    let mut opens =
        story.opens(|open| open.starts_with("memfd:") || open.starts_with("anonymous:") || open.contains("deleted"));
    let temporary = opens
        .keys()
        .find(|open| open.starts_with("deleted:@/#"))
        .cloned()
        .unwrap();
    assert!(temporary.ends_with(" (deleted) (read,write)"), "{temporary}");
    opens.remove(&temporary);
    assert_eq!(
        opens,
        seen([
            ("@/file (write,create)", 1),
            ("@/file (read)", 1),
            ("deleted:@/file (deleted) (read)", 1),
            (r"memfd:memfd:a name\n (read,write)", 1),
            ("anonymous: (read)", 1), // the pipe
        ])
    );
    story.assert_nothing_is_lost();
}

#[test]
fn only_opening_is_opening() {
    let story = Story::of(
        r#"
os.mkdir("folder")
create("file")
touch("file", os.O_PATH)
touch("folder", os.O_PATH | os.O_DIRECTORY)
os.stat("file"), os.access("file", os.R_OK), os.chmod("file", 0o600), os.truncate("file", 0), os.rename("file", "renamed")
os.mkfifo("pipe")
for path, flags in ("missing", os.O_RDONLY), ("renamed", os.O_DIRECTORY), ("pipe", os.O_WRONLY | os.O_NONBLOCK):
    try:
        touch(path, flags)
    except OSError:
        continue
    raise AssertionError(path)
touch("folder", os.O_DIRECTORY)
touch("pipe", os.O_RDWR)
touch("renamed", 3)  # neither reading nor writing: for ioctl(2)
"#,
    );
    assert_eq!(
        story.opens(nothing_else),
        seen([
            ("@/file (write,create)", 1),
            ("@/folder (read)", 1),
            ("@/pipe (read,write)", 1),
            ("@/renamed (none)", 1),
        ])
    );
    story.assert_nothing_is_lost();
}

#[test]
fn links_of_procfs_lead_to_the_file_behind_them() {
    let story = Story::of(
        r#"
create("file")
touch("/proc/self/cwd/file", times=2)
touch("/proc/self/root" + HERE + "/file", times=3)
descriptor = opened("file")
touch("/dev/fd/%d" % descriptor, times=4)
touch("/proc/thread-self/status")
touch("/")
write("process", str(os.getpid()))
"#,
    );
    let process = fs::read_to_string(story.scratch.path("process")).unwrap();
    assert_eq!(
        story.opens(|open| open.starts_with("/proc/") || open.starts_with("/ ")),
        seen([
            ("@/file (write,create)", 1),
            ("@/file (read)", 2 + 3 + 1 + 4),
            (&format!("/proc/{process}/task/{process}/status (read)"), 1),
            ("/ (read)", 1),
            ("@/process (write,create)", 1),
        ])
    );
    story.assert_nothing_is_lost();
}

#[test]
fn a_32_bit_program_opens_files_like_any_other() {
    let scratch = Scratch::new();
    // open(2) and openat(2), which have other numbers there (arch/x86/entry/syscalls/syscall_32.tbl), then exit(2).
    let source = r#"
.globl _start
_start:
    mov $5, %eax
    mov $name, %ebx
    mov $0, %ecx
    int $0x80
    mov $295, %eax
    mov $-100, %ebx
    mov $name, %ecx
    mov $0101, %edx
    mov $0644, %esi
    int $0x80
    mov $1, %eax
    mov $0, %ebx
    int $0x80
name: .asciz "file"
"#;
    let program = assemble(&scratch, "small", ["--32", "-melf_i386"], source);
    scratch.file("file", "");
    let story = Story::with(scratch, r#"run("./small")"#);
    let opens = story.baseline.behaviours.open.iter();
    let own = opens.filter(|open| open.subject.as_bytes() == program.as_os_str().as_encoded_bytes());
    let own: Vec<String> = own
        .map(|open| format!("{} {}", story.opening(open), open.evidence.count))
        .collect();
    assert_eq!(own, ["@/file (read) 1", "@/file (write) 1"]);
    story.assert_nothing_is_lost();
}
