//! HTML in which a name can be nothing but text.
//!
//! An [`Html`] is made of the words of this program (`&'static str`), of escaped text, and of other [`Html`]: there is no way
//! from a `String` to markup, but for drawings, whose text is numbers, times and our words. So what is hostile in a recording
//! stays what it is, a name.

use std::fmt::Write as _;

use crate::printable;

/// How many characters of one name are shown.
const NAME_CHARACTERS_MAX: usize = 300;
/// How many characters of any text are shown: what people write is shorter.
const TEXT_CHARACTERS_MAX: usize = 4_000;

/// Markup that may stand in the page as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Html(String);

impl Html {
    /// Text, in which characters that would steer or reorder what is around them are shown as escapes. Of a very long one the
    /// beginning, and how much was left out.
    pub(super) fn text(text: &str) -> Self {
        let (text, more) = cut(text, TEXT_CHARACTERS_MAX);
        let mut escaped = String::with_capacity(text.len());
        for character in printable(text).chars() {
            match character {
                '&' => escaped.push_str("&amp;"),
                '<' => escaped.push_str("&lt;"),
                '>' => escaped.push_str("&gt;"),
                '"' => escaped.push_str("&quot;"),
                '\'' => escaped.push_str("&#39;"),
                _ => escaped.push(character),
            }
        }
        Self(escaped + &more)
    }

    /// A number, or another value of ours, as text.
    pub(super) fn value(value: impl ToString + Copy) -> Self {
        Self::text(&value.to_string())
    }

    /// A name that comes from a workload; of a long one the beginning, and how much was left out.
    pub(super) fn name(name: &str) -> Self {
        let (shown, more) = cut(name, NAME_CHARACTERS_MAX);
        Self::element("code", &[], Self::text(shown)).and(Self::text(&more))
    }

    /// An element with its content. Values of attributes are escaped as text is.
    pub(super) fn element(name: &'static str, attributes: &[(&'static str, &str)], content: Self) -> Self {
        let Self(content) = content;
        let mut html = open(name, attributes);
        html.push_str(&content);
        // Writing to a String cannot fail.
        let _ = write!(html, "</{name}>");
        Self(html)
    }

    /// An element of this class with text in it.
    pub(super) fn of(name: &'static str, class: &'static str, text: &str) -> Self {
        Self::element(name, &[("class", class)], Self::text(text))
    }

    /// A paragraph.
    pub(super) fn paragraph(text: &str) -> Self {
        Self::element("p", &[], Self::text(text)).line()
    }

    /// What the plotting library drew.
    pub(super) fn drawing(drawing: super::plots::Drawing) -> Self {
        Self(drawing.into_svg())
    }

    /// The whole page around its body.
    pub(super) fn page(head: &'static str, title: &Self, style: &'static str, body: &Self) -> String {
        format!(
            "{head}<title>{}</title>\n<style>\n{style}</style>\n</head>\n<body>\n{}</body>\n</html>\n",
            title.0, body.0
        )
    }

    /// This, and then something else.
    #[must_use]
    pub(super) fn and(mut self, other: Self) -> Self {
        self.push(other);
        self
    }

    /// This, and the end of a line of the file.
    #[must_use]
    pub(super) fn line(mut self) -> Self {
        self.0.push('\n');
        self
    }

    pub(super) fn push(&mut self, other: Self) {
        let Self(other) = other;
        self.0.push_str(&other);
    }
}

impl FromIterator<Html> for Html {
    fn from_iter<I: IntoIterator<Item = Self>>(parts: I) -> Self {
        parts.into_iter().fold(Self::default(), Self::and)
    }
}

/// The beginning of a text, and in words how much more there is, if there is.
fn cut(text: &str, characters_max: usize) -> (&str, String) {
    let Some((end, _)) = text.char_indices().nth(characters_max) else {
        return (text, String::new());
    };
    let (shown, rest) = text.split_at(end);
    (shown, format!(" and {} more characters", rest.chars().count()))
}

fn open(name: &'static str, attributes: &[(&'static str, &str)]) -> String {
    let mut tag = format!("<{name}");
    for (attribute, value) in attributes {
        // Writing to a String cannot fail.
        let _ = write!(tag, " {attribute}=\"{}\"", Html::text(value).0);
    }
    tag.push('>');
    tag
}

/// A table with at most so many rows, in a box of its own that scrolls where it is too wide. `rows` are all there are.
pub(super) fn table(
    caption: &str,
    columns: &[&'static str],
    rows: impl ExactSizeIterator<Item = Vec<Html>>,
    rows_max: usize,
) -> Html {
    let more = rows.len().saturating_sub(rows_max);
    let head = columns
        .iter()
        .map(|column| Html::element("th", &[("scope", "col")], Html::text(column)));
    let head = Html::element("tr", &[], head.collect()).line();
    let body: Html = rows
        .take(rows_max)
        .map(|cells| {
            let cells = cells.into_iter().map(|cell| Html::element("td", &[], cell));
            Html::element("tr", &[], cells.collect()).line()
        })
        .collect();
    let content = Html::element("caption", &[], Html::text(caption))
        .line()
        .and(Html::element("thead", &[], head))
        .and(Html::element("tbody", &[], Html::default().line().and(body)));
    let scrolled = [
        ("class", "wide"),
        ("role", "region"),
        ("aria-label", caption),
        // Who has no mouse scrolls with keys.
        ("tabindex", "0"),
    ];
    Html::element("div", &scrolled, Html::element("table", &[], content))
        .line()
        .and(left_out(more, "more rows are left out"))
}

/// How much is not shown, if anything is.
pub(super) fn left_out(more: usize, what: &str) -> Html {
    if more == 0 {
        return Html::default();
    }
    Html::of("p", "more", &format!("{more} {what}.")).line()
}

/// What opens when somebody asks for it.
pub(super) fn details(summary: &str, content: Html) -> Html {
    let summary = Html::element("summary", &[], Html::text(summary)).line();
    Html::element("details", &[], summary.and(content)).line()
}

/// A section with its heading.
pub(super) fn section(id: &str, level: &'static str, heading: &str, content: Html) -> Html {
    let heading_id = format!("{id}-heading");
    let heading = Html::element(level, &[("id", &heading_id)], Html::text(heading)).line();
    Html::element(
        "section",
        &[("id", id), ("aria-labelledby", &heading_id)],
        Html::default().line().and(heading).and(content),
    )
    .line()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        let hostile = "<script>\"&'\n\u{202e}]]>\u{1b}";
        let escaped = "&lt;script&gt;&quot;&amp;&#39;\\u{a}\\u{202e}]]&gt;\\u{1b}";
        assert_eq!(Html::text(hostile).0, escaped);
        let element = Html::element("a", &[("href", hostile)], Html::text(hostile)).0;
        assert_eq!(element, format!("<a href=\"{escaped}\">{escaped}</a>"));
    }

    #[test]
    fn a_long_name_is_cut_and_says_by_how_much() {
        let name = Html::name(&"é".repeat(312)).0;
        assert!(name.ends_with("</code> and 12 more characters"), "{name}");
        let text = Html::text(&"é".repeat(5_000)).0;
        assert!(text.ends_with("é and 1000 more characters"), "{text}");
        assert_eq!(Html::name("short").0, "<code>short</code>");
    }

    #[test]
    fn a_table_counts_the_rows_that_it_leaves_out() {
        let rows = (0..5).map(|row| vec![Html::value(row)]);
        let table = table("Rows", &["NUMBER"], rows, 2).0;
        assert_eq!(table.matches("<td>").count(), 2);
        assert!(
            table.ends_with("<p class=\"more\">3 more rows are left out.</p>\n"),
            "{table}"
        );
    }
}
