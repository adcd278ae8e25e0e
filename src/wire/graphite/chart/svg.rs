//! A scene as an SVG document.

use std::fmt::Write as _;

use super::color::Color;
use super::scene::{Anchor, Scene, Shape};

pub(super) fn write(scene: &Scene) -> String {
    let (width, height) = (scene.width, scene.height);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"DejaVu Sans, Verdana, sans-serif\">\n"
    );
    for shape in &scene.shapes {
        push_shape(&mut out, shape);
    }
    out.push_str("</svg>\n");
    out
}

fn push_shape(out: &mut String, shape: &Shape) {
    // Writing to a string cannot fail.
    let _ = match shape {
        Shape::Rectangle { at: [x, y, width, height], fill } => writeln!(
            out,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"{}/>",
            short(*x),
            short(*y),
            short(*width),
            short(*height),
            paint("fill", *fill)
        ),
        Shape::Line { points, pen } => {
            let dash = pen.dash.map_or(String::new(), |dash| {
                format!(" stroke-dasharray=\"{0},{0}\"", short(dash))
            });
            writeln!(
                out,
                "<polyline points=\"{}\" fill=\"none\"{} stroke-width=\"{}\"{dash} \
                 stroke-linejoin=\"round\"/>",
                list(points),
                paint("stroke", pen.color),
                short(pen.width)
            )
        }
        Shape::Area { points, fill } => {
            writeln!(out, "<polygon points=\"{}\"{}/>", list(points), paint("fill", *fill))
        }
        Shape::Text { at: (x, y), text, size, color, anchor, upright } => {
            let anchor = match anchor {
                Anchor::Start => "start",
                Anchor::Middle => "middle",
                Anchor::End => "end",
            };
            let (x, y) = (short(*x), short(*y));
            let turn = match upright {
                true => format!(" transform=\"rotate(-90 {x} {y})\""),
                false => String::new(),
            };
            writeln!(
                out,
                "<text x=\"{x}\" y=\"{y}\" font-size=\"{}\" text-anchor=\"{anchor}\"{}{turn}>{}\
                 </text>",
                short(*size),
                paint("fill", *color),
                escaped(text)
            )
        }
    };
}

/// At most two decimals, and none that are zero.
fn short(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn list(points: &[(f64, f64)]) -> String {
    let mut out = String::with_capacity(points.len() * 12);
    for (x, y) in points {
        let space = if out.is_empty() { "" } else { " " };
        let _ = write!(out, "{space}{},{}", short(*x), short(*y));
    }
    out
}

fn paint(attribute: &str, color: Color) -> String {
    let Color { red, green, blue, alpha } = color;
    let mut out = format!(" {attribute}=\"#{red:02x}{green:02x}{blue:02x}\"");
    if alpha < 1.0 {
        let _ = write!(out, " {attribute}-opacity=\"{}\"", short(alpha));
    }
    out
}

/// Names of series are anybody's text.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML has no way to write these.
            _ if letter.is_control() => out.push('\u{fffd}'),
            _ => out.push(letter),
        }
    }
    out
}
