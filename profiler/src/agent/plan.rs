//! What to do about a learning window. Pure: an object in, a plan out.

use std::ffi::OsString;

use baselines::coverage::{Criteria, parse_held, parse_target};
use baselines::redaction::Pattern;
use baselines::time::UtcTime;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Resource as _;
use kube::core::{Expression, Selector};

use super::objects::{EVERY_NAMESPACE, LearningWindow, LearningWindowSpec};
use crate::cli::values::duration;
use crate::containers::HOST;
use crate::kubernetes::labels;
use crate::kubernetes::selection::ImagePattern;
use crate::kubernetes::times::utc;

/// What a window asks of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing: it cannot be followed as it is written, because of this.
    Refuse(String),
    /// To record until then.
    Record {
        /// By the API server's clock.
        until: UtcTime,
        /// The recorder's options.
        options: Vec<OsString>,
    },
    /// Nothing more.
    End,
}

/// When a window ends if nobody stops it, by the API server's clock.
///
/// # Errors
/// What is wrong with it, in words.
pub fn ends_at(window: &LearningWindow) -> Result<UtcTime, String> {
    // Only an object that no API server has seen has no such time.
    let made = window
        .meta()
        .creation_timestamp
        .as_ref()
        .map(utc)
        .ok_or("it has no time of creation")?;
    let length = duration(&window.spec.duration)?;
    let nanos = i64::try_from(length.as_nanos()).unwrap_or(i64::MAX);
    let ends_at = made.nanos().saturating_add(nanos);
    Ok(UtcTime::from_nanos(ends_at.cast_unsigned()))
}

/// Whether it is over before its time: somebody stopped it, or enough was seen.
pub fn is_stopped(window: &LearningWindow) -> bool {
    let coverage = window.status.as_ref().and_then(|status| status.coverage.as_ref());
    let is_covered = coverage.is_some_and(|coverage| coverage.covered_at.is_some());
    window.spec.stop || (window.spec.coverage_target.is_some() && is_covered)
}

/// What it takes for each image to be ready, where that ends the window.
///
/// # Errors
/// What is wrong with it, in words.
pub fn criteria(spec: &LearningWindowSpec) -> Result<Option<Criteria>, String> {
    let Some(target) = spec.coverage_target else {
        return Ok(None);
    };
    let target = parse_target(&target.to_string()).map_err(|why| format!("spec.coverageTarget: {why}"))?;
    let held = parse_held(&spec.coverage_held).map_err(|why| format!("spec.coverageHeld: {why}"))?;
    Ok(Some(Criteria {
        target,
        held,
        starts: spec.coverage_starts,
        dates: spec.coverage_dates,
    }))
}

/// What to do at `now`, by the API server's clock.
pub fn plan(window: &LearningWindow, now: UtcTime) -> Plan {
    // Whatever else is wrong with it.
    if is_stopped(window) {
        return Plan::End;
    }
    let until = match ends_at(window) {
        Ok(until) => until,
        Err(why) => return Plan::Refuse(format!("spec.duration: {why}")),
    };
    if now >= until {
        return Plan::End;
    }
    match options(&window.spec) {
        Ok(options) => Plan::Record { until, options },
        Err(why) => Plan::Refuse(why),
    }
}

/// What `profile start` is told. Each option is one word with its value, so that no value can be another option.
fn options(spec: &LearningWindowSpec) -> Result<Vec<OsString>, String> {
    criteria(spec)?;
    let option = |name: &str, value: &str| OsString::from(format!("--{name}={value}"));
    let mut options = Vec::new();
    match spec.namespaces.as_slice() {
        [] => return Err("spec.namespaces: it names none".to_owned()),
        [every] if every == EVERY_NAMESPACE => options.push("--all-namespaces".into()),
        names if names.iter().any(|name| name == EVERY_NAMESPACE) => {
            return Err("spec.namespaces: `*` stands alone".to_owned());
        }
        // On its own machine a recorder calls everything that. What is asked for are pods.
        names if names.iter().any(|name| name == HOST) => {
            return Err(format!(
                "spec.namespaces: the pods of a namespace `{HOST}` cannot be told from the host"
            ));
        }
        names => options.extend(names.iter().map(|name| option("namespace", name))),
    }
    if let Some(selector) = selector(&spec.selector)? {
        options.push(option("selector", &selector));
    }
    for image in &spec.images {
        image
            .parse::<ImagePattern>()
            .map_err(|error| format!("spec.images: `{}`: {error}", image.escape_debug()))?;
        options.push(option("image", image));
    }
    for pattern in &spec.record.redact {
        pattern
            .parse::<Pattern>()
            .map_err(|error| format!("spec.record.redact: {error}"))?;
        options.push(option("redact", pattern));
    }
    duration(&spec.record.startup).map_err(|why| format!("spec.record.startup: {why}"))?;
    options.push(option("startup", &spec.record.startup));
    if spec.record.arguments {
        options.push("--record-args".into());
    }
    if !spec.record.dns_names {
        options.push("--no-dns".into());
    }
    Ok(options)
}

/// The text of a selector, None for one that selects everything.
fn selector(labels: &LabelSelector) -> Result<Option<String>, String> {
    let wrong = |what: &str| format!("spec.selector: {what}");
    let expressions = labels.match_expressions.iter().flatten();
    let keys = expressions.clone().map(|expression| &expression.key);
    let values = expressions.flat_map(|expression| expression.values.iter().flatten());
    let pairs = labels.match_labels.iter().flatten();
    // The API server does not look into the selectors of custom objects, and a comma would make another selector of it.
    let is_label = |text: &&String| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/'))
    };
    let mut texts = keys.chain(values).chain(pairs.flat_map(|(key, value)| [key, value]));
    if let Some(text) = texts.find(|text| !is_label(text)) {
        return Err(wrong(&format!("`{}` cannot be in a label", text.escape_debug())));
    }
    let selector = Selector::try_from(labels.clone()).map_err(|error| wrong(&error.to_string()))?;
    // One value may be none, which only `=` can say.
    let plain = selector.into_iter().map(|expression| match expression {
        Expression::In(key, values) if values.len() == 1 => Expression::Equal(key, values.into_iter().collect()),
        Expression::NotIn(key, values) if values.len() == 1 => Expression::NotEqual(key, values.into_iter().collect()),
        other => other,
    });
    let selector: Selector = plain.collect();
    let text = selector.to_string();
    labels::parse(&text).map_err(|error| wrong(&error.to_string()))?;
    Ok((!selector.selects_all()).then_some(text))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;

    const MADE: u64 = 1_795_000_000_000_000_000;

    fn window(spec: &Value) -> LearningWindow {
        let made = crate::kubernetes::times::time(UtcTime::from_nanos(MADE));
        let object = json!({
            "apiVersion": "wardline.dev/v1alpha1", "kind": "LearningWindow",
            "metadata": {"name": "w", "creationTimestamp": made}, "spec": spec,
        });
        serde_json::from_value(object).unwrap()
    }

    fn after(seconds: u64) -> UtcTime {
        UtcTime::from_nanos(MADE + seconds * 1_000_000_000)
    }

    #[test]
    fn a_window_goes_on_until_its_time_is_over_or_somebody_stops_it() {
        let spec = |stop| json!({"namespaces": ["production"], "duration": "10m", "stop": stop});
        let plan_at = |seconds, stop| plan(&window(&spec(stop)), after(seconds));
        for seconds in [0, 599] {
            let Plan::Record { until, .. } = plan_at(seconds, false) else {
                panic!("{seconds}");
            };
            assert_eq!(until.since(after(seconds)).as_secs(), 600 - seconds);
        }
        for (seconds, stop) in [(600, false), (6_000, false), (0, true)] {
            assert_eq!(plan_at(seconds, stop), Plan::End, "{seconds}");
        }
        let wrong = window(&json!({"namespaces": ["production"], "duration": "0s", "stop": true}));
        assert_eq!(plan(&wrong, after(0)), Plan::End);
    }

    #[test]
    fn a_window_that_is_to_end_by_coverage_ends_when_enough_was_seen() {
        let spec =
            json!({"namespaces": ["production"], "duration": "10m", "coverageTarget": 0.9, "coverageHeld": "2d"});
        let mut covered = window(&spec);
        let expected = Criteria {
            target: 0.9,
            held: Duration::from_hours(48),
            ..Criteria::DEFAULT
        };
        assert_eq!(criteria(&covered.spec), Ok(Some(expected)));
        assert!(matches!(plan(&covered, after(1)), Plan::Record { .. }));
        let status = json!({"coverage": {"images": 1, "ready": 1, "coveredAt": "2026-11-22T00:00:00Z"}});
        covered.status = Some(serde_json::from_value(status).unwrap());
        assert_eq!(plan(&covered, after(1)), Plan::End);
        // Of one that was not asked for, nobody can say that.
        covered.spec.coverage_target = None;
        assert!(matches!(plan(&covered, after(1)), Plan::Record { .. }));
    }

    #[test]
    fn everything_that_it_asks_for_becomes_an_option() {
        let spec = json!({
            "namespaces": ["production", "--staging"], "duration": "1h", "images": ["shop/*", "-q"],
            "selector": {
                "matchLabels": {"app": "web"},
                "matchExpressions": [
                    {"key": "tier", "operator": "NotIn", "values": ["a", "b"]},
                    {"key": "canary", "operator": "DoesNotExist"},
                    {"key": "track", "operator": "NotIn", "values": [""]},
                ],
            },
            "record": {"arguments": true, "dnsNames": false, "redact": ["/home/*"], "startup": "2m"},
        });
        let Plan::Record { options, .. } = plan(&window(&spec), after(0)) else {
            panic!("{spec}");
        };
        let expected = [
            "--namespace=production",
            "--namespace=--staging",
            "--selector=app=web,tier notin (a,b),!canary,track!=",
            "--image=shop/*",
            "--image=-q",
            "--redact=/home/*",
            "--startup=2m",
            "--record-args",
            "--no-dns",
        ];
        assert_eq!(options, expected.map(OsString::from));
        let everything = window(&json!({"namespaces": ["*"], "duration": "1h"}));
        let expected = ["--all-namespaces", "--startup=60s"].map(OsString::from).to_vec();
        assert!(matches!(plan(&everything, after(0)), Plan::Record { options, .. } if options == expected));
    }

    #[test]
    fn what_cannot_be_followed_is_refused_and_says_where() {
        let cases = [
            (json!({"namespaces": ["a"], "duration": "10"}), "spec.duration"),
            (
                json!({"namespaces": ["a"], "duration": "99999999999999999d"}),
                "spec.duration",
            ),
            (json!({"namespaces": [], "duration": "1h"}), "spec.namespaces"),
            (json!({"namespaces": ["a", "*"], "duration": "1h"}), "spec.namespaces"),
            (
                json!({"namespaces": ["a", "host"], "duration": "1h"}),
                "spec.namespaces",
            ),
            (
                json!({"namespaces": ["a"], "duration": "1h", "coverageTarget": 1.0}),
                "spec.coverageTarget",
            ),
            (
                json!({"namespaces": ["a"], "duration": "1h", "coverageTarget": 0.9, "coverageHeld": "90m"}),
                "spec.coverageHeld",
            ),
            (
                json!({"namespaces": ["a"], "duration": "1h", "selector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}}),
                "spec.selector",
            ),
            (
                json!({"namespaces": ["a"], "duration": "1h", "selector": {"matchExpressions": [{"key": "a,b", "operator": "Exists"}]}}),
                "spec.selector",
            ),
            (
                json!({"namespaces": ["a"], "duration": "1h", "selector": {"matchExpressions": [{"key": "a", "operator": "In", "values": []}]}}),
                "spec.selector",
            ),
            (
                json!({"namespaces": ["a"], "duration": "1h", "images": ["shop/*", "a b"]}),
                "spec.images",
            ),
            (
                json!({"namespaces": ["a"], "duration": "1h", "record": {"redact": ["/**"]}}),
                "spec.record.redact",
            ),
            (
                json!({"namespaces": ["a"], "duration": "1h", "record": {"startup": "soon"}}),
                "spec.record.startup",
            ),
        ];
        for (spec, place) in cases {
            let planned = plan(&window(&spec), after(0));
            assert!(
                matches!(&planned, Plan::Refuse(why) if why.starts_with(place)),
                "{spec}: {planned:?}"
            );
        }
    }
}
