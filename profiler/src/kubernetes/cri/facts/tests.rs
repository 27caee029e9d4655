//! Lists as runtimes write them, and as no runtime should.

use proptest::prelude::*;

use super::*;
use crate::kubernetes::cri::messages::{ContainerMetadata, ImageSpec};

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// The first sandbox of the pod `production/web` of this uid.
fn sandbox(id: &str, uid: &str) -> PodSandbox {
    PodSandbox {
        id: id.to_owned(),
        metadata: Some(PodSandboxMetadata {
            name: "web".to_owned(),
            uid: uid.to_owned(),
            namespace: "production".to_owned(),
            attempt: 0,
        }),
        state: READY,
        created_at: 1_000,
        labels: BTreeMap::new(),
    }
}

fn container(id: &str, sandbox: &str, name: &str) -> Container {
    Container {
        id: id.to_owned(),
        pod_sandbox_id: sandbox.to_owned(),
        metadata: Some(ContainerMetadata {
            name: name.to_owned(),
            attempt: 0,
        }),
        image: Some(ImageSpec {
            image: format!("sha256:{A}"),
            user_specified_image: format!("shop/{name}:1"),
        }),
        image_ref: format!("sha256:{A}"),
        created_at: 2_000,
    }
}

fn list(sandboxes: &[PodSandbox], containers: &[Container]) -> Listed {
    listed(sandboxes, containers, &BTreeMap::new())
}

/// The ids of a pod's containers, with their names, in order.
fn ids(listed: &Listed, uid: &str) -> Vec<(String, String)> {
    let containers = listed.pods[uid].containers.iter();
    containers
        .map(|container| (container.name.clone(), container.runs[0].id.clone()))
        .collect()
}

fn named(name: &str, id: &str) -> (String, String) {
    (name.to_owned(), id.to_owned())
}

#[test]
fn a_pod_has_the_containers_of_all_its_sandboxes_and_the_newest_one_speaks_for_it() {
    let mut first = sandbox("s1", "u1");
    first.labels = [("app".to_owned(), "old".to_owned())].into();
    let mut second = sandbox("s2", "u1");
    second.created_at = 3_000;
    second.labels = [
        ("app".to_owned(), "web".to_owned()),
        ("io.kubernetes.pod.uid".to_owned(), "u1".to_owned()),
        ("pod-template-hash".to_owned(), "7d4b9".to_owned()),
    ]
    .into();
    second.metadata.as_mut().unwrap().name = "web-7d4b9-x2xw4".to_owned();
    first.metadata.as_mut().unwrap().name = "web-7d4b9-x2xw4".to_owned();
    let mut restarted = container("c2", "s1", "server");
    restarted.created_at = 4_000;
    let containers = [
        container("c1", "s1", "server"),
        restarted,
        container("c3", "s2", "mesh"),
    ];
    let listed = list(&[first, second], &containers);
    let facts = &listed.pods["u1"];
    assert_eq!(
        ids(&listed, "u1"),
        [named("server", "c2"), named("server", "c1"), named("mesh", "c3")]
    );
    assert_eq!(facts.sandboxes, ["s2", "s1"]);
    assert_eq!(
        (facts.workload.kind.as_str(), facts.workload.name.as_str()),
        ("Deployment", "web")
    );
    assert_eq!(facts.labels["app"], "web");
    assert!(
        !facts.labels.contains_key("io.kubernetes.pod.uid"),
        "{:?}",
        facts.labels
    );
    assert!(facts.containers.iter().all(|container| container.role == Role::Untold));
    assert_eq!((listed.odd, listed.unclear), (0, None));
    // One that is ready speaks before one that came after it and has ended.
    let mut ended = sandbox("s3", "u1");
    (ended.created_at, ended.state) = (9_000, 1);
    ended.labels = [("app".to_owned(), "ended".to_owned())].into();
    let mut ready = sandbox("s4", "u1");
    ready.labels = [("app".to_owned(), "ready".to_owned())].into();
    assert_eq!(list(&[ended, ready], &[]).pods["u1"].labels["app"], "ready");
}

#[test]
fn a_static_pod_is_known_by_the_name_that_its_cgroup_has() {
    let uid = "5f6c1b6d3a9e48f2b7d0c1e2f3a4b5c6";
    let listed = list(&[sandbox("s1", uid)], &[container("c1", "s1", "etcd")]);
    let facts = &listed.pods[uid];
    assert_eq!((facts.cgroup_uid.as_str(), facts.is_mirror()), (uid, false));
    assert_eq!(facts.workload.kind, "Pod");
}

/// What the author wrote | what the kubelet asked for | `image_ref` | what is asked for | what that is | the image.
const IMAGES: &str = "
    # containerd: pulled, imported from a file, gone; and pulled from two registries.
    shop/web:1 | sha256:{A} | sha256:{A} | sha256:{A} | pulled | docker.io/shop/web:1@{B}
    shop/web:1 | sha256:{A} | sha256:{A} | sha256:{A} | imported | docker.io/shop/web:1 {A}
    shop/web:1 | sha256:{A} | sha256:{A} | sha256:{A} | | docker.io/shop/web:1 {A}
    shop/web:1 | sha256:{A} | sha256:{A} | sha256:{A} | elsewhere | docker.io/shop/web:1@{B}
    # With an older kubelet or runtime.
    | sha256:{A} | sha256:{A} | sha256:{A} | pulled | docker.io/shop/web:1@{B}
    | sha256:{A} | sha256:{A} | sha256:{A} | |
    | docker.io/shop/web:1 | sha256:{A} | sha256:{A} | pulled | docker.io/shop/web:1@{B}
    | docker.io/shop/web:1 | | docker.io/shop/web:1 | pulled | docker.io/shop/web:1@{B}
    # CRI-O: pulled, or a bare id.
    shop/web:1 | {A} | docker.io/shop/web@sha256:{B} | | | docker.io/shop/web:1@{B}
    shop/web:1 | {A} | {A} | {A} | imported | docker.io/shop/web:1 {A}
    # cri-dockerd.
    | shop/web:1 | docker-pullable://shop/web@sha256:{B} | | | docker.io/shop/web:1@{B}
    | shop/web:1 | docker://sha256:{A} | docker://sha256:{A} | | docker.io/shop/web:1 {A}
    # Pinned by the author: nothing has to be asked.
    shop/web@sha256:{B} | sha256:{A} | sha256:{A} | | | docker.io/shop/web@{B}
    | | | | |
";

fn fill(text: &str) -> String {
    text.replace("{A}", A).replace("{B}", B)
}

/// An image as a runtime tells it.
fn told(what: &str) -> Option<Image> {
    let (tag, digests): (&str, &[&str]) = match what {
        "pulled" => ("docker.io/shop/web:1", &["docker.io/shop/web@sha256:{B}"]),
        "imported" => ("docker.io/shop/web:1", &[]),
        "elsewhere" => (
            "quay.io/shop/web:1",
            &["quay.io/shop/web@sha256:{A}", "docker.io/shop/web@sha256:{B}"],
        ),
        _ => return None,
    };
    Some(Image {
        repo_tags: vec![tag.to_owned()],
        repo_digests: digests.iter().map(|digest| fill(digest)).collect(),
    })
}

/// With the digest of a registry behind an `@`, and that of a configuration behind a space.
fn written(image: &PodImage) -> String {
    let tag = image.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
    let digest = match &image.digest {
        Some(Digest::Registry(digest)) => digest.replace("sha256:", "@"),
        Some(Digest::Config(digest)) => digest.replace("sha256:", " "),
        None => String::new(),
    };
    format!("{}{tag}{digest}", image.repository)
}

#[test]
fn the_image_is_told_in_every_form_that_runtimes_write() {
    let cases = IMAGES.lines().map(str::trim).filter(|line| line.contains('|'));
    for case in cases {
        let columns: Vec<String> = case.split('|').map(|column| fill(column.trim())).collect();
        let [author, asked, reference, question, what, expected] = &columns[..] else {
            panic!("{case}")
        };
        let container = Container {
            image: Some(ImageSpec {
                image: asked.clone(),
                user_specified_image: author.clone(),
            }),
            image_ref: reference.clone(),
            ..container("c1", "s1", "server")
        };
        assert_eq!(asked_image(&container).unwrap_or_default(), question, "{case}");
        let images = [(question.clone(), told(what))].into();
        let listed = listed(&[sandbox("s1", "u1")], &[container], &images);
        let image = listed.pods["u1"].containers[0].image.as_ref();
        assert_eq!(&image.map(written).unwrap_or_default(), expected, "{case}");
        assert_eq!(listed.odd, u64::from(expected.is_empty()), "{case}");
    }
}

#[test]
fn what_is_of_no_use_is_left_out_and_counted() {
    let of = |change: fn(&mut PodSandbox)| {
        let mut changed = sandbox("s9", "u9");
        change(&mut changed);
        changed
    };
    let metadata = |change: fn(&mut PodSandboxMetadata)| {
        let mut changed = sandbox("s9", "u9");
        change(changed.metadata.as_mut().unwrap());
        changed
    };
    let sandboxes = [
        metadata(|metadata| metadata.uid = String::new()),
        metadata(|metadata| metadata.uid = "../u9".to_owned()),
        metadata(|metadata| metadata.name = "a/b".to_owned()),
        metadata(|metadata| metadata.namespace = "\u{1b}[2J".to_owned()),
        // An older one of the same uid says that it is another pod.
        metadata(|metadata| metadata.uid = "u1".to_owned()),
        of(|sandbox| sandbox.id = "s9\n".to_owned()),
        of(|sandbox| (sandbox.id, sandbox.created_at) = ("s1".to_owned(), -5)),
    ];
    for mut odd in sandboxes {
        if odd.id == "s9" {
            odd.created_at = 0;
        }
        if odd.metadata.as_ref().unwrap().uid == "u1" {
            odd.metadata.as_mut().unwrap().name = "thief".to_owned();
        }
        let listed = list(
            &[odd.clone(), sandbox("s1", "u1")],
            &[container("c1", "s1", "server"), container("c9", "s9", "thief")],
        );
        assert_eq!(ids(&listed, "u1"), [named("server", "c1")], "{odd:?}");
        assert_eq!((listed.pods.len(), listed.odd), (1, 2), "{odd:?}");
        assert_eq!(listed.pods["u1"].name, "web");
    }
    assert_eq!(list(&[of(|sandbox| sandbox.metadata = None)], &[]), Listed::default());

    let odd = |change: fn(&mut Container)| {
        let mut changed = container("c9", "s1", "other");
        change(&mut changed);
        changed
    };
    let containers = [
        odd(|container| container.metadata = None),
        odd(|container| container.metadata.as_mut().unwrap().name = "a b".to_owned()),
        odd(|container| container.id = String::new()),
        odd(|container| container.id = "c".repeat(129)),
        odd(|container| container.pod_sandbox_id = "s2".to_owned()),
    ];
    for odd in containers {
        let listed = list(&[sandbox("s1", "u1")], &[odd.clone(), container("c1", "s1", "server")]);
        assert_eq!(
            (ids(&listed, "u1"), listed.odd),
            (vec![named("server", "c1")], 1),
            "{odd:?}"
        );
    }
    // Two with one id: neither has it.
    let twice = [
        container("c1", "s1", "server"),
        container("c1", "s1", "mesh"),
        container("c2", "s1", "db"),
    ];
    let listed = list(&[sandbox("s1", "u1")], &twice);
    assert_eq!((ids(&listed, "u1"), listed.odd), (vec![named("db", "c2")], 2));
}

#[test]
fn a_huge_list_is_bounded_and_one_pod_takes_no_other_ones_room() {
    let many = (0..=CONTAINERS_MAX).map(|number| container(&format!("c{number}"), "s1", "server"));
    let containers: Vec<Container> = many.chain([container("d1", "s2", "other")]).collect();
    let listed = list(&[sandbox("s1", "u1"), sandbox("s2", "u2")], &containers);
    assert_eq!(ids(&listed, "u1").len(), CONTAINERS_MAX);
    assert_eq!((ids(&listed, "u2"), listed.odd), (vec![named("other", "d1")], 1));
    let mut labelled = sandbox("s1", "u1");
    labelled.labels = (0..10_000)
        .map(|number| (format!("key-{number}"), "x".repeat(63)))
        .collect();
    let listed = list(&[labelled], &[]);
    assert!(
        listed.pods["u1"].labels.len() < 2_000 && listed.odd > 8_000,
        "{}",
        listed.odd
    );
}

#[test]
fn a_pod_of_which_nobody_can_tell_the_controller_is_told_of() {
    let mut unclear = sandbox("s1", "u1");
    unclear.labels = [("pod-template-hash".to_owned(), "7d4b9".to_owned())].into();
    let listed = list(&[unclear], &[]);
    assert_eq!(listed.unclear.as_deref(), Some("production/web"));
    assert_eq!(listed.pods["u1"].workload.kind, "Pod");
}

fn texts() -> impl Strategy<Value = String> {
    "[us][0-2]|.{0,8}|sha256:[ab]{64}|shop/web:1"
}

proptest! {
    /// Whatever is listed: no container is of two pods, nothing is in a pod that is not of it, and what is missing is counted.
    #[test]
    fn no_list_is_too_much(
        sandboxes in prop::collection::vec((texts(), texts(), texts(), any::<i64>(), 0_i32..3), 0..6),
        containers in prop::collection::vec((texts(), texts(), texts(), texts(), any::<i64>()), 0..6),
    ) {
        let sandboxes: Vec<PodSandbox> = sandboxes.into_iter().map(|(id, uid, name, created_at, state)| {
            let metadata = Some(PodSandboxMetadata { name, uid, namespace: "production".to_owned(), attempt: 0 });
            PodSandbox { id, metadata, state, created_at, labels: BTreeMap::new() }
        }).collect();
        let containers: Vec<Container> = containers.into_iter().map(|(id, home, name, image_ref, created_at)| {
            Container { id, image_ref, created_at, ..container("", &home, &name) }
        }).collect();
        let listed = list(&sandboxes, &containers);
        let mut told = 0;
        for (uid, facts) in &listed.pods {
            prop_assert_eq!(uid, &facts.uid);
            for container in &facts.containers {
                told += 1;
                let id = &container.runs[0].id;
                let listed: Vec<_> = containers.iter().filter(|listed| listed.id == *id).collect();
                prop_assert!(listed.iter().any(|listed| facts.sandboxes.contains(&listed.pod_sandbox_id)));
            }
        }
        let left_out = u64::try_from(containers.len() - told).unwrap();
        prop_assert!(listed.odd >= left_out, "{} of {}", listed.odd, left_out);
    }
}
