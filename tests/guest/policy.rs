//! A policy, asked as Tetragon asks it: written apart from the generator, and refusing what it does not know.

use std::fs;
use std::path::Path;

use serde_yaml::Value;

use crate::oracle::{Hit, Hook};

/// The hooks of a policy on files.
pub(crate) struct Policy {
    executions: Vec<Value>,
    opens: Vec<Value>,
}

impl Policy {
    pub(crate) fn read(file: &Path) -> Self {
        let document: Value = serde_yaml::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        let hooks = list(&document["spec"]["kprobes"]);
        let hooks_of =
            |call: &str| -> Vec<Value> { hooks.iter().filter(|hook| hook["call"] == call).cloned().collect() };
        Self {
            executions: hooks_of("security_bprm_check"),
            opens: hooks_of("security_file_open"),
        }
    }

    /// Whether the call would be refused (in monitor mode: reported).
    pub(crate) fn denies(&self, hit: &Hit) -> bool {
        let hooks = match hit.hook {
            Hook::BprmCheck => &self.executions,
            Hook::FileOpen => &self.opens,
        };
        assert!(!hooks.is_empty(), "the policy has no hook for {hit:?}");
        hooks.iter().any(|hook| denies(hook, hit))
    }
}

/// The first selector whose filters all match decides.
fn denies(hook: &Value, hit: &Hit) -> bool {
    let matches = |selector: &&Value| {
        list(&selector["matchArgs"])
            .iter()
            .all(|filter| passes(hook, filter, hit))
    };
    let Some(selector) = list(&hook["selectors"]).iter().find(matches) else {
        return false;
    };
    match list(&selector["matchActions"]) {
        [action] if action["action"] == "Override" => true,
        [action] if action["action"] == "NoPost" => false,
        other => panic!("unknown actions: {other:?}"),
    }
}

fn passes(hook: &Value, filter: &Value, hit: &Hit) -> bool {
    let operator = filter["operator"].as_str().unwrap();
    let values: Vec<&str> = list(&filter["values"])
        .iter()
        .map(|value| value.as_str().unwrap())
        .collect();
    let argument = argument(hook, filter);
    match (
        argument["type"].as_str().unwrap(),
        argument.get("resolve").and_then(Value::as_str),
    ) {
        ("uint32", Some("file.f_inode.i_nlink")) => {
            assert_eq!(operator, "Equal");
            values.contains(&hit.links.to_string().as_str())
        }
        // No operator matches a file without a path.
        ("file" | "linux_binprm", None) => hit.path.as_deref().is_some_and(|path| match operator {
            "Equal" => values.contains(&path),
            "NotEqual" => !values.contains(&path),
            "Prefix" => values.iter().any(|value| path.starts_with(value)),
            "NotPrefix" => !values.iter().any(|value| path.starts_with(value)),
            "Postfix" => values.iter().any(|value| path.ends_with(value)),
            "NotPostfix" => !values.iter().any(|value| path.ends_with(value)),
            _ => panic!("unknown operator {operator}"),
        }),
        other => panic!("unknown argument: {other:?}"),
    }
}

/// `args` counts the declared arguments, `index` those of the function.
fn argument<'a>(hook: &'a Value, filter: &Value) -> &'a Value {
    let declared = list(&hook["args"]);
    match filter.get("args") {
        Some(places) => &declared[usize::try_from(places[0].as_u64().unwrap()).unwrap()],
        None => declared
            .iter()
            .find(|argument| argument["index"] == filter["index"])
            .unwrap(),
    }
}

fn list(value: &Value) -> &[Value] {
    let items = value.as_sequence();
    items.unwrap_or_else(|| panic!("not a list: {value:?}"))
}
