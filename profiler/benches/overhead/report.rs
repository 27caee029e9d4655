//! The figures as a Markdown table.

use std::fmt;

use crate::figures::statistics::Spread;
use crate::peers::{Peer, Seen};
use crate::programs::Contender;
use crate::work::{Operation, Times};

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
    /// What a tool watches, and which part of it it saw, by its own account, the last time.
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
                seen: Seen::new(),
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

    /// Whether somebody could not take part.
    pub(crate) fn has_refused(&self, peer: &Peer) -> bool {
        self.refused.iter().any(|(name, _)| *name == peer.name)
    }

    fn added_by(&self, contender: Contender, operation: Operation) -> Option<f64> {
        let row = self.rows.iter().find(|row| row.name == contender.name())?;
        row.added(operation as usize).map(|added| added.median)
    }
}

impl Row {
    /// The samples that count: the undisturbed ones, if there are any.
    fn samples(&self) -> impl Iterator<Item = &Sample> {
        let any_alone = self.samples.iter().any(|sample| sample.alone);
        self.samples.iter().filter(move |sample| sample.alone || !any_alone)
    }

    fn without(&self, operation: usize) -> Option<Spread> {
        let around = |sample: &Sample| [at(&sample.before, operation), at(&sample.after, operation)];
        Spread::of(self.samples().flat_map(around))
    }

    /// What each round says.
    fn added(&self, operation: usize) -> Option<Spread> {
        let added = |sample: &Sample| {
            at(&sample.with, operation) - f64::midpoint(at(&sample.before, operation), at(&sample.after, operation))
        };
        Spread::of(self.samples().map(added))
    }

    fn has_seen(&self, operation: Operation) -> bool {
        self.seen.iter().any(|(seen, _)| *seen == operation)
    }
}

fn at(times: &Times, operation: usize) -> f64 {
    times.get(operation).copied().unwrap_or(f64::NAN)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Nanoseconds: the median of the rounds ± half the distance between their quartiles. First line: the time of the \
             operation. Below: what is added.\n"
        )?;
        let rounds = self.rows.iter().map(|row| row.samples().count());
        write!(f, "| |")?;
        Operation::ALL
            .iter()
            .try_for_each(|operation| write!(f, " {} |", operation.heading()))?;
        write!(f, " rounds |\n|---|{}--:|\n", "--:|".repeat(Operation::ALL.len()))?;
        if let Some(row) = self.rows.first() {
            let without = (0..Operation::ALL.len()).map(|operation| row.without(operation));
            let cells: Vec<_> = without
                .map(|cell| cell.map_or("-".into(), |cell| cell.to_string()))
                .collect();
            writeln!(f, "| without any | {} | |", cells.join(" | "))?;
        }
        for (row, rounds) in self.rows.iter().zip(rounds) {
            let added = (0..Operation::ALL.len()).map(|operation| row.added(operation));
            let cells: Vec<_> = added
                .map(|cell| cell.map_or("-".into(), |cell| format!("{cell:+}")))
                .collect();
            writeln!(f, "| {} | {} | {rounds} |", row.name, cells.join(" | "))?;
        }
        for (name, why) in &self.refused {
            writeln!(
                f,
                "| {name} | does not run: {} |{}",
                escape(why),
                " |".repeat(Operation::ALL.len())
            )?;
        }
        writeln!(f)?;
        self.notes(f)?;
        self.verdict(f)
    }
}

/// A ratio; where nothing was added, there is none.
fn times(ours: f64, reference: f64) -> String {
    if reference > 0.0 {
        format!("{:.1} times", ours / reference)
    } else {
        "(too much noise to tell)".to_owned()
    }
}

/// What a table cell can hold.
fn escape(text: &str) -> String {
    text.replace('|', "\\|")
}

impl Report {
    fn notes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            let disturbed = row.samples.iter().filter(|sample| !sample.alone).count();
            if disturbed > 0 {
                let (all, used) = (row.samples.len(), row.samples().count());
                writeln!(
                    f,
                    "- {}: other tracing programs (see `bpftool prog`) were loaded in {disturbed} of {all} rounds; {used} rounds count",
                    row.name
                )?;
            }
            for (operation, part) in &row.seen {
                writeln!(
                    f,
                    "- {}: saw {:.1} % of {}",
                    row.name,
                    part * 100.0,
                    operation.heading()
                )?;
            }
        }
        Ok(())
    }

    /// The goals: at most 1.5 times what an empty program and a hash update on the same hook add, less than every peer, and
    /// at most 20 ns for a call that nobody is interested in.
    fn verdict(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        for operation in [
            Operation::Open,
            Operation::Connect,
            Operation::ConnectTcp,
            Operation::Execute,
        ] {
            let added = |contender| self.added_by(contender, operation);
            let (Some(ours), Some(update), Some(both)) = (
                added(Contender::Recorded),
                added(Contender::Update),
                added(Contender::EmptyAndUpdate),
            ) else {
                continue;
            };
            let peers = self.rows.iter().filter(|row| row.has_seen(operation));
            let cheaper: Vec<_> = peers
                .filter(|row| row.added(operation as usize).is_some_and(|peer| peer.median <= ours))
                .map(|row| row.name)
                .collect();
            writeln!(
                f,
                "- {}: Wardline adds {} what a hash update adds, {} what that and an empty program add on the same hooks (goal: 1.5 \
                 times); peers that add less: {}",
                operation.heading(),
                times(ours, update),
                times(ours, both),
                if cheaper.is_empty() {
                    "none".to_owned()
                } else {
                    cheaper.join("; ")
                }
            )?;
        }
        if let Some(added) = self.added_by(Contender::Recorded, Operation::Unrelated) {
            writeln!(f, "- getppid: Wardline adds {added:.0} ns (goal: 20)")?;
        }
        Ok(())
    }
}
