//! Tools that others would reach for, where they are installed.

use std::error::Error;
use std::fs;
use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::figures::output::{mentions, reason};
use crate::programs::others;
use crate::work::{Effort, Operation, Times, Worker};

/// A tool.
pub(crate) struct Peer {
    /// How the table names it.
    pub(crate) name: &'static str,
    /// The program and its arguments; `WORKER` stands for the worker's process id.
    command: &'static [&'static str],
    /// How much work it is given.
    pub(crate) effort: Effort,
    /// What it watches, and has to see.
    pub(crate) watches: &'static [Operation],
}

const fn peer(name: &'static str, command: &'static [&'static str], watches: &'static [Operation]) -> Peer {
    Peer {
        name,
        command,
        effort: Effort::Full,
        watches,
    }
}

/// All of them. The last three show what this kernel makes of kprobes and fentry, which most other tools need.
pub(crate) const PEERS: [Peer; 9] = [
    peer(
        "bpftrace, opens counted by path",
        &[
            "bpftrace",
            "-e",
            "tracepoint:syscalls:sys_enter_openat { @[str(args->filename)] = count(); }",
        ],
        &[Operation::Open],
    ),
    peer(
        "bpftrace, executions counted by path",
        &[
            "bpftrace",
            "-e",
            "tracepoint:syscalls:sys_enter_execve { @[str(args->filename)] = count(); }",
        ],
        &[Operation::Execute],
    ),
    peer(
        "bpftrace, connects counted by address",
        &[
            "bpftrace",
            "-e",
            "tracepoint:syscalls:sys_enter_connect { $to = (struct sockaddr_in *)args->uservaddr; \
             @[ntop($to->sin_family, $to->sin_addr.s_addr), bswap($to->sin_port)] = count(); }",
        ],
        &[Operation::Connect, Operation::ConnectTcp],
    ),
    peer("opensnoop (libbpf-tools)", &["opensnoop"], &[Operation::Open]),
    peer("execsnoop (libbpf-tools)", &["execsnoop"], &[Operation::Execute]),
    Peer {
        name: "strace -f, the same calls",
        command: &["strace", "-f", "-e", "trace=openat,connect,execve", "-p", "WORKER"],
        effort: Effort::Little,
        watches: &[
            Operation::Open,
            Operation::Connect,
            Operation::ConnectTcp,
            Operation::Execute,
        ],
    },
    peer("tcpconnect (libbpf-tools)", &["tcpconnect"], &[Operation::ConnectTcp]),
    peer(
        "bpftrace, kprobe:security_file_open counted",
        &["bpftrace", "-e", "kprobe:security_file_open { @[comm] = count(); }"],
        &[],
    ),
    peer(
        "bpftrace, fentry on security_file_open counted",
        &["bpftrace", "-e", "kfunc:security_file_open { @[comm] = count(); }"],
        &[],
    ),
];

/// What part of an operation a tool says it saw.
pub(crate) type Seen = Vec<(Operation, f64)>;

impl Peer {
    /// Starts it, lets the worker work, and stops it.
    pub(crate) fn measure(&self, worker: &mut Worker) -> Result<(Times, Seen), Box<dyn Error>> {
        let mut running = Running::start(self.command, worker.id())?;
        let times = worker.measure(self.effort)?;
        let output = running.stop()?;
        let mut seen = Seen::new();
        for operation in self.watches {
            let object = worker.object_of(*operation).unwrap_or_default();
            let (saw, all) = (mentions(&output, &object), operation.times(self.effort));
            // A tool that sees nothing is quick.
            if saw == 0 {
                return Err(format!("it runs, and saw none of {all} times {}", operation.heading()).into());
            }
            seen.push((*operation, saw as f64 / all as f64));
        }
        Ok((times, seen))
    }
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
                return Err(self.reason()?.into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        // Its programs are loaded; attaching them all takes a moment.
        std::thread::sleep(Duration::from_secs(1));
        match self.process.try_wait()? {
            None => Ok(()),
            Some(_) => Err(self.reason()?.into()),
        }
    }

    /// Why it does not run, in its own words.
    fn reason(&mut self) -> Result<String, Box<dyn Error>> {
        Ok(reason(&self.said()?).unwrap_or("it ended without a word").to_owned())
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
