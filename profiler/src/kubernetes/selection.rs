//! Which containers of pods are asked for: by namespace, labels and image.
//!
//! ```
//! use profiler::kubernetes::selection::Selection;
//!
//! let selection = Selection {
//!     namespaces: ["production".to_owned()].into(),
//!     labels: profiler::kubernetes::labels::parse("app=web").unwrap(),
//!     images: vec!["shop/*".parse().unwrap()],
//! };
//! assert_eq!(selection.to_string(), "namespace production, labels app=web, images shop/*");
//! assert_eq!(Selection::default().to_string(), "all namespaces");
//! ```

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use baselines::workload::Image;
use globset::{GlobBuilder, GlobMatcher};
use kube::core::{Selector, SelectorExt as _};

use super::pods::{ContainerFacts, PodFacts};

/// What a window asks for. The default is every container of every pod.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Pods of these namespaces; of all, where there is none here.
    pub namespaces: BTreeSet<String>,
    /// Pods with these labels.
    pub labels: Selector,
    /// Containers of images that match one of these; of all, where there is none here.
    pub images: Vec<ImagePattern>,
}

impl Selection {
    /// Whether a container is asked for; without one, whether any of the pod's may be.
    pub fn wants(&self, pod: &PodFacts, container: Option<&ContainerFacts>) -> bool {
        self.is_of_namespaces(pod)
            && self.labels.matches(&pod.labels)
            && container.is_none_or(|container| self.wants_image(container))
    }

    /// Whether a pod's labels decide.
    pub fn depends_on_labels(&self, pod: &PodFacts) -> bool {
        !self.labels.selects_all() && self.is_of_namespaces(pod)
    }

    fn is_of_namespaces(&self, pod: &PodFacts) -> bool {
        self.namespaces.is_empty() || self.namespaces.contains(&pod.namespace)
    }

    /// What nobody can name the image of is of none that is asked for.
    fn wants_image(&self, container: &ContainerFacts) -> bool {
        let matches = |image: &Image| self.images.iter().any(|pattern| pattern.matches(image));
        self.images.is_empty() || container.image.as_ref().is_some_and(|image| matches(&image.recorded()))
    }
}

/// As a window says it of itself.
impl fmt::Display for Selection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let namespaces: Vec<&str> = self.namespaces.iter().map(String::as_str).collect();
        match namespaces.as_slice() {
            [] => formatter.write_str("all namespaces")?,
            [namespace] => write!(formatter, "namespace {namespace}")?,
            several => write!(formatter, "namespaces {}", several.join(", "))?,
        }
        if !self.labels.selects_all() {
            write!(formatter, ", labels {}", self.labels)?;
        }
        if !self.images.is_empty() {
            let images: Vec<&str> = self.images.iter().map(|pattern| pattern.text.as_str()).collect();
            write!(formatter, ", images {}", images.join(", "))?;
        }
        Ok(())
    }
}

/// A glob of images' names: `shop/*`, `registry.example/**`, `**/*:1.4`. `*` and `?` match no slash, `**` does.
#[derive(Clone, Debug)]
pub struct ImagePattern {
    text: String,
    glob: GlobMatcher,
}

impl ImagePattern {
    /// Whether it matches a name of the image: `docker.io/library/nginx:1.27` is also `docker.io/library/nginx`,
    /// `library/nginx:1.27`, `library/nginx`, `nginx:1.27` and `nginx`.
    fn matches(&self, image: &Image) -> bool {
        let full = image.repository.as_str();
        let short = full.strip_prefix("docker.io/library/");
        // The registry is always there, see `PodImage`.
        let without_registry = full.split_once('/').map(|(_, rest)| rest);
        [Some(full), without_registry, short].into_iter().flatten().any(|name| {
            let is_tagged = |tag: &String| self.glob.is_match(format!("{name}:{tag}"));
            self.glob.is_match(name) || image.tag.as_ref().is_some_and(is_tagged)
        })
    }
}

/// As it was written.
impl fmt::Display for ImagePattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.text)
    }
}

/// Text that is no glob.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}; write it like shop/*, **/web or nginx:1.*")]
pub struct ImagePatternError(String);

impl FromStr for ImagePattern {
    type Err = ImagePatternError;

    fn from_str(text: &str) -> Result<Self, ImagePatternError> {
        let is_part = |character: char| character.is_ascii_graphic() && character != '@';
        if text.is_empty() || !text.chars().all(is_part) {
            return Err(ImagePatternError(
                "an image is asked for by its repository, and its tag".to_owned(),
            ));
        }
        let glob = GlobBuilder::new(text)
            .literal_separator(true)
            .build()
            .map_err(|error| ImagePatternError(error.kind().to_string()))?;
        Ok(Self {
            text: text.to_owned(),
            glob: glob.compile_matcher(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kubernetes::labels;
    use crate::kubernetes::owners::Above;

    fn pod(namespace: &str, labels: &[(&str, &str)], image: &str) -> PodFacts {
        let labels: serde_json::Map<_, _> = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), json!(value)))
            .collect();
        let object = json!({
            "metadata": {"namespace": namespace, "name": "web", "uid": "u", "labels": labels},
            "spec": {"containers": [{"name": "server", "image": image}]},
        });
        PodFacts::of(&serde_json::from_value(object).unwrap(), &Above::Nobody).unwrap()
    }

    fn selection(namespaces: &[&str], selector: &str, images: &[&str]) -> Selection {
        Selection {
            namespaces: namespaces.iter().map(|name| (*name).to_owned()).collect(),
            labels: labels::parse(selector).unwrap(),
            images: images.iter().map(|glob| glob.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn a_container_is_asked_for_by_namespace_labels_and_image_together() {
        let none: &[&str] = &[];
        let cases = [
            // namespaces, labels, images -> the pod may be, the container is
            (none, "", none, true, true),
            (&["production"][..], "", none, true, true),
            (&["staging", "production"][..], "", none, true, true),
            (&["staging"][..], "", none, false, false),
            (&["production"][..], "app=web", none, true, true),
            (&["production"][..], "app=db", none, false, false),
            (&["staging"][..], "app=web", &["**"][..], false, false),
            (none, "", &["shop/*"][..], true, true),
            (none, "", &["other/*"][..], true, false),
            (none, "app=web", &["other/*", "shop/web:1.4"][..], true, true),
            (none, "!app", &["**"][..], false, false),
            // Policies cannot select on these, people can.
            (none, "pod-template-hash=7d4b9", none, true, true),
        ];
        let web = pod(
            "production",
            &[("app", "web"), ("pod-template-hash", "7d4b9")],
            "shop/web:1.4",
        );
        for (namespaces, labels, images, may_be, is) in cases {
            let selection = selection(namespaces, labels, images);
            let wants = (
                selection.wants(&web, None),
                selection.wants(&web, web.containers.first()),
            );
            assert_eq!(wants, (may_be, is), "{selection}");
        }
    }

    #[test]
    fn images_match_by_every_name_that_people_use() {
        let cases = [
            ("docker.io/library/nginx:1.27", "nginx:1.27", true),
            ("nginx", "nginx:1.27", true),
            ("nginx:1.*", "nginx:1.27", true),
            ("library/nginx", "nginx:1.27", true),
            ("*", "nginx:1.27", true),
            ("*", "shop/web", false),
            ("**", "shop/web", true),
            ("shop/*", "shop/web", true),
            ("shop/*", "quay.io/shop/web:1", true),
            ("shop/*", "quay.io/shop/team/web:1", false),
            ("shop/**", "quay.io/shop/team/web:1", true),
            ("quay.io/**", "quay.io/shop/web:1", true),
            ("quay.io/**", "shop/web:1", false),
            ("**/*:latest", "shop/web", true),
            ("**/*:latest", "nginx", true),
            ("**/*:latest", "shop/web:1", false),
            ("*:latest", "shop/web", false),
            ("{shop,team}/web", "team/web:1", true),
            ("registry:5000/web", "registry:5000/web:1", true),
            ("web", "registry:5000/web:1", true),
            ("shop", "shop/web", false),
            ("**", "Not An Image", false),
        ];
        for (glob, image, expected) in cases {
            let pod = pod("production", &[], image);
            let wants = selection(&[], "", &[glob]).wants(&pod, pod.containers.first());
            assert_eq!(wants, expected, "{glob} {image}");
        }
    }

    #[test]
    fn what_is_no_glob_is_refused() {
        for text in ["", "a b", "shop/[web", "{a", "shop/web@sha256:abc", "\u{1b}[2J", "a,\n"] {
            let error = text.parse::<ImagePattern>().unwrap_err().to_string();
            assert!(error.contains("write it like"), "{error}");
            assert!(!error.contains('\u{1b}'), "{error}");
        }
    }

    #[test]
    fn a_window_says_all_of_it() {
        let all = selection(
            &["b", "a"],
            "app=web,tier!=db,env in (b,a),!canary",
            &["shop/*", "nginx"],
        );
        let expected = "namespaces a, b, labels app=web,tier!=db,env in (a,b),!canary, images shop/*, nginx";
        assert_eq!(all.to_string(), expected);
        assert_eq!(selection(&[], "app", &[]).to_string(), "all namespaces, labels app");
    }
}
