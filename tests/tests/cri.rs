//! Containers of a real runtime get the names that the runtime itself knows for them, where there is no API server.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use baselines::document::Baseline;
use baselines::time::UtcTime;
use end_to_end::cri::{Containerd, Image, Pod, cgroup_id};
use end_to_end::evidence::{executed, only, opened};
use end_to_end::kubelet::{end, make_namespaces, nameless, names, object};
use end_to_end::{ApiServer, Running, Scratch, finish, poll, profile, profile_start, start};
use profiler::kubernetes::cri::owners::{Told, told};
use serde_json::{Value, json};

/// Starts a window that asks this runtime.
fn learn(scratch: &Scratch, containerd: &Containerd, options: &[&str]) -> Running {
    let mut command = profile_start(scratch.recording(), options);
    command.args([
        "--flush-interval",
        "200ms",
        "--runtime-endpoint",
        &containerd.endpoint(),
    ]);
    let mut recorder = start(&mut command);
    recorder.wait_for("the window", |recorder| recorder.stderr().contains("learning "));
    recorder
}

#[track_caller]
fn becomes(scratch: &Scratch, path: &str, name: &str) {
    let became = poll(|| (names(scratch).get(path)? == name).then_some(()));
    assert!(became.is_some(), "{path} is not {name}: {:#?}", names(scratch));
}

/// An image that opens its own file, and then does nothing.
fn image(name: &str) -> Image {
    Image::new(&["/bin/sh", "-c", "/bin/cat /etc/own; exec /bin/sleep 600"], name)
}

#[test]
fn pods_are_named_with_their_digests_in_both_import_forms_and_only_what_they_do_is_learned() {
    let scratch = Scratch::new();
    let mut containerd = Containerd::new();
    containerd.start();
    let (pulled, local) = (image("pulled"), image("local"));
    containerd.import_with_digest(&pulled, "docker.io/shop/web", "1.4");
    containerd.import_plainly(&local, "docker.io/shop/local:1.4");
    let recorder = learn(&scratch, &containerd, &["--namespace", "production"]);
    let endpoint = containerd.endpoint();
    let told = recorder.stderr();
    assert!(
        told.contains(&format!("the container runtime at {endpoint} (containerd ")),
        "{told}"
    );
    let selector = scratch.status()["windows"][0]["selector"].as_str().unwrap().to_owned();
    let asked = format!("namespace production, pods named by the runtime at {endpoint} (");
    assert!(selector.starts_with(&asked), "{selector}");

    let web = containerd.run(&Pod::new("production", "web-7d4b9c-x2xw4").labelled("pod-template-hash", "7d4b9c"));
    let db = Pod::new("production", "db-0").labelled("statefulset.kubernetes.io/pod-name", "db-0");
    let db = containerd.run(&db);
    let other = containerd.run(&Pod::new("staging", "web"));
    let server = web.start("server", "docker.io/shop/web:1.4", 0);
    let store = db.start("store", "docker.io/shop/local:1.4", 0);
    let elsewhere = other.start("server", "docker.io/shop/web:1.4", 0);
    let of_web = format!(
        "production/Deployment/web/server docker.io/shop/web:1.4@{}",
        pulled.digest
    );
    becomes(&scratch, &server.path(), &of_web);
    let of_store = "production/StatefulSet/db/store docker.io/shop/local:1.4";
    becomes(&scratch, &store.path(), of_store);
    for _ in 0..2 {
        server.exec(&["/bin/cat", "/etc/exec"]);
    }
    // It is restarted: another container of the same name.
    server.stop();
    let again = web.start("server", "docker.io/shop/web:1.4", 1);
    becomes(&scratch, &again.path(), &of_web);
    let paths = [server.path(), again.path(), store.path()];
    let others = [web.path(), db.path(), other.path(), elsewhere.path()].map(|path| cgroup_id(&path));
    // Its pod is deleted.
    db.remove();
    let said = end(recorder);

    // No sandbox, and nothing of another namespace; that is no loss, either.
    let known: BTreeSet<String> = names(&scratch).into_keys().collect();
    assert_eq!(known, paths.into(), "{said}");
    assert_eq!(others.map(|id| nameless(&scratch, id)), [0; 4], "{said}");
    tells_who_did_it(&scratch.baseline("docker.io/shop/web"), 2, 2);
    tells_who_did_it(&scratch.baseline("docker.io/shop/local"), 1, 0);
}

/// Of so many containers and so many sessions in them: the image's own doing is learned, and what the runtime does is not.
fn tells_who_did_it(baseline: &Baseline, containers: u64, sessions: u64) {
    let file = |name: &str| opened(baseline, Path::new(name));
    assert_eq!(file("/etc/own"), only("workload", containers), "{baseline:#?}");
    let entered = if sessions == 0 {
        BTreeMap::new()
    } else {
        only("entered", sessions)
    };
    assert_eq!(file("/etc/exec"), entered, "{baseline:#?}");
    // Something that runc opens on its way.
    let setting_up: Vec<String> = file("/proc/filesystems").into_keys().collect();
    assert_eq!(setting_up, ["runtime"], "{baseline:#?}");
    assert_eq!(
        executed(baseline, "/bin/sh"),
        only("workload", containers),
        "{baseline:#?}"
    );
    assert_eq!(
        executed(baseline, "/bin/sleep"),
        only("workload", containers),
        "{baseline:#?}"
    );
    let learned = baseline.behaviours.exec.iter().map(|exec| exec.evidence.count);
    assert_eq!(learned.sum::<u64>(), 3 * containers, "{baseline:#?}");
    let learned: BTreeSet<String> = baseline
        .behaviours
        .open
        .iter()
        .map(|open| open.path.to_text())
        .collect();
    let expected = ["/bin/cat", "/bin/sh", "/bin/sleep", "/etc/own"].map(str::to_owned);
    assert_eq!(learned, expected.into(), "{baseline:#?}");
}

#[test]
fn a_runtime_that_is_away_is_waited_for_and_one_that_is_started_anew_is_followed() {
    let scratch = Scratch::new();
    let mut containerd = Containerd::new();
    let mut recorder = learn(&scratch, &containerd, &["--all-namespaces"]);
    let away = format!("the container runtime at {} cannot be asked", containerd.endpoint());
    recorder.wait_for("the trouble", |recorder| recorder.stderr().contains(&away));
    containerd.start();
    containerd.import_plainly(&image("web"), "docker.io/shop/web:1.4");
    let web = Pod::new("production", "web");
    let sandbox = containerd.run(&web);
    let first = sandbox.start("server", "docker.io/shop/web:1.4", 0);
    let of_web = "production/Pod/web/server docker.io/shop/web:1.4";
    becomes(&scratch, &first.path(), of_web);
    let (sandbox, first) = (sandbox.kept(), first.path());
    containerd.stop();
    containerd.start();
    let second = containerd.again(&sandbox).start("server", "docker.io/shop/web:1.4", 1);
    becomes(&scratch, &second.path(), of_web);
    let second = second.path();
    let said = end(recorder);
    assert_eq!(said.matches(&away).count(), 1, "{said}");
    let opened = opened(&scratch.baseline("docker.io/shop/web"), Path::new("/etc/own"));
    assert_eq!(opened, only("workload", 2), "{first} {second}: {said}");
}

#[test]
fn everything_on_a_machine_is_learned_and_pods_have_the_runtimes_names() {
    let scratch = Scratch::new();
    let mut containerd = Containerd::new();
    containerd.start();
    let web = image("web");
    containerd.import_with_digest(&web, "docker.io/shop/web", "1.4");
    // As crictl is told.
    let variable = ("CONTAINER_RUNTIME_ENDPOINT", containerd.endpoint());
    let mut command = profile_start(
        scratch.recording(),
        &["--kubernetes", "required", "--flush-interval", "200ms"],
    );
    let mut recorder = start(command.env(variable.0, &variable.1));
    recorder.wait_for("the window", |recorder| recorder.stderr().contains("learning "));
    // It connects again and again with no more than recording takes: the socket is root's.
    let status = std::fs::read_to_string(format!("/proc/{}/status", recorder.id())).unwrap();
    // CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE, CAP_BPF.
    assert!(
        status.contains(&format!("CapEff:\t{:016x}", 1_u64 << 2 | 1 << 19 | 1 << 39)),
        "{status}"
    );

    let sandbox = containerd.run(&Pod::new("production", "web"));
    let server = sandbox.start("server", "docker.io/shop/web:1.4", 0);
    let named = format!("production/Pod/web/server docker.io/shop/web:1.4@{}", web.digest);
    becomes(&scratch, &server.path(), &named);
    let said = end(recorder);
    // The sandbox keeps its id, and is no loss.
    let of_sandbox = names(&scratch).remove(&sandbox.path()).unwrap();
    assert!(of_sandbox.starts_with("host/pod/"), "{of_sandbox}");
    assert_eq!(nameless(&scratch, cgroup_id(&sandbox.path())), 0, "{said}");

    let done = finish(profile().args(["doctor", "-o", "json"]).env(variable.0, &variable.1));
    let report: Value = serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done}"));
    let mut checks = report["checks"].as_array().unwrap().iter();
    let check = checks.find(|check| check["name"] == "names of pods").unwrap();
    assert_eq!(check["result"], "container runtime", "{check}");
    let note = check["note"].as_str().unwrap();
    assert!(note.starts_with("containerd ") && note.contains(&variable.1), "{note}");
}

#[test]
fn pods_are_chosen_by_the_labels_of_their_start_and_containers_by_their_images() {
    let scratch = Scratch::new();
    let mut containerd = Containerd::new();
    containerd.start();
    containerd.import_plainly(&image("web"), "docker.io/shop/web:1.4");
    containerd.import_plainly(&image("mesh"), "docker.io/mesh/proxy:2");
    let options = ["--all-namespaces", "--selector", "app=web,!canary", "--image", "shop/*"];
    let recorder = learn(&scratch, &containerd, &options);
    let labelled = |name: &str, app: &str| Pod::new("production", name).labelled("app", app);
    let chosen = containerd.run(&labelled("chosen", "web"));
    let canary = containerd.run(&labelled("canary", "web").labelled("canary", ""));
    let db = containerd.run(&labelled("db", "db"));
    let (server, _mesh) = (
        chosen.start("server", "docker.io/shop/web:1.4", 0),
        chosen.start("mesh", "docker.io/mesh/proxy:2", 0),
    );
    let others = [&canary, &db].map(|sandbox| sandbox.start("server", "docker.io/shop/web:1.4", 0));
    becomes(
        &scratch,
        &server.path(),
        "production/Pod/chosen/server docker.io/shop/web:1.4",
    );
    for other in &others {
        other.exec(&["/bin/cat", "/etc/exec"]);
    }
    let said = end(recorder);
    let known: Vec<String> = names(&scratch).into_keys().collect();
    assert_eq!(known, [server.path()], "{said}");
    tells_who_did_it(&scratch.baseline("docker.io/shop/web"), 1, 0);
}

/// What real controllers make of their objects: whether the names and labels of pods tell as much as the API server does.
#[test]
fn owners_are_inferred_as_the_api_server_has_them() {
    let server = ApiServer::with_controllers();
    make_namespaces(&server);
    // A new node is not ready, which a DaemonSet waits for.
    server.patch(&server.make_node("node-7"), &json!({"spec": {"taints": null}}));
    let template = |app: &str, restart: &str| {
        json!({
            "metadata": {"labels": {"app": app}},
            "spec": {"restartPolicy": restart, "containers": [{"name": "main", "image": "shop/web:1.4"}]},
        })
    };
    let selecting = |app: &str| json!({"selector": {"matchLabels": {"app": app}}, "template": template(app, "Always")});
    let job = |app: &str| json!({"template": template(app, "Never")});
    let with = |mut spec: Value, key: &str, value: Value| {
        spec[key] = value;
        spec
    };
    let cron_job = json!({"schedule": "* * * * *", "jobTemplate": {"spec": job("report")}});
    let indexed = with(
        with(job("index"), "completionMode", "Indexed".into()),
        "completions",
        1.into(),
    );
    let long = format!("long{}", "g".repeat(45));
    let objects = [
        ("apps/v1", "Deployment", "web", selecting("web"), "Deployment web"),
        ("apps/v1", "Deployment", long.as_str(), selecting("long"), "?"),
        (
            "apps/v1",
            "StatefulSet",
            "db",
            with(selecting("db"), "serviceName", "db".into()),
            "StatefulSet db",
        ),
        ("apps/v1", "DaemonSet", "log", selecting("log"), "DaemonSet log"),
        ("batch/v1", "Job", "import", job("import"), "Job import"),
        ("batch/v1", "Job", "index", indexed, "Job index"),
        ("batch/v1", "CronJob", "report", cron_job, "CronJob report"),
        // Its pods have no label of it.
        ("apps/v1", "ReplicaSet", "bare", selecting("bare"), ""),
    ];
    for (api, kind, name, spec, _) in &objects {
        server.create(&object(api, kind, "production", name, spec));
    }
    let pods = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "production"}});
    for (_, kind, name, _, expected) in &objects {
        let made = || {
            let pods = server.list(&pods).into_iter();
            let mut of_it = pods.filter(|pod| pod["metadata"]["name"].as_str().unwrap().starts_with(name));
            of_it.next()
        };
        // A CronJob begins with the next minute.
        let pod = poll(made)
            .or_else(|| poll(made))
            .unwrap_or_else(|| panic!("no pod of {kind} {name}"));
        let metadata = &pod["metadata"];
        let labels: BTreeMap<String, String> = serde_json::from_value(metadata["labels"].clone()).unwrap();
        let created: UtcTime = metadata["creationTimestamp"].as_str().unwrap().parse().unwrap();
        let inferred = match told(metadata["name"].as_str().unwrap(), &labels, created) {
            Told::Workload(workload) => format!("{} {}", workload.kind, workload.name),
            Told::Unclear => "?".to_owned(),
            Told::Nothing => String::new(),
        };
        assert_eq!(inferred, *expected, "{metadata:#}");
    }
}
