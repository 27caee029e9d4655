//! What the kubelet executes in containers is told from what others execute there, whenever the pod becomes known.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use baselines::document::Baseline;
use baselines::loss::Reason;
use end_to_end::evidence::{executed, only, opened};
use end_to_end::kubelet::{cgroup_path, container_id, status};
use end_to_end::runc::{Runc, bundle};
use end_to_end::{Running, unified};

use super::*;

/// What opens a file a number of times, in a process below a shell.
fn opens_below_a_shell(file: &Path, count: u32) -> [String; 3] {
    let script = format!("{} open {} {count} 1; :", workload().display(), file.display());
    ["sh".to_owned(), "-c".to_owned(), script]
}

/// Executes a command in a container, as the runtime does for the kubelet and for everybody else.
fn execute(container: &Container, words: &[String]) {
    let done = container
        .cgroup
        .start(Command::new(&words[0]).args(&words[1..]))
        .finish();
    assert_eq!(done.code(), 0, "{words:?}: {done}");
}

/// A script that opens a file a number of times.
fn script(scratch: &Scratch, name: &str, file: &Path, count: u32) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;

    let [_, _, text] = opens_below_a_shell(file, count);
    let path = scratch.file(name, format!("#!/bin/sh -e\n{text}\n"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn becomes_known(scratch: &Scratch, path: &str, recorder: &Running) {
    let is_known = poll(|| names(scratch).contains_key(path).then_some(()));
    assert!(is_known.is_some(), "{}", recorder.stderr());
}

/// The one of the image with this name.
fn baseline_of(scratch: &Scratch, name: &str) -> Baseline {
    let mut baselines = end_to_end::baselines(scratch.recording()).into_iter();
    let is_it = |baseline: &Baseline| baseline.image.repository.ends_with(&format!("/{name}"));
    baselines.find(is_it).unwrap()
}

#[test]
fn probes_are_learned_again_when_their_pod_is_asked_for_again() {
    let server = ApiServer::start();
    make_namespaces(&server);
    let scratch = Scratch::new();
    let file = scratch.file("liveness", "");
    let probe = opens_below_a_shell(&file, 3);
    let of_app = |name: &str, app: &str| {
        let mut pod = bare("production", name);
        pod["metadata"]["labels"] = json!({"app": app});
        pod["spec"]["containers"][0]["livenessProbe"] = json!({"exec": {"command": probe}});
        let pod = server.create(&pod);
        let container = Container::run(&scratch, &pod);
        run_status(&server, &pod, &container, name);
        (pod, container)
    };
    let recorder = learn(
        &scratch,
        &server.kubeconfig(),
        &["--namespace", "production", "--selector", "app=web"],
    );
    let (pod, web) = of_app("web", "web");
    becomes_known(&scratch, web.path(), &recorder);
    execute(&web, &probe);
    // What changes is told in order: when the later change is seen, so was the earlier one.
    for (number, app) in ["other", "web"].into_iter().enumerate() {
        server.patch(&pod, &json!({"metadata": {"labels": {"app": app}}}));
        let (_, mark) = of_app(&format!("mark-{number}"), "web");
        becomes_known(&scratch, mark.path(), &recorder);
        execute(&web, &probe);
    }
    let said = end(recorder);
    let of_web = baseline_of(&scratch, "web");
    assert_eq!(opened(&of_web, &file), only("kubelet", 6), "{said}: {of_web:#?}");
    let losses = summary(&scratch).losses;
    assert!(
        losses.iter().all(|loss| loss.reason != Reason::CommandUntold),
        "{losses:?}"
    );
}

#[test]
fn probes_and_handlers_are_learned_and_what_others_execute_is_not() {
    let server = ApiServer::start();
    make_namespaces(&server);
    let scratch = Scratch::new();
    let names_of_files = ["liveness", "started", "stopping", "other", "prefix", "interpreted"];
    let files = names_of_files.map(|name| scratch.file(name, ""));
    let [liveness, started, stopping, other, prefix, interpreted] = &files;
    let probe = opens_below_a_shell(liveness, 3);
    let post_start = opens_below_a_shell(started, 4);
    let check = script(&scratch, "check", stopping, 5);
    let pre_stop = [check.display().to_string(), "-q".to_owned()];
    let same = script(&scratch, "same", interpreted, 6);

    let mut pod = bare("production", "web");
    pod["spec"]["containers"][0]["livenessProbe"] = json!({"exec": {"command": probe}});
    pod["spec"]["containers"][0]["lifecycle"] = json!({
        "postStart": {"exec": {"command": post_start}}, "preStop": {"exec": {"command": pre_stop}},
    });
    pod["spec"]["containers"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "mesh", "image": "shop/mesh:1.4"}));
    let pod = server.create(&pod);
    let recorder = learn(&scratch, &server.kubeconfig(), &["--namespace", "production"]);
    let [web, mesh] = ["web", "mesh"].map(|_| Container::run(&scratch, &pod));
    // Before anybody can know which container of the pod that is.
    execute(&web, &post_start);
    execute(&web, &opens_below_a_shell(other, 1));
    let report = |containers: &[(&str, &Container)]| {
        let statuses = containers.iter();
        let statuses: Vec<Value> = statuses.map(|(name, it)| it.status(name, &pulled(name))).collect();
        server.set_status(&pod, &json!({"phase": "Running", "containerStatuses": statuses}));
    };
    report(&[("web", &web), ("mesh", &mesh)]);
    for container in [&web, &mesh] {
        becomes_known(&scratch, container.path(), &recorder);
    }
    for _ in 0..2 {
        execute(&web, &probe);
    }
    execute(&web, &pre_stop);
    // Of another container, that is not what the kubelet executes.
    execute(&mesh, &probe);
    let secret = "hunter2-and-more";
    let [shell, option, text] = opens_below_a_shell(other, 1);
    execute(&web, &[shell, option, format!("{text} # {secret}")]);
    // The script without its argument, and another one.
    execute(&web, &pre_stop[..1]);
    execute(&web, &[same.display().to_string(), "-q".to_owned()]);
    let longer = [&opens_below_a_shell(prefix, 7)[..], &["more".to_owned()]].concat();
    execute(&web, &longer);
    let said = end(recorder);

    let of_web = baseline_of(&scratch, "web");
    let mut both = only("kubelet", 5);
    both.extend(only("entered", 5));
    let expected = [
        (liveness, only("kubelet", 6)),
        (started, only("kubelet", 4)),
        (stopping, both),
        (other, only("entered", 2)),
        (prefix, only("entered", 7)),
        (interpreted, only("entered", 6)),
    ];
    for (file, expected) in expected {
        assert_eq!(opened(&of_web, file), expected, "{}: {of_web:#?}", file.display());
    }
    // What the kernel opens to execute a script is its executor's.
    assert!(opened(&of_web, &check).contains_key("kubelet"), "{of_web:#?}");
    assert_eq!(
        opened(&of_web, &same).into_keys().collect::<Vec<_>>(),
        ["entered"],
        "{of_web:#?}"
    );
    // Learned, and with it the program that opens the file.
    let program = fs::canonicalize(workload()).unwrap().display().to_string();
    let learned: Vec<_> = of_web
        .behaviours
        .exec
        .iter()
        .map(|exec| exec.binary.to_text())
        .collect();
    assert!(learned.contains(&program), "{learned:?}");
    assert_eq!(executed(&of_web, &program)["kubelet"], 4, "{of_web:#?}");
    assert_eq!(opened(&baseline_of(&scratch, "mesh"), liveness), only("entered", 3));
    let policies = end_to_end::generated("policies", scratch.recording(), &scratch.path("policies"));
    let policies: String = policies.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    for (script, is_learned) in [(&check, true), (&same, false)] {
        assert_eq!(policies.contains(&*script.to_string_lossy()), is_learned, "{policies}");
    }
    assert_eq!(untold(&scratch), 0, "{said}");
    // Nobody asked for arguments.
    for file in fs::read_dir(scratch.recording().parent().unwrap()).unwrap() {
        let file = file.unwrap().path();
        if file.is_file() {
            let bytes = fs::read(&file).unwrap();
            let has_it = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!has_it, "{}", file.display());
        }
    }
    assert!(!said.contains(secret), "{said}");
}

/// How much could not be told from the kubelet's work.
fn untold(scratch: &Scratch) -> u64 {
    let losses = summary(scratch).losses.into_iter();
    let of_commands = losses.filter(|loss| loss.reason == Reason::CommandUntold);
    of_commands.map(|loss| loss.count).sum()
}

#[test]
fn commands_that_are_too_long_or_too_many_count_as_entered_and_as_lost() {
    let server = ApiServer::start();
    make_namespaces(&server);
    let scratch = Scratch::new();
    let mut pod = bare("production", "web");
    let long = ["true".to_owned(), "x".repeat(20_000)];
    pod["spec"]["containers"][0]["livenessProbe"] = json!({"exec": {"command": long}});
    let (pod, plain) = (server.create(&pod), server.create(&bare("production", "plain")));
    let recorder = learn(&scratch, &server.kubeconfig(), &["--namespace", "production"]);
    let [web, without] = [&pod, &plain].map(|pod| Container::run(&scratch, pod));
    run_status(&server, &pod, &web, "web");
    run_status(&server, &plain, &without, "plain");
    for container in [&web, &without] {
        becomes_known(&scratch, container.path(), &recorder);
    }
    for container in [&web, &without] {
        execute(container, &long);
        for number in 0..profiler_common::COMMANDS_MAX + 2 {
            execute(container, &["true".to_owned(), number.to_string()]);
        }
    }
    end(recorder);
    let executions = profiler_common::COMMANDS_MAX + 3;
    for name in ["web", "plain"] {
        let counts = executed(&baseline_of(&scratch, name), "/usr/bin/true");
        assert_eq!(counts, only("entered", executions), "{name}");
    }
    // Where the kubelet executes nothing, nothing is lost.
    assert_eq!(untold(&scratch), 3);
}

#[test]
fn what_a_real_runtime_executes_for_the_kubelet_is_told_from_what_it_executes_for_others() {
    let server = ApiServer::start();
    make_namespaces(&server);
    let scratch = Scratch::new();
    let probe = ["sh", "-c", "/bin/cat /etc/exec"];
    let mut pod = bare("production", "web");
    pod["spec"]["containers"][0]["readinessProbe"] = json!({"exec": {"command": probe}});
    let pod = server.create(&pod);
    let recorder = learn(&scratch, &server.kubeconfig(), &["--namespace", "production"]);
    let id = container_id();
    let cgroup = cgroup_path(&pod, &id);
    bundle(&scratch, &cgroup, "exec /bin/sleep 600");
    let container = Runc::start(&scratch, &id, &cgroup);
    assert!(
        unified().join(&cgroup[1..]).is_dir(),
        "runc made no cgroup in the unified hierarchy"
    );
    container.exec(&probe);
    let statuses = json!([status(&id, "web", &pulled("web"))]);
    server.set_status(&pod, &json!({"phase": "Running", "containerStatuses": statuses}));
    becomes_known(&scratch, &cgroup, &recorder);
    container.exec(&probe);
    container.exec(&["cat", "/etc/left"]);
    end(recorder);

    let baseline = baseline_of(&scratch, "web");
    drop(container);
    assert_eq!(
        opened(&baseline, Path::new("/etc/exec")),
        only("kubelet", 2),
        "{baseline:#?}"
    );
    assert_eq!(
        opened(&baseline, Path::new("/etc/left")),
        only("entered", 1),
        "{baseline:#?}"
    );
    let shells = executed(&baseline, "/bin/sh");
    assert_eq!(shells, only("workload+kubelet", 1 + 2), "{baseline:#?}");
    let mut cats = only("kubelet", 2);
    cats.extend(only("entered", 1));
    assert_eq!(executed(&baseline, "/bin/cat"), cats, "{baseline:#?}");
    assert_eq!(untold(&scratch), 0);
}
