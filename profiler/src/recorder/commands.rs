//! What processes executed that entered containers, and whether that is what the kubelet executes there.
//!
//! The kubelet has the runtime execute the commands of probes and lifecycle handlers as the pod's specification has them, without
//! a shell around. The probes give each command that enters a container a number, which whatever it starts inherits. Here its
//! arguments are compared with the specification, once that is known. They may hold secrets, so nothing but hashes of them is
//! kept.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use baselines::behaviour::{Action, Behaviour, Provenance};
use baselines::path::FilePath;
use profiler_common::{CommandRecord, SCRIPTS_MAX};

use super::described::until_nul;
use crate::kubernetes::pods::KubeletCommand;

/// Commands of containers that live are no more than the probes have room for; this many while others wait for their pods.
const CALLED_MAX: usize = 65_536;
/// Of how many programs it is known who executed them in a container.
const PROGRAMS_MAX: usize = 1_024;

/// How a process came into its container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Came {
    /// That is known.
    As(Provenance),
    /// It entered with the command of this number.
    With(u32),
}

/// Whose a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The kubelet's, or exactly what the kubelet executes.
    Kubelets,
    /// Somebody else's.
    Others,
    /// Nobody knows yet.
    Awaited,
    /// Nobody will know.
    Untold,
}

/// The hashes of the commands that a process may have been executed with. Of a program there is one.
type Called = [u64; 2];

/// The commands that entered containers.
#[derive(Default)]
pub(super) struct Commands {
    hasher: RandomState,
    /// By the container, and the number.
    called: HashMap<(u64, u32), Called>,
    programs: HashMap<u64, Programs>,
}

/// The programs and scripts that were executed in a container by whoever entered it.
#[derive(Default)]
struct Programs {
    kubelets: HashSet<FilePath>,
    others: HashSet<FilePath>,
}

impl Commands {
    /// Takes in what the probes say of a command. False where it cannot be compared with others.
    pub(super) fn take(&mut self, container: u64, record: &CommandRecord) -> bool {
        let length = usize::try_from(record.length).unwrap_or(usize::MAX);
        let called = record
            .bytes
            .get(..length)
            .and_then(|arguments| self.called_by(until_nul(&record.name), arguments));
        let Some(called) = called.filter(|_| self.called.len() < CALLED_MAX) else {
            return false;
        };
        self.called.insert((container, record.command), called);
        true
    }

    /// Whose the command of this number is in a container where the kubelet executes these. `is_new`: it may still be described.
    pub(super) fn whose(&self, container: u64, number: u32, kubelets: &[KubeletCommand], is_new: bool) -> Whose {
        if kubelets.is_empty() {
            return Whose::Others;
        }
        let is_it = |called: &Called| kubelets.iter().any(|it| called.contains(&self.hash_of(it)));
        match self.called.get(&(container, number)) {
            Some(called) if is_it(called) => Whose::Kubelets,
            Some(_) => Whose::Others,
            None if is_new => Whose::Awaited,
            None => Whose::Untold,
        }
    }

    /// Notes which program somebody executed who entered a container.
    pub(super) fn executed(&mut self, container: u64, behaviour: &Behaviour, whose: Whose) {
        let Action::Exec { binary, script, .. } = &behaviour.action else {
            return;
        };
        let programs = self.programs.entry(container).or_default();
        let programs = match whose {
            Whose::Kubelets => &mut programs.kubelets,
            _ => &mut programs.others,
        };
        for path in [Some(binary), script.as_ref()].into_iter().flatten() {
            // More cannot be told apart from what others execute.
            if programs.len() < PROGRAMS_MAX && !programs.contains(path) {
                programs.insert(path.clone());
            }
        }
    }

    /// For whose command the kernel opened this for somebody who was about to execute his first program in a container: before
    /// there were arguments to be read. `is_new`: the execution may still be told of.
    ///
    /// It is the program, a script, or what the kernel loads with the program, which nobody executes.
    pub(super) fn whose_beginning(&self, container: u64, behaviour: &Behaviour, is_new: bool) -> Whose {
        let (Action::Open { path, .. }, Some(programs)) = (&behaviour.action, self.programs.get(&container)) else {
            return if is_new { Whose::Awaited } else { Whose::Others };
        };
        if programs.kubelets.contains(path) {
            Whose::Kubelets
        } else if is_new {
            Whose::Awaited
        } else if programs.kubelets.is_empty()
            || programs.others.contains(path)
            || programs.others.len() >= PROGRAMS_MAX
        {
            Whose::Others
        } else {
            Whose::Kubelets
        }
    }

    /// Forgets the containers that are not wanted any more.
    pub(super) fn retain(&mut self, is_wanted: impl Fn(u64) -> bool) {
        self.called.retain(|(container, _), _| is_wanted(*container));
        self.programs.retain(|container, _| is_wanted(*container));
    }

    /// What a process may have been called by that has these arguments. `name`, unless it is empty, is the name that the kernel
    /// has put an interpreter in front of.
    fn called_by(&self, name: &[u8], arguments: &[u8]) -> Option<Called> {
        let mut words = arguments.strip_suffix(&[0])?.split(|byte| *byte == 0);
        if name.is_empty() {
            let hash = self.hash(words);
            return Some([hash, hash]);
        }
        // Each interpreter has one argument at most in front of the script, and the first word of the command is gone
        // (load_script, fs/binfmt_script.c).
        let position = words.by_ref().take(2 * SCRIPTS_MAX).position(|word| word == name);
        position.filter(|position| *position > 0)?;
        // A name without a slash was looked up along PATH, by the runtime.
        let file_name = name.rsplit(|byte| *byte == b'/').next().unwrap_or(name);
        Some([name, file_name].map(|name| self.hash([name].into_iter().chain(words.clone()))))
    }

    fn hash_of(&self, command: &KubeletCommand) -> u64 {
        self.hash(command.command.iter().map(String::as_bytes))
    }

    fn hash<'a>(&self, words: impl Iterator<Item = &'a [u8]>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        for word in words {
            hasher.write_usize(word.len());
            hasher.write(word);
        }
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use baselines::behaviour::Access;
    use profiler_common::{COMMAND_BYTES, pod};

    use super::*;
    use crate::kubernetes::pods::Occasion;

    const CONTAINER: u64 = 7;
    const NUMBER: u32 = 42;

    fn command(words: &[&str]) -> KubeletCommand {
        KubeletCommand {
            occasion: Occasion::Liveness,
            command: words.iter().map(|word| (*word).to_owned()).collect(),
        }
    }

    /// What the probes tell: `name` is empty, or what an interpreter was put in front of.
    fn told(name: &str, words: &[&str]) -> CommandRecord {
        let arguments: Vec<u8> = words
            .iter()
            .flat_map(|word| [word.as_bytes(), b"\0"].concat())
            .collect();
        let mut record: CommandRecord = pod::zeroed();
        (record.command, record.length) = (NUMBER, arguments.len() as u64);
        record.name[..name.len()].copy_from_slice(name.as_bytes());
        let fits = arguments.len().min(COMMAND_BYTES);
        record.bytes[..fits].copy_from_slice(&arguments[..fits]);
        record
    }

    fn whose(kubelets: &[&[&str]], name: &str, words: &[&str]) -> Whose {
        let mut commands = Commands::default();
        assert!(commands.take(CONTAINER, &told(name, words)), "{words:?}");
        let kubelets: Vec<_> = kubelets.iter().map(|words| command(words)).collect();
        commands.whose(CONTAINER, NUMBER, &kubelets, false)
    }

    #[test]
    fn a_command_is_the_kubelets_if_it_is_exactly_what_the_specification_says() {
        let long = "x".repeat(COMMAND_BYTES - 5);
        let cases: [(&[&str], &[&str], Whose); 13] = [
            (&["pg_isready", "-q"], &["pg_isready", "-q"], Whose::Kubelets),
            (&["sh", "-c", "a && b"], &["sh", "-c", "a && b"], Whose::Kubelets),
            (&["cat", ""], &["cat", ""], Whose::Kubelets),
            (&["cat", &long], &["cat", &long], Whose::Kubelets),
            (&["caf\u{e9}"], &["caf\u{e9}"], Whose::Kubelets),
            // The beginning of it, more than it, another program, another order, other words of the same text.
            (&["pg_isready", "-q"], &["pg_isready"], Whose::Others),
            (&["pg_isready"], &["pg_isready", "-q"], Whose::Others),
            (&["/bin/sh"], &["sh"], Whose::Others),
            (&["cat", "a", "b"], &["cat", "b", "a"], Whose::Others),
            (&["cat", "a b"], &["cat", "a", "b"], Whose::Others),
            (&["cat"], &["cat", ""], Whose::Others),
            (&["cat", ""], &["cat"], Whose::Others),
            // No argument holds a NUL: this cannot be executed.
            (&["cat\0a"], &["cat", "a"], Whose::Others),
        ];
        for (kubelets, words, expected) in cases {
            assert_eq!(whose(&[&["true"], kubelets], "", words), expected, "{words:?}");
        }
        assert_eq!(whose(&[], "", &["true"]), Whose::Others);
    }

    #[test]
    fn a_script_is_told_by_its_name_and_not_by_its_interpreters() {
        let path = "/opt/check.sh";
        let cases: [(&[&str], &str, &[&str], Whose); 10] = [
            (&[path], path, &["/bin/sh", path], Whose::Kubelets),
            (&[path, "-q"], path, &["/bin/sh", "-e", path, "-q"], Whose::Kubelets),
            // An interpreter that is a script, too.
            (
                &[path, "-q"],
                path,
                &["/bin/sh", "-e", "/opt/run", path, "-q"],
                Whose::Kubelets,
            ),
            // Found along PATH.
            (&["check.sh", "-q"], path, &["/bin/sh", path, "-q"], Whose::Kubelets),
            (
                &["./check.sh"],
                "./check.sh",
                &["/bin/sh", "./check.sh"],
                Whose::Kubelets,
            ),
            (&["/tmp/check.sh"], path, &["/bin/sh", path], Whose::Others),
            (&["opt/check.sh"], path, &["/bin/sh", path], Whose::Others),
            (&[path], path, &["/bin/sh", path, "-q"], Whose::Others),
            (&[path, "-q"], path, &["/bin/sh", path], Whose::Others),
            // Somebody calls the interpreter himself.
            (&[path], "", &["/bin/sh", path], Whose::Others),
        ];
        for (kubelets, name, words, expected) in cases {
            assert_eq!(whose(&[kubelets], name, words), expected, "{kubelets:?}: {words:?}");
        }
    }

    #[test]
    fn what_cannot_be_compared_is_not_taken() {
        let mut commands = Commands::default();
        let mut unended = told("", &["cat", "a"]);
        unended.length -= 1;
        let mut endless = told("", &["cat"]);
        endless.length = u64::MAX;
        let cases = vec![
            told("/opt/check.sh", &["/bin/sh", "another"]),
            told("/opt/check.sh", &["/opt/check.sh"]),
            told("", &["cat", &"x".repeat(COMMAND_BYTES)]),
            told("", &[]),
            unended,
            endless,
        ];
        for record in cases {
            assert!(!commands.take(CONTAINER, &record));
        }
        let kubelets = [command(&["cat"])];
        assert_eq!(commands.whose(CONTAINER, NUMBER, &kubelets, true), Whose::Awaited);
        assert_eq!(commands.whose(CONTAINER, NUMBER, &kubelets, false), Whose::Untold);
    }

    #[test]
    fn a_command_is_one_containers_and_is_forgotten_with_it() {
        let mut commands = Commands::default();
        assert!(commands.take(CONTAINER, &told("", &["cat"])));
        let kubelets = [command(&["cat"])];
        let whose = |commands: &Commands, container| commands.whose(container, NUMBER, &kubelets, false);
        assert_eq!(whose(&commands, CONTAINER), Whose::Kubelets);
        assert_eq!(whose(&commands, CONTAINER + 1), Whose::Untold);
        commands.retain(|container| container != CONTAINER);
        assert_eq!(whose(&commands, CONTAINER), Whose::Untold);
    }

    fn exec(binary: &str, script: Option<&str>) -> Behaviour {
        Behaviour {
            subject: FilePath::canonical(*b"/runc"),
            action: Action::Exec {
                binary: FilePath::canonical(binary.as_bytes()),
                script: script.map(|path| FilePath::canonical(path.as_bytes())),
                arguments: None,
            },
        }
    }

    fn open(path: &str) -> Behaviour {
        Behaviour {
            subject: FilePath::canonical(*b"/runc"),
            action: Action::Open {
                path: FilePath::canonical(path.as_bytes()),
                access: Access::default(),
                backing: None,
            },
        }
    }

    #[test]
    fn what_the_kernel_opens_before_an_execution_is_told_by_the_execution() {
        let mut commands = Commands::default();
        let whose = |commands: &Commands, path, is_new| commands.whose_beginning(CONTAINER, &open(path), is_new);
        let all = |commands: &Commands| {
            ["/bin/sh", "/opt/check.sh", "/bin/cat", "/lib/ld.so"].map(|path| whose(commands, path, false))
        };
        assert_eq!(whose(&commands, "/bin/sh", true), Whose::Awaited);
        assert_eq!(all(&commands), [Whose::Others; 4]);
        commands.executed(CONTAINER, &exec("/bin/cat", None), Whose::Others);
        assert_eq!(all(&commands), [Whose::Others; 4]);
        commands.executed(CONTAINER, &exec("/bin/sh", Some("/opt/check.sh")), Whose::Kubelets);
        // The loader may be that of either.
        let expected = [Whose::Kubelets, Whose::Kubelets, Whose::Others, Whose::Kubelets];
        assert_eq!(all(&commands), expected);
        assert_eq!(whose(&commands, "/bin/sh", true), Whose::Kubelets);
        assert_eq!(whose(&commands, "/bin/cat", true), Whose::Awaited);
    }
}
