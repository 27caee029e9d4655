use super::*;
use crate::risks::{Decision, Decisions, State, Target, Verdict};
use crate::time::UtcTime;
use crate::workload::Image;

fn image(repository: &str, digest: &str) -> Image {
    Image {
        repository: repository.to_owned(),
        tag: None,
        digest: Some(digest.to_owned()),
    }
}

fn decision(verdict: Verdict) -> Decision {
    Decision {
        verdict,
        reason: "seen and understood".parse().unwrap(),
        who: "ada".parse().unwrap(),
        when: seconds(100),
        inherited_from: None,
        about: None,
    }
}

const ALLOW: Verdict = Verdict::Allow { until: None };

/// A server that executes curl and reads password hashes.
fn learned() -> Behaviours {
    steady(&[curl(), shadow(), open("/app/server", "/etc/app.conf", Access::READ)])
}

fn curl() -> Behaviour {
    exec("/app/server", "/usr/bin/curl")
}

fn shadow() -> Behaviour {
    open("/app/server", "/etc/shadow", Access::READ)
}

fn words(decisions: &Decisions, now: UtcTime) -> Vec<(String, &'static str, bool)> {
    let learned = learned();
    let findings = assess(&learned);
    let seen = Seen {
        learned: &learned,
        not_learned: &Behaviours::default(),
        containers: 1,
    };
    let applied = decisions.apply(&findings, &seen, now);
    let words = applied.findings.iter().map(|decided| {
        let word = match decided.state {
            State::Undecided => "undecided",
            State::Allowed(_) => "allowed",
            State::Denied(_) => "denied",
            State::Expired(_) => "expired",
        };
        (decided.finding.key.entry().to_string(), word, decided.needs_decision())
    });
    words.collect()
}

fn expected(shadow: (&'static str, bool), curl: (&'static str, bool)) -> Vec<(String, &'static str, bool)> {
    vec![
        ("password-hashes-read".to_owned(), shadow.0, shadow.1),
        ("download-tool".to_owned(), curl.0, curl.1),
    ]
}

#[test]
fn findings_are_undecided_until_somebody_decides() {
    let mut decisions = Decisions::new(image("shop/web", "sha256:1"));
    let undecided = ("undecided", true);
    assert_eq!(words(&decisions, seconds(0)), expected(undecided, undecided));

    let findings = assess(&learned());
    let key = |index: usize| Target::finding(findings[index].key.clone());
    decisions.decide(key(0), decision(Verdict::Deny));
    let until = Some(seconds(200));
    decisions.decide(key(1), decision(Verdict::Allow { until }));
    assert_eq!(
        words(&decisions, seconds(199)),
        expected(("denied", false), ("allowed", false))
    );
    assert_eq!(
        words(&decisions, seconds(200)),
        expected(("denied", false), ("expired", true))
    );
}

#[test]
fn a_decision_about_a_behaviour_is_one_about_the_findings_that_are_nothing_else() {
    let mut decisions = Decisions::new(image("shop/web", "sha256:1"));
    decisions.decide(Target::behaviour(&curl()), decision(ALLOW));
    assert_eq!(
        words(&decisions, seconds(0)),
        expected(("undecided", true), ("allowed", false))
    );
    // Of two behaviours one is not enough.
    let both = assess(&steady(&[
        open("/app/operator", "/run/secrets/tokens/a", Access::READ),
        open("/app/operator", "/run/secrets/tokens/b", Access::READ),
    ]));
    let one = Target::behaviour(&both[0].sightings[0].behaviour);
    let other = Target::behaviour(&both[0].sightings[1].behaviour);
    let nothing = Behaviours::default();
    let seen = Seen {
        learned: &nothing,
        not_learned: &nothing,
        containers: 1,
    };
    let state = |decisions: &Decisions| format!("{:?}", decisions.apply(&both, &seen, seconds(0)).findings[0].state);
    decisions.decide(one, decision(ALLOW));
    assert!(state(&decisions).starts_with("Undecided"));
    decisions.decide(other, decision(Verdict::Deny));
    assert!(state(&decisions).starts_with("Allowed"));
}

#[test]
fn what_is_denied_is_not_learned_again() {
    let learned = learned();
    let findings = assess(&learned);
    let mut decisions = Decisions::new(image("shop/web", "sha256:1"));
    decisions.decide(Target::finding(findings[0].key.clone()), decision(Verdict::Deny));
    // Whatever else allows it.
    decisions.decide(Target::behaviour(&shadow()), decision(ALLOW));
    let config = open("/app/server", "/etc/app.conf", Access::READ);
    decisions.decide(Target::behaviour(&config), decision(Verdict::Deny));
    let split = decisions.split(&findings, &learned);
    let all = |lists: &Behaviours| lists.all().map(|(behaviour, _)| behaviour).collect::<Vec<_>>();
    assert_eq!(all(&split.kept), [curl()]);
    assert_eq!(all(&split.removed), [shadow(), config.clone()]);
    // And when it is seen again, also with arguments or below another path of the same file.
    let mut again = config;
    if let Action::Open { backing, .. } = &mut again.action {
        *backing = Some(path("/layer/etc/app.conf"));
    }
    let split = decisions.split(&[], &steady(&[again]));
    assert_eq!(all(&split.kept), []);
}

#[test]
fn decisions_that_nothing_fits_are_remembered() {
    let mut decisions = Decisions::new(image("shop/web", "sha256:1"));
    let gone = Target::behaviour(&exec("/app/server", "/usr/bin/gone"));
    decisions.decide(gone.clone(), decision(Verdict::Deny));
    decisions.decide(Target::behaviour(&curl()), decision(ALLOW));
    let learned = learned();
    let findings = assess(&learned);
    let seen = Seen {
        learned: &learned,
        not_learned: &Behaviours::default(),
        containers: 1,
    };
    let unmatched: Vec<_> = decisions.apply(&findings, &seen, seconds(0)).unmatched;
    assert_eq!(
        unmatched.into_iter().map(|(target, _)| target).collect::<Vec<_>>(),
        [&gone]
    );
    let again = Decisions::from_yaml(&decisions.to_yaml()).unwrap();
    assert!(again.iter().any(|(target, _)| *target == gone));
}

#[test]
fn a_new_version_of_an_image_inherits_and_says_so() {
    let findings = assess(&learned());
    let key = |index: usize| Target::finding(findings[index].key.clone());
    let mut first = Decisions::new(image("shop/web", "sha256:1"));
    first.decide(key(0), decision(Verdict::Deny));
    first.decide(key(1), decision(ALLOW));
    let mut second = Decisions::new(image("shop/web", "sha256:2"));
    second.decide(key(0), decision(ALLOW));
    assert_eq!(second.inherit(&first).unwrap(), 1);
    assert_eq!(second.inherit(&first).unwrap(), 0);
    let mut third = Decisions::new(image("shop/web", "sha256:3"));
    assert_eq!(third.inherit(&second).unwrap(), 2);
    let of = |target: &Target| third.iter().find(|(it, _)| *it == target).unwrap().1.clone();
    assert_eq!(of(&key(0)).inherited_from.unwrap(), "shop/web@sha256:2");
    assert_eq!(of(&key(1)).inherited_from.unwrap(), "shop/web@sha256:1");
    assert_eq!(of(&key(0)).verdict, ALLOW);

    let error = third
        .inherit(&Decisions::new(image("shop/api", "sha256:1")))
        .unwrap_err();
    assert!(error.to_string().contains("another repository"), "{error}");
}

#[test]
fn decisions_are_written_like_this() {
    let findings = assess(&learned());
    let mut decisions = Decisions::new(image("shop/web", "sha256:1"));
    let about = Some(findings[0].sentence());
    let until = Some(seconds(1_000));
    let allow = Decision {
        about,
        ..decision(Verdict::Allow { until })
    };
    decisions.decide(Target::finding(findings[0].key.clone()), allow);
    decisions.decide(Target::behaviour(&curl()), decision(Verdict::Deny));
    assert_eq!(decisions.to_yaml(), include_str!("decisions.yaml"));
}

#[test]
fn decisions_that_say_too_little_or_too_much_are_refused_with_their_place() {
    let good = include_str!("decisions.yaml");
    assert!(Decisions::from_yaml(good).is_ok());
    let cases = [
        (
            "kind: Decisions",
            "kind: Baseline",
            ":2:7: kind: unknown variant `Baseline`",
        ),
        (
            "wardline.dev/v1",
            "wardline.dev/v2",
            ":1:13: apiVersion: unknown variant `wardline.dev/v2`",
        ),
        ("  reason: seen and understood\n", "", "missing field `reason`"),
        ("  reason: seen and understood", "  reason: ' '", "it is empty"),
        ("  who: ada", "  who: ''", "it is empty"),
        ("  who: ada", "  whom: ada", "unknown field `whom`"),
        ("decision: allow", "decision: permit", "unknown variant `permit`"),
        (
            "until: 1970-01-01T00:16:40Z",
            "until: 1970-01-01T00:01:40Z",
            "`until` is not after `when`",
        ),
        ("until: 1970-01-01T00:16:40Z", "until: soon", "no RFC 3339 time"),
        ("decision: allow", "decision: deny", "a denial does not end"),
        ("password-hashes-read/", "password-hashes-read/x", "no finding's key"),
        ("    kind: exec", "    kind: open", "the behaviour has no `path`"),
        (
            "    subject: /app/server",
            "    subject: /app/server\n    port: 1",
            "a field that its kind has not",
        ),
        (
            "    subject: /app/server",
            "    subject: /app/server\n    arguments: [curl]",
            "leave `arguments` out",
        ),
        ("- behaviour:", "- about: x\n  behaviour:", ""),
        (
            "- behaviour:\n    kind: exec\n    subject: /app/server\n    binary: /usr/bin/curl",
            "- about: x",
            "name one of them",
        ),
    ];
    for (from, to, expected) in cases {
        assert!(good.contains(from), "{from}");
        let result = Decisions::from_yaml(&good.replacen(from, to, 1));
        match result {
            Ok(_) => assert_eq!(expected, "", "{from} -> {to}"),
            Err(error) => assert!(
                !expected.is_empty() && error.to_string().contains(expected) && error.to_string().contains(':'),
                "{from} -> {to}: {error}"
            ),
        }
    }
    let twice = format!("{good}{}", good.split_once("decisions:\n").unwrap().1);
    let error = Decisions::from_yaml(&twice).unwrap_err().to_string();
    assert!(
        error.contains(":22:3:") && error.contains("decided further up"),
        "{error}"
    );
}
