//! Path templates in policies: what takes the place of recorded paths, and what keeps it from doing so.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may what they share"
)]

#[path = "../common/mod.rs"]
mod common;
mod guards;
mod properties;

use std::collections::BTreeSet;
use std::fs;

use baselines::document::{self, Baseline, Comparison, PathTemplate};
use baselines::path::FilePath;
use baselines::templates::{Corpus, Operator, Options, Template, mine};
use common::Workshop;
use generator::policy::{self, Compiled, Input, Tetragon};
use generator::yaml;
use serde_yaml::Value;

const EVIDENCE: &str = "evidence: {count: 1, units: 1, containers: 1, nodes: 1, firstSeen: '2026-11-21T09:00:00Z', \
    lastSeen: '2026-11-21T09:00:00Z', phases: [steady], provenance: [workload]}";

/// A baseline whose containers opened and executed these, with what is mined from them; `others` are the paths of other images.
fn learned(open: &[FilePath], exec: &[FilePath], others: &[FilePath]) -> Baseline {
    let quoted = |path: &FilePath| serde_json::to_string(path).unwrap();
    let opens: Vec<String> = open
        .iter()
        .map(|path| {
            format!(
                "{{path: {}, access: read, subject: /app/server, {EVIDENCE}}}",
                quoted(path)
            )
        })
        .collect();
    let execs: Vec<String> = exec
        .iter()
        .map(|path| format!("{{binary: {}, parent: /app/server, {EVIDENCE}}}", quoted(path)))
        .collect();
    let text = format!(
        "{{apiVersion: wardline.dev/v1, kind: Baseline, image: {{repository: shop/web}}, recordings: [], containers: [], \
         losses: [], behaviours: {{open: [{}], exec: [{}]}}, notLearned: {{}}}}",
        opens.join(", "),
        execs.join(", ")
    );
    let mut baseline: Baseline = yaml::parse(&text).unwrap();
    let own: Vec<&FilePath> = open.iter().chain(exec).collect();
    let mined = mine(own.iter().copied(), &Options::default());
    let templates: Vec<Template> = mined.templates.into_iter().map(|found| found.template).collect();
    let corpus = Corpus::new(own, others);
    let prices = corpus.prices(&templates);
    baseline.templates = templates
        .iter()
        .zip(prices)
        .map(|(template, price)| PathTemplate {
            template: template.clone(),
            covers: price.covered,
            also_admits: price.template.admitted,
            operator: match price.compiled.operator {
                Operator::Equal(_) => Comparison::Equal,
                Operator::Prefix(_) => Comparison::Prefix,
                Operator::Postfix(_) => Comparison::Postfix,
            },
            value: price.compiled.operator.value().to_owned(),
            gives_up: price.compiled.gives_up,
            policy_also_admits: price.policy.admitted,
            sensitive: price.policy.sensitive_count,
            sensitive_paths: price.policy.sensitive.into_iter().cloned().collect(),
        })
        .collect();
    baseline
}

fn paths<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Vec<FilePath> {
    texts
        .into_iter()
        .map(|text| FilePath::canonical(text.as_ref().as_bytes()))
        .collect()
}

/// `/srv/NAME/1.log` and so on: what becomes `Prefix /srv/NAME/job-`.
fn jobs(name: &str) -> Vec<FilePath> {
    paths((1..=6).map(|number| format!("/srv/{name}/job-{number}.log")))
}

fn input(baseline: &Baseline) -> Input {
    Input::new(baseline.clone(), b"document")
}

fn compile(input: &Input) -> Compiled {
    policy::compile(input, Tetragon::V1_7).unwrap()
}

/// Comments as one line.
fn told(policy: &Compiled) -> String {
    let words = policy.yaml.split_whitespace().filter(|word| *word != "#");
    words.collect::<Vec<_>>().join(" ")
}

/// What a hook admits, read from the text of its policy: whole paths, beginnings, ends.
#[derive(Debug, Default)]
struct Admits {
    whole: BTreeSet<String>,
    beginnings: BTreeSet<String>,
    ends: BTreeSet<String>,
}

impl Admits {
    fn new(policy: &Compiled, call: &str) -> Self {
        let document: Value = yaml::parse(&policy.yaml).unwrap();
        let mut admits = Self::default();
        let hooks = document["spec"]["kprobes"].as_sequence().unwrap();
        for hook in hooks.iter().filter(|hook| hook["call"] == call) {
            let deciding = hook["selectors"].as_sequence().unwrap().last().unwrap();
            for filter in deciding["matchArgs"].as_sequence().unwrap() {
                let list = match filter["operator"].as_str().unwrap() {
                    "NotEqual" => &mut admits.whole,
                    "NotPrefix" => &mut admits.beginnings,
                    other => {
                        assert_eq!(other, "NotPostfix");
                        &mut admits.ends
                    }
                };
                let values = filter["values"].as_sequence().unwrap();
                assert!(!values.is_empty());
                list.extend(values.iter().map(|value| value.as_str().unwrap().to_owned()));
            }
        }
        admits
    }

    fn opens(policy: &Compiled) -> Self {
        Self::new(policy, "security_file_open")
    }

    fn path(&self, path: &FilePath) -> bool {
        let text = path.as_utf8().unwrap();
        self.whole.contains(text) || self.by_part(path)
    }

    fn by_part(&self, path: &FilePath) -> bool {
        let text = path.as_utf8().unwrap();
        self.beginnings.iter().any(|begin| text.starts_with(begin)) || self.ends.iter().any(|end| text.ends_with(end))
    }
}

#[test]
fn a_name_that_is_made_up_tomorrow_is_admitted() {
    let open: Vec<FilePath> = jobs("app")
        .into_iter()
        .chain(paths(["/proc/101/status", "/proc/202/status", "/etc/hosts"]))
        .collect();
    let policy = compile(&input(&learned(&open, &[], &[])));
    let admits = Admits::opens(&policy);
    assert_eq!(admits.beginnings, BTreeSet::from(["/srv/app/job-".to_owned()]));
    // A postfix would admit files of that name in every directory.
    assert_eq!(admits.ends, BTreeSet::new());
    let whole = ["/etc/hosts", "/proc/101/status", "/proc/202/status"];
    assert_eq!(admits.whole, whole.map(str::to_owned).into());
    assert!(admits.path(&FilePath::canonical(*b"/srv/app/job-77.log")));
    let said = told(&policy);
    for words in [
        "Path templates: 1 stands for 6 recorded paths that were opened, as 1 Prefix.",
        "Among all recorded paths, of every image, they also admit at most 0, none of them sensitive, denied or undecided;",
        "\"/srv/app/job-\" template /srv/app/job-{number}.log (gives up {number}.log) for 6 paths; also admits 0 of all \
         recorded paths (0 of them match it), 0 sensitive; 6x in 1 of 0 containers, steady, by /app/server (read)",
        "Not generalised to `/proc/{pid}/status`: Postfix /status would admit files of that name in every directory",
    ] {
        assert!(said.contains(words), "{words}\n{said}");
    }
    let [warning] = &policy.warnings[..] else {
        panic!("{:?}", policy.warnings);
    };
    assert!(warning.contains("1 path template is not used"), "{warning}");
}

#[test]
fn a_list_of_nothing_but_templates_has_no_empty_filter() {
    let admits = Admits::opens(&compile(&input(&learned(&jobs("app"), &[], &[]))));
    assert_eq!((admits.whole.len(), admits.beginnings.len()), (0, 1));
}

#[test]
fn templates_that_become_the_same_are_one_value() {
    let open = paths((1..=6).flat_map(|job| ["log", "txt"].map(|end| format!("/srv/app/job-{job}.{end}"))));
    let policy = compile(&input(&learned(&open, &[], &[])));
    let admits = Admits::opens(&policy);
    assert_eq!(admits.beginnings, BTreeSet::from(["/srv/app/job-".to_owned()]));
    assert_eq!(policy.yaml.matches("- \"/srv/app/job-\"").count(), 1);
    let both = "template /srv/app/job-{number}.log (gives up {number}.log), /srv/app/job-{number}.txt (gives up \
                {number}.txt) for 12 paths";
    assert!(told(&policy).contains(both), "{}", policy.yaml);
}

#[test]
fn a_value_that_the_agent_does_not_read_is_not_used() {
    let open = paths((1..=6).map(|number| format!("/srv/a\u{85}b/job-{number}")));
    let policy = compile(&input(&learned(&open, &[], &[])));
    let said = told(&policy);
    // Its paths are left out as well, so that nothing of it is in the hook.
    assert!(
        !policy.yaml.contains("NotPrefix") && said.contains("No hook for security_file_open"),
        "{said}"
    );
}

#[test]
fn long_templates_stay_within_what_is_compared() {
    let name = "n".repeat(200);
    let open = paths((1..=6).map(|number| format!("/srv/{name}/{name}-{number}/{name}")));
    let admits = Admits::opens(&compile(&input(&learned(&open, &[], &[]))));
    let lengths: Vec<usize> = admits.beginnings.iter().chain(&admits.ends).map(String::len).collect();
    assert_eq!(lengths, [255]);
    assert!(open.iter().all(|path| admits.path(path)));
}

#[test]
fn what_is_executed_is_compared_whole() {
    let exec = paths((1..=6).map(|number| format!("/srv/app/job-{number}.sh")));
    let policy = compile(&input(&learned(&[], &exec, &[])));
    let executes = Admits::new(&policy, "security_bprm_check");
    assert_eq!((executes.whole.len(), executes.beginnings.len()), (6, 0));
    assert!(!executes.path(&FilePath::canonical(*b"/srv/app/job-7.sh")));
    // Executing a file opens it, and an interpreter would run whatever script it may open.
    assert_eq!(Admits::opens(&policy).beginnings.len(), 0);
    let says = "6 files were executed under names that programs make up (`/srv/app/job-{number}.sh`): executions are compared \
                whole, so that other such names will be reported";
    assert_eq!(policy.warnings[0], says);
    let refused = "Prefix /srv/app/job- admits `/srv/app/job-1.sh`, which is executed";
    assert!(policy.warnings[1].contains(refused), "{:?}", policy.warnings);
    assert!(told(&policy).contains(says), "{}", policy.yaml);
}

#[test]
fn the_limit_is_an_option_and_what_is_denied_is_never_admitted() {
    let workshop = Workshop::new();
    fs::create_dir(workshop.path("b")).unwrap();
    let mut open = jobs("app");
    // A risk that waits for a decision, and is not in the list of sensitive paths.
    open.push(FilePath::canonical(*b"/srv/app/job-x/terraform.tfstate"));
    let baseline = learned(&open, &[], &paths(["/srv/app/job-list"]));
    fs::write(workshop.path("b/web.yaml"), document::to_yaml(&baseline)).unwrap();
    let policies = |options: &[&str]| {
        let told = workshop.run(&[&["policies", "--baselines", "b", "--out", "p"][..], options].concat());
        assert_eq!(told.code, Some(0), "{told:?}");
        let [(_, policy)] = workshop.contents("p").try_into().unwrap();
        (told.stderr, policy)
    };
    let is_used = |policy: &str| policy.contains("operator: NotPrefix");
    let (stderr, policy) = policies(&["--max-price", "5"]);
    assert!(!is_used(&policy), "{policy}");
    assert!(stderr.contains("which is a risk that waits for a decision"), "{stderr}");

    let listed = workshop.run(&["risks", "--baselines", "b", "-o", "json"]);
    let risks: Vec<serde_json::Value> = serde_json::from_str(&listed.stdout).unwrap();
    let keys: Vec<&str> = risks.iter().map(|risk| risk["key"].as_str().unwrap()).collect();
    assert!(!keys.is_empty());
    let deny = [
        "decide",
        "--baselines",
        "b",
        "--deny",
        "--who",
        "ada",
        "--reason",
        "SHOP-12",
    ];
    assert_eq!(workshop.run(&[&deny[..], &keys].concat()).code, Some(0));
    let (stderr, policy) = policies(&["--max-price", "5"]);
    assert!(
        !is_used(&policy) && !policy.contains("- \"/srv/app/job-x/terraform.tfstate\""),
        "{policy}"
    );
    assert!(
        stderr.contains("`/srv/app/job-x/terraform.tfstate`, which is denied"),
        "{stderr}"
    );

    // It is denied although it was never seen again.
    let later = learned(&jobs("app"), &[], &paths(["/srv/app/job-list"]));
    fs::write(workshop.path("b/web.yaml"), document::to_yaml(&later)).unwrap();
    assert!(!is_used(&policies(&["--max-price", "5"]).1));

    let kept = workshop
        .names("b")
        .into_iter()
        .find(|name| name.ends_with("+decisions.yaml"));
    fs::remove_file(workshop.path("b").join(kept.unwrap())).unwrap();
    let (stderr, policy) = policies(&[]);
    assert!(
        !is_used(&policy) && stderr.contains("--max-price 1 takes it"),
        "{stderr}"
    );
    assert!(is_used(&policies(&["--max-price", "1"]).1));
    let wrong = workshop.run(&["policies", "--baselines", "b", "--max-price", "-1"]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
}
