//! Colours by name and by digits, as Graphite's functions and parameters spell them.

/// Red, green, blue and opacity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Color {
    /// Red, 0 to 255.
    pub red: u8,
    /// Green, 0 to 255.
    pub green: u8,
    /// Blue, 0 to 255.
    pub blue: u8,
    /// Opacity from 0 to 1.
    pub alpha: f64,
}

/// The names that dashboards use, with the values that they have there.
const NAMES: [(&str, [u8; 3]); 23] = [
    ("black", [0, 0, 0]),
    ("white", [255, 255, 255]),
    ("blue", [100, 100, 255]),
    ("green", [0, 200, 0]),
    ("red", [200, 0, 50]),
    ("yellow", [255, 255, 0]),
    ("orange", [255, 165, 0]),
    ("purple", [200, 100, 255]),
    ("brown", [150, 100, 50]),
    ("cyan", [0, 255, 255]),
    ("aqua", [0, 150, 150]),
    ("gray", [175, 175, 175]),
    ("grey", [175, 175, 175]),
    ("magenta", [255, 0, 255]),
    ("pink", [255, 100, 100]),
    ("gold", [200, 200, 0]),
    ("rose", [200, 150, 200]),
    ("darkblue", [0, 0, 255]),
    ("darkgreen", [0, 255, 0]),
    ("darkred", [255, 0, 0]),
    ("darkgray", [111, 111, 111]),
    ("darkgrey", [111, 111, 111]),
    ("lightgray", [211, 211, 211]),
];

impl Color {
    /// An opaque colour.
    pub const fn rgb(red: u8, green: u8, blue: u8) -> Self {
        Self { red, green, blue, alpha: 1.0 }
    }

    /// This colour with a share of another.
    pub fn mixed(self, other: Self, share: f64) -> Self {
        let mix = |own: u8, other: u8| {
            (f64::from(own) * (1.0 - share) + f64::from(other) * share).round() as u8
        };
        Self {
            red: mix(self.red, other.red),
            green: mix(self.green, other.green),
            blue: mix(self.blue, other.blue),
            alpha: self.alpha,
        }
    }

    /// True of colours that dark ink is read on.
    pub fn is_light(self) -> bool {
        u32::from(self.red) * 3 + u32::from(self.green) * 6 + u32::from(self.blue) > 1275
    }

    /// The same with another opacity.
    pub fn with_alpha(self, alpha: f64) -> Self {
        Self { alpha: alpha.clamp(0.0, 1.0), ..self }
    }

    /// A name, or six or eight hexadecimal digits with or without `#`; the last two are the opacity.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let known = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        if let Some((_, [red, green, blue])) = known {
            return Some(Self::rgb(*red, *green, *blue));
        }
        let digits = text.trim_start_matches(['#', '%']);
        if !matches!(digits.len(), 6 | 8) || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let part = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
        let alpha = part(6).map_or(1.0, |alpha| f64::from(alpha) / 255.0);
        Some(Self { alpha, ..Self::rgb(part(0)?, part(2)?, part(4)?) })
    }
}
