//! References to variables in the commands of probes: `$(NAME)`.

use std::collections::BTreeMap;

/// A text with its references replaced, as the kubelet does it (`Expand`, `third_party/forked/golang/expansion/expand.go`
/// of Kubernetes 1.36): `$(NAME)` is the variable's value, or stays where there is no such variable; `$$` is `$`. None where that
/// has more than `bytes_max` bytes.
pub(super) fn expand(text: &str, variables: &BTreeMap<&str, &str>, bytes_max: usize) -> Option<String> {
    let (mut expanded, mut rest) = (String::new(), text);
    // Looked for once: somebody may write many beginnings and no end.
    let last_end = text.rfind(')');
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        let has_end = last_end.is_some_and(|end| end >= text.len() - after.len());
        let inner = after.strip_prefix('(').filter(|_| has_end);
        let reference = inner.and_then(|inner| inner.split_once(')'));
        rest = match reference {
            Some((name, left)) if let Some(value) = variables.get(name) => {
                expanded.push_str(value);
                left
            }
            // What follows stays as it is.
            Some((name, left)) => {
                expanded.extend(["$(", name, ")"]);
                left
            }
            None => {
                expanded.push('$');
                after.strip_prefix('$').unwrap_or(after)
            }
        };
        if expanded.len() > bytes_max {
            return None;
        }
    }
    expanded.push_str(rest);
    (expanded.len() <= bytes_max).then_some(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_beginnings_without_an_end_cost_no_more_than_their_length() {
        let text = "$(".repeat(1_000_000);
        // Were the end looked for each time, this would take hours.
        assert_eq!(
            expand(&text, &BTreeMap::new(), text.len()).as_deref(),
            Some(text.as_str())
        );
    }

    #[test]
    fn references_are_replaced_as_the_kubelet_does() {
        // The cases of expand_test.go that differ from each other, and a few more.
        let variables = BTreeMap::from([
            ("VAR_A", "A"),
            ("VAR_B", "B"),
            ("VAR_REF", "$(VAR_A)"),
            ("VAR_EMPTY", ""),
        ]);
        let cases = [
            ("$(VAR_A)", "A"),
            ("___$(VAR_B)___", "___B___"),
            ("$(VAR_A)_$(VAR_B)", "A_B"),
            ("$(VAR_REF)", "$(VAR_A)"),
            ("f00-$(VAR_EMPTY)-", "f00--"),
            ("$(VAR_NONE)", "$(VAR_NONE)"),
            ("$$(VAR_A)", "$(VAR_A)"),
            ("$$$(VAR_A)", "$A"),
            ("$$$$_$$(VAR_A)", "$$_$(VAR_A)"),
            ("foo$", "foo$"),
            ("$VAR_A", "$VAR_A"),
            ("$(VAR_A", "$(VAR_A"),
            ("$($(VAR_A))", "$($(VAR_A))"),
            ("$()", "$()"),
            ("", ""),
            ("\u{20ac}$\u{20ac}", "\u{20ac}$\u{20ac}"),
        ];
        for (text, expected) in cases {
            assert_eq!(expand(text, &variables, 100).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_becomes_too_long_is_given_up_before_it_takes_much_memory() {
        let long = "x".repeat(1_000);
        let variables = BTreeMap::from([("LONG", long.as_str())]);
        assert_eq!(expand(&"$(LONG)".repeat(1_000), &variables, 5_000), None);
        assert_eq!(expand("$(LONG)", &variables, 1_000).map(|text| text.len()), Some(1_000));
    }
}
