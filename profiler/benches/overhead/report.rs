//! The figures as a Markdown table.

use std::fmt;

use crate::peers::Seen;
use crate::programs::Contender;
use crate::work::{Operation, Times, median};

/// The same work without a contender, with it, and without again.
pub(crate) struct Sample {
    pub(crate) before: Times,
    pub(crate) with: Times,
    pub(crate) after: Times,
    /// Whether no other programs were loaded that may run at system calls: they would be measured along.
    pub(crate) alone: bool,
}

/// What was measured.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    /// Who could not take part, and why.
    refused: Vec<(&'static str, String)>,
}

struct Row {
    name: &'static str,
    samples: Vec<Sample>,
    seen: Seen,
}

impl Report {
    /// Adds a sample.
    pub(crate) fn add(&mut self, name: &'static str, sample: Sample) {
        match self.rows.iter_mut().find(|row| row.name == name) {
            Some(row) => row.samples.push(sample),
            None => self.rows.push(Row {
                name,
                samples: vec![sample],
                seen: None,
            }),
        }
    }

    /// Notes which part of the opens a contender saw, by its own account.
    pub(crate) fn saw(&mut self, name: &str, seen: Seen) {
        if let Some(row) = self.rows.iter_mut().find(|row| row.name == name) {
            row.seen = seen;
        }
    }

    /// Notes that somebody could not take part.
    pub(crate) fn refuse(&mut self, name: &'static str, why: &str) {
        self.refused.push((name, why.to_owned()));
    }

    fn added_by(&self, contender: Contender, operation: Operation) -> Option<f64> {
        self.rows
            .iter()
            .find(|row| row.name == contender.name())
            .map(|row| row.added(operation as usize))
    }
}

impl Row {
    /// The samples that count: the undisturbed ones, if there are any.
    fn samples(&self) -> impl Iterator<Item = &Sample> {
        let any_alone = self.samples.iter().any(|sample| sample.alone);
        self.samples.iter().filter(move |sample| sample.alone || !any_alone)
    }

    fn without(&self, operation: usize) -> f64 {
        median(
            self.samples()
                .flat_map(|sample| [at(&sample.before, operation), at(&sample.after, operation)])
                .collect(),
        )
    }

    /// The median of what each round says.
    fn added(&self, operation: usize) -> f64 {
        let added = |sample: &Sample| {
            at(&sample.with, operation) - f64::midpoint(at(&sample.before, operation), at(&sample.after, operation))
        };
        median(self.samples().map(added).collect())
    }
}

fn at(times: &Times, operation: usize) -> f64 {
    times.get(operation).copied().unwrap_or(f64::NAN)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        writeln!(
            f,
            "Linux {}; nanoseconds; medians of rounds. Without any: the time of the operation. With: what is added.\n",
            kernel.trim()
        )?;
        write!(f, "| |")?;
        Operation::ALL
            .iter()
            .try_for_each(|operation| write!(f, " {} |", operation.heading()))?;
        write!(f, "\n|---|{}\n| without any |", "--:|".repeat(Operation::ALL.len()))?;
        if let Some(row) = self.rows.first() {
            (0..Operation::ALL.len()).try_for_each(|operation| write!(f, " {:.0} |", row.without(operation)))?;
        }
        for row in &self.rows {
            write!(f, "\n| {} |", row.name)?;
            (0..Operation::ALL.len()).try_for_each(|operation| write!(f, " {:+.0} |", row.added(operation)))?;
        }
        writeln!(f)?;
        for row in &self.rows {
            let disturbed = row.samples.iter().filter(|sample| !sample.alone).count();
            if disturbed > 0 {
                let (all, used) = (row.samples.len(), row.samples().count());
                writeln!(
                    f,
                    "\n{}: other tracing programs (see `bpftool prog`) were loaded in {disturbed} of {all} rounds; {used} rounds count",
                    row.name
                )?;
            }
        }
        for Row { name, seen, .. } in &self.rows {
            if let Some(seen) = seen {
                writeln!(f, "\n{name}: saw {:.1} % of the opens of the one file", seen * 100.0)?;
            }
        }
        for (name, why) in &self.refused {
            writeln!(f, "\n{name}: does not run here: {why}")?;
        }
        self.verdict(f)
    }
}

impl Report {
    /// The goals: at most 1.5 times what a hash update adds to an open, at most 20 ns for a call that nobody is interested in.
    fn verdict(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ours, reference) = (
            self.added_by(Contender::Recorded, Operation::Open),
            self.added_by(Contender::Update, Operation::Open),
        );
        if let (Some(ours), Some(reference)) = (ours, reference) {
            writeln!(
                f,
                "\nopen+close, same file: Wardline adds {:.2} times what a hash update per open adds (goal: 1.5)",
                ours / reference
            )?;
        }
        if let Some(added) = self.added_by(Contender::Recorded, Operation::Unrelated) {
            writeln!(f, "getppid: Wardline adds {added:.0} ns (goal: 20)")?;
        }
        Ok(())
    }
}
