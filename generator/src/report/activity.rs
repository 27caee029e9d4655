//! How much has been seen, how busy the containers were, and when: numbers and drawings.

use std::cmp::Reverse;

use baselines::behaviour::Phase;
use baselines::coverage::State;
use baselines::document::{Baseline, Behaviours, CurvePoint, Loss, Number, PhaseCoverage, Reliability, Statistics};
use baselines::time::UtcTime;

use super::markup::{Html, left_out, table};
use super::plots::{self, Drawing, Point, Span};
use crate::error::Error;

/// How many containers the timeline has.
const SPANS_MAX: usize = 40;
/// How many pieces of lost observations the strip has, beside one for all others.
const PIECES_MAX: usize = 19;
/// How many reasons of losses a list has, and how many windows.
const LOSSES_MAX: usize = 100;

/// Whether enough was seen, what would help, and the numbers of both phases.
pub(super) fn coverage(baseline: &Baseline) -> Html {
    let Some(coverage) = &baseline.coverage else {
        let badge = Html::of("span", "badge bad", State::Unknown.word());
        let why = Html::text(" How much has been seen was not estimated by the program that made this document.");
        return Html::element("p", &[], badge.and(why)).line();
    };
    let class = if coverage.state == State::Ready {
        "badge good"
    } else {
        "badge bad"
    };
    let badge = Html::of("span", class, coverage.state.word());
    let advice = Html::element("p", &[], badge.and(Html::text(" ")).and(Html::text(&coverage.advice))).line();
    let criteria = &coverage.criteria;
    let criteria = format!(
        "Ready takes {} at the lower end of both intervals, for {} hours, with {} starts on {} dates.",
        criteria.target.get(),
        criteria.held_hours,
        criteria.starts,
        criteria.dates
    );
    let phases = [
        ("startup", Some(&coverage.startup)),
        ("steady", coverage.steady.as_ref()),
    ];
    let phases: Vec<_> = phases
        .into_iter()
        .filter_map(|(name, phase)| Some((name, phase?)))
        .collect();
    let rows = phases.into_iter().map(|(name, phase)| numbers(name, phase));
    let columns = [
        "PHASE",
        "COVERAGE",
        "95 % INTERVAL",
        "UNITS",
        "CLUSTERS",
        "BEHAVIOURS",
        "AT LEAST THERE ARE",
        "NEW IN THE NEXT UNIT",
        "UNITS NEEDED",
        "RELIABILITY",
        "HELD SINCE",
    ];
    advice
        .and(table("Both phases", &columns, rows, 2))
        .and(Html::of("p", "quiet", &criteria).line())
}

fn numbers(name: &'static str, phase: &PhaseCoverage) -> Vec<Html> {
    let number = |number: Option<Number>| Html::text(&number.map_or_else(|| "-".to_owned(), |it| it.get().to_string()));
    let interval = phase.interval.as_ref().map_or_else(
        || "-".to_owned(),
        |it| format!("{} to {}", it.lower.get(), it.upper.get()),
    );
    let needed = phase.units_needed.map_or_else(
        || "-".to_owned(),
        |it| format!("{}{}", if it.or_more { "more than " } else { "" }, it.units),
    );
    let reliability = phase.reliability.map_or("-", |it| match it {
        Reliability::Reliable => "reliable",
        Reliability::Unreliable => "unreliable",
        Reliability::Unknown => "unknown",
    });
    vec![
        Html::text(name),
        number(phase.estimate),
        Html::text(&interval),
        Html::value(phase.units),
        Html::value(phase.clusters),
        Html::value(phase.behaviours),
        number(phase.behaviours_at_least),
        number(phase.new_in_next_unit),
        Html::text(&needed),
        Html::text(reliability),
        Html::text(&phase.held_since.map_or_else(|| "-".to_owned(), |it| it.to_string())),
    ]
}

/// What is known to be missing, beside what was recorded.
pub(super) fn losses(baseline: &Baseline) -> Result<Html, Error> {
    if baseline.losses.is_empty() && baseline.uncounted_losses.is_empty() {
        return Ok(Html::paragraph("Nothing is known to be missing."));
    }
    let all = [&baseline.behaviours, &baseline.not_learned];
    let recorded = all
        .into_iter()
        .flat_map(Behaviours::all)
        .fold(0_u64, |sum, (_, evidence)| sum.saturating_add(evidence.count));
    let mut counts: Vec<u64> = baseline.losses.iter().map(|loss| loss.count).collect();
    let lost = counts.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
    counts.sort_unstable_by_key(|&count| Reverse(count));
    // The smallest ones together are one piece.
    let rest = counts.split_off(counts.len().min(PIECES_MAX));
    if !rest.is_empty() {
        counts.push(rest.iter().fold(0, |sum, count| count.saturating_add(sum)));
    }
    let caption = format!("{recorded} observations were recorded, and {lost} are known to be lost");
    let mut html = figure(plots::strip(recorded, &counts)?, &caption);
    let row = |loss: &Loss| {
        let container = loss
            .container
            .as_deref()
            .map_or_else(|| Html::text("not known"), Html::name);
        vec![Html::text(loss.reason.word()), Html::value(loss.count), container]
    };
    let rows = baseline.losses.iter().map(row);
    html.push(table(
        "Losses",
        &["REASON", "OBSERVATIONS", "CONTAINER"],
        rows,
        LOSSES_MAX,
    ));
    for why in baseline.uncounted_losses.iter().take(LOSSES_MAX) {
        let why = Html::text("Not counted: ").and(Html::name(why));
        html.push(Html::element("p", &[], why).line());
    }
    let more = baseline.uncounted_losses.len().saturating_sub(LOSSES_MAX);
    Ok(html.and(left_out(more, "more windows that could miss something are left out")))
}

/// All drawings of an image, as far as its document has the numbers.
pub(super) fn drawings(baseline: &Baseline) -> Result<Html, Error> {
    let mut figures = Html::default();
    if let Some(statistics) = &baseline.statistics {
        figures.push(busy(statistics));
        let accumulation = &statistics.accumulation;
        let phases = [
            ("starts", "startup", &accumulation.startup),
            ("ten minutes of a container", "steady", &accumulation.steady),
        ];
        for (units, name, points) in phases {
            figures.push(curve(units, name, points)?);
        }
        let ranks: Vec<(u64, u64)> = statistics.rank_frequency.iter().map(|it| (it.rank, it.count)).collect();
        if !ranks.is_empty() {
            let caption = "How often behaviours were seen, the most frequent one first";
            figures.push(figure(plots::ranks(&ranks)?, caption));
        }
    }
    figures.push(timeline(baseline)?);
    if let Some(statistics) = &baseline.statistics {
        figures.push(calendar(statistics)?);
    }
    Ok(Html::element("div", &[("class", "figures")], Html::default().line().and(figures)).line())
}

fn busy(statistics: &Statistics) -> Html {
    let activity = &statistics.activity;
    let facts = [
        ("container-hours watched", statistics.container_hours),
        ("executions in an hour of a container", activity.execs),
        ("opens", activity.opens),
        ("connections", activity.connects),
    ];
    let facts = facts.map(|(name, number)| {
        let number = Html::of("strong", "number", &super::rounded(number));
        Html::element("li", &[], number.and(Html::text(" ")).and(Html::text(name))).line()
    });
    let heading = Html::of("p", "label", "Activity");
    let list = Html::element(
        "ul",
        &[("class", "facts")],
        Html::default().line().and(facts.into_iter().collect()),
    );
    Html::element("div", &[("class", "figure")], heading.and(list)).line()
}

fn curve(units: &'static str, name: &'static str, points: &[CurvePoint]) -> Result<Html, Error> {
    let Some(last) = points.iter().rfind(|point| point.band.is_some()) else {
        return Ok(Html::default());
    };
    let caption = format!(
        "Behaviours over {units} ({name}): {} in {}. The band holds 95 %, the dashed part is an estimate",
        last.behaviours.get(),
        last.units
    );
    let point = |point: &CurvePoint| Point {
        x: exact(point.units),
        y: point.behaviours.get(),
        band: point.band.as_ref().map(|band| (band.lower.get(), band.upper.get())),
    };
    let points: Vec<Point> = points.iter().map(point).collect();
    Ok(figure(plots::curve(&points, units, "behaviours")?, &caption))
}

/// When containers were there, and when behaviours were seen for the first time.
fn timeline(baseline: &Baseline) -> Result<Html, Error> {
    let mut containers: Vec<_> = baseline.containers.iter().collect();
    containers.sort_by_key(|container| container.first_seen);
    let more = containers.len().saturating_sub(SPANS_MAX);
    let spans = containers.iter().take(SPANS_MAX).map(|container| Span {
        from: container.first_seen,
        startup_until: container.startup_until,
        until: container.last_seen.max(container.first_seen),
    });
    let spans: Vec<Span> = spans.collect();
    let mut html = Html::default();
    if let Some(first) = spans.iter().map(|span| span.from).min() {
        let left_out = if more > 0 {
            format!("; {more} more are left out")
        } else {
            String::new()
        };
        let caption = format!("Containers from {first} on, the first one at the top{left_out}");
        let legend = legend(&[("second", "starting up"), ("first", "running")]);
        html.push(figure_with(plots::spans(&spans)?, &caption, legend));
    }
    let (mut startup, mut steady): (Vec<UtcTime>, Vec<UtcTime>) = (Vec::new(), Vec::new());
    for (_, evidence) in baseline.behaviours.all() {
        if evidence.phases.contains(&Phase::Startup) {
            startup.push(evidence.first_seen);
        } else {
            steady.push(evidence.first_seen);
        }
    }
    startup.sort_unstable();
    steady.sort_unstable();
    if startup.len() + steady.len() > 0 {
        let caption =
            "When behaviours were seen for the first time: where the lines go on rising, there is more to come";
        let legend = legend(&[("second", "seen in startup"), ("first", "steady only")]);
        html.push(figure_with(plots::arrivals(&startup, &steady)?, caption, legend));
    }
    Ok(html)
}

fn calendar(statistics: &Statistics) -> Result<Html, Error> {
    const HOURS: [&str; 24] = [
        "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17", "18", "19",
        "20", "21", "22", "23",
    ];
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let calendar = &statistics.calendar;
    let by_hour: Vec<(u64, u64)> = calendar
        .watched_by_hour
        .0
        .into_iter()
        .zip(calendar.active_by_hour.0)
        .collect();
    let by_day = calendar
        .watched_by_weekday
        .0
        .into_iter()
        .zip(calendar.active_by_weekday.0);
    let by_day: Vec<(u64, u64)> = by_day.collect();
    let starts: Vec<(u64, u64)> = calendar.starts.iter().map(|it| (it.starts, it.starts)).collect();
    let both = || legend(&[("first faint", "watched"), ("first", "did something")]);
    let caption = |what: &str, seen: &[(u64, u64)]| {
        let seen = seen.iter().filter(|(watched, _)| *watched > 0).count();
        format!("{what} (UTC): {seen} of them were watched")
    };
    let hours = caption("Hours of the day", &by_hour);
    let days = caption("Days of the week", &by_day);
    let mut html = figure_with(plots::bars(&HOURS, &by_hour, "dates")?, &hours, both());
    html.push(figure_with(plots::bars(&DAYS, &by_day, "dates")?, &days, both()));
    if let (Some(first), Some(last)) = (calendar.starts.first(), calendar.starts.last()) {
        let date = |time: UtcTime| time.to_string().get(..10).unwrap_or_default().to_owned();
        let caption = format!(
            "Starts that were seen, on the dates that had any, from {} to {}; {} earlier",
            date(first.day),
            date(last.day),
            calendar.earlier_starts
        );
        html.push(figure(plots::bars(&[], &starts, "starts")?, &caption));
    }
    Ok(html)
}

/// What colours stand for, by the class of a mark.
fn legend(of: &[(&'static str, &'static str)]) -> Html {
    let marks = of.iter().map(|(class, meaning)| {
        let mark = Html::element(
            "span",
            &[("class", &format!("mark {class}")), ("aria-hidden", "true")],
            Html::default(),
        );
        mark.and(Html::text(&format!(" {meaning} ")))
    });
    Html::element("p", &[("class", "legend")], marks.collect()).line()
}

fn figure(drawing: Drawing, caption: &str) -> Html {
    figure_with(drawing, caption, Html::default())
}

/// A drawing that says in words what it shows.
fn figure_with(drawing: Drawing, caption: &str, legend: Html) -> Html {
    let drawing = Html::element(
        "div",
        &[("role", "img"), ("aria-label", caption)],
        Html::drawing(drawing),
    );
    let caption = Html::element("figcaption", &[], Html::text(caption)).line();
    Html::element("figure", &[("class", "figure")], caption.and(drawing).and(legend)).line()
}

#[expect(clippy::cast_precision_loss, reason = "a drawing has fewer digits than this loses")]
const fn exact(units: u64) -> f64 {
    units as f64
}
