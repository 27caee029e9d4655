//! Which executions are the image's own way from its entry point to its server.
//!
//! Executions are the edges of a graph: the calling image, the program. A **root** is an execution at start-up by the
//! container runtime (the list `runtimes`), which no execution leads to and nobody wrote; where there is none, by any program
//! that no execution leads to. From a root on, the chain goes through **launchers** only (the list `launchers`: shells, init
//! processes, those that switch users): what a server executes is not in the chain, at start-up or later.
//!
//! The calling image of what a script executes is its interpreter. So where something outside of the chain executes the same
//! launcher at start-up, nobody can tell whose children its children are, and none of them is in the chain.
//!
//! Of all that, only what was seen at start-up and never later, and by the workload itself, is the chain's.

use std::collections::{HashMap, HashSet};

use super::matcher::compared;
use crate::behaviour::{Phase, Provenance};
use crate::document::Evidence;
use crate::path::FilePath;

/// An execution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step<'a> {
    pub(super) parent: &'a FilePath,
    pub(super) parent_is_runtime: bool,
    pub(super) binary: &'a FilePath,
    pub(super) binary_is_launcher: bool,
    pub(super) evidence: &'a Evidence,
}

impl Step<'_> {
    /// Whether the workload did it at start-up, among other things.
    fn is_at_startup(&self) -> bool {
        self.evidence.phases.contains(&Phase::Startup) && self.evidence.provenance.contains(&Provenance::Workload)
    }

    /// Whether nobody did it at another time or otherwise.
    fn is_only_at_startup(&self) -> bool {
        self.evidence.phases == [Phase::Startup] && self.evidence.provenance == [Provenance::Workload]
    }
}

/// Of each step, whether it is in the chain. `written` are the paths that were opened for writing.
pub(super) fn chain(steps: &[Step<'_>], written: &HashSet<&[u8]>) -> Vec<bool> {
    let executed: HashSet<&FilePath> = steps.iter().map(|step| step.binary).collect();
    let begins = |step: &Step<'_>| {
        step.is_at_startup() && !executed.contains(step.parent) && !written.contains(compared(step.parent))
    };
    let is_by_runtime = |step: &Step<'_>| step.parent_is_runtime && begins(step);
    let any_by_runtime = steps.iter().any(is_by_runtime);
    let is_root = |step: &Step<'_>| is_by_runtime(step) || !any_by_runtime && begins(step);

    let mut children: HashMap<&FilePath, Vec<&Step<'_>>> = HashMap::new();
    for step in steps.iter().filter(|step| step.is_at_startup()) {
        children.entry(step.parent).or_default().push(step);
    }
    let roots: Vec<&Step<'_>> = steps.iter().filter(|step| is_root(step)).collect();
    let mut ambiguous = HashSet::new();
    let launchers = loop {
        let launchers = reached(&roots, &children, &ambiguous);
        let is_outside = |step: &&Step<'_>| step.is_at_startup() && !is_root(step) && !launchers.contains(step.parent);
        let also_outside = steps.iter().filter(is_outside).map(|step| step.binary);
        let before = ambiguous.len();
        ambiguous.extend(also_outside.filter(|binary| launchers.contains(binary)));
        if ambiguous.len() == before {
            break launchers;
        }
    };
    let is_in = |step: &Step<'_>| step.is_only_at_startup() && (is_root(step) || launchers.contains(step.parent));
    steps.iter().map(is_in).collect()
}

/// The launchers that the roots lead to through launchers.
fn reached<'a>(
    roots: &[&Step<'a>],
    children: &HashMap<&FilePath, Vec<&Step<'a>>>,
    ambiguous: &HashSet<&FilePath>,
) -> HashSet<&'a FilePath> {
    let mut reached = HashSet::new();
    let mut next: Vec<&Step<'a>> = roots.to_vec();
    while let Some(step) = next.pop() {
        if step.binary_is_launcher && !ambiguous.contains(step.binary) && reached.insert(step.binary) {
            next.extend(children.get(step.binary).into_iter().flatten().copied());
        }
    }
    reached
}
