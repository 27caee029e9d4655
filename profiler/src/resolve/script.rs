//! Scripts and their interpreters, as the kernel reads the first line (`fs/binfmt_script.c`, execve(2)).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::{Reason, ResolveError, Root};

/// How much of a file the kernel looks at (`BINPRM_BUF_SIZE`, since Linux 5.1).
const HEAD_BYTES: usize = 256;
/// How many scripts in a row the kernel goes through, each the interpreter of the one before (`exec_binprm`).
pub(crate) const SCRIPTS_MAX: usize = 5;

/// The first line of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shebang {
    /// The interpreter, as written: absolute, or relative to the working directory of the task.
    pub interpreter: Vec<u8>,
    /// Its one argument: the rest of the line, with spaces in it.
    pub argument: Option<Vec<u8>>,
}

/// Reads the `#!` line. `None` if the kernel would not take the file for a script: no `#!`, no name after it, or a name
/// that does not end within the first 256 bytes.
///
/// # Errors
/// Where the file cannot be read.
pub fn shebang(file: &File) -> io::Result<Option<Shebang>> {
    // Beyond the end of a short file there are zeros, for the kernel too.
    let mut head = [0; HEAD_BYTES];
    let mut filled = 0;
    while let Some(rest) = head.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, filled as u64) {
            Ok(0) => break,
            Ok(count) => filled = filled.saturating_add(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(parse(&head))
}

/// What the kernel reads off the first bytes of a file, zeros after its end.
fn parse(head: &[u8; HEAD_BYTES]) -> Option<Shebang> {
    let text = head.strip_prefix(b"#!")?;
    // The line ends at the newline, unless a NUL comes first; otherwise it is all there is.
    let newline = text
        .iter()
        .position(|byte| matches!(byte, b'\n' | 0))
        .filter(|at| text.get(*at) == Some(&b'\n'));
    let line = without_leading_blanks(newline.and_then(|at| text.get(..at)).unwrap_or(text));

    let (name, rest) = match line.iter().position(|byte| is_blank(*byte) || *byte == 0) {
        Some(end) => line.split_at_checked(end)?,
        None if newline.is_some() => (line, b"".as_slice()),
        None => return None, // perhaps cut off
    };
    if name.is_empty() {
        return None;
    }

    // Without a newline the last byte is given up for a terminator.
    let rest = if newline.is_some() { rest } else { rest.split_last()?.1 };
    let end = rest
        .iter()
        .rposition(|byte| !is_blank(*byte))
        .map_or(0, |last| last.saturating_add(1));
    let argument = match rest.get(..end)? {
        [] | [0, ..] => None,
        after_name => without_leading_blanks(after_name).split(|byte| *byte == 0).next(),
    };
    Some(Shebang {
        interpreter: name.to_vec(),
        argument: argument.map(<[u8]>::to_vec),
    })
}

fn without_leading_blanks(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !is_blank(*byte)).unwrap_or(bytes.len());
    bytes.get(start..).unwrap_or_default()
}

/// Other white space is not special here, a carriage return included.
const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The canonical paths of a script, of the scripts that interpret it, and last, of the program that the kernel runs in
/// the end: what one execution of the script opens. A file that is no script is a chain of one.
///
/// Not followed: interpreters that are registered by magic number or extension (`binfmt_misc`).
///
/// # Errors
/// Where one of them is not there, is no regular file, or cannot be read; and where the chain is longer than the
/// kernel follows, or the files have been changed since.
pub fn script_chain(root: &Root, cwd: &[u8], script: &[u8]) -> Result<Vec<Vec<u8>>, ResolveError> {
    let mut chain = Vec::new();
    let mut next = script.to_vec();
    loop {
        let canonical = root.canonicalise(cwd, &next)?;
        let file = root.open_regular(&canonical)?;
        let shebang = shebang(&file).map_err(|error| Reason::from(error).at(&canonical))?;
        chain.push(canonical);
        let Some(shebang) = shebang else { return Ok(chain) };
        if chain.len() > SCRIPTS_MAX {
            return Err(Reason::TooManyInterpreters.at(script));
        }
        next = shebang.interpreter;
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::{CString, OsStr};
    use std::fs;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::os::unix::process::CommandExt as _;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn write_script(path: &Path, content: &[u8]) {
        fs::write(path, content).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn parsed(content: &[u8]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        let mut head = [0; HEAD_BYTES];
        let length = content.len().min(HEAD_BYTES);
        head[..length].copy_from_slice(&content[..length]);
        parse(&head).map(|shebang| (shebang.interpreter, shebang.argument))
    }

    #[test]
    fn first_lines_are_read_as_the_kernel_documents() {
        /// Interpreter and argument.
        type Line = Option<(&'static [u8], Option<&'static [u8]>)>;
        let cases: [(&[u8], Line); 20] = [
            (b"#!/bin/sh\n", Some((b"/bin/sh", None))),
            (b"#!/bin/sh", Some((b"/bin/sh", None))),
            (b"#! \t /bin/sh \t \n", Some((b"/bin/sh", None))),
            (b"#!/bin/sh -e -u \nexit", Some((b"/bin/sh", Some(b"-e -u")))),
            (b"#!/bin/sh\t\t-e", Some((b"/bin/sh", Some(b"-e")))),
            (b"#!/bin/sh ", Some((b"/bin/sh", Some(b"")))),
            (b"#!/bin/sh\r\n", Some((b"/bin/sh\r", None))),
            (b"#!relative/\xff\n", Some((b"relative/\xff", None))),
            (b"#!/bin/sh\0 -e\n", Some((b"/bin/sh", None))),
            (b"#!/bin/sh a\0b\n", Some((b"/bin/sh", Some(b"a")))),
            (b"#!/usr/bin/env -S a b\n", Some((b"/usr/bin/env", Some(b"-S a b")))),
            (b"", None),
            (b"#", None),
            (b"#!", None),
            (b"#!\n/bin/sh\n", None),
            (b"#!  \t \n", None),
            (b"#!\0/bin/sh\n", None),
            (b" #!/bin/sh\n", None),
            (b"#/bin/sh\n", None),
            (b"\x7fELF", None),
        ];
        for (content, expected) in cases {
            let expected = expected.map(|(name, argument)| (name.to_vec(), argument.map(<[u8]>::to_vec)));
            assert_eq!(parsed(content), expected, "{}", String::from_utf8_lossy(content));
        }
        let long = |length: usize| [b"#!/", "x".repeat(length).as_bytes(), b"\n"].concat();
        assert_eq!(parsed(&long(252)).map(|(name, _)| name.len()), Some(253)); // the newline is the last byte
        assert_eq!(parsed(&long(253)), None);
        let (_, argument) = parsed(&[b"#!/bin/sh ".as_slice(), &[b'a'; 300]].concat()).unwrap();
        assert_eq!(argument.map(|argument| argument.len()), Some(245));
    }

    /// What the kernel makes of a script: the arguments that `echo` is executed with, or nothing if the kernel does not
    /// take it for one. `execve` itself, because the C library hands what the kernel refuses to a shell.
    fn executed(script: &Path) -> Option<Vec<u8>> {
        let path = CString::new(script.as_os_str().as_bytes()).unwrap();
        let mut command = Command::new("/nonexistent");
        let execute = move || {
            let arguments = [path.as_ptr(), std::ptr::null()];
            let environment = [std::ptr::null()];
            // SAFETY: both arrays end in a null pointer and hold pointers to NUL-terminated strings that outlive the
            // call; execve(2) is async-signal-safe.
            unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
            Err(io::Error::last_os_error())
        };
        // SAFETY: the closure makes one async-signal-safe call and allocates nothing.
        unsafe { command.pre_exec(execute) };
        let output = loop {
            match command.output() {
                // Another test forked while the script was being written, and its child has yet to execute.
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {}
                result => break result.ok()?,
            }
        };
        assert!(output.status.success());
        Some(output.stdout)
    }

    /// What we expect `echo` to print for a script, by our own reading.
    fn expected(content: &[u8], script: &Path, interpreter: &Path) -> Option<Vec<u8>> {
        let (name, argument) = parsed(content)?;
        if Path::new(OsStr::from_bytes(&name)) != interpreter {
            return None;
        }
        let mut line = argument
            .map(|argument| [argument.as_slice(), b" "].concat())
            .unwrap_or_default();
        line.extend_from_slice(script.as_os_str().as_bytes());
        line.push(b'\n');
        Some(line)
    }

    /// A folder with a link to `echo` of a short name, and the name of a script.
    fn echo() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let interpreter = folder.path().join("echo");
        symlink("/bin/echo", &interpreter).unwrap();
        let script = folder.path().join("script");
        (folder, interpreter, script)
    }

    #[test]
    fn the_running_kernel_agrees_about_long_lines() {
        let (_folder, interpreter, script) = echo();
        let name = interpreter.as_os_str().as_bytes();
        for padding in 249..258 {
            for (before, after, end) in [
                (" ", "", "\n"),
                (" ", "", ""),
                (" ", " a", "\n"),
                ("\t", " a", ""),
                (" ", " \t", ""),
            ] {
                let before = before.repeat(padding - name.len());
                let content = [b"#!", before.as_bytes(), name, after.as_bytes(), end.as_bytes()].concat();
                write_script(&script, &content);
                assert_eq!(
                    executed(&script),
                    expected(&content, &script, &interpreter),
                    "{padding} {after:?} {end:?}"
                );
            }
            let content = [
                b"#!",
                name,
                b" ",
                "a".repeat(padding - name.len()).as_bytes(),
                b" b c\n",
            ]
            .concat();
            write_script(&script, &content);
            assert_eq!(
                executed(&script),
                expected(&content, &script, &interpreter),
                "{padding}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]
        #[test]
        fn the_running_kernel_agrees_about_any_line(
            before in "[ \t]{0,3}", after in "[ \ta\r\u{0}]{0,6}", end in "[\n\u{0}]{0,2}[a \n]{0,3}",
        ) {
            let (_folder, interpreter, script) = echo();
            let name = interpreter.as_os_str().as_bytes();
            let content = [b"#!", before.as_bytes(), name, after.as_bytes(), end.as_bytes()].concat();
            write_script(&script, &content);
            let expected = expected(&content, &script, &interpreter);
            prop_assert_eq!(executed(&script), expected, "{:?}", String::from_utf8_lossy(&content));
        }

        #[test]
        fn any_bytes_are_answered(content in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parsed(&content);
            let _ = parsed(&[b"#!".as_slice(), &content].concat());
        }
    }

    /// Scripts `0` to `count - 1` in a folder, each the interpreter of the one before, and the last one's is `sh`.
    fn nested(count: usize) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("sh"), "\x7fELF").unwrap();
        for number in 0..count {
            let next = if number + 1 == count {
                "sh".to_owned()
            } else {
                (number + 1).to_string()
            };
            fs::write(folder.path().join(number.to_string()), format!("#!/{next}\n")).unwrap();
        }
        folder
    }

    #[test]
    fn a_chain_goes_as_deep_as_the_kernel_does() {
        for count in 0..=7 {
            let folder = nested(count);
            let root = Root::of_directory(folder.path().as_os_str().as_bytes()).unwrap();
            let first = if count == 0 { "/sh".to_owned() } else { "/0".to_owned() };
            match script_chain(&root, b"/", first.as_bytes()) {
                Ok(chain) => {
                    assert!(count <= 5, "{count}");
                    assert_eq!(chain.len(), count + 1);
                    assert_eq!(chain.last().unwrap(), b"/sh");
                }
                Err(error) => assert!(
                    count > 5 && matches!(error.reason, Reason::TooManyInterpreters),
                    "{count} {error}"
                ),
            }
        }
        let loop_of_one = tempfile::tempdir().unwrap();
        fs::write(loop_of_one.path().join("me"), "#!me\n").unwrap();
        let root = Root::of_directory(loop_of_one.path().as_os_str().as_bytes()).unwrap();
        assert!(matches!(
            script_chain(&root, b"/", b"me").unwrap_err().reason,
            Reason::TooManyInterpreters
        ));
    }

    #[test]
    fn the_running_kernel_goes_as_deep() {
        let folder = tempfile::tempdir().unwrap();
        symlink("/bin/echo", folder.path().join("sh")).unwrap();
        for count in 1..=7_usize {
            for number in 0..count {
                let next = if number + 1 == count {
                    "sh".to_owned()
                } else {
                    (number + 1).to_string()
                };
                let line = format!("#!{}\n", folder.path().join(next).display());
                write_script(&folder.path().join(number.to_string()), line.as_bytes());
            }
            let first = folder.path().join("0");
            let chain = script_chain(&Root::own().unwrap(), b"/", first.as_os_str().as_bytes());
            assert_eq!(executed(&first).is_some(), chain.is_ok(), "{count} scripts");
        }
    }

    #[test]
    fn interpreters_are_canonical_and_relative_to_the_working_directory() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("usr/bin")).unwrap();
        fs::create_dir_all(at("work")).unwrap();
        fs::write(at("usr/bin/dash"), "\x7fELF").unwrap();
        symlink("usr/bin", at("bin")).unwrap();
        symlink("dash", at("usr/bin/sh")).unwrap();
        fs::write(at("work/go"), "#! ../bin/../bin/sh -e\n").unwrap();
        let root = Root::of_directory(folder.path().as_os_str().as_bytes()).unwrap();
        assert_eq!(
            script_chain(&root, b"/work", b"./go").unwrap(),
            [b"/work/go".to_vec(), b"/usr/bin/dash".to_vec()]
        );
        assert_eq!(script_chain(&root, b"/", b"/bin/sh").unwrap(), [b"/usr/bin/dash"]);
        let error = script_chain(&root, b"/usr/bin", b"/work/missing").unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot resolve `/work/missing`: No such file or directory (os error 2)"
        );
    }
}
