//! Workloads in Python, and what was recorded of them, in short.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use baselines::document::{Baseline, Open};
use baselines::path::{FilePath, Origin};
use end_to_end::{Scratch, finish, profile_run};
use serde_json::Value;

/// What the workloads below are written with.
const CALLS: &str = include_str!("calls.py");
/// Debian's: whatever else is called python3 here may read files that we do not know.
pub(crate) const PYTHON: &str = "/usr/bin/python3";
pub(crate) const IMAGE: &str = "test/paths";

/// The command line of a workload.
pub(crate) fn command(workload: &str) -> [String; 5] {
    let program = format!("{CALLS}\n{workload}");
    [PYTHON, "-I", "-S", "-c", &program].map(str::to_owned)
}

/// What a workload in Python did in a folder of its own, and what was recorded.
pub(crate) struct Story {
    pub(crate) scratch: Scratch,
    pub(crate) here: String,
    pub(crate) baseline: Baseline,
}

impl Story {
    pub(crate) fn of(workload: &str) -> Self {
        Self::with(Scratch::new(), workload)
    }

    /// Runs a workload in the scratch folder.
    pub(crate) fn with(scratch: Scratch, workload: &str) -> Self {
        let mut profile = profile_run(scratch.recording(), IMAGE, &[], command(workload));
        let done = finish(profile.current_dir(scratch.directory()));
        assert_eq!(done.code(), 0, "{done}");
        Self::recorded(scratch)
    }

    /// What was recorded in the scratch folder.
    pub(crate) fn recorded(scratch: Scratch) -> Self {
        let here = scratch.directory().to_str().unwrap().to_owned();
        let baseline = scratch.baseline(IMAGE);
        Self {
            scratch,
            here,
            baseline,
        }
    }

    /// A path in short: the folder is `@`, and what is not canonical says what it is.
    pub(crate) fn short(&self, path: &FilePath) -> String {
        let text = path.to_text().replace(&self.here, "@");
        match path.origin() {
            Origin::Canonical => text,
            origin => format!("{}:{text}", origin.word()),
        }
    }

    /// How often the workload itself opened what it opened in its folder, or what `also` picks.
    pub(crate) fn opens(&self, also: impl Fn(&str) -> bool) -> BTreeMap<String, u64> {
        let python = fs::canonicalize(PYTHON).unwrap();
        let of_python = |open: &&Open| open.subject == FilePath::canonical(python.as_os_str().as_encoded_bytes());
        let opens = self.baseline.behaviours.opens().filter(of_python);
        let opens = opens.map(|open| (self.opening(open), open.evidence.count));
        opens.filter(|(open, _)| open.contains('@') || also(open)).collect()
    }

    pub(crate) fn opening(&self, open: &Open) -> String {
        let path = self.short(&open.path);
        match &open.backing {
            None => format!("{path} ({})", open.access),
            Some(layer) => format!("{path} ({}, in its layer {})", open.access, self.short(layer)),
        }
    }

    pub(crate) fn assert_nothing_is_lost(&self) {
        assert!(self.losses().is_empty(), "{:#}", self.scratch.status());
    }

    pub(crate) fn losses(&self) -> Vec<Value> {
        self.scratch.status()["losses"].as_array().unwrap().clone()
    }
}

/// A table of what was seen how often.
pub(crate) fn seen<const N: usize>(rows: [(&str, u64); N]) -> BTreeMap<String, u64> {
    rows.map(|(what, count)| (what.to_owned(), count)).into()
}

pub(crate) fn nothing_else(_: &str) -> bool {
    false
}

/// Assembles and links a program without libraries. `flavour` is a processor and an output format of binutils.
pub(crate) fn assemble(scratch: &Scratch, name: &str, [bits, format]: [&str; 2], source: &str) -> PathBuf {
    let (text, object, program) = (
        scratch.file("program.s", source),
        scratch.path("program.o"),
        scratch.path(name),
    );
    let steps = [
        ["as", bits, "-o", object.to_str().unwrap(), text.to_str().unwrap()],
        ["ld", format, "-o", program.to_str().unwrap(), object.to_str().unwrap()],
    ];
    for [tool, arguments @ ..] in steps {
        let done = finish(Command::new(tool).args(arguments));
        assert_eq!(done.code(), 0, "{done}");
    }
    program
}
