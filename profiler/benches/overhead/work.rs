//! The work whose cost is measured, and the process that does it.

use std::error::Error;
use std::ffi::OsString;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::Instant;

use profiler::cgroups::OwnedCgroup;
use rustix::fs::{CWD, Mode, OFlags};

/// How many different files are opened once each. Fewer than the ring buffer has room for, because nobody reads it.
const FILES: usize = 1_000;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// `open(2)` and `close(2)` of one and the same file.
    Open,
    /// The same of a file that was not opened before (since the probes were loaded).
    FirstOpen,
    /// `getppid(2)`: a call that no probe is interested in.
    Unrelated,
    /// `connect(2)` of a UDP socket to a loopback address.
    Connect,
    /// Starting `/bin/true` and waiting for its end.
    Execute,
}

impl Operation {
    /// All of them, in the order of the table.
    pub(crate) const ALL: [Self; 5] = [
        Self::Open,
        Self::FirstOpen,
        Self::Unrelated,
        Self::Connect,
        Self::Execute,
    ];

    /// The heading of its column.
    pub(crate) fn heading(self) -> &'static str {
        match self {
            Self::Open => "open+close, same file",
            Self::FirstOpen => "open+close, new file",
            Self::Unrelated => "getppid",
            Self::Connect => "connect (UDP)",
            Self::Execute => "spawn+wait /bin/true",
        }
    }

    /// How often it is done in a row between two looks at the clock, and how many such rows.
    fn amount(self) -> (usize, usize) {
        match self {
            // A row is far shorter than a time slice, so that few are interrupted.
            Self::Open => (50, 1_000),
            Self::FirstOpen => (20, FILES / 20),
            Self::Unrelated => (200, 500),
            Self::Connect => (50, 500),
            Self::Execute => (1, 100),
        }
    }
}

/// Nanoseconds for one of each, in the order of [`Operation::ALL`].
pub(crate) type Times = [f64; Operation::ALL.len()];

/// How much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// All.
    Full,
    /// A twentieth, for tools that slow everything down.
    Little,
}

impl Effort {
    fn rows(self, all: usize) -> usize {
        match self {
            Self::Full => all,
            Self::Little => (all / 20).max(5),
        }
    }
}

/// How many times the file of [`Operation::Open`] is opened in one measurement.
pub(crate) fn opens_of_one_file(effort: Effort) -> u64 {
    let (in_a_row, rows) = Operation::Open.amount();
    (in_a_row * effort.rows(rows)) as u64
}

/// What is worked with.
struct Place {
    folder: PathBuf,
    socket: UdpSocket,
    peer: UdpSocket,
}

impl Place {
    fn make(folder: &Path) -> io::Result<Self> {
        for number in 0..FILES {
            fs::write(folder.join(number.to_string()), "")?;
        }
        fs::write(folder.join(ONE_FILE), "")?;
        let bind = || UdpSocket::bind("127.0.0.1:0");
        Ok(Self {
            folder: folder.to_owned(),
            socket: bind()?,
            peer: bind()?,
        })
    }

    /// The median of the rows: a row that was interrupted does not count.
    fn time(&self, operation: Operation, effort: Effort) -> io::Result<f64> {
        let (in_a_row, rows) = operation.amount();
        let mut times = Vec::new();
        let one = self.folder.join(ONE_FILE);
        let files: Vec<PathBuf> = (0..FILES).map(|number| self.folder.join(number.to_string())).collect();
        let address = self.peer.local_addr()?;
        for paths in files.chunks(in_a_row.min(FILES)).cycle().take(effort.rows(rows)) {
            let start = Instant::now();
            match operation {
                Operation::Open => (0..in_a_row).try_for_each(|_| open_and_close(&one))?,
                Operation::FirstOpen => paths.iter().try_for_each(|path| open_and_close(path))?,
                Operation::Unrelated => (0..in_a_row).for_each(|_| {
                    black_box(rustix::process::getppid());
                }),
                Operation::Connect => (0..in_a_row).try_for_each(|_| self.socket.connect(address))?,
                Operation::Execute => drop(Command::new("/bin/true").status()?),
            }
            times.push(start.elapsed().as_nanos() as f64 / in_a_row as f64);
        }
        Ok(median(times))
    }
}

fn open_and_close(path: &Path) -> io::Result<()> {
    // Not open(2), which rustix would call here: the C library calls this one, and the reference counts it.
    drop(rustix::fs::openat(CWD, path, OFlags::RDONLY, Mode::empty())?);
    Ok(())
}

/// The file of [`Operation::Open`], in the worker's folder.
const ONE_FILE: &str = "one";

/// The value in the middle; 0 of none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// The process that does the work, in its cgroup. It ends when this is dropped.
pub(crate) struct Worker {
    process: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    folder: tempfile::TempDir,
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
        Ok(Self {
            process,
            orders: Some(orders),
            answers: BufReader::new(answers),
            folder,
        })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The file that it opens again and again.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join(ONE_FILE)
    }

    /// Lets it do everything once.
    pub(crate) fn measure(&mut self, effort: Effort) -> Result<Times, Box<dyn Error>> {
        let orders = self.orders.as_mut().ok_or("the worker has ended")?;
        writeln!(orders, "{effort:?}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        let times: Vec<f64> = answer.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        times
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
const WORKER: &str = "worker";

/// The arguments of a worker, if this process is to be one: its folder and the door to its cgroup.
pub(crate) fn worker_arguments() -> Option<Vec<OsString>> {
    let mut arguments = std::env::args_os().skip(1);
    arguments
        .next()
        .filter(|first| first == WORKER)
        .map(|_| arguments.collect())
}

/// Works until the orders end.
pub(crate) fn serve(arguments: &[OsString]) -> ExitCode {
    match try_serve(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("worker: {error}");
            ExitCode::FAILURE
        }
    }
}

fn try_serve(arguments: &[OsString]) -> Result<(), Box<dyn Error>> {
    let [folder, cgroup] = arguments else {
        return Err("takes a folder and a cgroup".into());
    };
    File::options().write(true).open(cgroup)?.write_all(b"0")?;
    let place = Place::make(Path::new(folder))?;
    for order in io::stdin().lines() {
        let effort = if order? == format!("{:?}", Effort::Full) {
            Effort::Full
        } else {
            Effort::Little
        };
        // The new files first: what comes later may open anything.
        let mut answer = String::new();
        for operation in Operation::ALL {
            answer.extend([place.time(operation, effort)?.to_string().as_str(), " "]);
        }
        println!("{answer}");
    }
    Ok(())
}
