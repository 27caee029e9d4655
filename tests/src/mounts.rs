//! Mounts that only one program sees.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::ptr;

/// A mount for [`in_own_mounts`].
#[derive(Clone, Copy, Debug)]
pub enum Mount<'a> {
    /// An empty file system in memory, with options such as `size=400k`.
    Tmpfs(&'a Path, &'a str),
    /// The same, read-only.
    ReadOnly(&'a Path),
    /// A file or folder, at another place.
    Bind(&'a Path, &'a Path),
    /// An overlay at `merged` in this folder, which has `lower`, `upper` and `internal`, too.
    Overlay(&'a Path),
}

struct Call {
    source: CString,
    target: CString,
    kind: CString,
    flags: libc::c_ulong,
    options: CString,
}

/// Makes a command start in a mount namespace of its own, with these mounts in it. They go when it ends.
pub fn in_own_mounts(command: &mut Command, mounts: &[Mount<'_>]) {
    let calls: Vec<Call> = mounts.iter().map(call).collect();
    // SAFETY: between fork and exec nothing but system calls, with texts that were made before.
    unsafe { command.pre_exec(move || separate().and_then(|()| calls.iter().try_for_each(mount))) };
}

fn call(mount: &Mount<'_>) -> Call {
    let text = |path: &Path| CString::new(path.as_os_str().as_bytes()).unwrap();
    let none = Path::new("none");
    let (source, target, kind, flags, options) = match *mount {
        Mount::Tmpfs(target, options) => (none, target.into(), c"tmpfs", 0, options.to_owned()),
        Mount::ReadOnly(target) => (none, target.into(), c"tmpfs", libc::MS_RDONLY, String::new()),
        Mount::Bind(source, target) => (source, target.into(), c"", libc::MS_BIND, String::new()),
        Mount::Overlay(folder) => {
            let at = folder.display();
            let options = format!("lowerdir={at}/lower,upperdir={at}/upper,workdir={at}/internal");
            (none, folder.join("merged"), c"overlay", 0, options)
        }
    };
    Call {
        source: text(source),
        target: text(&target),
        kind: kind.to_owned(),
        flags,
        options: CString::new(options).unwrap(),
    }
}

/// A mount namespace whose mounts nobody else gets.
fn separate() -> io::Result<()> {
    // SAFETY: a number, and texts that end in NUL.
    let results = unsafe {
        let flags = libc::MS_REC | libc::MS_PRIVATE;
        let made = libc::unshare(libc::CLONE_NEWNS);
        [
            made,
            libc::mount(ptr::null(), c"/".as_ptr(), ptr::null(), flags, ptr::null()),
        ]
    };
    check(results.into_iter().min().unwrap_or(-1))
}

fn mount(call: &Call) -> io::Result<()> {
    let Call {
        source,
        target,
        kind,
        flags,
        options,
    } = call;
    // SAFETY: texts that end in NUL; tmpfs reads its options as a text.
    check(unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            *flags,
            options.as_ptr().cast(),
        )
    })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
