//! Tools that others would reach for, where they are installed.

use std::error::Error;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::programs::others;
use crate::work::{Effort, Times, Worker, opens_of_one_file};

/// A tool.
pub(crate) struct Peer {
    /// How the table names it.
    pub(crate) name: &'static str,
    /// The program and its arguments; `WORKER` stands for the worker's process id.
    command: &'static [&'static str],
    /// How much work it is given.
    pub(crate) effort: Effort,
}

/// All of them. The last two show what this kernel makes of kprobes and fentry, which most other tools need.
pub(crate) const PEERS: [Peer; 6] = [
    Peer {
        name: "bpftrace, opens counted by path",
        command: &[
            "bpftrace",
            "-e",
            "tracepoint:syscalls:sys_enter_openat { @[str(args->filename)] = count(); }",
        ],
        effort: Effort::Full,
    },
    Peer {
        name: "opensnoop (libbpf-tools)",
        command: &["opensnoop"],
        effort: Effort::Full,
    },
    Peer {
        name: "execsnoop (libbpf-tools)",
        command: &["execsnoop"],
        effort: Effort::Full,
    },
    Peer {
        name: "strace -f, openat only",
        command: &[
            "strace",
            "-f",
            "-qq",
            "-e",
            "trace=openat",
            "-o",
            "/dev/null",
            "-p",
            "WORKER",
        ],
        effort: Effort::Little,
    },
    Peer {
        name: "bpftrace, kprobe:security_file_open counted",
        command: &["bpftrace", "-e", "kprobe:security_file_open { @[comm] = count(); }"],
        effort: Effort::Full,
    },
    Peer {
        name: "bpftrace, fentry on security_file_open counted",
        command: &["bpftrace", "-e", "kfunc:security_file_open { @[comm] = count(); }"],
        effort: Effort::Full,
    },
];

/// What part of the opens of one file a tool says it saw, where it lists them.
pub(crate) type Seen = Option<f64>;

impl Peer {
    /// Starts it, lets the worker work, and stops it.
    pub(crate) fn measure(&self, worker: &mut Worker) -> Result<(Times, Seen), Box<dyn Error>> {
        let mut running = Running::start(self.command, worker.id())?;
        let times = worker.measure(self.effort)?;
        let output = running.stop()?;
        let lists_opens = output.contains(&*worker.file().to_string_lossy());
        let seen =
            lists_opens.then(|| mentions(&output, &worker.file()) as f64 / opens_of_one_file(self.effort) as f64);
        Ok((times, seen))
    }
}

/// How many opens of a file the output stands for: a line each, or bpftrace's `@[path]: count`.
fn mentions(output: &str, file: &Path) -> u64 {
    let file = file.to_string_lossy();
    let lines = output.lines().filter(|line| line.contains(&*file));
    lines
        .map(|line| {
            line.rsplit_once("]: ")
                .and_then(|(_, count)| count.parse().ok())
                .unwrap_or(1)
        })
        .sum()
}

/// A tool that runs, and what it writes meanwhile.
struct Running {
    process: Child,
    output: tempfile::NamedTempFile,
}

impl Running {
    /// Starts it, and waits until it works.
    fn start(command: &[&str], worker: u32) -> Result<Self, Box<dyn Error>> {
        let output = tempfile::NamedTempFile::new()?;
        let arguments = command.iter().map(|word| {
            if *word == "WORKER" {
                worker.to_string()
            } else {
                (*word).to_owned()
            }
        });
        let name = command.first().copied().unwrap_or_default();
        if !Command::new("sh")
            .args(["-c", "command -v \"$0\" >/dev/null", name])
            .status()?
            .success()
        {
            return Err("not installed".into());
        }
        // The tools look for their tracepoints below these two, which not every machine has mounted.
        let process = Command::new("unshare")
            .args(["--mount", "sh", "-c"])
            .arg("mount -t tracefs none /sys/kernel/tracing; mount -t debugfs none /sys/kernel/debug; exec \"$@\"")
            .arg("sh")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.reopen()?)
            .stderr(output.reopen()?)
            .spawn()?;
        let mut running = Self { process, output };
        running.wait_until_it_works(worker)?;
        Ok(running)
    }

    fn wait_until_it_works(&mut self, worker: u32) -> Result<(), Box<dyn Error>> {
        let start = Instant::now();
        while !others::are_there() && !is_traced(worker)? {
            if self.process.try_wait()?.is_some() || start.elapsed() > Duration::from_secs(20) {
                let said = self.said()?;
                return Err(said
                    .lines()
                    .rfind(|line| line.contains(' '))
                    .unwrap_or("does not start")
                    .to_owned()
                    .into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        // Its programs are loaded; attaching them all takes a moment.
        std::thread::sleep(Duration::from_secs(1));
        match self.process.try_wait()? {
            None => Ok(()),
            Some(_) => Err(self.said()?.lines().last().unwrap_or("ended at once").to_owned().into()),
        }
    }

    fn said(&mut self) -> Result<String, Box<dyn Error>> {
        let mut bytes = Vec::new();
        self.output.reopen()?.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Ends it as Ctrl-C does, and returns what it wrote.
    fn stop(&mut self) -> Result<String, Box<dyn Error>> {
        if let Some(id) = Pid::from_raw(self.process.id().cast_signed()) {
            kill_process(id, Signal::INT)?;
        }
        self.process.wait()?;
        self.said()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails where it has ended, which is what is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whether somebody traces a process with `ptrace(2)`.
fn is_traced(process: u32) -> Result<bool, Box<dyn Error>> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    Ok(status
        .lines()
        .any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0")))
}
