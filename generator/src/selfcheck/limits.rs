//! What Tetragon refuses, or worse: loads and misreads.
//!
//! Numbers are from its releases 1.6 and 1.7 (pkg/selectors/kernel.go, bpf/process). The text of a policy that this
//! crate writes stays within all of them by construction; this is the proof, made anew for each one.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::yaml::agent_reads;

use super::document::{ActionKind, ArgumentType, Document, Filter, Kprobe, Operator};

/// Selectors of a hook.
const SELECTORS_MAX: usize = 5;
/// Filters of a selector.
const FILTERS_MAX: usize = 5;
/// Actions of a selector.
const ACTIONS_MAX: usize = 3;
/// Values of an integer comparison that is not a map look-up.
const INTEGERS_MAX: usize = 4;
/// Bytes of a string value; `\0` in one ends the agent, and so do empty ones of some operators.
const VALUE_BYTES_MAX: usize = 4096;
/// Bytes of a prefix. User space takes 256, the programs compare 255.
const PREFIX_BYTES_MAX: usize = 255;
/// Bytes of a postfix.
const POSTFIX_BYTES_MAX: usize = 127;
/// Encoded bytes of a hook's selectors: user space writes 4,096, the programs look at 1,024 and misread the rest.
pub(super) const ENCODED_BYTES_MAX: usize = 1024;
/// Inner maps a hook may have of each kind.
const INNER_MAPS_MAX: usize = 8;
/// Characters of a message; the rest is cut.
const MESSAGE_MAX: usize = 256;
/// Tags, and characters of one.
const TAGS_MAX: usize = 16;
const TAG_CHARACTERS: std::ops::RangeInclusive<usize> = 2..=128;
/// Kubernetes: bytes of all annotations together.
const ANNOTATION_BYTES_MAX: usize = 256 << 10;

/// Checks a whole policy.
///
/// # Errors
/// A sentence that says what is wrong and where.
pub(super) fn check(document: &Document) -> Result<(), String> {
    let (metadata, spec) = (&document.metadata, &document.spec);
    require(document.api_version == "cilium.io/v1alpha1", || {
        "apiVersion is not cilium.io/v1alpha1".to_owned()
    })?;
    require(document.kind == "TracingPolicy", || {
        "kind is not TracingPolicy".to_owned()
    })?;
    require(is_dns_label(&metadata.name), || {
        format!("metadata.name {:?} is no DNS-1123 label", metadata.name)
    })?;
    require(metadata.annotations.values().all(|text| agent_reads(text)), || {
        "metadata.annotations are unreadable".to_owned()
    })?;
    let annotations: usize = metadata
        .annotations
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    require(annotations <= ANNOTATION_BYTES_MAX, || {
        format!("metadata.annotations have {annotations} bytes")
    })?;
    let settings: Vec<_> = spec
        .options
        .iter()
        .map(|it| (it.name.as_str(), it.value.as_str()))
        .collect();
    require(
        settings == [("disable-kprobe-multi", "1"), ("policy-mode", "monitor")],
        || format!("spec.options {settings:?} are not those of a policy in monitor mode that can be enforced later"),
    )?;
    check_scope(document)?;
    require(!spec.kprobes.is_empty(), || "spec.kprobes is empty".to_owned())?;
    let calls: BTreeSet<_> = spec.kprobes.iter().map(|hook| hook.call).collect();
    require(calls.len() == spec.kprobes.len(), || {
        "spec.kprobes name a function twice".to_owned()
    })?;
    spec.kprobes
        .iter()
        .try_for_each(|hook| check_hook(hook).map_err(|problem| format!("{:?}: {problem}", hook.call)))
}

/// Either no selectors at all, or every pod and named repositories.
fn check_scope(document: &Document) -> Result<(), String> {
    let spec = &document.spec;
    let scope = document
        .metadata
        .annotations
        .get("wardline.dev/scope")
        .map(String::as_str);
    match (&spec.pod_selector, &spec.container_selector) {
        (None, None) => require(scope == Some("node"), || {
            "nothing is selected, so it applies to the node".to_owned()
        }),
        (Some(_), Some(selector)) => {
            let names_repositories = matches!(selector.match_expressions.as_slice(), [only]
                if only.key == "repo" && only.operator == "In"
                    && !only.values.is_empty() && only.values.iter().all(|it| !it.is_empty() && agent_reads(it)));
            require(scope == Some("image") && names_repositories, || {
                "containerSelector names no repository".to_owned()
            })
        }
        _ => Err("podSelector and containerSelector go together".to_owned()),
    }
}

fn check_hook(hook: &Kprobe) -> Result<(), String> {
    require(!hook.syscall, || {
        "syscall is true, which looks for a system call".to_owned()
    })?;
    require(hook.message.chars().count() <= MESSAGE_MAX, || {
        "the message is too long".to_owned()
    })?;
    let tags_fit = hook.tags.len() <= TAGS_MAX
        && hook
            .tags
            .iter()
            .all(|tag| TAG_CHARACTERS.contains(&tag.chars().count()));
    require(tags_fit, || "too many tags, or one of a wrong length".to_owned())?;
    require((1..=SELECTORS_MAX).contains(&hook.selectors.len()), || {
        format!("{} selectors, of 1 to {SELECTORS_MAX}", hook.selectors.len())
    })?;
    for selector in &hook.selectors {
        require((1..=FILTERS_MAX).contains(&selector.match_args.len()), || {
            format!("{} filters, of 1 to {FILTERS_MAX}", selector.match_args.len())
        })?;
        require((1..=ACTIONS_MAX).contains(&selector.match_actions.len()), || {
            format!("{} actions, of 1 to {ACTIONS_MAX}", selector.match_actions.len())
        })?;
        let errors_fit = selector.match_actions.iter().all(|it| {
            (it.action == ActionKind::Override) == it.arg_error.is_some_and(|error| (-4095..0).contains(&error))
        });
        require(errors_fit, || {
            "an Override without an errno, or a NoPost with one".to_owned()
        })?;
        selector
            .match_args
            .iter()
            .try_for_each(|filter| check_values(hook, filter))?;
    }
    check_inner_maps(hook)?;
    let bytes = encoded_bytes(hook);
    require(bytes <= ENCODED_BYTES_MAX, || {
        format!("selectors encode to {bytes} bytes, of {ENCODED_BYTES_MAX}")
    })
}

fn check_values(hook: &Kprobe, filter: &Filter) -> Result<(), String> {
    require(!filter.values.is_empty(), || "an empty list of values".to_owned())?;
    let most = match filter.operator {
        Operator::NotPrefix => PREFIX_BYTES_MAX,
        Operator::NotPostfix => POSTFIX_BYTES_MAX,
        _ => VALUE_BYTES_MAX,
    };
    for value in &filter.values {
        require(!value.is_empty() && agent_reads(value) && value.len() <= most, || {
            format!("the value {value:?} is empty, unreadable or has more than {most} bytes")
        })?;
    }
    let is_integer = hook
        .argument(filter)
        .is_some_and(|argument| argument.kind == ArgumentType::Uint32);
    require(!is_integer || filter.values.len() <= INTEGERS_MAX, || {
        format!("more than {INTEGERS_MAX} integers")
    })
}

/// Each filter with an operator of a kind takes one inner map of that kind.
fn check_inner_maps(hook: &Kprobe) -> Result<(), String> {
    let filters = || hook.selectors.iter().flat_map(|selector| &selector.match_args);
    let uses_class = |class: usize, filter: &Filter| {
        storage(hook, filter) == Storage::Strings
            && filter.values.iter().any(|value| string_class(value.len()) == class)
    };
    let has_family = |filter: &Filter, is_v6: bool| {
        let is_in_family = |value: &String| value.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6() == is_v6);
        storage(hook, filter) == Storage::Addresses && filter.values.iter().any(is_in_family)
    };
    let strings = (0..STRING_CLASSES).map(|class| filters().filter(|filter| uses_class(class, filter)).count());
    let addresses = [false, true].map(|is_v6| filters().filter(|filter| has_family(filter, is_v6)).count());
    let numbers = filters()
        .filter(|filter| storage(hook, filter) == Storage::Numbers)
        .count();
    let tries = [Storage::Prefixes, Storage::Postfixes]
        .map(|kind| filters().filter(|filter| storage(hook, filter) == kind).count());
    let most = strings
        .chain(addresses)
        .chain(tries)
        .chain([numbers])
        .max()
        .unwrap_or_default();
    require(most <= INNER_MAPS_MAX, || {
        format!("{most} inner maps of one kind, of {INNER_MAPS_MAX}")
    })
}

/// Where a filter's values are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Storage {
    /// In the encoded selector.
    Inline,
    /// In a hash map for each class of lengths.
    Strings,
    /// In a trie.
    Prefixes,
    /// In another one, from their ends.
    Postfixes,
    /// In a trie for IPv4 and one for IPv6.
    Addresses,
    /// In one hash map.
    Numbers,
}

fn storage(hook: &Kprobe, filter: &Filter) -> Storage {
    match filter.operator {
        Operator::Equal | Operator::NotEqual => match hook.argument(filter).map(|argument| argument.kind) {
            Some(ArgumentType::Uint32) => Storage::Inline,
            _ => Storage::Strings,
        },
        Operator::NotPrefix => Storage::Prefixes,
        Operator::NotPostfix => Storage::Postfixes,
        Operator::SAddr | Operator::NotSAddr => Storage::Addresses,
        Operator::Family | Operator::SPort | Operator::NotSPort => Storage::Numbers,
    }
}

const STRING_CLASSES: usize = 11;

/// Which of the string maps a value of so many bytes is in (`StringMapsSizes` in pkg/selectors/selectors.go).
fn string_class(bytes: usize) -> usize {
    [24, 48, 72, 96, 120, 144, 256, 512, 1024, 2048]
        .iter()
        .take_while(|limit| bytes > **limit)
        .count()
}

/// How many bytes a hook's selectors take in the map that the programs read (`createKernelSelectorState` and what it
/// calls in pkg/selectors/kernel.go): everything is made of 32-bit words.
pub(super) fn encoded_bytes(hook: &Kprobe) -> usize {
    const WORD: usize = 4;
    // The number of selectors, then for each its offset, its length and five sections that are empty here.
    let heads = WORD + hook.selectors.len() * 7 * WORD;
    let filters = hook
        .selectors
        .iter()
        .flat_map(|selector| &selector.match_args)
        .map(|filter| {
            // Index, operator, length and type; then the values, or where they are.
            let values = match storage(hook, filter) {
                Storage::Inline => filter.values.len(),
                Storage::Strings => STRING_CLASSES,
                Storage::Addresses => 2,
                Storage::Numbers | Storage::Prefixes | Storage::Postfixes => 1,
            };
            (4 + values) * WORD
        });
    // The length and five offsets of matchArgs; the length of matchActions.
    let sections = hook.selectors.len() * (6 + 1) * WORD;
    let actions = hook
        .selectors
        .iter()
        .flat_map(|selector| &selector.match_actions)
        .map(|it| match it.action {
            ActionKind::NoPost => WORD,
            ActionKind::Override => 2 * WORD,
        });
    heads + sections + filters.sum::<usize>() + actions.sum::<usize>()
}

/// Whether a name is a DNS-1123 label: what Kubernetes accepts everywhere.
pub(crate) fn is_dns_label(name: &str) -> bool {
    let is_alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=63).contains(&name.len())
        && name.bytes().all(|byte| is_alphanumeric(&byte) || byte == b'-')
        && [name.as_bytes().first(), name.as_bytes().last()]
            .into_iter()
            .flatten()
            .all(is_alphanumeric)
}

fn require(condition: bool, problem: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(problem()) }
}
