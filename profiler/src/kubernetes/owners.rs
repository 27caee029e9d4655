//! Which workload a pod is of: the chain of controllers above it.
//!
//! Two kinds of controllers are somebody else's as a rule, and nobody thinks of them as the workload: the ReplicaSet of a
//! Deployment (or of an Argo Rollout, or of whoever makes them), and the Job of a CronJob. Who is above these is not in the
//! pod; it has to be looked up. Any other controller is the workload itself, of whatever kind: a StatefulSet is one even if
//! an operator made it, because that is where its pods' template is.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

/// Names of objects are DNS names (RFC 1123), kinds DNS labels.
pub(super) const NAME_MAX: usize = 253;
const KIND_MAX: usize = 63;

/// A controller, as its property refers to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The API group, without its version: `apps`; empty for the core's.
    pub group: String,
    /// `ReplicaSet`, `Rollout`, ...
    pub kind: String,
    /// Its name, in the namespace of what it owns.
    pub name: String,
    /// Which object of that name it is: another one may have had it before.
    pub uid: String,
}

/// What is known of who controls a pod's controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Above {
    /// Nobody does.
    Nobody,
    /// This one does.
    Owner(Owner),
    /// It was not found out: not asked for, refused, or gone.
    Unknown,
}

/// The kind and name of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controller {
    /// `Deployment`, ...; `Pod` for one that nobody controls.
    pub kind: String,
    /// The name.
    pub name: String,
}

impl Owner {
    /// The controller among an object's owners: at most one is (`metav1.IsControlledBy`). None, too, where the reference
    /// does not look like one.
    pub fn controlling(metadata: &ObjectMeta) -> Option<Self> {
        let references = metadata.owner_references.as_deref().unwrap_or_default();
        let reference = references.iter().find(|reference| reference.controller == Some(true))?;
        Self::of(reference)
    }

    fn of(reference: &OwnerReference) -> Option<Self> {
        let OwnerReference {
            api_version,
            kind,
            name,
            uid,
            ..
        } = reference;
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        let is_kind = (1..=KIND_MAX).contains(&kind.len()) && kind.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let fits = is_kind && is_name(name) && group.len() <= NAME_MAX && uid.len() <= NAME_MAX;
        fits.then(|| Self {
            group: group.to_owned(),
            kind: kind.clone(),
            name: name.clone(),
            uid: uid.clone(),
        })
    }

    /// Whether one has to ask who is above it.
    pub fn is_between(&self) -> bool {
        self.is_replica_set() || (self.group == "batch" && self.kind == "Job")
    }

    pub(super) fn is_replica_set(&self) -> bool {
        self.group == "apps" && self.kind == "ReplicaSet"
    }
}

/// A name in the API's sense, as far as it matters here: not empty, bounded, printable.
pub(super) fn is_name(text: &str) -> bool {
    // RBAC's objects may have colons, pods and what makes them not; capitals and underscores are lenient.
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    (1..=NAME_MAX).contains(&text.len()) && text.bytes().all(is_part)
}

/// The workload of a pod called `pod` with this controller.
///
/// Where nobody could tell who is above a ReplicaSet, its name does: a Deployment calls it after itself and the hash that
/// its pods have as label `pod-template-hash` (`getNewReplicaSet`, pkg/controller/deployment/sync.go). An Argo Rollout does
/// the same with another label, so that it is not taken for a Deployment. A Job's name is left alone: whether it is a
/// CronJob's cannot be told from it.
pub fn workload(pod: &str, controller: Option<&Owner>, above: &Above, template_hash: Option<&str>) -> Controller {
    let named = |kind: &str, name: &str| Controller {
        kind: kind.to_owned(),
        name: name.to_owned(),
    };
    let Some(controller) = controller else {
        return named("Pod", pod);
    };
    // A static pod's mirror is controlled by its node, which is no workload.
    if controller.group.is_empty() && controller.kind == "Node" {
        return named("Pod", pod);
    }
    let itself = || named(&controller.kind, &controller.name);
    match above {
        Above::Owner(owner) if controller.is_between() => named(&owner.kind, &owner.name),
        Above::Unknown if controller.is_replica_set() => {
            let deployment = template_hash
                .filter(|hash| !hash.is_empty())
                .and_then(|hash| controller.name.strip_suffix(hash)?.strip_suffix('-'))
                .filter(|name| !name.is_empty());
            deployment.map_or_else(itself, |name| named("Deployment", name))
        }
        _ => itself(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(group: &str, kind: &str, name: &str) -> Owner {
        let [group, kind, name] = [group, kind, name].map(str::to_owned);
        Owner {
            group,
            kind,
            name,
            uid: "u".to_owned(),
        }
    }

    #[test]
    fn the_workload_is_who_its_pods_are_thought_to_belong_to() {
        let set = || Some(owner("apps", "ReplicaSet", "web-7d4b9"));
        let job = || Some(owner("batch", "Job", "report-29384"));
        let above = |group, kind, name| Above::Owner(owner(group, kind, name));
        let deployment = || above("apps", "Deployment", "web");
        let hash = Some("7d4b9");
        let cases = [
            (None, Above::Nobody, None, "Pod", "a-pod"),
            (Some(owner("", "Node", "a-node")), Above::Unknown, None, "Pod", "a-pod"),
            (set(), deployment(), hash, "Deployment", "web"),
            (set(), above("argoproj.io", "Rollout", "web"), None, "Rollout", "web"),
            (set(), Above::Nobody, hash, "ReplicaSet", "web-7d4b9"),
            (set(), Above::Unknown, hash, "Deployment", "web"),
            (set(), Above::Unknown, Some("other"), "ReplicaSet", "web-7d4b9"),
            (set(), Above::Unknown, Some(""), "ReplicaSet", "web-7d4b9"),
            (set(), Above::Unknown, Some("web-7d4b9"), "ReplicaSet", "web-7d4b9"),
            (set(), Above::Unknown, None, "ReplicaSet", "web-7d4b9"),
            (job(), above("batch", "CronJob", "report"), None, "CronJob", "report"),
            (job(), Above::Nobody, None, "Job", "report-29384"),
            (job(), Above::Unknown, Some("29384"), "Job", "report-29384"),
            (
                Some(owner("apps", "StatefulSet", "db")),
                Above::Unknown,
                None,
                "StatefulSet",
                "db",
            ),
            (
                Some(owner("apps", "DaemonSet", "log")),
                Above::Unknown,
                None,
                "DaemonSet",
                "log",
            ),
            // A kind of somebody's own, also one that is called like a known one.
            (
                Some(owner("ray.io", "RayCluster", "r")),
                Above::Unknown,
                None,
                "RayCluster",
                "r",
            ),
            (
                Some(owner("evil.io", "ReplicaSet", "web-7d4b9")),
                deployment(),
                hash,
                "ReplicaSet",
                "web-7d4b9",
            ),
            (
                Some(owner("apps", "StatefulSet", "db")),
                deployment(),
                None,
                "StatefulSet",
                "db",
            ),
        ];
        for (controller, above, hash, kind, name) in cases {
            let found = workload("a-pod", controller.as_ref(), &above, hash);
            assert_eq!(
                (found.kind.as_str(), found.name.as_str()),
                (kind, name),
                "{controller:?} {above:?}"
            );
        }
    }

    #[test]
    fn only_a_controller_owns_and_only_one_that_looks_like_it() {
        let reference = |controller, kind: &str, name: &str| OwnerReference {
            api_version: "apps/v1".to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            uid: "u".to_owned(),
            controller,
            block_owner_deletion: None,
        };
        let long = "a".repeat(254);
        let cases = [
            (vec![], None),
            (vec![reference(None, "ReplicaSet", "a")], None),
            (vec![reference(Some(false), "ReplicaSet", "a")], None),
            (
                vec![
                    reference(None, "ConfigMap", "b"),
                    reference(Some(true), "ReplicaSet", "a"),
                ],
                Some(owner("apps", "ReplicaSet", "a")),
            ),
            (vec![reference(Some(true), "", "a")], None),
            (vec![reference(Some(true), "Replica/Set", "a")], None),
            (vec![reference(Some(true), "ReplicaSet", "")], None),
            (vec![reference(Some(true), "ReplicaSet", "a/b")], None),
            (vec![reference(Some(true), "ReplicaSet", "a\n")], None),
            (vec![reference(Some(true), "ReplicaSet", &long)], None),
        ];
        for (references, expected) in cases {
            let metadata = ObjectMeta {
                owner_references: Some(references),
                ..ObjectMeta::default()
            };
            assert_eq!(Owner::controlling(&metadata), expected);
        }
        assert_eq!(Owner::controlling(&ObjectMeta::default()), None);
    }
}
