//! `profile start`, and what it takes.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use baselines::recording::{Recording, Summary};
use profiler::cgroups::Hierarchy;
use rustix::process::{Pid, Signal, kill_process};

use crate::figures::procfs::{Held, Stat, field, own_memory};

/// A window that is being recorded.
pub(crate) struct Agent {
    process: Child,
    folder: tempfile::TempDir,
    _statistics: RunTimes,
}

/// What it took so far. Times in seconds, memory in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Processor time of its processes: user space, and the kernel on their behalf.
    pub(crate) processor: f64,
    /// Run time of its probes, whoever's call they ran in.
    pub(crate) probes: f64,
    /// How often they ran.
    pub(crate) runs: u64,
    /// Memory of its processes, see [`own_memory`].
    pub(crate) own: u64,
    /// `VmRSS` of its first process, which has the ring buffer in it twice.
    pub(crate) resident: u64,
    /// `VmHWM`: the most that this was.
    pub(crate) peak: u64,
    /// The kernel's tables.
    pub(crate) tables: u64,
    /// The recording with its journal.
    pub(crate) recording: u64,
}

impl Agent {
    /// Starts it, and waits until it records.
    pub(crate) fn start(hierarchy: &Hierarchy, options: &[&str]) -> Result<Self, Box<dyn Error>> {
        let statistics = RunTimes::switch_on()?;
        let folder = tempfile::tempdir()?;
        let said = folder.path().join("said");
        let mut command = Command::new(env!("CARGO_BIN_EXE_profile"));
        for variable in ["WARDLINE_LOG", "WARDLINE_BACKEND"] {
            command.env_remove(variable);
        }
        let process = command
            .args(["start", "--hierarchy", &hierarchy.kind.to_string(), "--recording"])
            .arg(folder.path().join("recording.db"))
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&said)?)
            .spawn()?;
        let mut agent = Self {
            process,
            folder,
            _statistics: statistics,
        };
        let start = Instant::now();
        while !fs::read_to_string(&said)?.contains("Ctrl-C ends the window") {
            if agent.process.try_wait()?.is_some() || start.elapsed() > Duration::from_mins(1) {
                return Err(format!("profile start does not record: {}", fs::read_to_string(&said)?).into());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(agent)
    }

    /// The recording.
    pub(crate) fn recording(&self) -> PathBuf {
        self.folder.path().join("recording.db")
    }

    /// How many messages of the ring buffer it has taken, as of its last flush.
    pub(crate) fn ring_messages(&self) -> Result<u64, Box<dyn Error>> {
        Ok(ring_messages(&Recording::open(&self.recording())?.summary()?))
    }

    /// What it took so far.
    pub(crate) fn usage(&self) -> Result<Usage, Box<dyn Error>> {
        // USER_HZ, which is 100 on every architecture that Linux has eBPF on.
        const TICKS_A_SECOND: f64 = 100.0;
        let mut usage = Usage::default();
        let (mut ticks, mut run_time) = (0, 0);
        for held in held(self.process.id())?.into_values() {
            match held {
                Held::Program {
                    run_time: time, runs, ..
                } => {
                    run_time += time;
                    usage.runs += runs;
                }
                Held::Map { memory, .. } => usage.tables += memory,
            }
        }
        for (process, stat) in family(self.process.id())? {
            ticks += stat.ticks;
            usage.own += own_memory(&fs::read_to_string(format!("/proc/{process}/smaps"))?);
        }
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let memory = |name| field(&status, name).unwrap_or_default() * 1024;
        (usage.resident, usage.peak) = (memory("VmRSS"), memory("VmHWM"));
        usage.processor = ticks as f64 / TICKS_A_SECOND;
        usage.probes = run_time as f64 / 1e9;
        usage.recording = size(&self.recording()) + size(&self.folder.path().join("recording.db-wal"));
        Ok(usage)
    }

    /// Ends the window as a service manager does (shells let background jobs ignore Ctrl-C), and returns what the recording says.
    pub(crate) fn stop(&mut self) -> Result<Summary, Box<dyn Error>> {
        if let Some(id) = Pid::from_raw(self.process.id().cast_signed()) {
            kill_process(id, Signal::TERM)?;
        }
        let status = self.process.wait()?;
        if !status.success() {
            return Err(format!("profile start ended with {status}").into());
        }
        Ok(Recording::open(&self.recording())?.summary()?)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Both fail where it has ended, which is what is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How many messages of the ring buffer the windows took.
pub(crate) fn ring_messages(summary: &Summary) -> u64 {
    let latencies = summary.windows.iter().flat_map(|window| &window.latencies);
    latencies
        .filter(|latency| latency.name == "describe")
        .map(|latency| latency.count)
        .sum()
}

fn size(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

/// The programs and maps that a process holds, each once.
fn held(process: u32) -> std::io::Result<BTreeMap<(bool, u64), Held>> {
    let descriptors = fs::read_dir(format!("/proc/{process}/fdinfo"))?;
    // One that was closed meanwhile is none.
    let texts = descriptors
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path()).ok());
    let all = texts.filter_map(|text| Held::parse(&text)).map(|held| match held {
        Held::Program { id, .. } => ((true, id), held),
        Held::Map { id, .. } => ((false, id), held),
    });
    Ok(all.collect())
}

/// A process and its descendants.
fn family(first: u32) -> Result<Vec<(u32, Stat)>, Box<dyn Error>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(process) = entry?.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        // One that has ended meanwhile is none.
        let text = fs::read(format!("/proc/{process}/stat")).unwrap_or_default();
        if let Some(stat) = Stat::parse(&String::from_utf8_lossy(&text)) {
            all.insert(process, stat);
        }
    }
    let mut members = BTreeSet::from([first]);
    // Until no generation adds anybody.
    loop {
        let children = all.iter().filter(|(_, stat)| members.contains(&stat.parent));
        let next: BTreeSet<u32> = children
            .map(|(process, _)| *process)
            .chain(members.iter().copied())
            .collect();
        if next.len() == members.len() {
            break;
        }
        members = next;
    }
    all.retain(|process, _| members.contains(process));
    if all.contains_key(&first) {
        Ok(all.into_iter().collect())
    } else {
        Err("profile start has ended".into())
    }
}

/// `kernel.bpf_stats_enabled`: the kernel measures how long programs run. Put back when this is dropped.
struct RunTimes {
    before: String,
}

const RUN_TIMES: &str = "/proc/sys/kernel/bpf_stats_enabled";

impl RunTimes {
    fn switch_on() -> std::io::Result<Self> {
        let before = fs::read_to_string(RUN_TIMES)?;
        fs::write(RUN_TIMES, "1")?;
        Ok(Self { before })
    }
}

impl Drop for RunTimes {
    fn drop(&mut self) {
        if let Err(error) = fs::write(RUN_TIMES, self.before.trim()) {
            eprintln!("warning: {RUN_TIMES} stays 1: {error}");
        }
    }
}
