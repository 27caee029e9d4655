//! A container runtime that behaves, and one that does what a real one does on a bad day.

mod stand_in;

use std::path::{Path, PathBuf};

use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::stand_in::{Scene, Trouble};
use super::messages::{ContainerMetadata, ImageSpec, PodSandbox, PodSandboxMetadata};
use super::*;

const MINUTE: Duration = Duration::from_mins(1);
const FAST: Pace = Pace {
    soon: Duration::from_millis(50),
    later: Duration::from_millis(100),
    waits: Duration::from_millis(500),
};

impl Scene {
    fn follow(&self) -> Followed {
        self.follow_at(FAST)
    }

    fn follow_at(&self, pace: Pace) -> Followed {
        let runtime = Runtime::new(self.endpoint()).within(Duration::from_millis(500));
        let (feed, task, awaited) = follow_at(pace, runtime);
        Followed {
            feed,
            awaited,
            running: tokio::spawn(task),
        }
    }
}

struct Followed {
    feed: Feed,
    awaited: Arc<Notify>,
    running: JoinHandle<()>,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Followed {
    /// The next change, in words.
    async fn next(&mut self) -> String {
        match timeout(MINUTE, self.feed.changes.recv()).await.unwrap().unwrap() {
            PodChange::Deleted(uid) => format!("- {uid}"),
            PodChange::Applied(facts) => {
                let containers = facts.containers.iter().map(|container| {
                    let image = container.image.as_ref().map(|image| image.recorded().to_string());
                    format!(
                        " {}={} {}",
                        container.name,
                        container.runs[0].id,
                        image.unwrap_or_default()
                    )
                });
                format!("+ {}:{}", facts.uid, containers.collect::<String>())
            }
        }
    }

    async fn until(&mut self, is_so: impl FnMut(&Health) -> bool) -> Health {
        timeout(MINUTE, self.feed.health.wait_for(is_so))
            .await
            .unwrap()
            .unwrap()
            .clone()
    }
}

fn pod(number: u32) -> PodSandbox {
    PodSandbox {
        id: format!("s{number}"),
        metadata: Some(PodSandboxMetadata {
            name: format!("web-{number}"),
            uid: format!("u{number}"),
            namespace: "production".to_owned(),
            attempt: 0,
        }),
        ..PodSandbox::default()
    }
}

fn container(id: &str, pod: u32) -> Container {
    Container {
        id: id.to_owned(),
        pod_sandbox_id: format!("s{pod}"),
        metadata: Some(ContainerMetadata {
            name: "server".to_owned(),
            attempt: 0,
        }),
        image: Some(ImageSpec {
            image: id_of_image(),
            user_specified_image: "shop/web:1".to_owned(),
        }),
        image_ref: id_of_image(),
        created_at: 0,
    }
}

fn id_of_image() -> String {
    format!("sha256:{}", "a".repeat(64))
}

fn digest() -> String {
    format!("sha256:{}", "d".repeat(64))
}

fn pulled() -> Image {
    Image {
        repo_tags: Vec::new(),
        repo_digests: vec![format!("docker.io/shop/web@{}", digest())],
    }
}

#[tokio::test]
async fn what_comes_changes_and_goes_is_told_once() {
    let scene = Scene::new();
    scene.stand_in.lock().images.insert(id_of_image(), pulled());
    scene.stand_in.lock().sandboxes = vec![pod(1), pod(2)];
    scene.stand_in.lock().containers = vec![container("a", 1)];
    let mut followed = scene.follow();
    let image = format!("docker.io/shop/web:1@{}", digest());
    assert_eq!(followed.next().await, format!("+ u1: server=a {image}"));
    assert_eq!(followed.next().await, "+ u2:");
    let health = followed.until(|health| health.pods == 2).await;
    assert!(
        health.connected_since.is_some() && health.last_error.is_none(),
        "{health:?}"
    );

    let mut restarted = container("b", 1);
    restarted.created_at = 5;
    scene.stand_in.lock().containers.push(restarted);
    assert_eq!(
        followed.next().await,
        format!("+ u1: server=b {image} server=a {image}")
    );
    scene.stand_in.lock().sandboxes.remove(0);
    scene.stand_in.lock().containers.clear();
    assert_eq!(followed.next().await, "- u1");
    // One question for one image, however many containers run it.
    let asked = scene.stand_in.lock().asked.clone();
    assert_eq!(
        asked.iter().filter(|method| *method == "ImageStatus").count(),
        1,
        "{asked:?}"
    );

    // Nobody listens any more.
    let running = std::mem::replace(&mut followed.running, tokio::spawn(async {}));
    followed.feed.changes.close();
    timeout(MINUTE, running).await.unwrap().unwrap();
}

#[tokio::test]
async fn whoever_waits_is_not_kept_waiting() {
    let scene = Scene::new();
    let never = Pace {
        later: MINUTE * 10,
        waits: Duration::ZERO,
        ..FAST
    };
    let followed = scene.follow_at(never);
    let lists = async |least: usize| {
        let asked = || {
            let asked = scene.stand_in.lock().asked.clone();
            asked.iter().filter(|method| *method == "ListPodSandbox").count()
        };
        while asked() < least {
            tokio::time::sleep(FAST.soon).await;
        }
        asked()
    };
    timeout(MINUTE, lists(1)).await.unwrap();
    tokio::time::sleep(FAST.later * 3).await;
    assert_eq!(lists(0).await, 1);
    followed.awaited.notify_one();
    timeout(MINUTE, lists(2)).await.unwrap();
    assert_eq!(PACE.pause(0, true), PACE.soon);
    let pauses = [1, 2, 3, 6, 7, u32::MAX].map(|failures| PACE.pause(failures, true).as_secs());
    assert_eq!(pauses, [1, 2, 4, 30, 30, 30]);
}

#[tokio::test]
async fn a_runtime_that_misbehaves_is_told_of_and_deletes_nobody() {
    let cases = [
        (Trouble::Hangs, "no answer for"),
        (Trouble::Cut, ""),
        (Trouble::Garbage, ""),
        (Trouble::Huge, "too large"),
        (Trouble::Unimplemented, "Unimplemented"),
    ];
    for (trouble, says) in cases {
        let scene = Scene::new();
        scene.stand_in.lock().sandboxes = vec![pod(1)];
        let mut followed = scene.follow();
        assert_eq!(followed.next().await, "+ u1:");
        scene.stand_in.lock().trouble = Some(trouble);
        let health = followed.until(|health| health.last_error.is_some()).await;
        let told = health.last_error.unwrap();
        let begins = format!("the container runtime at {} cannot be asked", scene.endpoint());
        assert!(told.starts_with(&begins) && told.contains(says), "{trouble:?}: {told}");
        assert_eq!(health.connected_since, None);
        scene.stand_in.lock().trouble = None;
        scene.stand_in.lock().sandboxes.push(pod(2));
        assert_eq!(followed.next().await, "+ u2:", "{trouble:?}");
        followed.until(|health| health.last_error.is_none()).await;
    }
}

#[tokio::test]
async fn a_runtime_that_does_not_tell_images_names_pods_all_the_same() {
    let scene = Scene::new();
    scene.stand_in.lock().images.insert(id_of_image(), pulled());
    scene.stand_in.lock().trouble = Some(Trouble::NoImages);
    scene.stand_in.lock().sandboxes = vec![pod(1)];
    scene.stand_in.lock().containers = vec![container("a", 1)];
    let mut followed = scene.follow();
    assert_eq!(followed.next().await, "+ u1: server=a docker.io/shop/web:1");
    let health = followed.until(|health| health.last_error.is_some()).await;
    assert!(health.connected_since.is_some(), "{health:?}");
    scene.stand_in.lock().trouble = None;
    assert_eq!(
        followed.next().await,
        format!("+ u1: server=a docker.io/shop/web:1@{}", digest())
    );
    followed.until(|health| health.last_error.is_none()).await;
}

#[tokio::test]
async fn a_runtime_that_is_started_anew_is_followed_on_and_one_that_is_away_is_waited_for() {
    let mut scene = Scene::new();
    scene.stand_in.lock().sandboxes = vec![pod(1)];
    let mut followed = scene.follow();
    assert_eq!(followed.next().await, "+ u1:");
    // Between two questions: nobody notices.
    scene.stop();
    scene.start();
    scene.stand_in.lock().sandboxes = vec![pod(2)];
    assert_eq!(followed.next().await, "+ u2:");
    assert_eq!(followed.next().await, "- u1");
    scene.stop();
    let health = followed.until(|health| health.last_error.is_some()).await;
    let told = health.last_error.unwrap();
    assert!(told.contains("No such file or directory"), "{told}");
    scene.stand_in.lock().sandboxes = vec![pod(2), pod(3)];
    scene.start();
    assert_eq!(followed.next().await, "+ u3:");
}

#[tokio::test]
async fn what_is_of_no_use_is_counted_while_it_is_there() {
    let scene = Scene::new();
    scene.stand_in.lock().sandboxes = vec![pod(1)];
    scene.stand_in.lock().containers = vec![container("a", 7), container("b\n", 1)];
    let mut followed = scene.follow();
    assert_eq!(followed.next().await, "+ u1:");
    followed.until(|health| health.odd == 2).await;
    scene.stand_in.lock().containers.clear();
    followed.until(|health| health.odd == 0).await;
}

#[tokio::test]
async fn the_first_runtime_that_answers_and_has_pods_is_taken() {
    let [hanging, other, empty, full] = [Scene::new(), Scene::new(), Scene::new(), Scene::new()];
    hanging.stand_in.lock().trouble = Some(Trouble::Hangs);
    other.stand_in.lock().trouble = Some(Trouble::Unimplemented);
    full.stand_in.lock().sandboxes = vec![pod(1)];
    let missing = hanging.folder.path().join("missing");
    let file = hanging.folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let [hanging, other, empty, full] = [&hanging, &other, &empty, &full].map(Scene::socket);
    let usual = async |sockets: &[&PathBuf]| {
        let sockets: Vec<&Path> = sockets.iter().map(|path| path.as_path()).collect();
        endpoint::usual(&sockets).await
    };
    let socket = |found: Result<endpoint::Found, String>| found.unwrap().endpoint.socket().to_owned();
    assert_eq!(socket(usual(&[&missing, &file, &other, &empty, &full]).await), full);
    assert_eq!(socket(usual(&[&missing, &empty]).await), empty);
    let found = usual(&[&full]).await.unwrap();
    assert_eq!(found.version.unwrap(), "stand-in 1\\x1b");
    let why = usual(&[&missing, &file]).await.unwrap_err();
    assert!(
        why.contains("no container runtime is here") && why.contains("missing"),
        "{why}"
    );
    let why = usual(&[&hanging, &other]).await.unwrap_err();
    assert!(
        why.contains("no answer for 3 s") && why.contains("Unimplemented"),
        "{why}"
    );
}
