//! A policy as text: block style, one value a line, its evidence beside it.

use super::model::{Action, Argument, Call, Errno, Filter, Hook, Operator, Policy, Scope, Selector};
use crate::yaml;

/// Comments are wrapped at this many characters, if their words allow it.
const COMMENT_WIDTH: usize = 118;

/// The whole document.
pub(crate) fn render(policy: &Policy) -> String {
    let mut text = Text::default();
    text.comments(0, &policy.header);
    text.line(0, "apiVersion: cilium.io/v1alpha1");
    text.line(0, "kind: TracingPolicy");
    text.line(0, "metadata:");
    text.line(1, &format!("name: {}", yaml::quoted(&policy.name)));
    text.line(1, "annotations:");
    for (key, value) in &policy.annotations {
        text.line(2, &format!("wardline.dev/{key}: {}", yaml::quoted(value)));
    }
    text.line(0, "spec:");
    render_scope(&mut text, &policy.scope);
    text.line(1, "options:");
    // fmod_ret, which `Override` on a security_ function needs, is refused together with kprobe_multi.
    for (name, value) in [("disable-kprobe-multi", "1"), ("policy-mode", "monitor")] {
        text.line(1, &format!("- name: {name}"));
        text.line(2, &format!("value: {}", yaml::quoted(value)));
    }
    text.line(1, "kprobes:");
    for hook in &policy.hooks {
        render_hook(&mut text, hook);
    }
    text.comments(1, &policy.not_watched);
    text.0
}

fn render_scope(text: &mut Text, scope: &Scope) {
    let Scope::Containers { repositories } = scope else {
        return;
    };
    text.line(1, "podSelector: {}");
    text.line(1, "containerSelector:");
    text.line(2, "matchExpressions:");
    text.line(2, "- key: repo");
    text.line(3, "operator: In");
    text.line(3, "values:");
    for repository in repositories {
        text.line(3, &format!("- {}", yaml::quoted(repository)));
    }
}

fn render_hook(text: &mut Text, hook: &Hook) {
    let (message, tag, arguments): (_, _, &[&str]) = match hook.call {
        Call::Exec => (
            "exec outside baseline",
            "baseline.exec",
            &[
                "{index: 0, type: linux_binprm}",
                "{index: 0, type: uint32, resolve: file.f_inode.i_nlink}",
            ],
        ),
        Call::Open => ("open outside baseline", "baseline.file", &["{index: 0, type: file}"]),
        Call::Connect => (
            "connect outside baseline",
            "baseline.net",
            &["{index: 1, type: sockaddr}"],
        ),
    };
    text.comments(1, &hook.comments);
    text.line(1, &format!("- call: {}", hook.call.function()));
    // The schema's default is true, which looks for a system call of that name.
    text.line(2, "syscall: false");
    text.line(2, &format!("message: {}", yaml::quoted(message)));
    text.line(2, "tags:");
    text.line(2, &format!("- {}", yaml::quoted(tag)));
    text.line(2, "args:");
    for argument in arguments {
        text.line(2, &format!("- {argument}"));
    }
    text.line(2, "selectors:");
    for selector in &hook.selectors {
        render_selector(text, hook.call, selector);
    }
}

fn render_selector(text: &mut Text, call: Call, selector: &Selector) {
    text.comments(2, &selector.comments);
    text.line(2, "- matchArgs:");
    for filter in &selector.filters {
        render_filter(text, call, filter);
    }
    text.line(3, "matchActions:");
    match selector.action {
        Action::NoPost => text.line(3, "- action: NoPost"),
        Action::Override(errno) => {
            text.line(3, "- action: Override");
            let value = match errno {
                Errno::Eperm => -1,
                Errno::Eacces => -13,
            };
            text.line(4, &format!("argError: {value}"));
        }
    }
}

fn render_filter(text: &mut Text, call: Call, filter: &Filter) {
    // Both arguments of the exec hook have index 0, so there they are named by their place in `args`.
    let argument = match (call, filter.argument) {
        (_, Argument::LinkCount) => "args: [1]",
        (Call::Exec, _) => "args: [0]",
        (_, Argument::File) => "index: 0",
        (_, Argument::Address) => "index: 1",
    };
    text.line(3, &format!("- {argument}"));
    let operator = match filter.operator {
        Operator::Equal => "Equal",
        Operator::NotEqual => "NotEqual",
        Operator::NotPrefix => "NotPrefix",
        Operator::NotPostfix => "NotPostfix",
        Operator::Family => "Family",
        Operator::SAddr => "SAddr",
        Operator::NotSAddr => "NotSAddr",
        Operator::SPort => "SPort",
        Operator::NotSPort => "NotSPort",
    };
    text.line(4, &format!("operator: {operator}"));
    text.line(4, "values:");
    for value in &filter.values {
        let comment = if value.evidence.is_empty() {
            String::new()
        } else {
            format!("  # {}", yaml::comment(&value.evidence))
        };
        text.line(4, &format!("- {}{comment}", yaml::quoted(&value.text)));
    }
}

/// Lines and their indentation.
#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, level: usize, content: &str) {
        self.0.extend(std::iter::repeat_n("  ", level));
        self.0.push_str(content);
        self.0.push('\n');
    }

    /// Each paragraph from a line of its own on.
    fn comments(&mut self, level: usize, paragraphs: &[String]) {
        for paragraph in paragraphs {
            let width = COMMENT_WIDTH.saturating_sub(2 * level);
            let paragraph = yaml::comment(paragraph);
            let mut line = "#".to_owned();
            for word in paragraph.split(' ') {
                if line.len() > 1 && line.chars().count() + word.chars().count() >= width {
                    self.line(level, &std::mem::replace(&mut line, "#".to_owned()));
                }
                line.push(' ');
                line.push_str(word);
            }
            self.line(level, &line);
        }
    }
}
