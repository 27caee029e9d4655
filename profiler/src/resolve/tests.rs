use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use proptest::prelude::*;
use rustix::fs::mkfifoat;

use super::*;

/// A folder that serves as a root, with some files in it.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        for folder in ["usr/bin", "etc", "home/me"] {
            fs::create_dir_all(tree.path(folder)).unwrap();
        }
        for file in ["usr/bin/dash", "etc/passwd", "home/me/run"] {
            fs::write(tree.path(file), file).unwrap();
        }
        for (link, target) in [
            ("bin", "usr/bin"),
            ("usr/bin/sh", "dash"),
            ("absolute", "/etc/passwd"),
            ("outside", "../../../../../../../etc/passwd"),
            ("home/up", "../.."),
            ("dangling", "nowhere"),
            ("loop", "loop"),
            ("ping", "pong"),
            ("pong", "/ping"),
            ("slash", "etc/"),
            ("file_as_folder", "etc/passwd/"),
            ("dots", "./.././etc/.//passwd"),
            ("root", "/"),
        ] {
            symlink(target, tree.path(link)).unwrap();
        }
        tree
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    fn root(&self) -> Root {
        Root::of_directory(self.0.path().as_os_str().as_bytes()).unwrap()
    }

    /// The text of the canonical path, or of the reason why there is none.
    fn canonical(&self, cwd: &str, name: &str) -> String {
        match self.root().canonicalise(cwd.as_bytes(), name.as_bytes()) {
            Ok(path) => String::from_utf8(path).unwrap(),
            Err(error) => error.reason.to_string(),
        }
    }
}

#[test]
fn paths_are_canonical_inside_the_root() {
    const MISSING: &str = "No such file or directory (os error 2)";
    const NO_DIRECTORY: &str = "Not a directory (os error 20)";
    let tree = Tree::new();
    for (cwd, name, expected) in [
        ("/", "/etc/passwd", "/etc/passwd"),
        ("/", "etc/passwd", "/etc/passwd"),
        ("/etc", "passwd", "/etc/passwd"),
        ("/etc/", "./passwd", "/etc/passwd"),
        ("/home/me", "../../bin/sh", "/usr/bin/dash"),
        ("/bin", "sh", "/usr/bin/dash"),
        ("/bin", "../bin/dash", "/usr/bin/dash"), // .. of where the link leads
        ("relative", "/bin/sh", "/usr/bin/dash"), // no matter for an absolute name
        ("/", "//bin///sh", "/usr/bin/dash"),
        ("/", "/", "/"),
        ("/", "/..", "/"),
        ("/", "../../..", "/"),
        ("/", ".", "/"),
        ("/etc", "..", "/"),
        ("/etc", "../etc/..", "/"),
        ("/", "root/root/root/etc", "/etc"),
        ("/", "/absolute", "/etc/passwd"),
        ("/", "/outside", "/etc/passwd"),
        ("/", "/home/up/etc", "/etc"),
        ("/", "slash", "/etc"),
        ("/", "slash/", "/etc"),
        ("/", "dots", "/etc/passwd"),
        ("/", "etc/", "/etc"),
        ("/", "etc/.", "/etc"),
        ("/", "", MISSING),
        ("/", "missing", MISSING),
        ("/", "dangling", MISSING),
        ("/missing", "etc", MISSING),
        ("/etc", "etc/passwd", MISSING),
        ("/", "etc/passwd/", NO_DIRECTORY),
        ("/", "etc/passwd/.", NO_DIRECTORY),
        ("/", "etc/passwd/..", NO_DIRECTORY),
        ("/", "etc/passwd/x", NO_DIRECTORY),
        ("/etc/passwd", "x", NO_DIRECTORY),
        ("/", "file_as_folder", NO_DIRECTORY),
        ("/", "loop", "more than 40 symbolic links"),
        ("/", "ping", "more than 40 symbolic links"),
        ("/", "nul\0", "Invalid argument (os error 22)"),
        ("", "etc", "it is relative to a directory without a path"),
        ("etc", "passwd", "it is relative to a directory without a path"),
    ] {
        assert_eq!(tree.canonical(cwd, name), expected, "{name:?} in {cwd:?}");
    }
}

#[test]
fn forty_links_are_followed_and_no_more() {
    let tree = Tree::new();
    for number in 1..=41 {
        let target = if number == 1 {
            "etc/passwd".to_owned()
        } else {
            format!("l{}", number - 1)
        };
        symlink(target, tree.path(format!("l{number}"))).unwrap();
    }
    assert_eq!(tree.canonical("/", "l40"), "/etc/passwd");
    assert_eq!(tree.canonical("/", "l41"), "more than 40 symbolic links");
}

#[test]
fn any_bytes_may_be_in_names() {
    let tree = Tree::new();
    for name in [
        b"new\nline".as_slice(),
        b"\xff\xfe",
        b" ",
        b"...",
        b"\\x41",
        "é\u{202e}".as_bytes(),
        &[b'n'; 255],
    ] {
        fs::write(tree.path(OsStr::from_bytes(name)), "").unwrap();
        let _ = fs::remove_file(tree.path("to"));
        symlink(OsStr::from_bytes(name), tree.path("to")).unwrap();
        let expected = [b"/", name].concat();
        assert_eq!(tree.root().canonicalise(b"/", name).unwrap(), expected);
        assert_eq!(tree.root().canonicalise(b"/etc", b"../to").unwrap(), expected);
    }
    let error = tree.root().canonicalise(b"/", b"\xff\n\x1b[2J").unwrap_err();
    assert_eq!(
        error.to_string(),
        r"cannot resolve `\xff\n\x1b[2J`: No such file or directory (os error 2)"
    );
}

#[test]
fn long_paths_are_resolved_up_to_the_kernels_limit_and_then_refused() {
    let tree = Tree::new();
    let (mut long, mut directory) = (String::new(), File::open(tree.path("")).unwrap());
    while long.len() + 201 <= 4095 {
        let name = "d".repeat(200);
        rustix::fs::mkdirat(&directory, &name, Mode::RWXU).unwrap();
        directory = openat(&directory, &name, OFlags::RDONLY, Mode::empty()).unwrap().into();
        long = format!("{long}/{name}");
    }
    assert_eq!(tree.canonical(&long, "."), long);
    assert_eq!(tree.canonical("/", &format!("{long}/../..")), long[..long.len() - 402]);
    // Both exist and have no name that a system call would take.
    rustix::fs::mkdirat(&directory, "e".repeat(75), Mode::RWXU).unwrap();
    rustix::fs::mkdirat(&directory, "e".repeat(200), Mode::RWXU).unwrap();
    assert_eq!(
        tree.canonical(&long, &"e".repeat(75)),
        "File name too long (os error 36)"
    );
    assert_eq!(tree.canonical(&long, &"e".repeat(200)), "it is longer than 4096 bytes");
    assert_eq!(
        tree.canonical("/", &"x".repeat(256)),
        "File name too long (os error 36)"
    );
    assert_eq!(tree.canonical("/", &"etc/../".repeat(1024)), "/");
    assert_eq!(
        tree.canonical("/", &"etc/../".repeat(1025)),
        "more than 1024 components"
    );
    assert_eq!(tree.canonical("/", &"./".repeat(100_000)), "/");
}

#[test]
fn links_of_procfs_are_refused() {
    let tree = Tree::new();
    symlink("/proc/self/root", tree.path("jump")).unwrap();
    let own = Root::own().unwrap();
    let jump = tree.path("jump/etc").into_os_string();
    let by_id = format!("/proc/{}/cwd/x", std::process::id());
    for name in [
        "/proc/self",
        "/proc/self/exe",
        "/proc/thread-self",
        "/proc/mounts",
        "/proc/1/root",
        "/dev/stdin",
        &by_id,
    ] {
        let error = own.canonicalise(b"/", name.as_bytes()).unwrap_err();
        assert!(matches!(error.reason, Reason::ProcLink), "{error}");
    }
    assert!(matches!(
        own.canonicalise(b"/", jump.as_bytes()).unwrap_err().reason,
        Reason::ProcLink
    ));
    // In this root there is no procfs for the link to lead to.
    assert_eq!(tree.canonical("/", "jump"), "No such file or directory (os error 2)");
    assert_eq!(own.canonicalise(b"/", b"/proc/1/status").unwrap(), b"/proc/1/status");
}

#[test]
fn only_regular_files_are_opened_and_nothing_blocks() {
    let tree = Tree::new();
    mkfifoat(CWD, tree.path("fifo"), Mode::RWXU).unwrap();
    let _listener = UnixListener::bind(tree.path("socket")).unwrap();
    for name in ["/fifo", "/socket", "/etc", "/bin"] {
        let error = tree.root().open_regular(name.as_bytes()).map(|_| ()).unwrap_err();
        assert!(matches!(error.reason, Reason::NotRegular), "{error}");
    }
    for name in ["/fifo", "/socket"] {
        assert_eq!(tree.canonical("/", name), name);
        assert!(script_chain(&tree.root(), b"/", name.as_bytes()).is_err());
    }
    let error = Root::own().unwrap().open_regular(b"/dev/null").map(|_| ()).unwrap_err();
    assert!(matches!(error.reason, Reason::NotRegular), "{error}");

    let file = tree.root().open_regular(b"/etc/passwd").unwrap();
    assert_eq!(io::read_to_string(file).unwrap(), "etc/passwd");
    // Links are for canonicalise: here they would be a surprise, at the end and on the way.
    assert!(matches!(
        tree.root().open_regular(b"/absolute").unwrap_err().reason,
        Reason::NotRegular
    ));
    assert!(matches!(
        tree.root().open_regular(b"/bin/dash").unwrap_err().reason,
        Reason::System(_)
    ));
}

#[test]
fn a_lease_on_the_file_does_not_make_us_wait() {
    let tree = Tree::new();
    let path = tree.path("etc/passwd");
    let file = File::options().write(true).open(path).unwrap();
    // SAFETY: fcntl with an integer argument; the file is open for the whole call.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK) };
    if result != 0 {
        eprintln!("skipped: this file system has no leases");
        return;
    }
    // SAFETY: the default answer to breaking a lease, SIGIO, would end this test.
    unsafe { libc::signal(libc::SIGIO, libc::SIG_IGN) };
    let error = tree.root().open_regular(b"/etc/passwd").map(|_| ()).unwrap_err();
    assert!(
        matches!(&error.reason, Reason::System(error) if error.kind() == io::ErrorKind::WouldBlock),
        "{error}"
    );
}

#[test]
fn the_root_of_a_process_in_another_mount_namespace_is_its_own() {
    let tree = Tree::new();
    let mount_point = tree.path("home").display().to_string();
    let script = format!(
        "mount -t tmpfs none {mount_point} && echo x > {mount_point}/there &&
         ln -s {mount_point}/there {mount_point}/link && echo ready && read _"
    );
    let child = Command::new("unshare")
        .args(["-m", "sh", "-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        return eprintln!("skipped: no unshare(1)");
    };
    let mut line = String::new();
    io::BufRead::read_line(&mut io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
    if line == "ready\n" {
        let there = format!("{mount_point}/link");
        let root = Root::of_process(child.id()).unwrap();
        let canonical = root.canonicalise(b"/", there.as_bytes()).unwrap();
        assert_eq!(canonical, format!("{mount_point}/there").as_bytes());
        assert_eq!(
            io::read_to_string(root.open_regular(&canonical).unwrap()).unwrap(),
            "x\n"
        );
        assert!(Root::own().unwrap().canonicalise(b"/", there.as_bytes()).is_err());
    } else {
        eprintln!("skipped: no permission to mount");
    }
    let _ = child.stdin.take().unwrap().write_all(b"\n");
    child.wait().unwrap();
    let error = Root::of_process(child.id()).unwrap_err();
    assert!(matches!(error.reason, Reason::System(_)), "{error}");
}

/// What the kernel resolves this to: everything at once, and confined by itself. The name is then read back, which
/// works in our own mount namespace.
fn by_the_kernel(folder: &Path, root: &Root, name: &[u8]) -> Option<Vec<u8>> {
    let confined = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = loop {
        match openat2(
            &root.directory,
            name,
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
            confined,
        ) {
            Err(Errno::AGAIN) => {} // something was renamed or mounted somewhere meanwhile
            result => break result.ok()?,
        }
    };
    let path = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
    Some([b"/", path.strip_prefix(folder).unwrap().as_os_str().as_bytes()].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn the_kernel_resolves_any_tree_of_links_to_the_same(
        links in proptest::collection::vec(("[abc](/[abc]){0,2}", "/?([abc]|\\.\\.?)(//?([abc]|\\.\\.?)){0,4}"), 0..8),
        names in proptest::collection::vec("/?([abc]|\\.\\.?)(//?([abc]|\\.\\.?)){0,6}/?", 1..8),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        for name in ["a/a", "a/b/c", "b", "c/a"] {
            fs::create_dir_all(path.join(name)).unwrap();
        }
        fs::write(path.join("a/c"), "").unwrap();
        let root = Root::of_directory(path.as_os_str().as_bytes()).unwrap();
        for (link, target) in links {
            // Where there is something already, or no folder to put it in, there is no link.
            let _ = rustix::fs::symlinkat(&target, &root.directory, &link);
        }
        for name in names {
            let ours = root.canonicalise(b"/", name.as_bytes()).ok();
            prop_assert_eq!(ours, by_the_kernel(&path, &root, name.as_bytes()), "{}", name);
        }
    }
}
