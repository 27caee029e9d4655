//! Templates as text.

use proptest::prelude::*;

use crate::path::FilePath;
use crate::templates::Template;

#[test]
fn templates_are_written_and_refused_like_this() {
    for text in [
        "/",
        "/a",
        "/proc/{pid}/status",
        r"/a b/\x7bnumber\x7d/*\\\n",
        "/{hex:64}{random:1}-{uuid}",
        "/a{pod-hash}-{pod-suffix}",
    ] {
        assert_eq!(text.parse::<Template>().unwrap().to_string(), text);
    }
    let refused = [
        ("", "does not begin with /"),
        ("a/b", "does not begin with /"),
        ("/a//b", "empty name"),
        ("/a/", "empty name"),
        ("/a/../b", "the name . or .."),
        ("/{nothing}", "`{nothing}` is none of {number}"),
        ("/{hex}", "none of"),
        ("/{hex:0}", "none of"),
        ("/{hex:007}", "none of"),
        ("/{hex:256}", "none of"),
        ("/{number", "not closed"),
        ("/number}", "closes nothing"),
        ("/{num/ber}", "not closed"),
        (r"/\q", "unknown escape"),
        (r"/a\x00", "a NUL"),
        (r"/a\x2fb", "a slash"),
    ];
    for (text, why) in refused {
        let error = text.parse::<Template>().unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
    assert!("/a".repeat(10_000).parse::<Template>().unwrap_err().to_string().len() < 400);
}

#[test]
fn a_template_stands_in_a_document_as_text() {
    let template: Template = r"/a: b/\x7b#{number}".parse().unwrap();
    let yaml = serde_yaml::to_string(&template).unwrap();
    assert_eq!(yaml, "'/a: b/\\x7b#{number}'\n");
    assert_eq!(serde_yaml::from_str::<Template>(&yaml).unwrap(), template);
    assert!(serde_yaml::from_str::<Template>("'/{x}'").is_err());
}

#[test]
fn wildcards_stand_for_what_they_say() {
    let cases = [
        (
            "/a/{number}",
            vec!["/a/1", "/a/007"],
            vec!["/a/", "/a", "/a/1x", "/a/1/2", "/a/-1"],
        ),
        (
            "/proc/{pid}",
            vec!["/proc/1", "/proc/4194304"],
            vec!["/proc/0", "/proc/01", "/proc/4194305", "/proc/self"],
        ),
        (
            "/{hex:4}",
            vec!["/00ff", "/00FF"],
            vec!["/00fF", "/00f", "/00fff", "/00fg"],
        ),
        ("/x{number}.{number}", vec!["/x1.2"], vec!["/x1", "/x.2", "/x1.2.3"]),
        ("/{number}{number}", vec!["/12", "/123"], vec!["/1"]),
        (
            "/{version}.tar",
            vec!["/1.2.tar", "/1.2.3.tar"],
            vec!["/1.tar", "/.tar", "/1..2.tar"],
        ),
        (
            "/{date}",
            vec!["/2024-02-28", "/20240228"],
            vec!["/2024-2-28", "/2024-02_28", "/2024-02-32"],
        ),
        (
            "/{timestamp}",
            vec!["/2024-02-28_10-00", "/20240228100000"],
            vec!["/20240228", "/2024-02-28_24-00"],
        ),
        ("/{random:3}", vec!["/a_9", "/abc"], vec!["/ab", "/a-c"]),
    ];
    for (template, yes, no) in cases {
        let template: Template = template.parse().unwrap();
        for (paths, expected) in [(yes, true), (no, false)] {
            for path in paths {
                assert_eq!(
                    template.matches(&FilePath::canonical(path.as_bytes())),
                    expected,
                    "{template} {path}"
                );
            }
        }
    }
}

#[test]
fn templates_cover_others() {
    let cases = [
        ("/a/{number}", "/a/17", true),
        ("/a/{number}", "/a/{pid}", true),
        ("/a/{pid}", "/a/{number}", false),
        ("/a/{random:5}", "/a/{pod-suffix}", true),
        ("/a/{random:6}", "/a/{pod-suffix}", false),
        ("/a/{random:6}", "/a/{hex:6}", true),
        ("/a/x{number}-{number}", "/a/x1-{number}", true),
        ("/a/x1-{number}", "/a/x{number}-{number}", false),
        ("/a/{number}", "/a/{number}/b", false),
        ("/a", "/a", true),
    ];
    for (ours, theirs, covers) in cases {
        let (ours, theirs): (Template, Template) = (ours.parse().unwrap(), theirs.parse().unwrap());
        assert_eq!(ours.covers(&theirs), covers, "{ours} {theirs}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic(text in ".{0,40}") {
        if let Ok(template) = text.parse::<Template>() {
            prop_assert_eq!(template.to_string().parse(), Ok(template));
        }
    }
}
