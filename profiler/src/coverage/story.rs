//! What there is to say after each look: what is new since the one before, and once what will not change.

use std::collections::BTreeMap;

use super::{ImageCoverage, Look};

/// What a look brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// How many images are ready, and of how many; none where the look failed.
    pub ready: Option<(usize, usize)>,
    /// How each image does of which something is new. For people who want to know.
    pub lines: Vec<String>,
    /// For everybody.
    pub warning: Option<String>,
    /// Whether every image is ready.
    pub is_over: bool,
}

/// What was said so far.
#[derive(Debug, Default)]
pub(super) struct Story {
    /// Of images that are not ready.
    told: BTreeMap<String, ImageCoverage>,
    ready: Option<(usize, usize)>,
    is_spoilt: bool,
    /// Why the last look failed.
    trouble: Option<String>,
}

impl Story {
    /// What to say after another look, or a look that failed.
    pub(super) fn after(&mut self, looked: Result<Look, String>) -> News {
        match looked {
            Ok(look) => {
                self.trouble = None;
                self.succeeded(look)
            }
            Err(why) if self.trouble.as_ref() == Some(&why) => News::default(),
            Err(why) => {
                let warning = format!("warning: how much was seen cannot be told: {why}; recording goes on");
                self.trouble = Some(why);
                News {
                    warning: Some(warning),
                    ..News::default()
                }
            }
        }
    }

    fn succeeded(&mut self, look: Look) -> News {
        let Look { images, ready, waiting } = look;
        let not_shown = images.saturating_sub(ready).saturating_sub(waiting.len());
        let spoilt: Vec<&ImageCoverage> = waiting.iter().filter(|image| image.is_spoilt()).collect();
        let warning = match spoilt.split_first() {
            Some((first, others)) if !self.is_spoilt => {
                self.is_spoilt = true;
                Some(format!(
                    "warning: this window cannot end by coverage any more: {} is {}: {}{}; it goes on until its time is over \
                     or somebody ends it, and another recording begins anew",
                    first.image,
                    first.state,
                    first.advice,
                    match others.len() {
                        0 => String::new(),
                        others => format!(" (and {others} more)"),
                    },
                ))
            }
            _ => None,
        };
        let counts = Some((ready, images));
        let changed = waiting
            .iter()
            .filter(|image| self.told.get(&image.image) != Some(image));
        let mut lines: Vec<String> = changed
            .map(|image| format!("  {} is {}: {}", image.image, image.state, image.advice))
            .collect();
        if self.ready != counts || !lines.is_empty() {
            lines.insert(0, format!("coverage: {ready} of {images} images are ready"));
            if not_shown > 0 {
                lines.push(format!("  and {not_shown} more are not"));
            }
        }
        self.ready = counts;
        self.told = waiting.into_iter().map(|image| (image.image.clone(), image)).collect();
        News {
            ready: counts,
            lines,
            warning,
            is_over: images > 0 && ready == images,
        }
    }
}

#[cfg(test)]
mod tests {
    use baselines::coverage::State;

    use super::*;

    fn image(name: &str, state: State, advice: &str) -> ImageCoverage {
        ImageCoverage {
            image: name.to_owned(),
            state,
            advice: advice.to_owned(),
        }
    }

    fn look(images: usize, ready: usize, waiting: &[ImageCoverage]) -> Look {
        Look {
            images,
            ready,
            waiting: waiting.to_vec(),
        }
    }

    #[test]
    fn what_is_new_is_said_and_nothing_twice() {
        let mut story = Story::default();
        let nothing = story.after(Ok(look(0, 0, &[])));
        assert_eq!(nothing.lines, ["coverage: 0 of 0 images are ready"]);
        let (web, db) = (
            image("web", State::Learning, "wait"),
            image("db", State::Idle, "use it"),
        );
        let first = story.after(Ok(look(3, 1, &[web, db.clone()])));
        assert_eq!(
            first.lines,
            [
                "coverage: 1 of 3 images are ready",
                "  web is learning: wait",
                "  db is idle: use it"
            ]
        );
        let web = image("web", State::Learning, "restart it");
        let changed = story.after(Ok(look(3, 1, &[web.clone(), db.clone()])));
        assert_eq!(
            changed.lines,
            ["coverage: 1 of 3 images are ready", "  web is learning: restart it"]
        );
        assert_eq!(story.after(Ok(look(3, 1, &[web, db.clone()]))).lines, [""; 0]);
        let fewer = story.after(Ok(look(3, 2, &[db])));
        assert_eq!(fewer.lines, ["coverage: 2 of 3 images are ready"]);
        let many = story.after(Ok(look(90, 2, &[image("a", State::Idle, "use it")])));
        assert_eq!(many.lines.last().unwrap(), "  and 87 more are not");
    }

    #[test]
    fn it_is_over_when_every_image_is_ready_and_there_is_one() {
        let learning = [image("web", State::Learning, "wait")];
        for (looked, is_over) in [
            (Ok(look(0, 0, &[])), false),
            (Ok(look(1, 0, &learning)), false),
            (Ok(look(2, 1, &learning)), false),
            (Err("it takes more than 300 s".to_owned()), false),
            (Ok(look(2, 2, &[])), true),
        ] {
            assert_eq!(Story::default().after(looked.clone()).is_over, is_over, "{looked:?}");
        }
    }

    #[test]
    fn what_cannot_become_ready_is_said_once() {
        let mut story = Story::default();
        let waiting = [
            image("web", State::Lossy, "learn again"),
            image("db", State::Lossy, "learn again"),
            image("job", State::Learning, "wait"),
        ];
        let warning = story.after(Ok(look(3, 0, &waiting))).warning.unwrap();
        assert!(
            warning.contains("cannot end by coverage any more: web is lossy: learn again (and 1 more);"),
            "{warning}"
        );
        assert_eq!(story.after(Ok(look(3, 0, &waiting))).warning, None);
    }

    #[test]
    fn a_look_that_fails_says_why_until_it_fails_for_another_reason() {
        let mut story = Story::default();
        let mut warning = |looked| story.after(looked).warning;
        let failed = |why: &str| Err(why.to_owned());
        let first = warning(failed("no disk")).unwrap();
        assert!(first.contains("cannot be told: no disk;"), "{first}");
        assert_eq!(warning(failed("no disk")), None);
        assert!(warning(failed("no memory")).is_some());
        assert_eq!(warning(Ok(look(0, 0, &[]))), None);
        assert!(warning(failed("no memory")).is_some());
    }
}
