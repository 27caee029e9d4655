//! Where patterns match a path, and what that leaves of it.

use super::MARKER;
use super::pattern::{Component, Pattern};

/// What becomes of a component.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Kept,
    Hidden,
    /// Hidden behind the marker of the one before.
    Swallowed,
}

/// The path with what any of the patterns hides replaced, if anything is; and what was hidden.
pub(super) fn hide(patterns: &[Pattern], path: &[u8]) -> (Option<Vec<u8>>, Vec<Vec<u8>>) {
    let (root, rest) = match path.strip_prefix(b"/") {
        Some(rest) => (&b"/"[..], rest),
        None => (&b""[..], path),
    };
    let parts: Vec<&[u8]> = rest.split(|byte| *byte == b'/').collect();
    let mut marks = vec![Mark::Kept; parts.len()];
    for pattern in patterns {
        mark(pattern, !root.is_empty(), &parts, &mut marks);
    }
    let hidden = |(part, mark): (&&[u8], &Mark)| (*mark != Mark::Kept && !part.is_empty()).then(|| part.to_vec());
    let secrets: Vec<Vec<u8>> = parts.iter().zip(&marks).filter_map(hidden).collect();
    if secrets.is_empty() {
        return (None, secrets);
    }
    let shown = parts.iter().zip(marks).filter_map(|(part, mark)| match mark {
        Mark::Kept => Some(*part),
        Mark::Hidden => Some(MARKER.as_bytes()),
        Mark::Swallowed => None,
    });
    let shown: Vec<&[u8]> = shown.collect();
    (Some([root, &shown.join(&b'/')].concat()), secrets)
}

/// Marks what a pattern hides, wherever it matches.
fn mark(pattern: &Pattern, has_root: bool, parts: &[&[u8]], marks: &mut [Mark]) {
    let components = pattern.components();
    let matches = table(components, parts);
    let fits = |component: usize, part: usize| matches.get(component).and_then(|row| row.get(part)) == Some(&true);
    let starts = match pattern.is_anchored() {
        true if has_root => 0..1,
        true => 0..0,
        false => 0..parts.len(),
    };
    for start in starts.filter(|start| fits(0, *start)) {
        let mut part = start;
        for (index, component) in components.iter().enumerate() {
            let (end, is_secret) = match component {
                // As much as possible.
                Component::Any => (
                    (part..=parts.len()).rfind(|end| fits(index + 1, *end)).unwrap_or(part),
                    true,
                ),
                Component::One { is_secret, .. } => (part + 1, *is_secret),
            };
            for (offset, mark) in marks.iter_mut().skip(part).take(end - part).enumerate() {
                let is_first = offset == 0 && (index == 0 || !pattern.is_literal());
                let new = match (is_secret, is_first) {
                    (false, _) => Mark::Kept,
                    (true, true) => Mark::Hidden,
                    (true, false) => Mark::Swallowed,
                };
                *mark = new.max(*mark);
            }
            part = end;
        }
    }
}

/// For each component of the pattern and each place in the path, whether the rest of the pattern matches from there on.
fn table(components: &[Component], parts: &[&[u8]]) -> Vec<Vec<bool>> {
    // The rest of a pattern that is over matches everywhere.
    let mut rows = vec![vec![true; parts.len() + 1]];
    for component in components.iter().rev() {
        let rest = rows.last().map(Vec::as_slice).unwrap_or_default();
        let at = |place: usize| rest.get(place) == Some(&true);
        let row = match component {
            Component::Any => {
                // Of any number of components: none, or one more.
                let mut row: Vec<bool> = (0..=parts.len()).map(at).collect();
                let mut later = false;
                for fits in row.iter_mut().rev() {
                    *fits |= later;
                    later = *fits;
                }
                row
            }
            one @ Component::One { .. } => {
                let fits = |(place, part): (usize, &&[u8])| at(place + 1) && one.matches(part);
                let row = parts.iter().enumerate().map(fits);
                row.chain([false]).collect()
            }
        };
        rows.push(row);
    }
    rows.reverse();
    rows
}
