//! What is risky waits for a person: run for real, judged by exit code, output and files.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may what they share"
)]

mod common;

use std::fs;

use common::{Told, Workshop};
use serde_json::Value;

const WHO: [&str; 4] = [
    "--who",
    "ada@shop.example",
    "--reason",
    "it is the entry point, SHOP-12",
];

/// A folder `b` with the baseline of a recording.
fn learned() -> Workshop {
    let workshop = Workshop::new();
    workshop.record("recording.db", "shop/web");
    learn(&workshop);
    workshop
}

fn learn(workshop: &Workshop) {
    let told = workshop.run(&["baselines", "--recording", "recording.db", "--out", "b"]);
    assert_eq!((told.code, told.stderr.as_str()), (Some(0), ""));
}

fn risks(workshop: &Workshop) -> Vec<Value> {
    let told = workshop.run(&["risks", "--baselines", "b", "-o", "json"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    serde_json::from_str(&told.stdout).unwrap()
}

/// The keys of those in a state.
fn keys(risks: &[Value], state: &str) -> Vec<String> {
    let found = risks.iter().filter(|risk| risk["state"] == state);
    found.map(|risk| risk["key"].as_str().unwrap().to_owned()).collect()
}

fn decide(workshop: &Workshop, verdict: &str, keys: &[String]) -> Told {
    let keys = keys.iter().map(String::as_str);
    let arguments: Vec<&str> = ["decide", "--baselines", "b", verdict]
        .into_iter()
        .chain(WHO)
        .chain(keys)
        .collect();
    workshop.run(&arguments)
}

#[test]
fn what_is_risky_is_listed_with_why_and_what_to_do_until_somebody_decides() {
    let workshop = learned();
    let found = risks(&workshop);
    let undecided = keys(&found, "undecided");
    assert!(!undecided.is_empty());
    for risk in &found {
        for field in ["why", "advice", "title", "what", "severity"] {
            assert!(!risk[field].as_str().unwrap().is_empty(), "{field}: {risk:#}");
        }
        assert!(!risk["seen"].as_array().unwrap().is_empty());
    }
    let check = ["risks", "--baselines", "b", "--check"];
    let told = workshop.run(&check);
    assert_eq!(told.code, Some(1));
    assert!(
        told.stderr
            .contains(&format!("{} risks wait for a decision", undecided.len())),
        "{told:?}"
    );
    // A policy says so too.
    let told = workshop.run(&["policies", "--baselines", "b", "--out", "p"]);
    assert!(told.stderr.contains("for a decision: `generate risks`"), "{told:?}");
    let told = decide(&workshop, "--allow", &undecided);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.stdout.contains("+decisions.yaml"), "{told:?}");

    let found = risks(&workshop);
    assert_eq!(keys(&found, "undecided"), [""; 0]);
    assert_eq!(keys(&found, "allowed"), undecided);
    assert_eq!(workshop.run(&check).code, Some(0));
    let told = workshop.run(&["policies", "--baselines", "b", "--out", "p"]);
    assert!(!told.stderr.contains("for a decision: `generate risks`"), "{told:?}");
}

#[test]
fn decisions_stay_when_the_baseline_is_made_anew() {
    let workshop = learned();
    let [key, ..] = &keys(&risks(&workshop), "undecided")[..] else {
        panic!("nothing is risky");
    };
    assert_eq!(decide(&workshop, "--allow", std::slice::from_ref(key)).code, Some(0));
    let decided = workshop.contents("b");
    assert_eq!(decided.len(), 2);
    learn(&workshop);
    assert_eq!(workshop.contents("b"), decided);
    assert_eq!(keys(&risks(&workshop), "allowed"), [key.as_str()]);
}

#[test]
fn what_is_denied_is_in_no_policy() {
    let workshop = learned();
    let policy = |workshop: &Workshop| {
        let told = workshop.run(&["policies", "--baselines", "b", "--out", "p"]);
        assert_eq!(told.code, Some(0), "{told:?}");
        workshop.contents("p").remove(0).1
    };
    assert!(policy(&workshop).contains("- \"/app/run.sh\"  #"));
    let found = risks(&workshop);
    let runs_script = |risk: &&Value| risk["what"].as_str().unwrap().contains("executes /app/run.sh");
    let scripts: Vec<Value> = found.iter().filter(runs_script).cloned().collect();
    let scripts = keys(&scripts, "undecided");
    assert_eq!(decide(&workshop, "--deny", &scripts).code, Some(0));
    let denied = policy(&workshop);
    assert!(!denied.contains("- \"/app/run.sh\"  #"), "{denied}");
    assert!(
        denied.contains("# Left out because somebody has denied it: "),
        "{denied}"
    );
    assert_eq!(keys(&risks(&workshop), "denied"), scripts);
}

#[test]
fn an_allowance_that_is_over_needs_a_decision_again() {
    let workshop = learned();
    let key = keys(&risks(&workshop), "undecided").remove(0);
    let until = |year: &str| -> Told {
        let until = format!("{year}-01-01T00:00:00Z");
        let arguments = ["decide", "--baselines", "b", "--allow", "--until", &until, &key];
        workshop.run(&[&arguments[..], &WHO].concat())
    };
    let told = until("2026");
    assert!(
        told.code == Some(2) && told.stderr.contains("2026-01-01T00:00:00Z is over"),
        "{told:?}"
    );
    assert_eq!(until("2200").code, Some(0));
    assert_eq!(keys(&risks(&workshop), "allowed"), [key.as_str()]);
    // Two centuries later.
    let (name, text) = workshop
        .contents("b")
        .into_iter()
        .find(|(name, _)| name.ends_with("+decisions.yaml"))
        .unwrap();
    let when = text.lines().find(|line| line.contains("when: ")).unwrap();
    let text = text
        .replace(when, "  when: 2026-01-01T00:00:00Z")
        .replace("2200-01-01", "2026-01-02");
    fs::write(workshop.path("b").join(&name), text).unwrap();
    assert_eq!(keys(&risks(&workshop), "expired"), [key]);
    assert_eq!(workshop.run(&["risks", "--baselines", "b", "--check"]).code, Some(1));
}

#[test]
fn a_catalogue_of_ones_own_adds_and_turns_off() {
    let workshop = learned();
    let found = risks(&workshop);
    let first = found.iter().find(|risk| risk["state"] == "undecided").unwrap();
    let id = first["risk"].as_str().unwrap();
    let extra = format!(
        "apiVersion: wardline.dev/v1\nkind: RiskCatalogue\ndisable:\n- id: {id}\n  reason: all our images do this\n"
    );
    fs::write(workshop.path("own.yaml"), extra).unwrap();
    let told = workshop.run(&["risks", "--baselines", "b", "-o", "json", "--catalogue", "own.yaml"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let rest: Vec<Value> = serde_json::from_str(&told.stdout).unwrap();
    assert!(rest.iter().all(|risk| risk["risk"] != id), "{told:?}");
    assert!(rest.len() < found.len());
}

#[test]
fn wrong_decisions_are_one_clear_error_and_write_nothing() {
    let workshop = learned();
    let before = workshop.contents("b");
    let key = keys(&risks(&workshop), "undecided").remove(0);
    let unknown = "no-such-entry/00000000000000000000000000000000".to_owned();
    let told = decide(&workshop, "--allow", &[key.clone(), unknown.clone()]);
    assert_eq!(told.code, Some(1));
    assert!(
        told.stderr.contains(&unknown) && told.stderr.contains("nothing was written"),
        "{told:?}"
    );
    let usage: [&[&str]; 5] = [
        &["--allow", "--who", "ada", "--reason", " ", &key],
        &["--allow", "--deny", "--who", "ada", "--reason", "why", &key],
        &["--who", "ada", "--reason", "why", &key],
        &[
            "--deny",
            "--until",
            "2027-01-01T00:00:00Z",
            "--who",
            "ada",
            "--reason",
            "why",
            &key,
        ],
        &["--allow", "--who", "ada", "--reason", "why", "no key"],
    ];
    for arguments in usage {
        let told = workshop.run(&[&["decide", "--baselines", "b"][..], arguments].concat());
        assert_eq!(told.code, Some(2), "{arguments:?}: {told:?}");
    }
    assert_eq!(workshop.contents("b"), before);
    // Decisions about another image beside this one.
    assert_eq!(decide(&workshop, "--allow", &[key]).code, Some(0));
    let (name, text) = workshop
        .contents("b")
        .into_iter()
        .find(|(name, _)| name.ends_with("+decisions.yaml"))
        .unwrap();
    fs::write(workshop.path("b").join(&name), text.replace("shop/web", "shop/other")).unwrap();
    let told = workshop.run(&["risks", "--baselines", "b"]);
    assert_eq!(told.code, Some(1));
    assert!(told.stderr.contains("has decisions about shop/other:1.4"), "{told:?}");
    fs::write(
        workshop.path("b").join(&name),
        "apiVersion: wardline.dev/v1\nkind: Decisions\nimage:\n  repository: 12 #\n",
    )
    .unwrap();
    let told = workshop.run(&["risks", "--baselines", "b"]);
    assert!(
        told.code == Some(1) && told.stderr.contains(&format!("b/{name}:")),
        "{told:?}"
    );
}

/// The document and the decisions in `b`, in this order.
fn both(workshop: &Workshop) -> [(String, String); 2] {
    let mut files = workshop.contents("b");
    files.sort_by_key(|(name, _)| name.ends_with("+decisions.yaml"));
    files.try_into().unwrap()
}

#[test]
fn decisions_hold_for_another_tag_and_for_the_next_version() {
    let workshop = learned();
    let [(name, baseline)] = workshop.contents("b").try_into().unwrap();
    let version = |tag: &str, digest: char| {
        let digest = digest.to_string().repeat(64);
        baseline.replace("tag: '1.4'", &format!("tag: '{tag}'\n  digest: sha256:{digest}"))
    };
    let file = workshop.path("b").join(&name);
    fs::write(&file, version("1.4", 'a')).unwrap();
    let undecided = keys(&risks(&workshop), "undecided");
    assert_eq!(decide(&workshop, "--deny", &undecided).code, Some(0));
    for (tag, digest) in [("1.4", 'a'), ("latest", 'a'), ("1.5", 'b')] {
        fs::write(&file, version(tag, digest)).unwrap();
        assert_eq!(keys(&risks(&workshop), "denied"), undecided, "{tag}");
    }
    // Deciding about the new version writes down what it has inherited.
    assert_eq!(decide(&workshop, "--allow", &undecided[..1]).code, Some(0));
    let inherited = workshop
        .contents("b")
        .into_iter()
        .filter(|(_, text)| text.contains("inheritedFrom: shop/web"));
    assert_eq!(inherited.count(), 1);
    // Another repository has nothing to do with it.
    fs::write(&file, version("1.5", 'c').replace("shop/web", "shop/cart")).unwrap();
    assert_eq!(keys(&risks(&workshop), "undecided"), undecided);
}

#[test]
fn what_is_denied_stays_out_when_findings_put_behaviours_together_otherwise() {
    let workshop = learned();
    let undecided = keys(&risks(&workshop), "undecided");
    assert_eq!(decide(&workshop, "--deny", &undecided).code, Some(0));
    let [_, (name, text)] = both(&workshop);
    // As if each finding had another key by now.
    let other: Vec<String> = (1_u128..)
        .zip(text.lines())
        .map(|(number, line)| match line.rsplit_once('/') {
            Some((entry, hash)) if hash.len() == 32 && line.contains("finding:") => format!("{entry}/{number:032x}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let other = other.concat();
    assert_ne!(other, text);
    fs::write(workshop.path("b").join(name), other).unwrap();
    assert_eq!(keys(&risks(&workshop), "undecided"), [""; 0]);
    let told = workshop.run(&["policies", "--baselines", "b", "--out", "p"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(!workshop.contents("p")[0].1.contains("- \"/app/run.sh\"  #"));
}

#[test]
fn decisions_that_were_not_read_are_told_and_those_that_cannot_be_keep_anything_from_being_written() {
    let workshop = learned();
    for command in [
        &["policies", "--recording", "recording.db", "--out", "p"][..],
        &["risks", "--recording", "recording.db"],
    ] {
        let told = workshop.run(command);
        assert!(told.stderr.contains("decisions were not read"), "{told:?}");
    }
    let undecided = keys(&risks(&workshop), "undecided");
    assert_eq!(decide(&workshop, "--allow", &undecided).code, Some(0));
    let [(baseline, _), (name, _)] = both(&workshop);
    fs::write(workshop.path("b").join(&name), "junk").unwrap();
    fs::write(workshop.path("b").join(&baseline), "mine").unwrap();
    let told = workshop.run(&["baselines", "--recording", "recording.db", "--out", "b"]);
    assert_eq!(told.code, Some(1));
    assert_eq!(fs::read_to_string(workshop.path("b").join(&baseline)).unwrap(), "mine");
}
