//! Looks at workloads' files, in a process that can be left behind.
//!
//! A file may lie on a file system that its workload serves itself (FUSE), or on a network that is gone. Then a look-up
//! never returns, and whoever makes it cannot be ended either: a request that a FUSE server took and does not answer is
//! waited for uninterruptibly (`request_wait_answer`, fs/fuse/dev.c), so that not even SIGKILL ends it before the server
//! does. A process with such a thread stays as a zombie, and whoever waits for it hangs, too. So another process makes
//! the look-ups, as `profile look-up`: one question a line of JSON, and one answer.
//!
//! ```
//! use baselines::path::FilePath;
//! use profiler::look_up::{Found, Place, Question, read_line, serve, write_line};
//!
//! let here = Place { root: "/".to_owned(), root_inode: None, program: None };
//! let question = Question::Loader { inode: 1, path: FilePath::canonical(*b"/no/such/program"), place: here };
//! let (mut questions, mut answers) = (Vec::new(), Vec::new());
//! write_line(&mut questions, &question)?;
//! serve(&mut questions.as_slice(), &mut answers)?;
//! assert_eq!(read_line(&mut answers.as_slice())?, Some(Found::Nothing));
//! # Ok::<(), std::io::Error>(())
//! ```

use std::fs::File;
use std::io::{self, BufRead, Read as _, Write};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use baselines::path::{FilePath, Origin, PATH_BYTES_MAX};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::resolve::{ElfError, Root, SCRIPTS_MAX, elf_interpreter, script_chain};

/// The longest line. The most that is ever said is a chain of scripts, and a byte of a path takes up to five
/// characters: `\\xff`.
const LINE_BYTES_MAX: u64 = 128 * 1024;

/// Where a process is, or was.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Place {
    /// A path to its root directory.
    pub root: String,
    /// That directory's inode number; None where it needs no proof.
    pub root_inode: Option<u64>,
    /// A path to its executable, if there is one. It may be another one by now.
    pub program: Option<String>,
}

/// What to find out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Question {
    /// Which dynamic loader a program names.
    Loader {
        /// The program's inode number.
        inode: u64,
        /// Its path.
        path: FilePath,
        /// Where its paths begin.
        place: Place,
    },
    /// Which scripts lead from a name to a program.
    Scripts {
        /// The script's name as called.
        name: FilePath,
        /// The directory that a relative name starts from.
        directory: FilePath,
        /// The program that runs in the end.
        program: FilePath,
        /// Where its paths begin.
        place: Place,
    },
}

/// What was found out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Found {
    /// The program's loader; None where it has none.
    Loader(Option<FilePath>),
    /// The script, and the scripts that interpret it.
    Scripts(Vec<FilePath>),
    /// It could not be found out.
    Nothing,
}

impl Found {
    /// Whether this can be the answer: who looks at hostile files is not trusted either.
    pub fn is_answer_to(&self, question: &Question) -> bool {
        let is_canonical = |path: &FilePath| {
            let bytes = path.as_bytes();
            path.origin() == Origin::Canonical && bytes.starts_with(b"/") && bytes.len() <= PATH_BYTES_MAX
        };
        match (self, question) {
            (Self::Nothing, _) => true,
            (Self::Loader(loader), Question::Loader { .. }) => loader.iter().all(is_canonical),
            (Self::Scripts(scripts), Question::Scripts { .. }) => {
                scripts.len() <= SCRIPTS_MAX && scripts.iter().all(is_canonical)
            }
            _ => false,
        }
    }
}

/// A process that answers questions on its standard input, once that and its standard output are set.
///
/// It shares nothing else with us, so that it keeps nobody waiting when it is left behind: no standard error, no working
/// directory (which could not be unmounted), no variables. A signal of the terminal reaches only our own process group.
pub fn command() -> Command {
    // The file that we are, even if it has been replaced since.
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("profile")
        .args(["look-up", &std::process::id().to_string()])
        .env_clear()
        .current_dir("/")
        .process_group(0)
        .stderr(Stdio::null());
    command
}

/// Answers each question until there are no more.
///
/// # Errors
/// Where something is no question, or nobody is left to answer to.
pub fn serve(questions: &mut impl BufRead, answers: &mut impl Write) -> io::Result<()> {
    while let Some(question) = read_line(questions)? {
        write_line(answers, &look_up(question))?;
    }
    Ok(())
}

/// Reads a line, None at the end.
///
/// # Errors
/// Where it cannot be read, is too long, is cut or is something else.
pub fn read_line<T: DeserializeOwned>(input: &mut impl BufRead) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    input.take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    match line.split_last() {
        None => Ok(None),
        Some((b'\n', line)) => Ok(Some(serde_json::from_slice(line)?)),
        Some(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "a line without an end")),
    }
}

/// Writes a line.
///
/// # Errors
/// Where it cannot be written.
pub fn write_line(output: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    output.write_all(&line)?;
    output.flush()
}

fn look_up(question: Question) -> Found {
    let found = match question {
        Question::Loader { inode, path, place } => loader(&place, inode, &path),
        Question::Scripts {
            name,
            directory,
            program,
            place,
        } => scripts(&place, &directory, &name, &program),
    };
    found.unwrap_or(Found::Nothing)
}

impl Place {
    /// The root directory, if it is still the one that the probe saw.
    fn root(&self) -> Option<Root> {
        let root = Root::of_directory(self.root.as_bytes()).ok()?;
        // Another process may have taken over the number, or the same one another root.
        (self.root_inode.is_none() || root.inode() == self.root_inode).then_some(root)
    }
}

fn loader(place: &Place, inode: u64, path: &FilePath) -> Option<Found> {
    let root = place.root()?;
    let program = open_program(place, inode, path, &root)?;
    match elf_interpreter(&program) {
        Ok(Some(name)) => {
            let loader = root.canonicalise(b"/", &name).ok()?;
            Some(Found::Loader(Some(FilePath::canonical(loader))))
        }
        // Statically linked, or run by an interpreter that binfmt_misc knows.
        Ok(None) | Err(ElfError::NotElf) => Some(Found::Loader(None)),
        Err(_) => None,
    }
}

/// The executable itself: by the process that runs it, or by its path, if that is still the same file.
fn open_program(place: &Place, inode: u64, path: &FilePath, root: &Root) -> Option<File> {
    let is_it = |file: &File| file.metadata().is_ok_and(|found| found.ino() == inode);
    let by_path = root.open_regular(path.as_bytes()).ok().filter(is_it);
    by_path.or_else(|| File::open(place.program.as_ref()?).ok().filter(is_it))
}

fn scripts(place: &Place, directory: &FilePath, name: &FilePath, program: &FilePath) -> Option<Found> {
    let mut chain = script_chain(&place.root()?, directory.as_bytes(), name.as_bytes()).ok()?;
    // The last one is what runs now. Where the name leads to another program, it has been changed since.
    (FilePath::canonical(chain.pop()?) == *program)
        .then(|| Found::Scripts(chain.into_iter().map(FilePath::canonical).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn here() -> Place {
        Place {
            root: "/".to_owned(),
            root_inode: None,
            program: None,
        }
    }

    /// The answers to the questions, as another process would give them.
    fn answers(questions: &[Question]) -> Vec<Found> {
        let (mut asked, mut answered) = (Vec::new(), Vec::new());
        for question in questions {
            write_line(&mut asked, question).unwrap();
        }
        serve(&mut asked.as_slice(), &mut answered).unwrap();
        let mut answered = answered.as_slice();
        std::iter::from_fn(|| read_line(&mut answered).unwrap()).collect()
    }

    fn about_program(path: &str, inode: u64) -> Question {
        Question::Loader {
            inode,
            path: FilePath::canonical(path.as_bytes()),
            place: here(),
        }
    }

    #[test]
    fn a_program_is_known_by_its_inode_number_and_a_script_by_its_program() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        std::fs::write(path("program"), "no ELF file").unwrap();
        std::fs::write(path("script"), format!("#!{}\n", path("program"))).unwrap();
        let inode = std::fs::metadata(path("program")).unwrap().ino();
        let script = |program: &str| Question::Scripts {
            name: FilePath::new(*b"./script", Origin::AsCalled),
            directory: FilePath::canonical(path("").trim_end_matches('/').as_bytes()),
            program: FilePath::canonical(path(program).as_bytes()),
            place: here(),
        };
        let questions = [
            about_program(&path("program"), inode),
            about_program(&path("script"), inode),
            script("program"),
            script("another"),
        ];
        let expected = [
            Found::Loader(None),
            Found::Nothing,
            Found::Scripts(vec![FilePath::canonical(path("script").as_bytes())]),
            Found::Nothing,
        ];
        assert_eq!(answers(&questions), expected);
        for (question, answer) in questions.iter().zip(&expected) {
            assert!(answer.is_answer_to(question), "{answer:?}");
        }
    }

    #[test]
    fn what_cannot_be_the_answer_is_none() {
        let question = about_program("/a", 1);
        let path = |bytes: &[u8]| Found::Loader(Some(FilePath::canonical(bytes)));
        let too_many = vec![FilePath::canonical(*b"/a"); SCRIPTS_MAX + 1];
        let cases = [
            Found::Scripts(Vec::new()),
            Found::Scripts(too_many),
            path(b""),
            path(b"relative"),
            path(&[b'/'; PATH_BYTES_MAX + 1]),
            Found::Loader(Some(FilePath::new(*b"/a", Origin::Cut))),
        ];
        for answer in cases {
            assert!(!answer.is_answer_to(&question), "{answer:?}");
        }
    }

    #[test]
    fn the_longest_answer_fits_into_a_line() {
        let mut longest = [0xff; PATH_BYTES_MAX];
        longest[0] = b'/';
        let answer = Found::Scripts(vec![FilePath::canonical(longest); SCRIPTS_MAX]);
        let mut line = Vec::new();
        write_line(&mut line, &answer).unwrap();
        assert_eq!(read_line(&mut line.as_slice()).unwrap(), Some(answer));
    }

    #[test]
    fn lines_have_an_end_and_a_length_and_say_something() {
        let too_long = [
            b" ".repeat(usize::try_from(LINE_BYTES_MAX).unwrap()),
            b"\"Nothing\"\n".to_vec(),
        ]
        .concat();
        let cases: [&[u8]; 5] = [b"\"Nothing\"", b"\n", b"\"Something\"\n", b"\xff\n", &too_long];
        for line in cases {
            assert!(read_line::<Found>(&mut &*line).is_err(), "{}", line.escape_ascii());
        }
        assert_eq!(read_line::<Found>(&mut [].as_slice()).unwrap(), None);
    }

    proptest! {
        #[test]
        fn every_path_survives_a_line(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let answer = Found::Loader(Some(FilePath::canonical(bytes)));
            let mut line = Vec::new();
            write_line(&mut line, &answer).unwrap();
            prop_assert_eq!(read_line(&mut line.as_slice()).unwrap(), Some(answer));
        }
    }
}
