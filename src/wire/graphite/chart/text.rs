//! Widths and outlines of letters, from the typeface that is compiled in.

use tiny_skia::{Path, PathBuilder};
use ttf_parser::{Face, GlyphId, OutlineBuilder};

/// Letters of one text that are drawn; what is longer ends in an ellipsis.
const LETTERS_MAX: usize = 300;

/// The typeface.
pub(super) struct Font(Face<'static>);

impl Font {
    /// The typeface; `None` would mean that the compiled-in file is damaged.
    pub(super) fn load() -> Option<Self> {
        Face::parse(dejavu::sans::regular(), 0).ok().map(Self)
    }

    fn glyph(&self, letter: char) -> GlyphId {
        let glyph = self.0.glyph_index(letter).or_else(|| self.0.glyph_index('\u{fffd}'));
        glyph.unwrap_or(GlyphId(0))
    }

    fn scale(&self, size: f64) -> f64 {
        size / f64::from(self.0.units_per_em().max(1))
    }

    /// Width of a text in pixels.
    pub(super) fn width(&self, text: &str, size: f64) -> f64 {
        let advance = |letter| self.0.glyph_hor_advance(self.glyph(letter)).unwrap_or(0);
        let units: u64 = text.chars().take(LETTERS_MAX).map(|c| u64::from(advance(c))).sum();
        units as f64 * self.scale(size)
    }

    /// The text, cut with an ellipsis where it is wider than `width_max`.
    pub(super) fn fitted(&self, text: &str, size: f64, width_max: f64) -> String {
        let letters = text.chars().count();
        if letters <= LETTERS_MAX && self.width(text, size) <= width_max {
            return text.to_owned();
        }
        let mut kept: Vec<char> = text.chars().take(LETTERS_MAX).collect();
        loop {
            let cut: String = kept.iter().chain(std::iter::once(&'\u{2026}')).collect();
            if kept.is_empty() || self.width(&cut, size) <= width_max {
                return cut;
            }
            kept.pop();
        }
    }

    /// The outline of a text whose baseline starts at (0, 0), y downwards.
    pub(super) fn outline(&self, text: &str, size: f64) -> Option<Path> {
        let scale = self.scale(size);
        let mut pen = OutlinePen { builder: PathBuilder::new(), scale, x: 0.0 };
        for letter in text.chars().take(LETTERS_MAX + 1) {
            let glyph = self.glyph(letter);
            let _ = self.0.outline_glyph(glyph, &mut pen);
            pen.x += f64::from(self.0.glyph_hor_advance(glyph).unwrap_or(0)) * scale;
        }
        pen.builder.finish()
    }
}

/// Brings outlines from the typeface's units to pixels.
struct OutlinePen {
    builder: PathBuilder,
    scale: f64,
    x: f64,
}

impl OutlinePen {
    fn point(&self, x: f32, y: f32) -> (f32, f32) {
        ((self.x + f64::from(x) * self.scale) as f32, (-f64::from(y) * self.scale) as f32)
    }
}

impl OutlineBuilder for OutlinePen {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.point(x, y);
        self.builder.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.point(x, y);
        self.builder.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.point(x1, y1), self.point(x, y));
        self.builder.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2)) = (self.point(x1, y1), self.point(x2, y2));
        let (x, y) = self.point(x, y);
        self.builder.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.builder.close();
    }
}
