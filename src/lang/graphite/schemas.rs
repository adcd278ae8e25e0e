//! Which step a series has: `storage-schemas.conf`, an ordered list of patterns with retentions.
//!
//! Only the finest precision of a section is used: samples are kept raw, so a coarser archive has
//! nothing to offer. The first section whose pattern is found in the series' name decides.

use std::sync::Arc;

use model::Pattern;

/// Steps by series name, in order.
#[derive(Clone, Debug)]
pub struct StepRules {
    /// Whole-name patterns and steps in milliseconds; the first match decides.
    pub rules: Arc<[(Pattern, i64)]>,
    /// The step where no rule matches, in milliseconds.
    pub default_step_ms: i64,
}

impl StepRules {
    /// The same step for every series.
    pub fn uniform(default_step_ms: i64) -> Self {
        Self { rules: Arc::from([]), default_step_ms: default_step_ms.max(1) }
    }

    /// The rules of a `storage-schemas.conf`.
    pub fn parse(text: &str, default_step_ms: i64) -> Result<Self, SchemaError> {
        let rules: Vec<(Pattern, i64)> =
            sections(text)?.into_iter().map(|section| section.rule()).collect::<Result<_, _>>()?;
        Ok(Self { rules: rules.into(), default_step_ms: default_step_ms.max(1) })
    }

    /// The step of the series of this name, in milliseconds.
    pub fn step_ms(&self, name: &str) -> i64 {
        let rule = self.rules.iter().find(|(pattern, _)| pattern.is_match(name));
        rule.map_or(self.default_step_ms, |(_, step_ms)| *step_ms)
    }

    /// The largest step of any rule, in milliseconds.
    pub fn longest_ms(&self) -> i64 {
        self.rules.iter().map(|(_, step)| *step).fold(self.default_step_ms, i64::max)
    }

    /// The smallest step of any rule, in milliseconds.
    pub fn shortest_ms(&self) -> i64 {
        self.rules.iter().map(|(_, step)| *step).fold(self.default_step_ms, i64::min)
    }
}

/// What is wrong with a schema file.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SchemaError {
    /// A line that is neither a section, a comment nor `key = value`.
    #[error("line {line} is neither [section], comment nor key = value")]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// A section without one of its two keys.
    #[error("section [{section}] has no {key}")]
    MissingKey {
        /// The section.
        section: String,
        /// The key.
        key: &'static str,
    },
    /// A pattern that cannot be used.
    #[error("section [{section}]: {source}")]
    Pattern {
        /// The section.
        section: String,
        /// What is wrong with it.
        source: model::matcher::PatternError,
    },
    /// A retention that cannot be read.
    #[error("section [{section}]: {source}")]
    Retention {
        /// The section.
        section: String,
        /// What is wrong with it.
        source: RetentionError,
    },
}

/// What is wrong with a `precision:length` or a list of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RetentionError {
    /// Not `precision:length`.
    #[error("retention {0:?} is not precision:length")]
    Shape(String),
    /// Not digits, or digits and one of `s m h d w y`.
    #[error("{0:?} is not a number with one of the units s, m, h, d, w, y")]
    Number(String),
    /// No archive at all.
    #[error("there is no archive")]
    Empty,
    /// A precision of 0.
    #[error("a precision is 0")]
    ZeroPrecision,
    /// Two archives of one precision.
    #[error("two archives have the precision {0} s")]
    SamePrecision(i64),
    /// A coarser precision is no multiple of the next finer one.
    #[error("precision {coarse} s is no multiple of {fine} s")]
    NotAMultiple {
        /// Seconds of the finer one.
        fine: i64,
        /// Seconds of the coarser one.
        coarse: i64,
    },
    /// A coarser archive does not reach further back.
    #[error("the archive of {coarse} s does not cover more time than that of {fine} s")]
    NotLonger {
        /// Seconds of the finer one.
        fine: i64,
        /// Seconds of the coarser one.
        coarse: i64,
    },
    /// A finer archive has fewer points than one slot of the coarser one needs.
    #[error("the archive of {fine} s has fewer points than one of {coarse} s needs")]
    TooFewPoints {
        /// Seconds of the finer one.
        fine: i64,
        /// Seconds of the coarser one.
        coarse: i64,
    },
}

/// One archive: seconds of a slot, and how many slots are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retention {
    /// Seconds of a slot.
    pub precision_s: i64,
    /// Slots; a length that is no multiple of the precision leaves a fraction.
    pub points: f64,
}

/// Reads `precision:length`: bare digits are seconds on the left and a number of points on the right.
pub fn parse_retention(text: &str) -> Result<Retention, RetentionError> {
    let (precision, length) =
        text.trim().split_once(':').ok_or_else(|| RetentionError::Shape(text.to_owned()))?;
    let (precision, unit) = number_and_unit(precision)?;
    let precision_s = precision * unit.unwrap_or(1);
    let (length, unit) = number_and_unit(length)?;
    let points = match unit {
        None => length as f64,
        Some(_) if precision_s == 0 => return Err(RetentionError::ZeroPrecision),
        Some(seconds) => (length as f64) * (seconds as f64) / precision_s as f64,
    };
    Ok(Retention { precision_s, points })
}

fn number_and_unit(text: &str) -> Result<(i64, Option<i64>), RetentionError> {
    let error = || RetentionError::Number(text.to_owned());
    let text = text.trim();
    let digits = text.trim_end_matches(|last: char| last.is_ascii_lowercase());
    let unit = match &text[digits.len()..] {
        "" => None,
        "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3600),
        "d" => Some(86_400),
        "w" => Some(7 * 86_400),
        "y" => Some(365 * 86_400),
        _ => return Err(error()),
    };
    // Ten digits are 300 years of seconds, and keep every product far from overflow.
    if digits.is_empty() || digits.len() > 10 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(error());
    }
    Ok((digits.parse().map_err(|_| error())?, unit))
}

/// Sorts archives by precision and checks that they build on each other.
pub fn check_archives(archives: &mut [Retention]) -> Result<(), RetentionError> {
    if archives.is_empty() {
        return Err(RetentionError::Empty);
    }
    archives.sort_by_key(|archive| archive.precision_s);
    if archives.iter().any(|archive| archive.precision_s == 0) {
        return Err(RetentionError::ZeroPrecision);
    }
    for pair in archives.windows(2) {
        let (fine, coarse) = (pair[0].precision_s, pair[1].precision_s);
        if fine == coarse {
            return Err(RetentionError::SamePrecision(fine));
        }
        if coarse % fine != 0 {
            return Err(RetentionError::NotAMultiple { fine, coarse });
        }
        let seconds = |archive: &Retention| archive.points.trunc() * archive.precision_s as f64;
        if seconds(&pair[1]) <= seconds(&pair[0]) {
            return Err(RetentionError::NotLonger { fine, coarse });
        }
        if pair[0].points.trunc() < (coarse / fine) as f64 {
            return Err(RetentionError::TooFewPoints { fine, coarse });
        }
    }
    Ok(())
}

struct Section {
    name: String,
    pattern: Option<String>,
    retentions: Option<String>,
}

impl Section {
    fn rule(self) -> Result<(Pattern, i64), SchemaError> {
        let section = self.name;
        let missing = |key| SchemaError::MissingKey { section: section.clone(), key };
        let pattern = self.pattern.ok_or_else(|| missing("pattern"))?;
        let retentions = self.retentions.ok_or_else(|| missing("retentions"))?;
        let bad = |source| SchemaError::Retention { section: section.clone(), source };
        let mut archives: Vec<Retention> =
            retentions.split(',').map(parse_retention).collect::<Result<_, _>>().map_err(bad)?;
        check_archives(&mut archives).map_err(bad)?;
        let step_ms = archives.first().map_or(60, |finest| finest.precision_s) * 1000;
        let pattern = search_pattern(&pattern)
            .map_err(|source| SchemaError::Pattern { section: section.clone(), source })?;
        Ok((pattern, step_ms))
    }
}

/// The pattern of texts in which `search` is found anywhere.
pub fn search_pattern(search: &str) -> Result<Pattern, model::matcher::PatternError> {
    Pattern::new(search)?;
    Pattern::new(&format!(".*(?:{search}).*"))
}

fn sections(text: &str) -> Result<Vec<Section>, SchemaError> {
    let mut sections: Vec<Section> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            sections.push(Section { name: name.to_owned(), pattern: None, retentions: None });
            continue;
        }
        let bad_line = || SchemaError::Line { line: index + 1 };
        let (key, value) = line.split_once('=').ok_or_else(bad_line)?;
        let section = sections.last_mut().ok_or_else(bad_line)?;
        let value = Some(value.trim().to_owned());
        match key.trim().to_ascii_lowercase().as_str() {
            "pattern" => section.pattern = value,
            "retentions" => section.retentions = value,
            // carbon knows further keys and ignores what it does not know.
            _ => {}
        }
    }
    Ok(sections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_matching_section_decides() {
        let text = "# comment\n[carbon]\npattern = ^carbon\\.\nretentions = 10s:6h,1m:7d\n\n\
                    [web]\nPATTERN = web\nretentions = 5m:1y\n";
        let rules = StepRules::parse(text, 60_000).unwrap();
        assert_eq!(rules.step_ms("carbon.web"), 10_000);
        assert_eq!(rules.step_ms("a.web.b"), 300_000);
        assert_eq!(rules.step_ms("a.carbon.b"), 60_000);
        assert_eq!((rules.shortest_ms(), rules.longest_ms()), (10_000, 300_000));
    }

    #[test]
    fn mistakes_are_named() {
        let check = |text: &str, expected: &str| {
            assert_eq!(StepRules::parse(text, 1).unwrap_err().to_string(), expected);
        };
        check("pattern = x", "line 1 is neither [section], comment nor key = value");
        check("[a]\npattern = x", "section [a] has no retentions");
        check(
            "[a]\npattern = x\nretentions = 60",
            "section [a]: retention \"60\" is not precision:length",
        );
        check("[a]\npattern = x\nretentions = 0:5", "section [a]: a precision is 0");
        check(
            "[a]\npattern = x\nretentions = 60:10,90:20",
            "section [a]: precision 90 s is no multiple of 60 s",
        );
        assert!(StepRules::parse("[a]\npattern = (\nretentions = 1:1", 1).is_err());
    }

    #[test]
    fn retentions() {
        let check = |text: &str, precision_s, points| {
            assert_eq!(parse_retention(text), Ok(Retention { precision_s, points }), "{text}");
        };
        check("60:1440", 60, 1440.0);
        check("1m:1h", 60, 60.0);
        check("1d:1y", 86_400, 365.0);
        for text in ["60", "60:", ":60", "60x:10", "10X:10", "1min:1d", "1.5m:1d"] {
            assert!(parse_retention(text).is_err(), "{text}");
        }
    }
}
