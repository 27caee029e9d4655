//! `profile doctor`: what this kernel offers, which backend will be used, and what it misses.

use std::process::ExitCode;

use profiler_common::Settings;
use serde::Serialize;

use super::{print, runtime};
use crate::cgroups::{self, Kind};
use crate::cli::Output;
use crate::error::Failure;
use crate::kernel::features::Features;
use crate::kubernetes::connect::Source;
use crate::kubernetes::cri::endpoint::{self, Found};
use crate::learn::{command_key, settings};
use crate::privileges;
use crate::probes::backend::Backend;
use crate::probes::{Probes, Sizes};
use crate::table::{Table, serialise};

/// One line of the report.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    result: String,
    /// What it means, or what to do.
    note: String,
}

/// A backend, and whether it works here.
#[derive(Debug, Serialize)]
struct Candidate {
    backend: &'static str,
    /// Whether the kernel takes its programs.
    loads: bool,
    /// Whether nothing speaks against using it either.
    works: bool,
    /// Why not; or what it can miss without counting it.
    note: String,
    /// What it does not see.
    misses: Vec<String>,
    /// Why DNS names are not seen with it, if it loads.
    #[serde(skip)]
    nameless: Option<String>,
}

/// The report.
#[derive(Debug, Serialize)]
struct Report {
    /// The backend that `run` and `start` use here; none if they cannot work.
    backend: Option<&'static str>,
    checks: Vec<Check>,
    /// All of them, best first.
    backends: Vec<Candidate>,
    /// What the backend that is used does not see.
    misses: Vec<String>,
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
    let mut backends = Table::new(["BACKEND", "WORKS", "NOTE"]);
    for Candidate {
        backend, works, note, ..
    } in &report.backends
    {
        let works = if *works { "yes" } else { "no" };
        backends.row([(*backend).to_owned(), works.to_owned(), note.clone()]);
    }
    format!("{table}\n{backends}\nBackend: {backend}. It does not see:\n{misses}")
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
    checks.push(pods_check());
    let backends = match (missing, hierarchy) {
        (None, Some(hierarchy)) => candidates(&hierarchy, &features),
        _ => Vec::new(),
    };
    // The first that works, as `Probes::load_best` has it.
    let used = backends.iter().find(|candidate| candidate.works);
    checks.extend(used.map(|used| names_check(used.nameless.as_deref())));
    Report {
        backend: used.map(|candidate| candidate.backend),
        misses: used.map(|candidate| candidate.misses.clone()).unwrap_or_default(),
        checks,
        backends,
    }
}

/// Tries every backend: what the kernel's verifier says counts, not what the kernel's version promises.
fn candidates(hierarchy: &cgroups::Hierarchy, features: &Features) -> Vec<Candidate> {
    // Why names are not seen; or why it does not load.
    let load = |backend: Backend| -> Result<Option<String>, String> {
        let settings = Settings {
            // As where a cluster is asked: it takes the most instructions.
            command_key: command_key(),
            ..settings(hierarchy, false, false, 1).map_err(|error| error.to_string())?
        };
        let mut probes = Probes::load(settings, Sizes::default(), backend).map_err(|error| error.to_string())?;
        Ok(probes.watch_answers(hierarchy).err())
    };
    let candidate = |backend: Backend| {
        let objection = backend.objection(features);
        let (loaded, nameless) = match load(backend) {
            Ok(nameless) => (Ok(()), nameless),
            Err(why) => (Err(why), None),
        };
        Candidate {
            backend: backend.word(),
            loads: loaded.is_ok(),
            works: objection.is_none() && loaded.is_ok(),
            note: match (objection, loaded) {
                (None, Ok(())) => backend.lossy_from_start().unwrap_or_default().to_owned(),
                (Some(why), Ok(())) | (None, Err(why)) => why,
                // Else somebody would change what helps nothing.
                (Some(why), Err(error)) => format!("{why}. Even so, {error}"),
            },
            misses: backend.misses(),
            nameless,
        }
    };
    Backend::ALL.into_iter().map(candidate).collect()
}

/// Who would name the containers of pods: the API server, the container runtime, or nobody.
fn pods_check() -> Check {
    let (result, note) = match Source::find(None) {
        Err(error) => ("nobody", error.to_string()),
        Ok(Some(Source::Kubeconfig(_))) => ("API server", "that of KUBECONFIG".to_owned()),
        Ok(Some(Source::InCluster)) => ("API server", "that of this pod's cluster".to_owned()),
        Ok(None) => match runtime().map(|runtime| runtime.block_on(endpoint::find(None))) {
            Ok(Ok(Found {
                endpoint,
                version: Ok(version),
            })) => (
                "container runtime",
                format!("{version} at {endpoint}: owners are inferred from labels and names"),
            ),
            Ok(Ok(Found { version: Err(why), .. }) | Err(why)) => {
                ("ids only", format!("no cluster was found, and {why}"))
            }
            Err(failure) => ("nobody", failure.to_string()),
        },
    };
    Check {
        name: "names of pods",
        result: result.to_owned(),
        note,
    }
}

/// Whether the names that containers ask for are seen, with the backend that is used.
fn names_check(nameless: Option<&str>) -> Check {
    Check {
        name: "DNS names of peers",
        result: if nameless.is_none() { "yes" } else { "no" }.to_owned(),
        note: match nameless {
            None => "of answers by UDP".to_owned(),
            Some(why) => format!("everything else is recorded: {why}"),
        },
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
                Some(_) => "matters for fentry and kprobe".to_owned(),
                None => "matters for fentry and kprobe; /sys/kernel/debug/sched/preempt tells which".to_owned(),
            },
        },
        Check {
            name: "security modules",
            result: features
                .security_modules
                .as_ref()
                .map_or_else(unknown, |modules| modules.join(",")),
            note: "bpf among them lets the lsm backend run".to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> Features {
        Features {
            release: Some("6.12.48".to_owned()),
            btf: true,
            missing_tracepoints: Vec::new(),
            security_modules: Some(vec!["capability".to_owned(), "bpf".to_owned()]),
            lockdown: Some("none".to_owned()),
            preemption: Some("voluntary".to_owned()),
            kprobes: true,
        }
    }

    #[test]
    fn each_check_tells_what_was_found_and_what_to_do_about_it() {
        let changed = |change: &dyn Fn(&mut Features)| {
            let mut features = well();
            change(&mut features);
            features
        };
        let cases = [
            ("kernel", well(), "6.12.48", "tried: 5.10, 6.1, 6.12, 6.18"),
            (
                "kernel",
                changed(&|features| features.release = None),
                "unknown",
                "tried: 5.10, 6.1, 6.12, 6.18",
            ),
            ("type information (BTF)", well(), "yes", ""),
            (
                "type information (BTF)",
                changed(&|features| features.btf = false),
                "no",
                "needs CONFIG_DEBUG_INFO_BTF=y",
            ),
            ("tracepoints", well(), "all", ""),
            (
                "tracepoints",
                changed(&|features| features.missing_tracepoints = vec!["cgroup_mkdir", "sys_exit"]),
                "missing",
                "cgroup_mkdir, sys_exit",
            ),
            // Without type information nobody can tell which there are.
            ("tracepoints", changed(&|features| features.btf = false), "unknown", ""),
            ("preemption", well(), "voluntary", "matters for fentry and kprobe"),
            (
                "preemption",
                changed(&|features| features.preemption = None),
                "unknown",
                "matters for fentry and kprobe; /sys/kernel/debug/sched/preempt tells which",
            ),
            (
                "security modules",
                well(),
                "capability,bpf",
                "bpf among them lets the lsm backend run",
            ),
            (
                "security modules",
                changed(&|features| features.security_modules = None),
                "unknown",
                "bpf among them lets the lsm backend run",
            ),
            ("lockdown", well(), "none", ""),
            (
                "lockdown",
                changed(&|features| features.lockdown = Some("confidentiality".to_owned())),
                "confidentiality",
                "reading kernel memory is forbidden: the probes cannot work",
            ),
            (
                "lockdown",
                changed(&|features| features.lockdown = None),
                "unknown",
                "mount securityfs at /sys/kernel/security to see it",
            ),
        ];
        for (name, features, result, note) in cases {
            let checks = kernel_checks(&features);
            let check = checks.iter().find(|check| check.name == name).unwrap();
            assert_eq!((check.result.as_str(), check.note.as_str()), (result, note), "{name}");
        }
    }

    #[test]
    fn the_report_says_what_stands_against_each_backend_and_what_the_chosen_one_misses() {
        let candidate = |backend, works, note: &str| Candidate {
            backend,
            loads: true,
            works,
            note: note.to_owned(),
            misses: vec!["io_uring".to_owned()],
            nameless: None,
        };
        let mut report = Report {
            backend: Some("tracepoint"),
            checks: vec![names_check(Some("no cgroup2"))],
            backends: vec![
                candidate("lsm", false, "bpf is not among the active security modules"),
                candidate("tracepoint", true, ""),
            ],
            misses: vec!["io_uring".to_owned()],
        };
        let told = table(&report);
        for line in [
            "DNS names of peers   no       everything else is recorded: no cgroup2",
            "lsm          no      bpf is not among the active security modules",
            "Backend: tracepoint. It does not see:\n  - io_uring\n",
        ] {
            assert!(told.contains(line), "{line}\n{told}");
        }
        report.backend = None;
        let told = table(&report);
        assert!(
            told.ends_with("Backend: none. Nothing can be learned here as it is.\n"),
            "{told}"
        );
    }
}
