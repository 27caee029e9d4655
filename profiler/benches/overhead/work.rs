//! The work whose cost is measured, and the process that does it.

use std::error::Error;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use profiler::cgroups::OwnedCgroup;

use crate::place::{ONE_FILE, ONE_PROGRAM, Place};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// `open(2)` and `close(2)` of one and the same file.
    Open,
    /// The same of a file that was not opened before (since the probes were loaded).
    FirstOpen,
    /// `connect(2)` of a UDP socket to one and the same loopback address.
    Connect,
    /// The same to an address that was not connected to before.
    FirstConnect,
    /// `connect(2)` of a TCP socket to a listener on loopback.
    ConnectTcp,
    /// Starting a tiny static program and waiting for its end.
    Execute,
    /// The same of a program that was not executed before.
    FirstExecute,
    /// `getppid(2)`: a call that no probe is interested in.
    Unrelated,
}

impl Operation {
    /// All of them, in the order of the table.
    pub(crate) const ALL: [Self; 8] = [
        Self::Open,
        Self::FirstOpen,
        Self::Connect,
        Self::FirstConnect,
        Self::ConnectTcp,
        Self::Execute,
        Self::FirstExecute,
        Self::Unrelated,
    ];

    /// The heading of its column.
    pub(crate) fn heading(self) -> &'static str {
        match self {
            Self::Open => "open+close, same file",
            Self::FirstOpen => "open+close, new file",
            Self::Connect => "connect UDP, same address",
            Self::FirstConnect => "connect UDP, new address",
            Self::ConnectTcp => "connect TCP, same address",
            Self::Execute => "spawn+wait, same program",
            Self::FirstExecute => "spawn+wait, new program",
            Self::Unrelated => "getppid",
        }
    }

    /// How often it is done in a row between two looks at the clock. A row is far shorter than a time slice, so that few
    /// are interrupted.
    pub(crate) fn in_a_row(self) -> usize {
        match self {
            Self::Open | Self::Connect => 50,
            Self::FirstOpen | Self::FirstConnect | Self::ConnectTcp => 20,
            Self::Unrelated => 200,
            Self::Execute | Self::FirstExecute => 1,
        }
    }

    /// How many such rows. Those of new objects are as few as the ring buffer has room for, because nobody reads it.
    pub(crate) fn rows(self, effort: Effort) -> usize {
        let all = match self {
            Self::Open => 1_000,
            Self::Connect | Self::Unrelated => 500,
            Self::FirstOpen | Self::ConnectTcp => 50,
            Self::FirstConnect => 25,
            Self::Execute => 200,
            Self::FirstExecute => 100,
        };
        match effort {
            Effort::Full => all,
            Effort::Little => (all / 20).max(5),
        }
    }

    /// How often it is done in one measurement.
    pub(crate) fn times(self, effort: Effort) -> usize {
        self.in_a_row() * self.rows(effort)
    }
}

/// Nanoseconds for one of each, in the order of [`Operation::ALL`]; not a number where it was not measured.
pub(crate) type Times = [f64; Operation::ALL.len()];

/// How much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// All.
    Full,
    /// A twentieth, for tools that slow everything down.
    Little,
}

/// The process that does the work, in its cgroup. It ends when this is dropped.
pub(crate) struct Worker {
    process: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    folder: tempfile::TempDir,
    ports: [u16; 2],
}

impl Worker {
    /// Starts it.
    pub(crate) fn start(cgroup: &OwnedCgroup) -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let mut process = Command::new(std::env::current_exe()?)
            .arg(WORKER)
            .args([folder.path(), &cgroup.directory().join("cgroup.procs")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(orders), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("the worker has no pipes".into());
        };
        let mut worker = Self {
            process,
            orders: Some(orders),
            answers: BufReader::new(answers),
            folder,
            ports: [0; 2],
        };
        worker.ports = worker.answer()?;
        Ok(worker)
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// What a tool names that lists this operation: the file, the program, or the port.
    pub(crate) fn object_of(&self, operation: Operation) -> Option<String> {
        let path = |name| Some(self.folder.path().join(name).to_string_lossy().into_owned());
        let [udp, tcp] = self.ports;
        match operation {
            Operation::Open => path(ONE_FILE),
            Operation::Execute => path(ONE_PROGRAM),
            Operation::Connect => Some(udp.to_string()),
            Operation::ConnectTcp => Some(tcp.to_string()),
            Operation::FirstOpen | Operation::FirstConnect | Operation::FirstExecute | Operation::Unrelated => None,
        }
    }

    /// Lets it do everything once.
    pub(crate) fn measure(&mut self, effort: Effort) -> Result<Times, Box<dyn Error>> {
        self.measure_some(effort, &Operation::ALL)
    }

    /// Lets it do some of it once.
    pub(crate) fn measure_some(&mut self, effort: Effort, some: &[Operation]) -> Result<Times, Box<dyn Error>> {
        let orders = self.orders.as_mut().ok_or("the worker has ended")?;
        let wanted = Operation::ALL.map(|operation| if some.contains(&operation) { "1" } else { "0" });
        writeln!(orders, "{effort:?} {}", wanted.join(" "))?;
        self.answer()
    }

    fn answer<T: std::str::FromStr<Err: Error + 'static>, const N: usize>(&mut self) -> Result<[T; N], Box<dyn Error>> {
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        let figures: Vec<T> = answer.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        figures
            .try_into()
            .map_err(|_| "the worker failed; its message is above".into())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The end of its orders ends it.
        self.orders = None;
        if let Err(error) = self.process.wait() {
            eprintln!("warning: the worker cannot be waited for: {error}");
        }
    }
}

/// The first argument of a worker.
pub(crate) const WORKER: &str = "worker";

/// Works until the orders end. The arguments: its folder, and the door to its cgroup.
pub(crate) fn serve(arguments: &[OsString]) -> Result<(), Box<dyn Error>> {
    let [folder, cgroup] = arguments else {
        return Err("takes a folder and a cgroup".into());
    };
    File::options().write(true).open(cgroup)?.write_all(b"0")?;
    let place = Place::make(Path::new(folder))?;
    println!("{}", place.ports()?.map(|port| port.to_string()).join(" "));
    for order in io::stdin().lines() {
        let order = order?;
        let mut words = order.split_whitespace();
        let effort = if words.next() == Some("Little") {
            Effort::Little
        } else {
            Effort::Full
        };
        let mut answer = Vec::new();
        for (operation, wanted) in Operation::ALL.into_iter().zip(words) {
            let time = if wanted == "1" {
                place.time(operation, effort)?
            } else {
                f64::NAN
            };
            answer.push(time.to_string());
        }
        println!("{}", answer.join(" "));
    }
    Ok(())
}
