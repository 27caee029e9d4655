//! `profile doctor`: what this kernel offers, which backend will be used, and what it misses.

use std::process::ExitCode;

use serde::Serialize;

use super::{BACKEND, print};
use crate::cgroups::{self, Kind};
use crate::cli::Output;
use crate::error::Failure;
use crate::kernel::features::Features;
use crate::learn::settings;
use crate::privileges;
use crate::probes::{Probes, Sizes};
use crate::table::{Table, serialise};

/// What every backend on system call tracepoints cannot see, and why. A descriptor that is received (`SCM_RIGHTS`,
/// `pidfd_getfd(2)`) is not among it: nothing is opened then, and no policy on opens sees it either.
const MISSES: [&str; 10] = [
    "what io_uring opens and connects: each set-up and entry is counted as loss (io_uring); a ring that the kernel polls, made \
     before the window, is not noticed",
    "TCP connections made by sendto or sendmsg with MSG_FASTOPEN, without connect(2); SCTP's by sendmsg and sctp_connectx",
    "datagrams sent without connect(2) (sendto, sendmsg), and connections of other families than IPv4 and IPv6 (unix sockets)",
    "connections of 32-bit programs and of the 32-bit entry (int 0x80), by connect or socketcall: counted as loss \
     (foreign_abi); their opens are seen",
    "opens by other calls than open, openat, openat2, creat and open_by_handle_at: ioctl(TIOCGPTPEER), mq_open, fanotify \
     events (opened for whoever reads them)",
    "opens that the kernel makes for a program: core dumps, process accounting (acct), swap files (swapon)",
    "opens that the kernel makes on an overlay when a file of a lower layer is changed for the first time (written, chmod, \
     chown, link, rename): that file in its layer, and one without a name",
    "what fails only after the hooks that a policy sits on: executing a text without #! (ENOEXEC; shells then run it \
     themselves), opening a FIFO that nobody reads, /dev/tty without a terminal, a device that is not there",
    "an open whose descriptor another thread replaces before the call returns: counted as loss where nothing is left",
    "renames that io_uring makes: paths below a directory renamed that way keep their old name",
];

/// One line of the report.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    result: String,
    /// What it means, or what to do.
    note: String,
}

/// The report.
#[derive(Debug, Serialize)]
struct Report {
    /// The backend that `run` and `start` use here; none if they cannot work.
    backend: Option<&'static str>,
    checks: Vec<Check>,
    misses: Vec<&'static str>,
}

/// Prints the report, unless `quiet`. Ends with 1 where nothing can be learned on this machine as it is.
///
/// # Errors
/// [`Failure::Output`].
pub fn doctor(output: Output, quiet: bool) -> Result<ExitCode, Failure> {
    let report = examine();
    let text = match output {
        Output::Table => table(&report),
        Output::Json | Output::Yaml => serialise(&report, output)?,
    };
    if !quiet {
        print(text.as_bytes())?;
    }
    Ok(if report.backend.is_some() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn table(report: &Report) -> String {
    let mut table = Table::new(["CHECK", "RESULT", "NOTE"]);
    for Check { name, result, note } in &report.checks {
        table.row([(*name).to_owned(), result.clone(), note.clone()]);
    }
    let Some(backend) = report.backend else {
        return format!("{table}\nBackend: none. Nothing can be learned here as it is.\n");
    };
    let misses: String = report.misses.iter().flat_map(|missed| ["  - ", missed, "\n"]).collect();
    format!("{table}\nBackend: {backend}. It does not see:\n{misses}")
}

fn examine() -> Report {
    let features = Features::probe();
    let mut checks = kernel_checks(&features);
    let missing = privileges::first_missing();
    checks.push(Check {
        name: "privileges",
        result: missing.map_or("enough".to_owned(), |name| format!("no {name}")),
        note: if missing.is_some() {
            "run it with sudo".to_owned()
        } else {
            String::new()
        },
    });
    let (cgroup_check, hierarchy) = cgroup_check();
    checks.push(cgroup_check);
    let works = match (missing, hierarchy) {
        (None, Some(hierarchy)) => {
            let loaded = settings(&hierarchy, false, 1)
                .and_then(|settings| Probes::load(settings, Sizes::default()).map_err(Failure::from));
            let works = loaded.is_ok();
            checks.push(Check {
                name: "probes",
                result: if works { "load" } else { "refused" }.to_owned(),
                note: loaded.err().map(|error| error.to_string()).unwrap_or_default(),
            });
            works
        }
        _ => false,
    };
    checks.extend(better_backends(&features));
    Report {
        backend: works.then_some(BACKEND),
        checks,
        misses: if works { MISSES.to_vec() } else { Vec::new() },
    }
}

fn kernel_checks(features: &Features) -> Vec<Check> {
    let unknown = || "unknown".to_owned();
    let missing = features.missing_tracepoints.join(", ");
    vec![
        Check {
            name: "kernel",
            result: features.release.clone().unwrap_or_else(unknown),
            note: "tried: 5.10, 6.1, 6.12, 6.18".to_owned(),
        },
        Check {
            name: "type information (BTF)",
            result: if features.btf { "yes" } else { "no" }.to_owned(),
            note: if features.btf {
                String::new()
            } else {
                "needs CONFIG_DEBUG_INFO_BTF=y".to_owned()
            },
        },
        Check {
            name: "tracepoints",
            result: if !features.btf {
                unknown()
            } else if missing.is_empty() {
                "all".to_owned()
            } else {
                "missing".to_owned()
            },
            note: missing,
        },
        Check {
            name: "preemption",
            result: features.preemption.clone().unwrap_or_else(unknown),
            note: match features.preemption {
                Some(_) => "any will do for this backend".to_owned(),
                None => "any will do for this backend; /sys/kernel/debug/sched/preempt tells which".to_owned(),
            },
        },
        Check {
            name: "lockdown",
            result: features.lockdown.clone().unwrap_or_else(unknown),
            note: match features.lockdown.as_deref() {
                Some("confidentiality") => "reading kernel memory is forbidden: the probes cannot work".to_owned(),
                Some(_) => String::new(),
                None => "mount securityfs at /sys/kernel/security to see it".to_owned(),
            },
        },
    ]
}

fn cgroup_check() -> (Check, Option<cgroups::Hierarchy>) {
    let found = cgroups::mounted().and_then(|mounted| cgroups::choose(&mounted).cloned());
    let (result, note) = match &found {
        Ok(hierarchy) => {
            let at = hierarchy.mount_point.display();
            match hierarchy.kind {
                Kind::V2 => ("v2".to_owned(), format!("the unified hierarchy at {at}")),
                Kind::V1 { controller } => (
                    format!("v1, {}", controller.word()),
                    format!(
                        "at {at}: the unified hierarchy holds no workloads; `profile run` uses it where there is one"
                    ),
                ),
            }
        }
        Err(error) => ("none".to_owned(), error.to_string()),
    };
    (
        Check {
            name: "cgroups",
            result,
            note,
        },
        found.ok(),
    )
}

/// What would see more than system call tracepoints do.
fn better_backends(features: &Features) -> Vec<Check> {
    let lsm = match &features.security_modules {
        Some(active) if active.iter().any(|module| module == "bpf") => "offered by this kernel".to_owned(),
        Some(_) => "not active: boot with bpf in the lsm= list".to_owned(),
        None => "unknown: mount securityfs at /sys/kernel/security to see it".to_owned(),
    };
    vec![Check {
        name: "better backend",
        result: "security hooks".to_owned(),
        note: format!("they also see io_uring; this version has none yet. BPF LSM: {lsm}"),
    }]
}
