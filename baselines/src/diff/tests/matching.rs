//! Which image is compared with which.

use super::*;

/// `TAG@DIGEST`, either of them empty; repository `shop/web`.
fn parse(text: &str) -> Image {
    let (tag, digest) = text.split_once('@').unwrap();
    let part = |part: &str| (!part.is_empty()).then(|| part.to_owned());
    Image {
        repository: "shop/web".to_owned(),
        tag: part(tag),
        digest: part(digest),
    }
}

fn baselines(images: &[&str]) -> Vec<Baseline> {
    let of = |text: &&str| Baseline {
        image: parse(text),
        ..did(&[])
    };
    images.iter().map(of).collect()
}

fn text(image: &Image) -> String {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    format!("{}@{}", part(&image.tag), part(&image.digest))
}

/// Each pair and what is left, in words.
fn told(old: &[&str], new: &[&str]) -> Vec<String> {
    let (old, new) = (baselines(old), baselines(new));
    let old: Vec<Version<'_>> = old.iter().map(plain).collect();
    let new: Vec<Version<'_>> = new.iter().map(plain).collect();
    let diff = diff(&old, &new, seconds(0));
    let pairs = diff
        .images
        .iter()
        .map(|it| format!("{} {} {:?}", text(&it.old), text(&it.new), it.matched_by));
    let gone = diff.only_in_old.iter().map(|it| format!("old {}", text(&it.image)));
    let added = diff.only_in_new.iter().map(|it| format!("new {}", text(&it.image)));
    let unmatched = diff.unmatched.iter().map(|it| {
        let texts = |images: &[Image]| images.iter().map(text).collect::<Vec<_>>().join(" ");
        format!("[{}] [{}]", texts(&it.old), texts(&it.new))
    });
    pairs.chain(gone).chain(added).chain(unmatched).collect()
}

#[test]
fn images_are_matched_by_what_is_surest_and_never_by_a_guess() {
    let cases: [(&[&str], &[&str], &[&str]); 13] = [
        (&["1@a"], &["1@a"], &["1@a 1@a Name"]),
        (&["1@a"], &["2@b"], &["1@a 2@b Repository"]),
        (&["1@a"], &["2@a"], &["1@a 2@a Digest"]),
        (&["1@"], &["1@a"], &["1@ 1@a Tag"]),
        // The same digest counts more than the same tag, and that more than nothing else being left.
        (
            &["1@", "2@a"],
            &["1@a", "3@c"],
            &["2@a 1@a Digest", "1@ 3@c Repository"],
        ),
        (&["1@", "2@"], &["1@a", "2@b"], &["1@ 1@a Tag", "2@ 2@b Tag"]),
        // Two digests are two images, whatever they are called.
        (&["1@a", "2@b"], &["1@c", "2@d"], &["[1@a 2@b] [1@c 2@d]"]),
        // The document of the last version was left where it is.
        (&["1@a"], &["1@a", "2@b"], &["1@a 1@a Name", "1@a 2@b Predecessor"]),
        (
            &["1@a", "2@b"],
            &["1@a", "2@b", "3@c"],
            &["1@a 1@a Name", "2@b 2@b Name", "new 3@c"],
        ),
        (&["1@a", "2@b"], &["2@b"], &["2@b 2@b Name", "old 1@a"]),
        (&["1@a", "2@a"], &["3@a"], &["[1@a 2@a] [3@a]"]),
        // Two documents of one image.
        (&["1@a", "1@a"], &["1@a"], &["[1@a 1@a] [1@a]"]),
        (&["@"], &["1@"], &["@ 1@ Repository"]),
    ];
    for (old, new, expected) in cases {
        assert_eq!(told(old, new), expected, "{old:?} {new:?}");
    }
}

#[test]
fn another_repository_is_another_image() {
    let (web, mut cart) = (did(&[]), did(&[]));
    cart.image.repository = "shop/cart".to_owned();
    let diff = compare(&web, &cart);
    assert!(diff.images.is_empty() && !diff.is_empty());
    let alone = [&diff.only_in_old, &diff.only_in_new].map(|alone| alone[0].image.repository.clone());
    assert_eq!(alone, ["shop/web", "shop/cart"]);
}
