//! Catalogues from files, good and hostile.

use super::*;
use crate::risks::{Decisions, FileError};

/// An entry that matches opens of this glob.
fn entry(id: &str, glob: &str, more: &str) -> String {
    format!(
        "- id: {id}
  title: A test
  severity: low
  attack: [T1105]
  match:
    kind: [open]
    path:
    - '{glob}'
  why: It is a test.
  advice: Read it.
{more}  examples:
    matches:
    - behaviour: {{kind: open, subject: /a, path: /srv/secret, access: read}}
    doesNotMatch:
    - behaviour: {{kind: open, subject: /a, path: /srv/other, access: read}}
"
    )
}

fn with(entries: &str) -> Result<Catalogue, FileError> {
    let text = format!("apiVersion: wardline.dev/v1\nkind: RiskCatalogue\n{entries}");
    Catalogue::shipped().with(vec![CatalogueFile::from_yaml(&text)?])
}

fn refused(entries: &str) -> String {
    with(entries).unwrap_err().to_string()
}

#[test]
fn files_add_override_and_disable() {
    let learned = steady(&[open("/a", "/srv/secret", Access::READ), exec("/a", "/usr/bin/curl")]);
    let seen = Seen {
        learned: &learned,
        not_learned: &Behaviours::default(),
        containers: 1,
    };
    let catalogue = with(&format!("entries:\n{}", entry("my-own", "/srv/secret", ""))).unwrap();
    assert_eq!(ids(&catalogue.assess(&seen)), [("download-tool", 1), ("my-own", 1)]);

    let disable = "disable:\n- {id: download-tool, reason: the health check needs curl}\n";
    let catalogue = with(disable).unwrap();
    assert_eq!(ids(&catalogue.assess(&seen)), []);
    assert_eq!(catalogue.disabled()[0].reason.as_str(), "the health check needs curl");

    let instead = entry(
        "download-tool",
        "/srv/secret",
        "  overrides: files are what matters here\n",
    );
    let catalogue = with(&format!("entries:\n{instead}")).unwrap();
    assert_eq!(ids(&catalogue.assess(&seen)), [("download-tool", 1)]);
    assert!(catalogue.assess(&seen)[0].sentence().contains("/srv/secret"));

    // A shell of one's own is a shell in every entry.
    let shells = with("lists:\n  shells:\n  - '**/mysh'\n").unwrap();
    let learned = steady(&[exec("/a", "/opt/mysh")]);
    let seen = Seen {
        learned: &learned,
        ..seen
    };
    assert_eq!(ids(&shells.assess(&seen)), [("shell-executed", 1)]);
}

#[test]
fn an_entry_that_others_yield_to_takes_nothing_with_it_when_it_is_disabled() {
    let learned = lists([(
        &script("/usr/bin/runc", "/usr/bin/dash", "/start.sh"),
        evidence(1, &[Phase::Startup], &[Provenance::Workload]),
    )]);
    let seen = Seen {
        learned: &learned,
        not_learned: &Behaviours::default(),
        containers: 1,
    };
    let catalogue = with("disable:\n- {id: entrypoint-chain, reason: each step is to be looked at}\n").unwrap();
    assert_eq!(ids(&catalogue.assess(&seen)), [("shell-executed", 1)]);
}

#[test]
fn mistakes_are_told_with_their_place() {
    let good = entry("my-own", "/srv/secret", "");
    let changed = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        format!("entries:\n{}", good.replacen(from, to, 1))
    };
    let cases = [
        (
            changed("severity: low", "severity: bad"),
            ":6:13: ",
            "unknown variant `bad`",
        ),
        (changed("  why:", "  whence:"), ":12:3: ", "unknown field `whence`"),
        (changed("  why: It is a test.\n", ""), ":4:3: ", "missing field `why`"),
        (changed("id: my-own", "id: My_Own"), ":4:7: ", "is no id"),
        (changed("T1105", "T110"), ":7:12: ", "is no technique of ATT&CK"),
        (changed("T1105", "T1105.1"), ":7:12: ", "is no technique of ATT&CK"),
        (changed("T1105", "T9999"), ":4:1: ", "technique T9999 has no name"),
        (changed("[T1105]", "[]"), ":7:11: ", "the list is empty"),
        (
            changed("kind: [open]", "kind: [read]"),
            ":9:12: ",
            "unknown variant `read`",
        ),
        (
            changed("'/srv/secret'", "'/srv/[secret'"),
            ":11:7: ",
            "is no glob: unclosed character class",
        ),
        (
            changed("'/srv/secret'", "$nothing"),
            ":4:1: ",
            "there is no list `nothing`",
        ),
        (
            changed("'/srv/secret'", "'/srv/*'"),
            ":4:1: ",
            "it matches what it should not: /a opens /srv/other",
        ),
        (
            changed("'/srv/secret'", "/x"),
            ":4:1: ",
            "it does not match its example: /a opens /srv/secret",
        ),
        (
            changed("    kind: [open]\n", "    not:\n    - {}\n"),
            ":4:3: ",
            "matches everything",
        ),
        (changed("    kind: [open]", "    port: [70000]"), ":9:12: ", "no port"),
        (
            changed("    kind: [open]", "    address: [10.0.0.1/8]"),
            ":9:15: ",
            "write 10.0.0.0/8",
        ),
        (
            changed("    kind: [open]", "    dnsName: [.example.com]"),
            ":9:15: ",
            "no DNS name",
        ),
        (
            changed("  why:", "  yieldsTo: [my-own]\n  why:"),
            ":4:3: ",
            "yields to itself",
        ),
        (
            changed("  why:", "  yieldsTo: [nobody]\n  why:"),
            ":4:1: ",
            "which is no entry",
        ),
        (
            changed("  why:", "  overrides: better\n  why:"),
            ":4:1: ",
            "no entry that it could override",
        ),
        (changed("my-own", "shell-executed"), ":4:1: ", "say in `overrides` why"),
        (format!("entries:\n{good}{good}"), ":19:3: ", "two entries `my-own`"),
        (
            "disable:\n- {id: nobody, reason: x}\n".to_owned(),
            "",
            "no entry that could be disabled",
        ),
        (
            "disable:\n- {id: download-tool}\n".to_owned(),
            ":4:3: ",
            "missing field `reason`",
        ),
        ("entry: []\n".to_owned(), ":3:1: ", "unknown field `entry`"),
        (
            "lists:\n  a:\n  - $shells\n".to_owned(),
            ":4:3: ",
            "a list holds globs only",
        ),
        ("kind: RiskCatalogue\n".to_owned(), "", "duplicate field"),
    ];
    for (text, place, what) in cases {
        let error = refused(&text);
        assert!(
            error.contains(place) && error.contains(what),
            "expected {place}{what}: {error}\n{text}"
        );
    }
}

#[test]
fn entries_that_yield_in_a_circle_are_refused() {
    let first = entry("one", "/srv/secret", "  yieldsTo: [two]\n");
    let second = entry("two", "/srv/secret", "  yieldsTo: [one]\n");
    assert!(refused(&format!("entries:\n{first}{second}")).contains("in a circle"));
}

#[test]
fn hostile_files_are_refused_at_once() {
    let nested = |levels: usize| {
        let begin = "entries:\n- id: deep\n  title: x\n  severity: low\n  attack: [T1105]\n  match:\n";
        let indent = |level: usize| " ".repeat(4 + 2 * level);
        let levels_of_it = (0..levels).map(|level| format!("{0}not:\n{0}-\n", indent(level)));
        let leaf = format!("{0}kind: [connect_unix]\n{0}path: [/b]\n", indent(levels));
        let end = "  why: x
  advice: x
  examples:
    matches:
    - behaviour: {kind: connect_unix, subject: /a, path: /b}
    doesNotMatch:
    - behaviour: {kind: connect_unix, subject: /a, path: /c}
";
        [begin.to_owned(), levels_of_it.collect(), leaf, end.to_owned()].concat()
    };
    assert!(with(&nested(6)).is_ok());
    assert!(refused(&nested(8)).contains("nested deeper than 8"));
    let much_too_deep = refused(&nested(200));
    assert!(much_too_deep.contains("recursion limit"), "{much_too_deep}");

    let bombs = [
        "entries: &a [x]\n".to_owned(),
        "entries: *a\n".to_owned(),
        "entries: !!binary x\n".to_owned(),
        format!("entries: {}\n", "[".repeat(10_000)),
        format!("{}\n", "{a: ".repeat(10_000)),
        "entries: |\n  x\n".to_owned(),
        "lists:\n  a: ['\u{202e}']\n".to_owned(),
        "entries:\n- \u{1b}[31m\n".to_owned(),
    ];
    for bomb in bombs {
        assert!(
            matches!(with(&bomb), Err(FileError::Invalid { line: 1.., .. })),
            "{bomb:.40}"
        );
    }
    let large = "#\n".repeat(600_000);
    assert!(matches!(with(&large), Err(FileError::TooLarge { .. })));
    let values = "    - /srv/x\n".repeat(5_001);
    let many = format!("lists:\n  a:\n{values}");
    assert!(refused(&many).contains("more than 5000 values"));
    let long = format!("lists:\n  a:\n  - /{}\n", "x".repeat(600));
    assert!(refused(&long).contains("from 1 to 512 bytes"));
}

#[test]
fn errors_show_what_a_terminal_would_hide() {
    let error = refused("entries:\n- id: x\n  severity: \"\\e[31m\\u202e\"\n");
    assert!(error.contains("unknown variant `\u{fffd}[31m\u{fffd}`"), "{error:?}");
}

/// A backtracking matcher would not come to an end here.
#[test]
fn globs_with_many_stars_take_no_time() {
    let stars = format!("/srv/{}b", "*a".repeat(100));
    let catalogue = with(&format!("lists:\n  shells:\n  - '{stars}'\n")).unwrap();
    let learned = steady(&[exec("/a", &format!("/srv/{}", "a".repeat(4_000)))]);
    let seen = Seen {
        learned: &learned,
        not_learned: &Behaviours::default(),
        containers: 1,
    };
    assert_eq!(ids(&catalogue.assess(&seen)), []);
}

#[test]
fn files_that_are_not_there_or_are_no_text_say_so() {
    let directory = tempfile::tempdir().unwrap();
    let missing = CatalogueFile::read(&directory.path().join("missing.yaml")).unwrap_err();
    assert!(missing.to_string().contains("missing.yaml"), "{missing}");
    let binary = directory.path().join("binary.yaml");
    std::fs::write(&binary, b"kind: \xff").unwrap();
    let error = CatalogueFile::read(&binary).unwrap_err().to_string();
    assert!(error.contains("no text in UTF-8 (byte 6)"), "{error}");
    let wrong = directory.path().join("wrong.yaml");
    std::fs::write(&wrong, "apiVersion: wardline.dev/v1\nkind: Baseline\n").unwrap();
    let error = CatalogueFile::read(&wrong).unwrap_err().to_string();
    assert!(error.contains("wrong.yaml:2:7: "), "{error}");
}

#[test]
fn the_handbooks_examples_can_be_read() {
    let page = include_str!("../../../../docs/reference/risks.md");
    let mut blocks = page
        .split("```yaml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap());
    let file = CatalogueFile::from_yaml(blocks.next().unwrap()).unwrap();
    let catalogue = Catalogue::shipped().with(vec![file]).unwrap();
    assert_eq!(catalogue.disabled().len(), 1);
    let decisions = Decisions::from_yaml(blocks.next().unwrap()).unwrap();
    assert_eq!(decisions.iter().count(), 2);
    assert_eq!(blocks.next(), None);
}
