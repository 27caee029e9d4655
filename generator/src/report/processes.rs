//! Which program executed which, as a tree.

use std::collections::{BTreeMap, BTreeSet};

use baselines::document::Exec;
use baselines::path::FilePath;

use super::markup::{Html, left_out};
use super::share;

/// How many executions are drawn.
const EXECUTIONS_MAX: usize = 200;
/// How far below its root one is drawn: each level takes room to the right.
const DEPTH_MAX: usize = 12;

/// An execution, whatever its arguments were.
type Edge<'a> = (&'a FilePath, Option<&'a FilePath>);

struct Tree<'a> {
    /// What each program executed, with how often and in how many containers at least.
    children: BTreeMap<&'a FilePath, BTreeMap<Edge<'a>, (u64, u64)>>,
    /// Programs that were drawn with what they execute.
    drawn: BTreeSet<&'a FilePath>,
    room: usize,
    shown: usize,
    containers: usize,
}

/// The tree of an image's executions.
pub(super) fn tree(execs: &[Exec], containers: usize) -> Html {
    let mut tree = Tree {
        children: BTreeMap::new(),
        drawn: BTreeSet::new(),
        room: EXECUTIONS_MAX,
        shown: 0,
        containers,
    };
    for exec in execs {
        let edges = tree.children.entry(&exec.parent).or_default();
        let (count, most) = edges.entry((&exec.binary, exec.script.as_ref())).or_default();
        *count = count.saturating_add(exec.evidence.count);
        *most = exec.evidence.containers.max(*most);
    }
    let all: usize = tree.children.values().map(BTreeMap::len).sum();
    let executed: BTreeSet<&FilePath> = execs.iter().map(|exec| &exec.binary).collect();
    let parents: Vec<&FilePath> = tree.children.keys().copied().collect();
    let (inner, roots): (Vec<_>, Vec<_>) = parents.into_iter().partition(|parent| executed.contains(parent));
    let mut items = Html::default();
    // Those that nobody executed, and then what only executes each other in a circle, or lies too deep.
    for root in roots.into_iter().chain(inner) {
        if tree.drawn.contains(root) || tree.room == 0 {
            continue;
        }
        let below = tree.below(root, 1);
        items.push(Html::element("li", &[], Html::name(&root.to_string()).and(below)).line());
    }
    let list = Html::element("ul", &[("class", "tree")], Html::default().line().and(items)).line();
    list.and(left_out(all.saturating_sub(tree.shown), "more executions are left out"))
}

impl<'a> Tree<'a> {
    /// What a program executed, and what that executed.
    fn below(&mut self, parent: &'a FilePath, depth: usize) -> Html {
        let Some(edges) = self.children.get(parent).filter(|_| depth <= DEPTH_MAX).cloned() else {
            return Html::default();
        };
        if !self.drawn.insert(parent) {
            return Html::of("span", "quiet", " (see above)");
        }
        let mut items = Html::default();
        for ((binary, script), (count, containers)) in edges {
            if self.room == 0 {
                break;
            }
            self.room -= 1;
            self.shown += 1;
            let label = match script {
                Some(script) => Html::name(&script.to_string())
                    .and(Html::text(" with "))
                    .and(Html::name(&binary.to_string())),
                None => Html::name(&binary.to_string()),
            };
            let seen = format!(" {count}x in {}", share(containers, self.containers));
            let label = label.and(Html::of("span", "quiet", &seen));
            let below = self.below(binary, depth + 1);
            items.push(Html::element("li", &[], label.and(below)).line());
        }
        Html::element("ul", &[], Html::default().line().and(items))
    }
}
