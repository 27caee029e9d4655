use proptest::collection::vec;
use proptest::prelude::*;

use super::texts;
use crate::document::{Comparison, PathTemplate};
use crate::path::FilePath;
use crate::templates::Template;
use crate::testing::paths;

pub(super) fn templates() -> impl Strategy<Value = PathTemplate> {
    let template = prop::sample::select(vec![
        "/tmp/{uuid}",
        "/proc/{pid}/status",
        r"/srv/new\nline-{number}",
        "/var/log/app-{number}.log",
    ]);
    let operator = prop::sample::select(vec![Comparison::Equal, Comparison::Prefix, Comparison::Postfix]);
    (
        template,
        operator,
        texts(),
        texts(),
        any::<[u64; 4]>(),
        vec(paths(), 0..3),
    )
        .prop_map(|(template, operator, value, gives_up, counts, sensitive_paths)| {
            let [covers, also_admits, policy_also_admits, sensitive] = counts;
            PathTemplate {
                template: template.parse().unwrap(),
                covers,
                also_admits,
                operator,
                value,
                gives_up,
                policy_also_admits,
                sensitive,
                sensitive_paths,
            }
        })
}

pub(super) fn example() -> PathTemplate {
    PathTemplate {
        template: "/var/log/app-{number}.log".parse::<Template>().unwrap(),
        covers: 31,
        also_admits: 1,
        operator: Comparison::Prefix,
        value: "/var/log/app-".to_owned(),
        gives_up: "{number}.log".to_owned(),
        policy_also_admits: 2,
        sensitive: 1,
        sensitive_paths: vec![FilePath::canonical(*b"/var/log/app-secrets/token")],
    }
}
