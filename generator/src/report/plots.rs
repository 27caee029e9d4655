//! Drawings, made by the plotting library as SVG that takes its colours from the page.
//!
//! They hold numbers, times and words of ours: names of workloads stand in the tables beside them.

use baselines::time::UtcTime;
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::error::Error;

/// About as wide as a telephone shows it, so that its text is read there without scaling.
const WIDTH: u32 = 360;
const HEIGHT: u32 = 230;
/// Beyond this the plotting library's axes are no use to anybody.
const VALUE_MAX: f64 = 1e15;
/// The library divides sizes of text by 1.24 when it writes SVG.
const TEXT: f64 = 11.0 * 1.24;

/// Colours that stand for the page's own, see [`COLOURS`]: no drawing means them.
const INK: RGBColor = RGBColor(1, 0, 0);
const LINE: RGBColor = RGBColor(1, 0, 1);
const FIRST: RGBColor = RGBColor(1, 0, 2);
const SECOND: RGBColor = RGBColor(1, 0, 3);
const BAD: RGBColor = RGBColor(1, 0, 4);

/// How the library writes a colour, and which of the page's it is.
const COLOURS: [(&str, &str); 5] = [
    ("\"#010000\"", "\"var(--muted)\""),
    ("\"#010001\"", "\"var(--line)\""),
    ("\"#010002\"", "\"var(--first)\""),
    ("\"#010003\"", "\"var(--second)\""),
    ("\"#010004\"", "\"var(--bad)\""),
];

/// A drawing as an `svg` element.
#[derive(Clone, Debug)]
pub(super) struct Drawing(String);

impl Drawing {
    pub(super) fn into_svg(self) -> String {
        self.0
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// A point of a curve.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
    /// The lower and the upper end of a band around it.
    pub(super) band: Option<(f64, f64)>,
}

/// When a container was seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) from: UtcTime,
    /// Until when it started up, if that was seen.
    pub(super) startup_until: Option<UtcTime>,
    pub(super) until: UtcTime,
}

/// A curve with a band where it was observed, and without one where it is an estimate.
pub(super) fn curve(points: &[Point], x: &'static str, y: &'static str) -> Result<Drawing, Error> {
    draw(WIDTH, HEIGHT, |area| {
        let (observed, estimated): (Vec<Point>, Vec<Point>) = points.iter().partition(|point| point.band.is_some());
        let widest = points.iter().map(|point| point.x).fold(1.0, f64::max);
        let tops = points
            .iter()
            .map(|point| point.band.map_or(point.y, |(_, upper)| upper));
        let highest = tops.fold(1.0, f64::max);
        let mut chart = ChartBuilder::on(area)
            .margin(6)
            .x_label_area_size(34)
            .y_label_area_size(52)
            .build_cartesian_2d(0.0..bounded(widest), 0.0..bounded(highest * 1.05))?;
        mesh(chart.configure_mesh().x_labels(5).x_label_formatter(&short), x, y)?;
        let ends = |end: fn((f64, f64)) -> f64| {
            let end = move |point: &Point| Some((bounded(point.x), bounded(end(point.band?))));
            observed.iter().filter_map(end).collect::<Vec<_>>()
        };
        let (lower, upper) = (ends(|(lower, _)| lower), ends(|(_, upper)| upper));
        let band: Vec<(f64, f64)> = lower.into_iter().chain(upper.into_iter().rev()).collect();
        if band.len() > 2 {
            chart.draw_series([Polygon::new(band, FIRST.mix(0.2).filled())])?;
        }
        let line = observed.iter().map(|point| (bounded(point.x), bounded(point.y)));
        chart.draw_series(LineSeries::new(line, FIRST.stroke_width(2)))?;
        let from_last = observed.last().copied().into_iter().chain(estimated);
        let line = from_last.map(|point| (bounded(point.x), bounded(point.y)));
        chart.draw_series(DashedLineSeries::new(line, 5, 4, FIRST.stroke_width(2)))?;
        Ok(())
    })
}

/// Ranks and counts, both on logarithmic axes.
pub(super) fn ranks(points: &[(u64, u64)]) -> Result<Drawing, Error> {
    draw(WIDTH, HEIGHT, |area| {
        let of = |(rank, count): &(u64, u64)| (at_least_one(*rank), at_least_one(*count));
        let points: Vec<(f64, f64)> = points.iter().map(of).collect();
        let widest = points.iter().map(|(x, _)| *x).fold(10.0, f64::max);
        let highest = points.iter().map(|(_, y)| *y).fold(10.0, f64::max);
        let mut chart = ChartBuilder::on(area)
            .margin(6)
            .x_label_area_size(34)
            .y_label_area_size(52)
            .build_cartesian_2d((1.0..widest * 1.1).log_scale(), (1.0..highest * 1.1).log_scale())?;
        mesh(
            chart.configure_mesh().x_labels(5).x_label_formatter(&short),
            "rank",
            "times seen",
        )?;
        chart.draw_series(LineSeries::new(points.iter().copied(), FIRST.stroke_width(2)))?;
        chart.draw_series(points.into_iter().map(|point| Circle::new(point, 3, FIRST.filled())))?;
        Ok(())
    })
}

/// When containers were seen, one above the other, their start-up in another colour.
pub(super) fn spans(spans: &[Span]) -> Result<Drawing, Error> {
    let Some((first, last)) = ends(spans.iter().flat_map(|span| [span.from, span.until])) else {
        return draw(WIDTH, 1, |_| Ok(()));
    };
    let rows = u32::try_from(spans.len()).unwrap_or(u32::MAX).min(100);
    draw(WIDTH, 50 + 9 * rows.max(4), |area| {
        let seconds = |time: UtcTime| time.since(first).as_secs_f64();
        let longest = bounded(seconds(last)).max(60.0);
        let mut chart = ChartBuilder::on(area)
            .margin(6)
            .margin_right(36)
            .x_label_area_size(34)
            .y_label_area_size(36)
            .build_cartesian_2d(0.0..longest, 0.0..f64::from(rows))?;
        let label = |second: &f64| time_label(first, last, *second);
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .x_labels(3)
            .x_label_formatter(&label)
            .x_desc("UTC")
            .axis_style(LINE)
            .bold_line_style(LINE)
            .light_line_style(TRANSPARENT)
            .label_style(("sans-serif", TEXT).into_font().color(&INK))
            .draw()?;
        for (row, span) in (0..rows).zip(spans) {
            let top = f64::from(rows - row);
            let bar = |from: UtcTime, until: UtcTime, colour: RGBColor| {
                // What is shorter than a pixel is shown as one.
                let (from, until) = (seconds(from), seconds(until).max(seconds(from) + longest / 150.0));
                Rectangle::new([(from, top - 0.15), (until, top - 0.85)], colour.filled())
            };
            chart.draw_series([bar(span.from, span.until, FIRST)])?;
            if let Some(until) = span.startup_until {
                chart.draw_series([bar(span.from, until.min(span.until), SECOND)])?;
            }
        }
        Ok(())
    })
}

/// How many behaviours had been seen by when: those of start-up, and the others. Both sorted.
pub(super) fn arrivals(startup: &[UtcTime], steady: &[UtcTime]) -> Result<Drawing, Error> {
    let Some((first, last)) = ends(startup.iter().chain(steady).copied()) else {
        return draw(WIDTH, 1, |_| Ok(()));
    };
    draw(WIDTH, HEIGHT, |area| {
        let seconds = |time: UtcTime| time.since(first).as_secs_f64();
        let longest = bounded(seconds(last)).max(60.0);
        let highest = real(startup.len().max(steady.len()));
        let mut chart = ChartBuilder::on(area)
            .margin(6)
            .margin_right(36)
            .x_label_area_size(34)
            .y_label_area_size(52)
            .build_cartesian_2d(0.0..longest, 0.0..bounded(highest * 1.05))?;
        let label = |second: &f64| time_label(first, last, *second);
        mesh(
            chart.configure_mesh().x_labels(3).x_label_formatter(&label),
            "UTC",
            "behaviours seen so far",
        )?;
        for (times, colour) in [(startup, SECOND), (steady, FIRST)] {
            let mut line = vec![(0.0, 0.0)];
            for (time, count) in thinned(times) {
                let before = line.last().map_or(0.0, |(_, y)| *y);
                line.extend([(seconds(time), before), (seconds(time), real(count))]);
            }
            line.push((longest, real(times.len())));
            chart.draw_series(LineSeries::new(line, colour.stroke_width(2)))?;
        }
        Ok(())
    })
}

/// Two bars for each label, the second one within the first.
pub(super) fn bars(labels: &[&'static str], pairs: &[(u64, u64)], y: &'static str) -> Result<Drawing, Error> {
    draw(WIDTH, 150, |area| {
        let highest = pairs.iter().map(|(outer, _)| at_least_one(*outer)).fold(1.0, f64::max);
        let mut chart = ChartBuilder::on(area)
            .margin(6)
            .x_label_area_size(20)
            .y_label_area_size(52)
            .build_cartesian_2d(0.0..real(pairs.len()), 0.0..highest * 1.05)?;
        mesh(chart.configure_mesh().disable_x_mesh().disable_x_axis(), "", y)?;
        for (place, &(outer, inner)) in pairs.iter().enumerate() {
            let left = real(place);
            let bar = |height: u64, colour: RGBColor, alpha| {
                let height = bounded(at_least_one(height)).min(highest);
                Rectangle::new([(left + 0.1, 0.0), (left + 0.9, height)], colour.mix(alpha).filled())
            };
            if outer > 0 {
                chart.draw_series([bar(outer, FIRST, 0.3)])?;
            }
            if inner > 0 {
                chart.draw_series([bar(inner, FIRST, 1.0)])?;
            }
        }
        let style = ("sans-serif", TEXT).into_font().color(&INK);
        let every = labels.len().div_ceil(8).max(1);
        let plotted = chart.plotting_area();
        for (place, label) in labels.iter().enumerate().step_by(every) {
            let (x, y) = plotted.map_coordinate(&(real(place) + 0.1, 0.0));
            area.draw(&Text::new(*label, (x, y + 5), style.clone()))?;
        }
        Ok(())
    })
}

/// What was recorded and what was lost, each as wide as its share; a loss is never too narrow to be seen.
pub(super) fn strip(recorded: u64, lost: &[u64]) -> Result<Drawing, Error> {
    draw(WIDTH, 28, |area| {
        let all = lost
            .iter()
            .fold(at_least_one(recorded), |sum, lost| sum + at_least_one(*lost));
        let width = f64::from(WIDTH) - 4.0;
        let mut right = width + 2.0;
        for (place, lost) in lost.iter().enumerate() {
            let left = (right - (at_least_one(*lost) / all * width).max(4.0)).max(2.0);
            let colour = BAD.mix(if place % 2 == 0 { 1.0 } else { 0.6 });
            area.draw(&Rectangle::new([(pixel(left), 4), (pixel(right), 24)], colour.filled()))?;
            right = left;
        }
        area.draw(&Rectangle::new([(2, 4), (pixel(right), 24)], FIRST.filled()))?;
        Ok(())
    })
}

/// The axes and lines that most drawings have.
fn mesh<X, Y>(
    mesh: &mut plotters::chart::MeshStyle<'_, '_, X, Y, SVGBackend<'_>>,
    x: &'static str,
    y: &'static str,
) -> Drawn
where
    X: Ranged<ValueType = f64> + plotters::coord::ranged1d::ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + plotters::coord::ranged1d::ValueFormatter<f64>,
{
    mesh.y_labels(5)
        .y_label_formatter(&short)
        .axis_style(LINE)
        .bold_line_style(LINE)
        .light_line_style(TRANSPARENT)
        .label_style(("sans-serif", TEXT).into_font().color(&INK))
        .x_desc(x)
        .y_desc(y)
        .draw()?;
    Ok(())
}

fn draw(width: u32, height: u32, draw: impl FnOnce(&Area<'_>) -> Drawn) -> Result<Drawing, Error> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
        draw(&area).and_then(|()| Ok(area.present()?)).map_err(Error::Plot)?;
    }
    // The size is the page's to choose.
    let sized = format!("<svg width=\"{width}\" height=\"{height}\" ");
    let mut svg =
        svg.replacen(&sized, "<svg aria-hidden=\"true\" ", 1)
            .replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1);
    for (theirs, ours) in COLOURS {
        svg = svg.replace(theirs, ours);
    }
    Ok(Drawing(svg))
}

/// The first and the last of some moments.
fn ends(times: impl Iterator<Item = UtcTime> + Clone) -> Option<(UtcTime, UtcTime)> {
    Some((times.clone().min()?, times.max()?))
}

/// The date where there are several, else the time of day.
fn time_label(first: UtcTime, last: UtcTime, second: f64) -> String {
    const DAY: std::time::Duration = std::time::Duration::from_hours(24);
    let after = std::time::Duration::try_from_secs_f64(second).unwrap_or_default();
    let text = first.after(after).to_string();
    let length = last.since(first);
    // 2026-11-21T09:30:00Z
    let part = if length > 10 * DAY {
        5..10
    } else if length > DAY {
        5..16
    } else if length > DAY / 24 {
        11..16
    } else {
        11..19
    };
    text.get(part).unwrap_or_default().replace('T', " ")
}

/// A number on an axis: `0.5`, `120`, `20k`, `3M`.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the plotting library asks for a reference"
)]
fn short(value: &f64) -> String {
    let units = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    // Up to ten thousand there is room for all of it.
    let unit = units.into_iter().find(|(size, _)| *value >= f64::max(*size, 1e4));
    let (value, unit) = unit.map_or((*value, ""), |(size, unit)| (value / size, unit));
    let text = format!("{value:.1}");
    format!("{}{unit}", text.strip_suffix(".0").unwrap_or(&text))
}

/// At most 200 of them, evenly spaced, each with how many there are up to it.
fn thinned(times: &[UtcTime]) -> impl Iterator<Item = (UtcTime, usize)> {
    let step = times.len().div_ceil(200).max(1);
    let all = times.iter().enumerate().map(|(index, time)| (*time, index + 1));
    all.filter(move |(_, count)| count % step == 0)
}

/// A value that an axis can end at.
fn bounded(value: f64) -> f64 {
    if value.is_finite() {
        value.clamp(1e-3, VALUE_MAX)
    } else {
        VALUE_MAX
    }
}

#[expect(clippy::cast_precision_loss, reason = "a drawing has fewer digits than this loses")]
fn at_least_one(count: u64) -> f64 {
    (count.max(1) as f64).min(VALUE_MAX)
}

#[expect(clippy::cast_precision_loss, reason = "a drawing has fewer digits than this loses")]
const fn real(count: usize) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the cast saturates, and drawings are small"
)]
fn pixel(place: f64) -> i32 {
    place.round() as i32
}
