//! The few shapes that charts are made of.

use super::color::Color;

/// Where a text stands relative to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A line's look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pen {
    pub(super) color: Color,
    pub(super) width: f64,
    /// Length of dashes and of the gaps between them.
    pub(super) dash: Option<f64>,
}

/// One shape; coordinates are pixels from the top left corner.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    /// A filled rectangle: left, top, width, height.
    Rectangle { at: [f64; 4], fill: Color },
    /// Straight lines from point to point.
    Line { points: Vec<(f64, f64)>, pen: Pen },
    /// The area inside the points.
    Area { points: Vec<(f64, f64)>, fill: Color },
    /// One line of text; `at` is on its baseline. An upright one reads from bottom to top.
    Text { at: (f64, f64), text: String, size: f64, color: Color, anchor: Anchor, upright: bool },
}

/// A picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) shapes: Vec<Shape>,
}

impl Scene {
    /// A picture of one colour.
    pub(super) fn new(width: u32, height: u32, background: Color) -> Self {
        let at = [0.0, 0.0, f64::from(width), f64::from(height)];
        Self { width, height, shapes: vec![Shape::Rectangle { at, fill: background }] }
    }

    pub(super) fn rectangle(&mut self, at: [f64; 4], fill: Color) {
        self.shapes.push(Shape::Rectangle { at, fill });
    }

    pub(super) fn segment(&mut self, from: (f64, f64), to: (f64, f64), color: Color, width: f64) {
        let pen = Pen { color, width, dash: None };
        self.shapes.push(Shape::Line { points: vec![from, to], pen });
    }

    pub(super) fn text(
        &mut self,
        at: (f64, f64),
        text: impl Into<String>,
        (size, color): (f64, Color),
        anchor: Anchor,
    ) {
        let text = text.into();
        self.shapes.push(Shape::Text { at, text, size, color, anchor, upright: false });
    }
}
