//! Clusters that misbehave: their API server is away, forgets, or says what cannot be. Nothing is attributed to the wrong
//! container, and what could not be attributed is counted and shown.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

use end_to_end::kubelet::{
    Container, OPENS, bare, counted, end, learn, make_namespaces, nameless, names, opens, pulled, run_status,
};

use end_to_end::{ApiServer, Pods, Scratch, StubServer, poll};
use serde_json::{Value, json};

const IN_PRODUCTION: &[&str] = &["--namespace", "production"];

/// A pod of the stub, of which no container has started.
fn pod(name: &str, number: u32) -> Value {
    let mut pod = bare("production", name);
    pod["metadata"]["uid"] = format!("0f5e1d2c-0000-4000-8000-{:06x}{number:06x}", std::process::id()).into();
    pod
}

/// The same, once its container runs.
fn running(pod: &Value, container: &Container) -> Value {
    let mut pod = pod.clone();
    let name = pod["spec"]["containers"][0]["name"].as_str().unwrap().to_owned();
    pod["status"] = json!({"phase": "Running", "containerStatuses": [container.status(&name, &pulled(&name))]});
    pod
}

fn becomes_known(scratch: &Scratch, container: &Container) -> bool {
    poll(|| names(scratch).contains_key(container.path()).then_some(())).is_some()
}

#[test]
fn an_api_server_that_is_away_for_a_while_costs_no_count() {
    let mut server = ApiServer::start();
    make_namespaces(&server);
    let scratch = Scratch::new();
    let [steady, late] = ["steady", "late"].map(|name| server.create(&bare("production", name)));
    let mut recorder = learn(&scratch, &server.kubeconfig(), IN_PRODUCTION);
    let mut throughout = Container::counting(&scratch, &steady);
    run_status(&server, &steady, &throughout, "steady");
    assert!(becomes_known(&scratch, &throughout), "{}", recorder.stderr());

    server.stop();
    recorder.wait_for("the trouble", |recorder| {
        recorder
            .stderr()
            .contains("the API server cannot be asked to list and watch pods")
    });
    let during = Container::run(&scratch, &late);
    // What was named before goes on.
    let before = counted(&scratch, &steady);
    let goes_on = poll(|| (opens(&scratch)["production/Pod/steady/steady"] > before).then_some(()));
    assert!(goes_on.is_some(), "{}", recorder.stderr());
    assert_eq!(names(&scratch).get(during.path()), None);
    server.start_again();
    run_status(&server, &late, &during, "late");
    assert!(becomes_known(&scratch, &during), "{}", recorder.stderr());

    throughout.process.signal(libc::SIGKILL);
    throughout.process.wait_for_end();
    let said = end(recorder);
    let opens = opens(&scratch);
    assert_eq!(
        opens["production/Pod/late/late"],
        OPENS.parse::<u64>().unwrap(),
        "{said}"
    );
    let really = counted(&scratch, &steady);
    let learned = opens["production/Pod/steady/steady"];
    assert!(
        (really..=really + 1).contains(&learned),
        "{learned} of {really}: {said}"
    );
    for container in [&throughout, &during] {
        assert_eq!(nameless(&scratch, container.cgroup.id()), 0, "{said}");
    }
}

#[test]
fn without_its_api_server_a_window_names_nobody_and_says_what_that_cost() {
    let mut server = ApiServer::start();
    make_namespaces(&server);
    let scratch = Scratch::new();
    let web = server.create(&bare("production", "web"));
    server.stop();
    let mut recorder = learn(&scratch, &server.kubeconfig(), IN_PRODUCTION);
    let container = Container::run(&scratch, &web);
    recorder.wait_for("the trouble", |recorder| {
        recorder
            .stderr()
            .contains("the API server cannot be asked to list and watch pods")
    });
    let said = end(recorder);
    assert_eq!(names(&scratch).get(container.path()), None);
    assert!(
        nameless(&scratch, container.cgroup.id()) >= OPENS.parse().unwrap(),
        "{said}"
    );
    assert!(
        said.contains("could not be named") && said.contains(container.path()),
        "{said}"
    );
}

#[test]
fn a_watch_that_has_expired_starts_anew_and_nothing_is_missed() {
    an_expired_watch_starts_anew(|server, change| server.expire(change));
}

#[test]
fn a_watch_that_may_not_begin_because_it_has_expired_starts_anew_too() {
    an_expired_watch_starts_anew(|server, change| server.expire_and_refuse(change));
}

fn an_expired_watch_starts_anew(expire: impl FnOnce(&StubServer, Box<dyn FnOnce(&mut Pods)>)) {
    let server = StubServer::start();
    let scratch = Scratch::new();
    let [before, after, gone] = [("before", 1), ("after", 2), ("gone", 3)].map(|(name, number)| pod(name, number));
    let recorder = learn(&scratch, &server.kubeconfig(), IN_PRODUCTION);
    let of_before = Container::run(&scratch, &before);
    server.apply(running(&before, &of_before));
    assert!(becomes_known(&scratch, &of_before), "{}", recorder.stderr());

    // One that nobody has heard of goes, one comes, one stays, and no watch tells of it.
    server.apply(gone.clone());
    let [of_after, of_gone] = [&after, &gone].map(|pod| Container::run(&scratch, pod));
    let listed = server.lists();
    let uid = |pod: &Value| pod["metadata"]["uid"].as_str().unwrap().to_owned();
    let (goes, comes, after) = (uid(&gone), uid(&after), running(&after, &of_after));
    let change = move |pods: &mut Pods| {
        pods.remove(&goes);
        pods.insert(comes, after);
    };
    expire(&server, Box::new(change));
    assert!(becomes_known(&scratch, &of_after), "{}", recorder.stderr());
    assert_eq!(server.lists(), listed + 1);
    // And the new watch works.
    let last = pod("last", 4);
    let of_last = Container::run(&scratch, &last);
    server.apply(running(&last, &of_last));
    assert!(becomes_known(&scratch, &of_last), "{}", recorder.stderr());

    let said = end(recorder);
    let opens = opens(&scratch);
    for name in ["before", "after", "last"] {
        assert_eq!(
            opens[&format!("production/Pod/{name}/{name}")],
            OPENS.parse::<u64>().unwrap(),
            "{said}"
        );
    }
    assert_eq!(names(&scratch).get(of_gone.path()), None);
    assert!(
        nameless(&scratch, of_gone.cgroup.id()) >= OPENS.parse().unwrap(),
        "{said}"
    );
    // To be forgotten is nothing to worry about.
    assert!(!said.contains("the API server"), "{said}");
}

#[test]
fn an_id_that_several_containers_claim_is_believed_only_together_with_its_pod() {
    let server = StubServer::start();
    let scratch = Scratch::new();
    let [web, thief, mut twins] = [("web", 11), ("thief", 12), ("twins", 13)].map(|(name, number)| pod(name, number));
    let recorder = learn(&scratch, &server.kubeconfig(), IN_PRODUCTION);
    let of_web = Container::run(&scratch, &web);
    server.apply(running(&thief, &of_web));
    // Two containers of one pod: nobody can tell which of them it is.
    let twin = json!({"name": "other", "image": "shop/other:1.4"});
    twins["spec"]["containers"].as_array_mut().unwrap().push(twin);
    let of_twins = Container::run(&scratch, &twins);
    let mut claimed = running(&twins, &of_twins);
    let status = of_twins.status("other", &pulled("other"));
    claimed["status"]["containerStatuses"]
        .as_array_mut()
        .unwrap()
        .push(status);
    server.apply(claimed);
    server.apply(running(&web, &of_web));
    assert!(becomes_known(&scratch, &of_web), "{}", recorder.stderr());

    let said = end(recorder);
    let (names, opens) = (names(&scratch), opens(&scratch));
    assert!(names[of_web.path()].starts_with("production/Pod/web/web "), "{names:?}");
    assert_eq!(opens["production/Pod/web/web"], OPENS.parse::<u64>().unwrap());
    assert_eq!((opens.len(), names.get(of_twins.path())), (1, None), "{opens:?}");
    assert!(
        nameless(&scratch, of_twins.cgroup.id()) >= OPENS.parse().unwrap(),
        "{said}"
    );
    assert!(said.contains(of_twins.path()), "{said}");
}

#[test]
fn a_pod_that_is_deleted_before_its_container_is_known_is_named_by_its_last_words_or_counted() {
    let server = StubServer::start();
    let scratch = Scratch::new();
    let [silent, told] = [("silent", 21), ("told", 22)].map(|(name, number)| pod(name, number));
    server.apply(silent.clone());
    let recorder = learn(&scratch, &server.kubeconfig(), IN_PRODUCTION);
    // What happens before the first list is in no watch.
    assert!(
        poll(|| (server.lists() > 0).then_some(())).is_some(),
        "{}",
        recorder.stderr()
    );
    let [of_silent, of_told] = [&silent, &told].map(|pod| Container::run(&scratch, pod));
    server.delete(silent);
    server.apply(told.clone());
    server.delete(running(&told, &of_told));
    assert!(becomes_known(&scratch, &of_told), "{}", recorder.stderr());
    // Another pod of the same name is another pod.
    let again = pod("silent", 23);
    let of_again = Container::run(&scratch, &again);
    server.apply(running(&again, &of_again));
    assert!(becomes_known(&scratch, &of_again), "{}", recorder.stderr());

    let said = end(recorder);
    let opens = opens(&scratch);
    for name in ["told", "silent"] {
        assert_eq!(
            opens[&format!("production/Pod/{name}/{name}")],
            OPENS.parse::<u64>().unwrap(),
            "{said}"
        );
    }
    assert_eq!(names(&scratch).get(of_silent.path()), None);
    assert!(
        nameless(&scratch, of_silent.cgroup.id()) >= OPENS.parse().unwrap(),
        "{said}"
    );
}
