//! The comparison as an SVG: rates and 99th percentiles side by side, by number of connections.
//!
//! Draws what a [`Document`] has of the scenarios `spread` and `hot`, and leaves out what it lacks. Where the drawing
//! goes is left to the program `report`.

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::table::grouped;
use super::{Document, Measurement};

const SIZE: (u32, u32) = (1_080, 720);
/// Subject, name, colour.
const SUBJECTS: [(&str, &str, RGBColor); 3] = [
    ("empty", "empty handler", RGBColor(156, 163, 175)),
    ("wallex", "wallex", RGBColor(37, 99, 235)),
    ("postgres", "Postgres", RGBColor(217, 119, 6)),
];
const INK: RGBColor = RGBColor(31, 41, 55);
const LINES: RGBColor = RGBColor(229, 231, 235);
/// Width of a bar, where the groups are one apart.
const BAR: f64 = 0.27;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;

/// What a panel shows, and of which measurements.
struct Panel {
    title: &'static str,
    scenario: &'static str,
    value: fn(&Measurement) -> f64,
    label: fn(f64) -> String,
}

const PANELS: [Panel; 4] = [
    Panel {
        title: "spread over 10,000 wallets: transfers/s",
        scenario: "spread",
        value: |one| one.per_second,
        label: rate,
    },
    Panel { title: "one hot wallet: transfers/s", scenario: "hot", value: |one| one.per_second, label: rate },
    Panel { title: "spread over 10,000 wallets: p99, ms", scenario: "spread", value: |one| one.p99_ms, label: millis },
    Panel { title: "one hot wallet: p99, ms", scenario: "hot", value: |one| one.p99_ms, label: millis },
];

fn rate(value: f64) -> String {
    if value < 9_950.0 { format!("{:.1}k", value / 1e3) } else { format!("{:.0}k", value / 1e3) }
}

fn millis(value: f64) -> String {
    if value < 9.95 { format!("{value:.1}") } else { grouped(value) }
}

/// Draws the comparison.
///
/// # Errors
/// What the drawing library says.
pub fn draw(document: &Document) -> Result<String, Box<dyn Error>> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let (head, body) = root.split_vertically(44);
        legend(&head)?;
        for (area, panel) in body.split_evenly((2, 2)).iter().zip(&PANELS) {
            draw_panel(document, panel, area)?;
        }
        root.present()?;
    }
    Ok(svg)
}

fn legend(area: &Area<'_>) -> Drawn {
    let style = TextStyle::from(("sans-serif", 15).into_font()).color(&INK).pos(Pos::new(HPos::Left, VPos::Center));
    let mut left = 40;
    for (_, name, colour) in SUBJECTS {
        area.draw(&Rectangle::new([(left, 16), (left + 14, 30)], colour.filled()))?;
        area.draw(&Text::new(name, (left + 20, 23), style.clone()))?;
        left += 150;
    }
    area.draw(&Text::new("over 1, 16, 64 and 256 connections; durable; one machine, one run", (left, 23), style))?;
    Ok(())
}

fn draw_panel(document: &Document, panel: &Panel, area: &Area<'_>) -> Drawn {
    let connections = document.connections(panel.scenario);
    // The empty handler has no wallets, so it is the same beside both scenarios.
    let value = |subject: &str, connections: u32| {
        let scenario = if subject == "empty" { "spread" } else { panel.scenario };
        document.find(subject, scenario, connections).map(panel.value)
    };
    let all = connections.iter().flat_map(|count| SUBJECTS.map(|(subject, ..)| value(subject, *count)));
    let top = all.flatten().fold(0.0_f64, f64::max) * 1.12;
    if connections.is_empty() || top <= 0.0 {
        return Ok(());
    }
    let title = TextStyle::from(("sans-serif", 16).into_font()).color(&INK);
    let mut chart = ChartBuilder::on(area)
        .margin(14)
        .caption(panel.title, title)
        .x_label_area_size(26)
        .y_label_area_size(52)
        .build_cartesian_2d(-0.5..connections.len() as f64 - 0.5, 0.0..top)?;
    let name = |at: &f64| {
        let index = at.round();
        let known = (at - index).abs() < 0.01 && index >= 0.0;
        known.then(|| connections.get(index as usize)).flatten().map_or_else(String::new, u32::to_string)
    };
    let small = TextStyle::from(("sans-serif", 13).into_font()).color(&INK);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(LINES)
        .axis_style(LINES)
        .x_labels(2 * connections.len() + 1)
        .x_label_formatter(&name)
        .x_label_style(small.clone())
        .y_labels(5)
        .y_label_formatter(&|value| if *value == 0.0 { "0".to_owned() } else { (panel.label)(*value) })
        .y_label_style(small)
        .draw()?;
    let above = TextStyle::from(("sans-serif", 12).into_font()).color(&INK).pos(Pos::new(HPos::Center, VPos::Bottom));
    for (group, count) in connections.iter().enumerate() {
        for (at, (subject, _, colour)) in SUBJECTS.into_iter().enumerate() {
            let Some(value) = value(subject, *count) else { continue };
            let left = group as f64 + (at as f64 - 1.5) * BAR;
            chart.draw_series([Rectangle::new([(left, 0.0), (left + BAR * 0.92, value)], colour.filled())])?;
            let place = (left + BAR * 0.46, value);
            chart.draw_series([Text::new((panel.label)(value), place, above.clone())])?;
        }
    }
    Ok(())
}
