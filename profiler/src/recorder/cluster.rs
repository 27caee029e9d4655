//! What a cluster makes of the containers on its node: whose they are, and whether they are asked for.
//!
//! A container is a pod's if its cgroup is `.../pod<uid>/<container id>` and the cluster's pod of that uid has that
//! container. Where containers are nested, the outermost counts: who may make cgroups in a container may call them as
//! another pod's containers are called. So nothing inside a container of a pod is taken for another container, whatever its
//! name; it is of its pod's namespace, and nobody can tell what it is. A cluster whose nodes are containers themselves
//! (kind) is therefore not recognised: all its pods are inside another container.
//!
//! What is asked for may change while a pod lives: its labels do. A container that is not asked for any more is excluded
//! from then on, and one that is asked for only now is recorded from then on, as one that was found running.

use std::time::Instant;

use baselines::workload::{Image, Workload};

use crate::containers::{Found, outermost};
use crate::kubernetes::directory::{Answer, Directory, PodChange};
use crate::kubernetes::pods::{KubeletCommand, Odd, PodFacts, Ready, Role};
use crate::kubernetes::selection::Selection;

/// A cluster's word on containers.
#[derive(Debug)]
pub struct Cluster {
    /// Only these containers are asked for; None: everything on this machine.
    selection: Option<Selection>,
    directory: Directory,
}

/// A container in a pod's cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InPod {
    pub(super) uid: String,
    id: String,
    /// It is inside the container with this id, and another one.
    pub(super) is_nested: bool,
}

/// Where a cgroup belongs, before anything is asked.
pub(super) enum Place {
    /// It is not asked for.
    Outside,
    /// What its path says is all that there is to say.
    Host,
    /// A pod's: its path does not say enough.
    Pod(InPod),
}

/// What the cluster says about a container now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is not asked for.
    Excluded,
    /// Nothing yet.
    Awaited,
    /// It is this one.
    Named {
        workload: Workload,
        /// None where the image's name is of no use.
        image: Option<Image>,
        /// Whether that is certain of the image, too, see [`crate::kubernetes::pods::Run`].
        is_current: bool,
        /// Whether it is ready, if a probe of its own tells.
        ready: Option<Ready>,
    },
}

impl Cluster {
    /// A cluster that has not said anything yet. `selection` is what to learn; None for everything on this machine.
    pub fn new(selection: Option<Selection>) -> Self {
        Self {
            selection,
            directory: Directory::default(),
        }
    }

    /// Whether only some containers are asked for: what is not known to be one of them must not be written.
    pub(super) fn selects(&self) -> bool {
        self.selection.is_some()
    }

    /// Takes in a change; the pod that it is about, as cgroups name it.
    pub(super) fn apply(&mut self, change: PodChange, now: Instant) -> Option<String> {
        self.directory.apply(change, now)
    }

    /// Forgets what was deleted too long ago.
    pub(super) fn forget(&mut self, now: Instant) {
        self.directory.forget(now);
    }

    /// Where the workload that was found at this path belongs.
    pub(super) fn place(&self, path: &[u8], found: &Found) -> Place {
        let is_nested = !found.outer.is_empty();
        let outer = if is_nested { outermost(path) } else { None };
        let outer = outer.as_ref().unwrap_or(found);
        match outer.pod() {
            // On a machine where everything is learned, it keeps the name that it has without a cluster.
            _ if is_nested && !self.selects() => Place::Host,
            Some(uid) => Place::Pod(InPod {
                uid: uid.to_owned(),
                id: outer.id.clone(),
                is_nested,
            }),
            None if self.selects() => Place::Outside,
            None => Place::Host,
        }
    }

    /// What is known about a container by now.
    pub(super) fn verdict(&self, of: &InPod) -> Verdict {
        let excludes = |pod, container| {
            let selection = self.selection.as_ref();
            selection.is_some_and(|selection| !selection.wants(pod, container))
        };
        // Where not all labels are known, nobody can tell whether the pod is asked for: it is held, and becomes a loss.
        let asks_labels = |pod: &PodFacts| {
            let selection = self.selection.as_ref();
            selection.is_some_and(|selection| selection.depends_on_labels(pod))
        };
        let is_untold = |pod| asks_labels(pod) && pod.odd.contains_key(&Odd::Label);
        match self.directory.find(&of.uid, &of.id) {
            Answer::NoContainer(pod) | Answer::Container { pod, .. } if is_untold(pod) => Verdict::Awaited,
            Answer::Sandbox(_) if self.selects() && !of.is_nested => Verdict::Excluded,
            // The API server gives uids, so that its word on the pod is enough. A mirror's name is its maker's word.
            Answer::NoContainer(pod) if excludes(pod, None) && !pod.is_mirror() => Verdict::Excluded,
            Answer::Container { pod, container, .. } if excludes(pod, Some(container)) => Verdict::Excluded,
            Answer::Container {
                pod,
                container,
                is_current,
            } if !of.is_nested => Verdict::Named {
                workload: Workload {
                    namespace: pod.namespace.clone(),
                    kind: pod.workload.kind.clone(),
                    name: pod.workload.name.clone(),
                    container: container.name.clone(),
                },
                image: container.image.as_ref().map(|image| Image {
                    digest: image.recorded().digest.filter(|_| is_current),
                    ..image.recorded()
                }),
                is_current,
                ready: (is_current && container.is_probed).then_some(container.ready),
            },
            Answer::NoPod | Answer::Sandbox(_) | Answer::NoContainer(_) | Answer::Container { .. } => Verdict::Awaited,
        }
    }

    /// What the kubelet executes in a container by itself, as far as is known now.
    pub(super) fn commands_of(&self, of: &InPod) -> Vec<KubeletCommand> {
        match self.directory.find(&of.uid, &of.id) {
            Answer::Container { container, .. } => container.commands.clone(),
            Answer::NoPod | Answer::Sandbox(_) | Answer::NoContainer(_) => Vec::new(),
        }
    }

    /// Whether somebody put a container into its pod to look around (`kubectl debug`), as far as is known now.
    pub(super) fn is_ephemeral(&self, of: &InPod) -> bool {
        matches!(self.directory.find(&of.uid, &of.id), Answer::Container { container, .. } if container.role == Role::Ephemeral)
    }

    /// Whether a container that its pod does not name is the pod's sandbox (`pause`), as far as is known now. A container
    /// runtime tells; in an API server's description of a pod it is not: there it is the first container of a pod that is
    /// known, and names others.
    pub(super) fn is_sandbox(&self, of: &InPod, is_first: bool) -> bool {
        !of.is_nested
            && match self.directory.find(&of.uid, &of.id) {
                Answer::Sandbox(_) => true,
                Answer::NoContainer(pod) => {
                    is_first && pod.containers.iter().any(|container| !container.runs.is_empty())
                }
                Answer::NoPod | Answer::Container { .. } => false,
            }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use baselines::time::UtcTime;

    use super::super::attribution::{Attribution, Standing};
    use super::*;
    use crate::clock::Clock;
    use crate::kubernetes::directory::tests::pod;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    const C: &str = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";
    const ONE: &str = "0f5e1d2c-0000-4000-8000-000000000001";
    const TWO: &str = "0f5e1d2c-0000-4000-8000-000000000002";

    fn of_namespace(name: &str) -> Selection {
        Selection {
            namespaces: [name.to_owned()].into(),
            ..Selection::default()
        }
    }

    fn attribution(namespace: Option<&str>) -> Attribution {
        Attribution::in_cluster(Cluster::new(namespace.map(of_namespace)))
    }

    fn at(minutes: u64) -> UtcTime {
        UtcTime::from_nanos(minutes * 60_000_000_000)
    }

    fn path(uid: &str, id: &str) -> String {
        format!("/kubepods/besteffort/pod{uid}/{id}")
    }

    fn applied(namespace: &str, uid: &str, containers: &[(&str, &str)]) -> [PodChange; 1] {
        [PodChange::Applied(pod(namespace, "web", uid, containers))]
    }

    /// The rows of the next flush: cgroup, workload, image.
    fn rows(attribution: &mut Attribution, time: UtcTime) -> BTreeMap<u64, String> {
        let rows = attribution.flush(time).into_iter();
        rows.map(|row| (row.cgroup_id, format!("{} {}", row.workload, row.image.repository)))
            .collect()
    }

    fn given_up(attribution: &mut Attribution) -> Vec<(u64, bool)> {
        let given_up = attribution.take_given_up().into_iter();
        given_up.map(|given_up| (given_up.id, given_up.is_sandbox)).collect()
    }

    #[test]
    fn of_a_namespace_only_what_is_known_to_be_in_it_is_written() {
        let mut attribution = attribution(Some("production"));
        let paths = [
            path(ONE, A),
            format!("{}/worker", path(ONE, A)),
            path(TWO, B),
            format!("{}/worker", path(TWO, B)),
            "/system.slice/cron.service".to_owned(),
            format!("/docker/{C}"),
        ];
        for (path, id) in paths.iter().zip(1..) {
            attribution.appeared(id, path.as_bytes(), Clock::now());
        }
        assert_eq!(attribution.take_excluded(), [5, 6]);
        let containers = [1, 2, 3, 4].map(|id| attribution.container_of(id));
        assert_eq!(containers, [Some(1), Some(1), Some(3), Some(3)]);
        assert_eq!((attribution.standing(1), attribution.unnamed()), (Standing::Held, 2));
        assert_eq!(rows(&mut attribution, at(0)), BTreeMap::new());

        attribution.pods_changed(applied("production", ONE, &[("server", A)]));
        // The pod is enough to know its namespace.
        attribution.pods_changed(applied("staging", TWO, &[]));
        let mut excluded = attribution.take_excluded();
        excluded.sort_unstable();
        assert_eq!(excluded, [3, 4]);
        assert_eq!(
            (attribution.standing(1), attribution.standing(3)),
            (Standing::Written, Standing::Nobody)
        );
        assert_eq!(attribution.container_of(4), None);
        let expected = BTreeMap::from([(1, "production/Pod/web/server docker.io/shop/server".to_owned())]);
        assert_eq!(rows(&mut attribution, at(0)), expected);

        // What comes later is decided at once.
        attribution.appeared(7, path(TWO, C).as_bytes(), Clock::now());
        attribution.appeared(8, format!("{}/late", path(TWO, B)).as_bytes(), Clock::now());
        assert_eq!(attribution.take_excluded(), [7, 8]);
    }

    #[test]
    fn without_a_namespace_everything_is_written_and_renamed() {
        let mut attribution = attribution(None);
        attribution.appeared(1, path(ONE, A).as_bytes(), Clock::now());
        attribution.appeared(2, b"/system.slice/cron.service", Clock::now());
        assert_eq!(
            (attribution.standing(1), attribution.standing(2)),
            (Standing::Unnamed, Standing::Written)
        );
        let short = &A[..12];
        let first = BTreeMap::from([
            (1, format!("host/pod/{ONE}/{short} unresolved/kubernetes/{short}")),
            (2, "host/unit/cron.service/main host/cron.service".to_owned()),
        ]);
        assert_eq!(rows(&mut attribution, at(0)), first);
        attribution.pods_changed(applied("production", ONE, &[("server", A)]));
        assert!(rows(&mut attribution, at(0))[&1].starts_with("production/Pod/web/server "));
    }

    #[test]
    fn whoever_is_gone_can_still_be_named_for_ten_minutes() {
        for (minutes, namespace) in [(9, None), (9, Some("production")), (11, None), (11, Some("production"))] {
            let mut attribution = attribution(namespace);
            attribution.appeared(1, path(ONE, A).as_bytes(), Clock::now());
            attribution.gone(1);
            attribution.flush(at(0));
            attribution.flush(at(0));
            assert!(attribution.is_empty() && attribution.unnamed() == 1);
            attribution.flush(at(minutes));
            attribution.pods_changed(applied("production", ONE, &[("server", A)]));
            let is_named = rows(&mut attribution, at(minutes)).contains_key(&1);
            assert_eq!(is_named, minutes == 9, "{minutes}");
            let expected = if minutes == 9 { vec![] } else { vec![(1, false)] };
            assert_eq!(given_up(&mut attribution), expected);
            assert_eq!(rows(&mut attribution, at(minutes)), BTreeMap::new());
        }
    }

    #[test]
    fn whoever_is_named_just_after_its_end_is_written_once() {
        for namespace in [None, Some("production")] {
            for flushes_before in 0..3 {
                let mut attribution = attribution(namespace);
                attribution.appeared(1, path(ONE, A).as_bytes(), Clock::now());
                attribution.gone(1);
                (0..flushes_before).for_each(|_| drop(attribution.flush(at(0))));
                attribution.pods_changed(applied("production", ONE, &[("server", A)]));
                let named: Vec<BTreeMap<u64, String>> = (0..3).map(|_| rows(&mut attribution, at(0))).collect();
                let name =
                    |rows: &BTreeMap<u64, String>| rows.get(&1).is_some_and(|name| name.starts_with("production/"));
                assert!(
                    named.first().is_some_and(name),
                    "{namespace:?}, {flushes_before}: {named:?}"
                );
                assert_eq!(named.last(), Some(&BTreeMap::new()));
            }
        }
    }

    #[test]
    fn a_pods_sandbox_is_no_loss_and_any_other_container_without_a_name_is() {
        let mut attribution = attribution(Some("production"));
        // The sandbox, a container, one that is never reported; and one of a pod that nobody knows.
        let paths = [path(ONE, A), path(ONE, B), path(ONE, C), path(TWO, A)];
        for (path, id) in paths.iter().zip(1..) {
            attribution.appeared(id, path.as_bytes(), Clock::now());
        }
        attribution.pods_changed(applied("production", ONE, &[("server", B)]));
        attribution.give_up_naming();
        let mut told = given_up(&mut attribution);
        told.sort_unstable();
        assert_eq!(told, [(1, true), (3, false), (4, false)]);
        assert_eq!(rows(&mut attribution, at(0)).into_keys().collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn a_sandbox_that_a_runtime_tells_is_no_loss_whenever_it_came() {
        for namespace in [None, Some("production")] {
            let mut attribution = attribution(namespace);
            // The second sandbox of its pod came last.
            for (id, container) in [(1, B), (2, A)] {
                attribution.appeared(id, path(ONE, container).as_bytes(), Clock::now());
            }
            let mut facts = pod("production", "web", ONE, &[("server", B)]);
            facts.sandboxes = vec![A.to_owned()];
            attribution.pods_changed([PodChange::Applied(facts)]);
            let excluded = if namespace.is_some() { vec![2] } else { vec![] };
            assert_eq!(attribution.take_excluded(), excluded);
            attribution.give_up_naming();
            let no_loss = if namespace.is_some() { vec![] } else { vec![(2, true)] };
            assert_eq!(given_up(&mut attribution), no_loss);
        }
    }

    #[test]
    fn nothing_inside_a_container_is_taken_for_another_one() {
        // A container of ONE, in another namespace, has a cgroup in it that is called like a container of TWO.
        let thief = format!("{}{}", path(ONE, A), path(TWO, B));
        // So has one that no pod has.
        let node = format!("/docker/{C}{}", path(TWO, B));
        for (namespace, is_held) in [("staging", true), ("production", false)] {
            let mut attribution = attribution(Some(namespace));
            attribution.pods_changed(applied("staging", ONE, &[("server", A)]));
            attribution.pods_changed(applied("production", TWO, &[("server", B)]));
            attribution.appeared(1, thief.as_bytes(), Clock::now());
            attribution.appeared(2, node.as_bytes(), Clock::now());
            assert_eq!(attribution.container_of(1).is_some(), is_held, "{namespace}");
            assert_eq!(attribution.container_of(2), None);
            assert_eq!(rows(&mut attribution, at(0)), BTreeMap::new());
            attribution.give_up_naming();
            assert_eq!(
                given_up(&mut attribution),
                if is_held { vec![(1, false)] } else { vec![] }
            );
        }
        // Where everything is learned it has the name that it has without a cluster.
        let mut attribution = attribution(None);
        attribution.pods_changed(applied("production", TWO, &[("server", B)]));
        attribution.appeared(1, thief.as_bytes(), Clock::now());
        assert!(rows(&mut attribution, at(0))[&1].starts_with("host/pod/"));
        attribution.give_up_naming();
        assert_eq!(given_up(&mut attribution), []);
    }

    #[test]
    fn a_pod_whose_labels_change_goes_and_comes_with_its_cgroups() {
        let labelled = |app: &str| {
            let mut facts = pod("production", "web", ONE, &[("server", A)]);
            facts.labels.insert("app".to_owned(), app.to_owned());
            [PodChange::Applied(facts)]
        };
        let sorted = |mut ids: Vec<u64>| {
            ids.sort_unstable();
            ids
        };
        let selection = Selection {
            labels: crate::kubernetes::labels::parse("app=web").unwrap(),
            ..Selection::default()
        };
        let mut attribution = Attribution::in_cluster(Cluster::new(Some(selection)));
        attribution.appeared(1, path(ONE, A).as_bytes(), Clock::now());
        attribution.appeared(2, format!("{}/worker", path(ONE, A)).as_bytes(), Clock::now());
        attribution.pods_changed(labelled("web"));
        assert_eq!(rows(&mut attribution, at(0)).len(), 1);

        // It goes: what it did until now is written.
        attribution.pods_changed(labelled("db"));
        assert_eq!(sorted(attribution.take_excluded()), [1, 2]);
        assert_eq!(
            (attribution.container_of(2), attribution.standing(1)),
            (Some(1), Standing::Written)
        );
        attribution.appeared(3, format!("{}/late", path(ONE, A)).as_bytes(), Clock::now());
        let seen: Vec<usize> = (0..4).map(|_| rows(&mut attribution, at(0)).len()).collect();
        assert_eq!(seen, [1, 1, 0, 0]);
        assert_eq!(sorted(attribution.take_excluded()), [1, 2, 3]);
        assert_eq!((attribution.container_of(2), attribution.len()), (None, 0));
        attribution.appeared(4, format!("{}/later", path(ONE, A)).as_bytes(), Clock::now());
        assert_eq!(attribution.take_excluded(), [4]);

        // It comes: as if it had been found running.
        attribution.pods_changed(labelled("web"));
        assert_eq!(sorted(attribution.take_admitted()), [1, 2, 3, 4]);
        let found = attribution.flush(at(1));
        assert_eq!((found.len(), found[0].partial), (1, true));
        assert_eq!(found[0].workload.to_string(), "production/Pod/web/server");
        assert_eq!(attribution.container_of(4), Some(1));

        // Twice between two flushes.
        for app in ["db", "web", "db", "web"] {
            attribution.pods_changed(labelled(app));
        }
        for _ in 0..3 {
            assert_eq!(rows(&mut attribution, at(1)).len(), 1);
        }

        // Nobody is remembered whose cgroup is gone.
        attribution.pods_changed(labelled("db"));
        attribution.gone(1);
        (0..4).for_each(|_| drop(attribution.flush(at(1))));
        attribution.pods_changed(labelled("web"));
        assert_eq!(rows(&mut attribution, at(1)), BTreeMap::new());
    }

    #[test]
    fn a_container_of_another_image_in_the_same_pod_is_excluded() {
        let selection = Selection {
            images: vec!["shop/server".parse().unwrap()],
            ..Selection::default()
        };
        let mut attribution = Attribution::in_cluster(Cluster::new(Some(selection)));
        for (id, container) in [(1, A), (2, B), (3, C)] {
            attribution.appeared(id, path(ONE, container).as_bytes(), Clock::now());
        }
        attribution.pods_changed(applied("production", ONE, &[("server", A), ("mesh", B)]));
        assert_eq!(attribution.take_excluded(), [2]);
        // Of the third one nobody knows yet what it runs.
        assert_eq!(attribution.unnamed(), 1);
        assert_eq!(rows(&mut attribution, at(0)).into_keys().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn what_is_said_of_the_container_that_came_after_does_not_rename_the_one_before() {
        let mut facts = *pod("production", "web", ONE, &[("server", A)]);
        let mut attribution = attribution(None);
        attribution.pods_changed([PodChange::Applied(Box::new(facts.clone()))]);
        attribution.appeared(1, path(ONE, A).as_bytes(), Clock::now());
        let digest = |attribution: &mut Attribution| attribution.flush(at(0))[0].image.digest.clone();
        let first = digest(&mut attribution);
        assert!(first.is_some());
        // It is restarted, with another image of the same tag.
        facts.containers[0].runs[0].is_current = false;
        facts.containers[0].image.as_mut().unwrap().digest = None;
        let restarted = PodChange::Applied(Box::new(facts));
        attribution.pods_changed([restarted.clone()]);
        assert_eq!(digest(&mut attribution), first);
        // Whoever saw it only afterwards knows its name, and not what it ran.
        let mut late = Attribution::in_cluster(Cluster::new(None));
        late.pods_changed([restarted]);
        late.appeared(1, path(ONE, A).as_bytes(), Clock::now());
        assert_eq!(digest(&mut late), None);
    }
}
