//! Loads of a known size, made by a process in a cgroup of its own.

use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use profiler::cgroups::OwnedCgroup;

use crate::figures::statistics::due;
use crate::place::{compile_program, execute, open_and_close};

/// The first argument of such a process.
pub(crate) const LOAD: &str = "load";
/// How many files are opened, one after the other and again.
const FILES: usize = 100;
/// How long the load rests between two looks at what is due.
const TICK: Duration = Duration::from_millis(10);

/// Opens, executions, TCP connections and HTTP exchanges; a second, or in all.
pub(crate) type Amounts = [u64; 4];

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// So much a second.
    Paced(Amounts),
    /// As many opens as all processors can make.
    Flood,
}

/// A load that runs.
pub(crate) struct Load {
    process: Child,
    folder: tempfile::TempDir,
}

impl Load {
    /// Starts it.
    pub(crate) fn start(cgroup: &OwnedCgroup, kind: Kind, time: Duration) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let rates = match kind {
            Kind::Paced(rates) => rates.map(|rate| rate.to_string()).to_vec(),
            Kind::Flood => Vec::new(),
        };
        for file in files(folder.path()) {
            fs::write(file, "")?;
        }
        compile_program(&program(folder.path()))?;
        // Like a container's runtime, the shell enters the cgroup, and what it then executes is the workload.
        let process = Command::new("sh")
            .args(["-c", "echo 0 >\"$0\" && exec \"$@\""])
            .arg(cgroup.directory().join("cgroup.procs"))
            .arg(std::env::current_exe()?)
            .arg(LOAD)
            .arg(folder.path())
            .arg(time.as_secs().to_string())
            .args(rates)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Self { process, folder })
    }

    /// Where its files are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Waits for its end, and says what it has done.
    pub(crate) fn finish(&mut self) -> Result<Amounts, Box<dyn Error>> {
        let output = self.process.stdout.take().ok_or("the load has no output")?;
        let mut answer = String::new();
        BufReader::new(output).read_line(&mut answer)?;
        self.process.wait()?;
        let done: Vec<u64> = answer.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        done.try_into()
            .map_err(|_| "the load failed; its message is above".into())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Both fail where it has ended, which is what is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    (0..FILES).map(|file| folder.join(file.to_string())).collect()
}

fn program(folder: &Path) -> PathBuf {
    folder.join("program")
}

/// Makes the load. The arguments: a folder, seconds, and four rates unless it is a flood.
pub(crate) fn serve(arguments: &[OsString]) -> Result<(), Box<dyn Error>> {
    let [folder, seconds, rates @ ..] = arguments else {
        return Err("takes a folder and seconds".into());
    };
    let number = |text: &OsString| text.to_string_lossy().parse::<u64>();
    let (folder, time) = (PathBuf::from(folder), Duration::from_secs(number(seconds)?));
    let files = files(&folder);
    let rates: Vec<u64> = rates.iter().map(number).collect::<Result<_, _>>()?;
    let done = match Amounts::try_from(rates) {
        Ok(rates) => pace(rates, time, &files, &program(&folder))?,
        Err(_) => flood(time, &files)?,
    };
    println!("{}", done.map(|amount| amount.to_string()).join(" "));
    Ok(())
}

fn pace(rates: Amounts, time: Duration, files: &[PathBuf], program: &Path) -> io::Result<Amounts> {
    let mut files = files.iter().cycle();
    let (sink, server) = (serving(|_| Ok(()))?, serving(answer)?);
    let start = Instant::now();
    let mut done = Amounts::default();
    while start.elapsed() < time {
        let steps = [
            &mut || files.next().map_or(Ok(()), |file| open_and_close(file)),
            &mut || execute(program),
            &mut || TcpStream::connect(sink).map(drop),
            &mut || exchange(server),
        ] as [&mut dyn FnMut() -> io::Result<()>; 4];
        for ((step, rate), done) in steps.into_iter().zip(rates).zip(&mut done) {
            for _ in 0..due(rate, start.elapsed(), *done) {
                step()?;
                *done += 1;
            }
        }
        thread::sleep(TICK);
    }
    Ok(done)
}

/// Accepts connections on a free port of loopback until this process ends.
fn serving(serve: impl Fn(TcpStream) -> io::Result<()> + Send + 'static) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming() {
            if let Err(error) = stream.and_then(&serve) {
                eprintln!("load: serving: {error}");
            }
        }
    });
    Ok(address)
}

/// A small HTTP exchange, from the server's side.
fn answer(mut stream: TcpStream) -> io::Result<()> {
    // The request is smaller than any segment.
    let mut request = [0; 1_024];
    let _read = stream.read(&mut request)?;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
}

/// The same from the client's side.
fn exchange(server: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(server)?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200 ") {
        Ok(())
    } else {
        Err(io::Error::other(format!("the server answered {answer:?}")))
    }
}

fn flood(time: Duration, files: &[PathBuf]) -> Result<Amounts, Box<dyn Error>> {
    let start = Instant::now();
    let open = || -> io::Result<u64> {
        let mut done = 0;
        // Looking at the clock once in a hundred opens costs nothing.
        while start.elapsed() < time {
            files.iter().try_for_each(|file| open_and_close(file))?;
            done += files.len() as u64;
        }
        Ok(done)
    };
    let threads = thread::available_parallelism()?.get();
    let opens = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(open)).collect();
        let done = threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "a thread panicked"));
        done.map(|done| Ok(done??)).sum::<Result<u64, Box<dyn Error>>>()
    })?;
    Ok([opens, 0, 0, 0])
}
