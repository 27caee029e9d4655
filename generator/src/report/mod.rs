//! One page for people: what images did, what of it waits for a decision, and how much has been seen.
//!
//! The page is one file that loads nothing, from anywhere: no script, no style, no font, no picture. What names it shows come
//! from workloads, so they are text and nothing else (`markup`), and what it shows is bounded, with a count of what it leaves out.
//!
//! | file | question it answers |
//! |---|---|
//! | `markup` | How is a name kept from being markup? |
//! | `plots` | How are drawings made that fit into the page? |
//! | `findings` | What waits for a decision? |
//! | `activity` | How much has been seen, how busy was it, and when? |
//! | `processes` | Which program executed which? |
//! | `lists` | What was done, who was reached, and what do generalised paths cost? |

mod activity;
mod findings;
mod lists;
mod markup;
mod plots;
mod processes;

use baselines::document::{Baseline, Behaviours, Number};
use baselines::redaction::MARKER;
use baselines::risks::Catalogue;
use baselines::time::UtcTime;

use crate::error::Error;
use crate::evidence::counted;
use crate::risks::Risks;
use markup::{Html, left_out, section, table};

/// What every report begins with.
pub const HEAD: &str = include_str!("head.html");
const STYLE: &str = include_str!("style.css");

/// How many images a report shows.
const IMAGES_MAX: usize = 200;

/// One image of a report.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    /// Its baseline.
    pub baseline: &'a Baseline,
    /// Its findings, and what was decided about them.
    pub risks: &'a Risks,
}

/// Whether decisions of people are among what is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecisionsRead {
    /// They were looked for beside the baselines.
    Yes,
    /// They were not looked for: there are recordings only.
    No,
}

/// The page: the same to the byte for the same images, catalogue and moment (decisions end at some).
///
/// # Errors
/// [`Error::Plot`] where the plotting library cannot draw.
pub fn html(images: &[Image<'_>], catalogue: &Catalogue, read: DecisionsRead, now: UtcTime) -> Result<String, Error> {
    let shown = images.get(..IMAGES_MAX).unwrap_or(images);
    let (cards, open) = findings::open(images, catalogue, now);
    let mut main = Html::default();
    let decisions = match (open, read) {
        (0, DecisionsRead::Yes) => Html::paragraph("Nothing waits for a decision."),
        (0, DecisionsRead::No) => Html::paragraph("Nothing that was found needs a decision."),
        (_, DecisionsRead::Yes) => cards,
        (_, DecisionsRead::No) => Html::paragraph(
            "Decisions were not read: they are kept beside baselines. All findings are shown as undecided.",
        )
        .and(cards),
    };
    main.push(section(
        "decisions",
        "h2",
        &format!("{} for a decision", waits(open)),
        decisions,
    ));
    main.push(section(
        "images",
        "h2",
        &counted(images.len(), "image"),
        overview(shown, now),
    ));
    main.push(left_out(
        images.len() - shown.len(),
        "more images are left out: make a report of fewer",
    ));
    for (number, image) in shown.iter().enumerate() {
        main.push(of_image(number, image, catalogue, now)?);
    }
    let title = format!("What containers did: {}", counted(images.len(), "image"));
    let header = Html::element("h1", &[], Html::text(&title))
        .line()
        .and(Html::of("p", "quiet", &told(images, now)).line());
    let body = Html::element("header", &[], Html::default().line().and(header))
        .line()
        .and(Html::element("main", &[], Html::default().line().and(main)))
        .line();
    Ok(Html::page(HEAD, &Html::text(&title), STYLE, &body))
}

fn waits(open: usize) -> String {
    match open {
        0 => "Nothing waits".to_owned(),
        1 => "1 risk waits".to_owned(),
        _ => format!("{open} risks wait"),
    }
}

/// What the report is made of, and as of when.
fn told(images: &[Image<'_>], now: UtcTime) -> String {
    let all = || {
        images
            .iter()
            .flat_map(|image| [&image.baseline.behaviours, &image.baseline.not_learned])
    };
    let evidence = || all().flat_map(Behaviours::all).map(|(_, evidence)| evidence);
    let seen = evidence()
        .map(|it| it.first_seen)
        .min()
        .zip(evidence().map(|it| it.last_seen).max());
    let seen = seen.map_or_else(
        || "Nothing was seen.".to_owned(),
        |(first, last)| format!("Seen from {first} to {last}."),
    );
    let hidden = all()
        .flat_map(Behaviours::all)
        .filter(|(behaviour, _)| behaviour.to_string().contains(MARKER))
        .count();
    let hidden = match hidden {
        0 => "No part of a behaviour was hidden when it was recorded.".to_owned(),
        _ => format!(
            "Of {}, a part was hidden when it was recorded: {MARKER} stands for it.",
            counted(hidden, "behaviour")
        ),
    };
    format!("{seen} Decisions as of {}. {hidden} Times are UTC.", now.whole_second())
}

/// One row an image.
fn overview(images: &[Image<'_>], now: UtcTime) -> Html {
    let rows = images.iter().enumerate().map(|(number, image)| {
        let baseline = image.baseline;
        let coverage = baseline.coverage.as_ref();
        let state = coverage.map_or("unknown", |coverage| coverage.state.word());
        let lost = baseline
            .losses
            .iter()
            .fold(0_u64, |sum, loss| sum.saturating_add(loss.count));
        let name = Html::name(&baseline.image.to_string());
        vec![
            link(number, name),
            Html::text(state),
            Html::value(image.risks.open(baseline, now)),
            Html::value(baseline.containers.len()),
            Html::value(baseline.behaviours.all().count()),
            Html::value(lost),
        ]
    });
    let columns = ["IMAGE", "STATE", "RISKS TO DECIDE", "CONTAINERS", "BEHAVIOURS", "LOST"];
    table("Images", &columns, rows, IMAGES_MAX)
}

fn of_image(number: usize, image: &Image<'_>, catalogue: &Catalogue, now: UtcTime) -> Result<Html, Error> {
    let baseline = image.baseline;
    let containers = baseline.containers.len();
    let id = |part: &str| format!("image-{number}{part}");
    let mut content = Html::default();
    let parts = [
        ("-coverage", "How much has been seen", activity::coverage(baseline)),
        ("-losses", "What is missing", activity::losses(baseline)?),
        ("-figures", "When and how much", activity::drawings(baseline)?),
        ("-risks", "Other risks", findings::others(image, catalogue, now)),
        (
            "-processes",
            "Which program executed which",
            processes::tree(&baseline.behaviours.exec, containers),
        ),
        (
            "-peers",
            "Whom it reached",
            lists::peers(&baseline.behaviours, containers),
        ),
        (
            "-templates",
            "Generalised paths and their price",
            lists::templates(&baseline.templates),
        ),
    ];
    for (part, heading, html) in parts {
        if html != Html::default() {
            content.push(section(&id(part), "h3", heading, html));
        }
    }
    let learned = lists::behaviours("Learned", &baseline.behaviours, containers);
    let not_learned = lists::behaviours("Not learned", &baseline.not_learned, containers);
    let all = learned.and(not_learned).and(lists::sources(baseline));
    content.push(section(&id("-behaviours"), "h3", "Everything that was seen", all));
    Ok(section(&id(""), "h2", &baseline.image.to_string(), content))
}

/// A link to an image of this number, if it is shown.
fn link(number: usize, name: Html) -> Html {
    if number < IMAGES_MAX {
        Html::element("a", &[("href", &format!("#image-{number}"))], name)
    } else {
        name
    }
}

/// `2 of 3`: in how many containers something was seen, of all that ran the image.
fn share(seen_in: u64, containers: usize) -> String {
    format!("{seen_in} of {containers}")
}

/// To two decimals; what would be nothing then, as it is.
fn rounded(number: Number) -> String {
    let number = number.get();
    if number > 0.0 && number < 0.01 {
        return number.to_string();
    }
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn spell<T: Copy>(values: &[T], word: impl Fn(T) -> &'static str) -> String {
    let words: Vec<&str> = values.iter().map(|value| word(*value)).collect();
    words.join(", ")
}
