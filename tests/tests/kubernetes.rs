//! Containers of pods get the names that a real API server knows for them. What a kubelet does is done by hand: cgroups with
//! its names, statuses as it writes them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

#[path = "kubernetes/commands.rs"]
mod commands;
#[path = "kubernetes/peers.rs"]
mod peers;

use std::collections::BTreeMap;
use std::process::Command;

use baselines::behaviour::Phase;
use end_to_end::kubelet::{
    Container, NODE, OPENS, bare, counted, digest, end, learn, make_namespaces, nameless, names, object, opens, pulled,
    run_status, spec_of, summary,
};
use end_to_end::{ApiServer, Cgroup, Scratch, poll, workload};
use serde_json::{Value, json};

/// The one pod that a controller makes of this object.
fn made_by(server: &ApiServer, owner: &Value) -> Value {
    let pods = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "production"}});
    let prefix = format!("{}-", owner["metadata"]["name"].as_str().unwrap());
    let made = poll(|| {
        let mut pods = server.list(&pods).into_iter();
        pods.find(|pod| pod["metadata"]["name"].as_str().unwrap().starts_with(&prefix))
    });
    let mut pod = made.expect("a pod of each workload");
    (pod["apiVersion"], pod["kind"]) = ("v1".into(), "Pod".into());
    pod
}

fn template(name: &str, restart: &str) -> Value {
    let mut spec = spec_of(name);
    spec["restartPolicy"] = restart.into();
    json!({"metadata": {"labels": {"app": name}}, "spec": spec})
}

/// Makes one of each kind of workload, and returns their pods with what they have to be called.
fn make_workloads(server: &ApiServer) -> Vec<(Value, &'static str, &'static str)> {
    let selected =
        |name: &str| json!({"selector": {"matchLabels": {"app": name}}, "template": template(name, "Always")});
    let job = |name: &str| json!({"template": template(name, "Never")});
    let mut set = selected("db");
    set["serviceName"] = "db".into();
    let cron_job = server.create(&object(
        "batch/v1",
        "CronJob",
        "production",
        "report",
        &json!({"schedule": "0 0 1 1 *", "suspend": true, "jobTemplate": {"spec": job("report")}}),
    ));
    // As `kubectl create job --from=cronjob/report` does.
    let mut of_cron_job = object("batch/v1", "Job", "production", "report-1", &job("report"));
    of_cron_job["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "batch/v1", "kind": "CronJob", "name": "report", "uid": cron_job["metadata"]["uid"], "controller": true,
    }]);
    let objects = [
        (
            object("apps/v1", "Deployment", "production", "web", &selected("web")),
            "web",
            "production/Deployment/web/web",
        ),
        (
            object("apps/v1", "StatefulSet", "production", "db", &set),
            "db",
            "production/StatefulSet/db/db",
        ),
        (
            object("batch/v1", "Job", "production", "import", &job("import")),
            "import",
            "production/Job/import/import",
        ),
        (of_cron_job, "report", "production/CronJob/report/report"),
    ];
    for (object, ..) in &objects {
        server.create(object);
    }
    objects
        .iter()
        .map(|(object, name, workload)| (made_by(server, object), *name, *workload))
        .collect()
}

#[test]
fn every_kind_of_workload_is_named_and_another_namespace_is_not_recorded() {
    let server = ApiServer::with_controllers();
    make_namespaces(&server);
    let scratch = Scratch::new();
    let workloads = make_workloads(&server);
    let other = server.create(&bare("staging", "other"));
    let recorder = learn(&scratch, &server.kubeconfig(), &["--namespace", "production"]);

    // Their cgroups are there before anybody knows their pods: the scheduler has not put them anywhere.
    let running: Vec<_> = workloads
        .iter()
        .map(|(pod, name, workload)| (pod, *name, *workload, Container::run(&scratch, pod)))
        .collect();
    let elsewhere = Container::run(&scratch, &other);
    // One pod is known before it starts.
    let bare = make_pod_of_all_kinds(&server, &scratch);
    let known = |paths: &[&str]| {
        let names = names(&scratch);
        paths.iter().all(|path| names.contains_key(*path))
    };
    let of_bare: Vec<&str> = bare.iter().map(|(_, container)| container.path()).collect();
    assert!(
        poll(|| known(&of_bare).then_some(())).is_some(),
        "{:#?}",
        names(&scratch)
    );
    // Nobody said yet which namespace these are of.
    for (_, _, _, container) in &running {
        assert_eq!(names(&scratch).get(container.path()), None);
    }
    for (pod, name, _, container) in &running {
        server.bind(pod, NODE);
        run_status(&server, pod, container, name);
    }
    let of_workloads: Vec<&str> = running.iter().map(|(.., container)| container.path()).collect();
    assert!(
        poll(|| known(&of_workloads).then_some(())).is_some(),
        "{:#?}",
        names(&scratch)
    );
    let said = end(recorder);

    let (names, opens) = (names(&scratch), opens(&scratch));
    let expected = running
        .iter()
        .map(|(_, name, workload, container)| ((*workload).to_owned(), *name, container));
    let expected = expected.chain(
        bare.iter()
            .map(|(name, container)| (format!("production/Pod/shell/{name}"), *name, container)),
    );
    for (workload, name, container) in expected {
        let image = format!("docker.io/shop/{name}:1.4@{}", digest(name));
        assert_eq!(names[container.path()], format!("{workload} {image}"));
        // Whoever looks around in a pod is no part of the workload.
        let learned = if name == "debugger" { 0 } else { OPENS.parse().unwrap() };
        assert_eq!(opens.get(&workload).copied().unwrap_or_default(), learned, "{workload}");
        assert_eq!(nameless(&scratch, container.cgroup.id()), 0, "{workload}");
    }
    assert_eq!(names.get(elsewhere.path()), None);
    assert!(names.values().all(|name| name.starts_with("production/")), "{names:#?}");
    assert!(!said.contains(elsewhere.path()), "{said}");
}

/// A pod with every kind of container, each with the image of its name: all run already.
fn make_pod_of_all_kinds(server: &ApiServer, scratch: &Scratch) -> Vec<(&'static str, Container)> {
    let mut pod = bare("production", "shell");
    let container = |name: &str| json!({"name": name, "image": format!("shop/{name}:1.4")});
    let mut mesh = container("mesh");
    mesh["restartPolicy"] = "Always".into();
    pod["spec"]["initContainers"] = json!([container("migrate"), mesh]);
    let made = server.create(&pod);
    server.add_ephemeral(&made, &container("debugger"));
    let containers = ["shell", "migrate", "mesh", "debugger"].map(|name| (name, Container::run(scratch, &made)));
    let status = |at: usize| containers[at].1.status(containers[at].0, &pulled(containers[at].0));
    server.set_status(
        &made,
        &json!({
            "phase": "Running",
            "containerStatuses": [status(0)],
            "initContainerStatuses": [status(1), status(2)],
            "ephemeralContainerStatuses": [status(3)],
        }),
    );
    containers.into()
}

#[test]
fn what_happens_while_the_api_server_is_down_is_named_later_or_counted() {
    let mut server = ApiServer::start();
    make_namespaces(&server);
    let scratch = Scratch::new();
    let [long, short, forgotten] = ["long", "short", "forgotten"].map(|name| server.create(&bare("production", name)));
    let forgotten_container = Container::run(&scratch, &forgotten);
    run_status(&server, &forgotten, &forgotten_container, "forgotten");
    // Before anybody has asked for it.
    server.delete(&forgotten);
    let [long_container, short_container] = [&long, &short].map(|pod| Container::run(&scratch, pod));
    run_status(&server, &long, &long_container, "long");
    // It comes from no registry.
    let local = short_container.status("short", &digest("short"));
    server.set_status(&short, &json!({"phase": "Running", "containerStatuses": [local]}));
    server.stop();

    let mut recorder = learn(&scratch, &server.kubeconfig(), &["--namespace", "production"]);
    let restarted = |container: &mut Container| {
        // It does something, now that somebody looks.
        let file = scratch.path("opened");
        let mut command = Command::new(workload());
        command.args(["open", file.to_str().unwrap(), OPENS, "1", "then", "sleep", "600000"]);
        container.process = container.cgroup.start(&mut command);
    };
    let (mut long_container, mut short_container, mut forgotten_container) =
        (long_container, short_container, forgotten_container);
    for container in [&mut long_container, &mut short_container, &mut forgotten_container] {
        restarted(container);
    }
    recorder.wait_for("the trouble", |recorder| {
        recorder.stderr().contains("the API server cannot be asked to list")
    });
    // Its cgroup is gone before anybody can say whose it was.
    let short_path = short_container.path().to_owned();
    let (forgotten_path, forgotten_id) = (forgotten_container.path().to_owned(), forgotten_container.cgroup.id());
    drop(short_container);
    server.start_again();
    let both = || {
        let names = names(&scratch);
        (names.contains_key(long_container.path()) && names.contains_key(&short_path)).then_some(())
    };
    assert!(poll(both).is_some(), "{:#?}\n{}", names(&scratch), recorder.stderr());
    let said = end(recorder);

    let names = names(&scratch);
    let pinned = format!("docker.io/shop/long:1.4@{}", digest("long"));
    assert_eq!(
        names[long_container.path()],
        format!("production/Pod/long/long {pinned}")
    );
    assert_eq!(
        names[&short_path],
        "production/Pod/short/short docker.io/shop/short:1.4"
    );
    // Whoever came into a container that was there before the window has entered it, which is not learned: there is a row.
    assert_eq!(names.get(&forgotten_path), None);
    assert!(nameless(&scratch, forgotten_id) >= OPENS.parse().unwrap(), "{said}");
    assert!(
        said.contains("could not be named") && said.contains(&forgotten_path),
        "{said}"
    );
}

#[test]
fn what_the_api_server_refuses_is_told_once_with_the_rule_that_is_missing() {
    let server = ApiServer::start();
    make_namespaces(&server);
    let scratch = Scratch::new();
    let mut pod = bare("production", "web");
    pod["metadata"] = json!({
        "namespace": "production", "name": "web-7d4b9-x2x", "labels": {"pod-template-hash": "7d4b9"},
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7d4b9", "uid": "r", "controller": true}],
    });
    let pod = server.create(&pod);
    let mut recorder = learn(&scratch, &server.agent_kubeconfig(), &["--namespace", "production"]);
    let container = Container::run(&scratch, &pod);
    run_status(&server, &pod, &container, "web");
    let pods = "{apiGroups: [\"\"], resources: [pods], verbs: [list, watch]}";
    let owners = "{apiGroups: [apps], resources: [replicasets], verbs: [get]}";
    recorder.wait_for("the refusal", |recorder| recorder.stderr().contains(pods));

    server.allow(
        "pods",
        &json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}]),
    );
    recorder.wait_for("the second refusal", |recorder| recorder.stderr().contains(owners));
    let named = || names(&scratch).remove(container.path());
    let name = poll(named).unwrap();
    assert!(name.starts_with("production/Deployment/web/web "), "{name}");
    let said = end(recorder);
    for rule in [pods, owners] {
        assert_eq!(said.matches(rule).count(), 1, "{said}");
    }
}

#[test]
fn everything_on_a_machine_is_learned_and_its_pods_have_names() {
    let server = ApiServer::start();
    make_namespaces(&server);
    let scratch = Scratch::new();
    let [web, late] = ["web", "late"].map(|name| server.create(&bare("production", name)));
    let recorder = learn(&scratch, &server.kubeconfig(), &["--kubernetes", "required"]);
    let plain = Cgroup::create(&end_to_end::unique("plain"));
    let [of_web, of_late] = [&web, &late].map(|pod| Container::run(&scratch, pod));
    run_status(&server, &web, &of_web, "web");
    let is = |path: &str, name: &str| {
        poll(|| {
            names(&scratch)
                .get(path)
                .filter(|found| found.starts_with(name))
                .map(drop)
        })
    };
    assert!(is(of_web.path(), "production/Pod/web/web docker.io/shop/web:1.4@").is_some());
    // Written at once, and renamed when it is known.
    assert!(is(of_late.path(), "host/pod/").is_some());
    run_status(&server, &late, &of_late, "late");
    assert!(is(of_late.path(), "production/Pod/late/late ").is_some());
    assert!(is(&format!("/{}", plain.path()), "host/cgroup/").is_some());
    let said = end(recorder);
    assert_eq!(nameless(&scratch, of_late.cgroup.id()), 0, "{said}");
    assert_eq!(
        opens(&scratch)["production/Pod/late/late"],
        OPENS.parse::<u64>().unwrap()
    );
}

#[test]
fn a_container_with_a_probe_starts_up_until_it_is_ready() {
    let server = ApiServer::start();
    make_namespaces(&server);
    let scratch = Scratch::new();
    let mut probed = bare("production", "probed");
    probed["spec"]["containers"][0]["readinessProbe"] = json!({"exec": {"command": ["/bin/true"]}});
    let (probed, plain) = (server.create(&probed), server.create(&bare("production", "plain")));
    let options = ["--namespace", "production", "--startup", "500ms"];
    let recorder = learn(&scratch, &server.kubeconfig(), &options);
    let [of_probed, of_plain] = [&probed, &plain].map(|pod| Container::counting(&scratch, pod));
    let report = |pod: &Value, container: &Container, name: &str, is_ready: bool| {
        let mut status = container.status(name, &pulled(name));
        status["ready"] = is_ready.into();
        server.set_status(pod, &json!({"phase": "Running", "containerStatuses": [status]}));
    };
    report(&probed, &of_probed, "probed", false);
    report(&plain, &of_plain, "plain", true);
    for container in [&of_probed, &of_plain] {
        let is_known = poll(|| names(&scratch).contains_key(container.path()).then_some(()));
        assert!(is_known.is_some(), "{}", recorder.stderr());
    }
    let has_both = |name: &str| poll(|| (phases(&scratch, name) == [Phase::Startup, Phase::Steady]).then_some(()));
    assert!(has_both("plain").is_some(), "{}", recorder.stderr());
    // They began together.
    assert_eq!(phases(&scratch, "probed"), [Phase::Startup]);
    report(&probed, &of_probed, "probed", true);
    assert!(has_both("probed").is_some(), "{}", recorder.stderr());
    end(recorder);
}

/// In which phases the container of this name opened its file.
fn phases(scratch: &Scratch, name: &str) -> Vec<Phase> {
    let file = scratch.path("opened");
    let baselines = end_to_end::baselines(scratch.recording()).into_iter();
    let of_it = baselines.filter(|baseline| baseline.image.repository.ends_with(&format!("/{name}")));
    let opens = of_it.flat_map(|baseline| baseline.behaviours.open);
    let opens = opens.filter(|open| open.path.as_bytes() == file.as_os_str().as_encoded_bytes());
    opens.flat_map(|open| open.evidence.phases).collect()
}

#[test]
fn only_what_is_asked_for_is_recorded_and_labels_are_followed() {
    let server = ApiServer::start();
    make_namespaces(&server);
    let scratch = Scratch::new();
    let labelled = |namespace: &str, name: &str, app: &str| {
        let mut pod = bare(namespace, name);
        pod["metadata"]["labels"] = json!({"app": app});
        server.create(&pod)
    };
    let comes = labelled("production", "comes", "db");
    let goes = labelled("production", "goes", "web");
    let staging = labelled("staging", "staging", "web");
    let other = labelled("production", "other", "web");
    let elsewhere = labelled("default", "elsewhere", "web");
    let options = [
        ["--namespace", "production,staging"],
        ["--selector", "app in (web,front),!canary"],
        ["--image", "shop/{comes,goes}"],
        ["--image", "**/staging:1.4"],
    ];
    let mut recorder = learn(&scratch, &server.kubeconfig(), options.as_flattened());
    let asked =
        "namespaces production, staging, labels app in (front,web),!canary, images shop/{comes,goes}, **/staging:1.4";
    let selector = scratch.status()["windows"][0]["selector"].as_str().unwrap().to_owned();
    assert!(selector.starts_with(&format!("{asked} on node {NODE} (")), "{selector}");
    assert!(recorder.stderr().contains(asked), "{}", recorder.stderr());
    let [of_comes, of_goes] = [&comes, &goes].map(|pod| Container::counting(&scratch, pod));
    let [of_staging, of_other, of_elsewhere] = [&staging, &other, &elsewhere].map(|pod| Container::run(&scratch, pod));
    let all = [
        (&comes, &of_comes, "comes"),
        (&goes, &of_goes, "goes"),
        (&staging, &of_staging, "staging"),
        (&other, &of_other, "other"),
        (&elsewhere, &of_elsewhere, "elsewhere"),
    ];
    for (pod, container, name) in all {
        run_status(&server, pod, container, name);
    }
    let becomes_known = |container: &Container| poll(|| names(&scratch).contains_key(container.path()).then_some(()));
    for container in [&of_goes, &of_staging] {
        assert!(becomes_known(container).is_some(), "{}", recorder.stderr());
    }

    // The one comes, the other goes.
    server.patch(&comes, &json!({"metadata": {"labels": {"app": "front"}}}));
    let before = counted(&scratch, &goes);
    server.patch(&goes, &json!({"metadata": {"labels": {"canary": ""}}}));
    assert!(becomes_known(&of_comes).is_some(), "{}", recorder.stderr());
    let learned = |name: &str| {
        opens(&scratch)
            .get(&format!("production/Pod/{name}/{name}"))
            .copied()
            .unwrap_or_default()
    };
    let comes_now = learned("comes");
    recorder.wait_for("more of what came", |_| learned("comes") > comes_now);
    // By now nothing of what it did before it went is on its way.
    let at_most = counted(&scratch, &goes);
    let learned_of_goes = learned("goes");
    assert!(
        (before..at_most).contains(&learned_of_goes),
        "{learned_of_goes} of {before} to {at_most}"
    );
    recorder.wait_for("even more", |_| learned("comes") > comes_now + 1_000);
    assert_eq!(learned("goes"), learned_of_goes);
    assert!(counted(&scratch, &goes) > at_most);

    let said = end(recorder);
    let told: BTreeMap<_, _> = names(&scratch)
        .into_iter()
        .map(|(path, name)| (path, name.split(' ').next().unwrap().to_owned()))
        .collect();
    let expected = [
        (of_comes.path().to_owned(), "production/Pod/comes/comes".to_owned()),
        (of_goes.path().to_owned(), "production/Pod/goes/goes".to_owned()),
        (of_staging.path().to_owned(), "staging/Pod/staging/staging".to_owned()),
    ];
    assert_eq!(told, expected.into(), "{said}");
    let is_partial = |container: &Container| {
        let seen = summary(&scratch).containers.into_iter();
        let mut seen = seen.filter(|seen| seen.container.cgroup_path == container.path().as_bytes());
        seen.next().unwrap().container.partial
    };
    assert_eq!((is_partial(&of_comes), is_partial(&of_goes)), (true, false));
}
