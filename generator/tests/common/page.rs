//! A reader of HTML that takes nothing but what a report has: what it does not know is an error, and so is anything that a
//! browser might read otherwise.

use std::collections::BTreeSet;

/// Elements of text, and of drawings.
const ELEMENTS: [&str; 39] = [
    "a",
    "article",
    "body",
    "caption",
    "circle",
    "code",
    "details",
    "div",
    "figcaption",
    "figure",
    "h1",
    "h2",
    "h3",
    "head",
    "header",
    "html",
    "li",
    "line",
    "main",
    "meta",
    "p",
    "polygon",
    "polyline",
    "rect",
    "section",
    "span",
    "strong",
    "style",
    "summary",
    "svg",
    "table",
    "tbody",
    "td",
    "text",
    "th",
    "thead",
    "title",
    "tr",
    "ul",
];

/// None of them loads anything or runs anything, but for `href`, which is looked at by itself.
const ATTRIBUTES: [&str; 36] = [
    "aria-hidden",
    "aria-label",
    "aria-labelledby",
    "charset",
    "class",
    "content",
    "cx",
    "cy",
    "dy",
    "fill",
    "font-family",
    "font-size",
    "height",
    "href",
    "http-equiv",
    "id",
    "lang",
    "name",
    "opacity",
    "points",
    "r",
    "role",
    "scope",
    "stroke",
    "stroke-width",
    "tabindex",
    "text-anchor",
    "transform",
    "viewBox",
    "width",
    "x",
    "x1",
    "x2",
    "y",
    "y1",
    "y2",
];

/// Elements that have no end.
const VOID: [&str; 1] = ["meta"];

#[derive(Debug)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, String)>,
}

impl Element {
    pub(crate) fn get(&self, attribute: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(name, _)| name == attribute);
        found.map(|(_, value)| value.as_str())
    }
}

/// What a browser makes of a page.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) elements: Vec<Element>,
    /// All text, each piece on a line of its own.
    pub(crate) text: String,
}

impl Page {
    /// Reads a report, and holds it against what every report promises.
    #[track_caller]
    pub(crate) fn read(html: &str) -> Self {
        let page = Self::parse(html).unwrap();
        page.keeps_its_promises();
        page
    }

    fn parse(html: &str) -> Result<Self, String> {
        if let Some(hidden) = html
            .chars()
            .find(|it| *it != '\n' && generator::printable(&it.to_string()) != it.to_string())
        {
            return Err(format!("{hidden:?} stands as it is"));
        }
        let mut rest = html.strip_prefix("<!doctype html>\n").ok_or("no doctype")?;
        let (mut page, mut open) = (Self::default(), Vec::<String>::new());
        while let Some((text, tag)) = rest.split_once('<') {
            page.text.push_str(&unescaped(text)?);
            page.text.push('\n');
            let (tag, after) = tag.split_once('>').ok_or("a tag without an end")?;
            rest = after;
            if let Some(name) = tag.strip_prefix('/') {
                if open.pop().as_deref() != Some(name) {
                    return Err(format!("</{name}> ends something else"));
                }
                continue;
            }
            let is_closed = tag.ends_with('/');
            let element = element(tag.strip_suffix('/').unwrap_or(tag))?;
            if element.name == "style" {
                // No entities in it: everything up to its end is style.
                rest = rest.split_once("</style>").ok_or("a style without an end")?.1;
            } else if !is_closed && !VOID.contains(&element.name.as_str()) {
                open.push(element.name.clone());
            }
            page.elements.push(element);
        }
        if open.is_empty() && rest == "\n" {
            Ok(page)
        } else {
            Err(format!("{open:?} do not end, or something follows: {rest:?}"))
        }
    }

    #[track_caller]
    fn keeps_its_promises(&self) {
        let mut ids = BTreeSet::new();
        for element in &self.elements {
            assert!(ELEMENTS.contains(&element.name.as_str()), "{element:?}");
            for (name, value) in &element.attributes {
                assert!(ATTRIBUTES.contains(&name.as_str()), "{element:?}");
                // Drawings take their colours from the page, and from nowhere else.
                assert!(!value.contains("url("), "{element:?}");
            }
            if let Some(id) = element.get("id") {
                assert!(ids.insert(id), "two elements are called {id}");
            }
        }
        for element in &self.elements {
            for link in ["href", "aria-labelledby"]
                .map(|name| element.get(name))
                .into_iter()
                .flatten()
            {
                let target = link.strip_prefix('#').unwrap_or(link);
                assert!(ids.contains(target), "{link} leads away");
            }
            assert!(
                element.get("href").is_none_or(|link| link.starts_with('#')),
                "{element:?}"
            );
        }
        let policy = self
            .elements
            .iter()
            .find(|it| it.get("http-equiv") == Some("Content-Security-Policy"));
        let policy = policy.and_then(|it| it.get("content")).unwrap();
        assert_eq!(
            policy,
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
        );
        let count = |name| self.elements.iter().filter(|it| it.name == name).count();
        assert_eq!(
            (count("h1"), count("main"), count("style"), count("title")),
            (1, 1, 1, 1)
        );
        assert_eq!(count("table"), count("caption"));
        assert_eq!(
            count("svg"),
            self.elements.iter().filter(|it| it.get("role") == Some("img")).count()
        );
    }
}

fn element(tag: &str) -> Result<Element, String> {
    let (name, mut rest) = tag.split_once(' ').unwrap_or((tag, ""));
    let mut attributes = Vec::new();
    while !rest.is_empty() {
        let (name, value) = rest.split_once("=\"").ok_or_else(|| format!("<{tag}>"))?;
        let (value, after) = value.split_once('"').ok_or_else(|| format!("<{tag}>"))?;
        attributes.push((name.to_owned(), unescaped(value)?));
        rest = after.strip_prefix(' ').unwrap_or(after);
    }
    Ok(Element {
        name: name.to_owned(),
        attributes,
    })
}

fn unescaped(text: &str) -> Result<String, String> {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, entity)) = rest.split_once('&') {
        let (entity, after) = entity.split_once(';').ok_or_else(|| format!("a lonely & in {text}"))?;
        let character = match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "#39" | "apos" => '\'',
            _ => return Err(format!("&{entity}; in {text}")),
        };
        plain.push_str(before);
        plain.push(character);
        rest = after;
    }
    // Of text, not of the page: `>` is escaped as well.
    if text.contains(['<', '>']) {
        return Err(format!("markup in {text}"));
    }
    plain.push_str(rest);
    Ok(plain)
}
