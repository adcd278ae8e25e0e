//! Which slots a series has: `storage-schemas.conf` and `storage-aggregation.conf` as carbon reads them.
//!
//! The first section whose pattern is found in the series' name decides. Samples are kept raw, so the
//! finest precision is that of the samples, and a coarser archive is what a question sees that reaches
//! further back than the finer ones: it is merged from the samples when it is asked for.

use std::sync::Arc;

use model::Pattern;
use plan::node::Number;
use plan::semantics::{Arithmetic, Reducer};
use plan::slots::{Merge, MergeRule, SlotRule, SlotRules};

use super::conf::{Section, sections};

/// The archives of the series of one section, finest first.
#[derive(Clone, Debug)]
struct Schema {
    pattern: Pattern,
    archives: Vec<Retention>,
}

/// Steps by series name, in order.
#[derive(Clone, Debug)]
pub struct StepRules {
    schemas: Arc<[Schema]>,
    merges: Arc<[MergeRule]>,
    default_step_ms: i64,
    learned: bool,
}

/// The rules as one request sees them.
#[derive(Clone, Debug)]
pub struct StepsAt {
    /// Steps by title.
    pub slots: SlotRules,
    /// The smallest step of any rule, in milliseconds.
    pub shortest_ms: i64,
    /// The largest step of any rule, in milliseconds.
    pub longest_ms: i64,
}

impl StepRules {
    /// The same step for every series.
    pub fn uniform(default_step_ms: i64) -> Self {
        Self {
            schemas: Arc::from([]),
            merges: Arc::from([]),
            default_step_ms: default_step_ms.max(1),
            learned: false,
        }
    }

    /// The rules of a `storage-schemas.conf`.
    pub fn parse(text: &str, default_step_ms: i64) -> Result<Self, SchemaError> {
        let schemas = sections(text).map_err(|line| SchemaError::Line { line })?;
        let schemas: Vec<Schema> = schemas.iter().map(schema).collect::<Result<_, _>>()?;
        Ok(Self { schemas: schemas.into(), ..Self::uniform(default_step_ms) })
    }

    /// The same with the rules of a `storage-aggregation.conf`.
    pub fn with_aggregation(self, text: &str) -> Result<Self, SchemaError> {
        let merges = sections(text).map_err(|line| SchemaError::Line { line })?;
        let merges: Vec<MergeRule> = merges.iter().map(merge_rule).collect::<Result<_, _>>()?;
        Ok(Self { merges: merges.into(), ..self })
    }

    /// The same; with `learned` a series that no section names has the step that its samples have.
    pub fn learning(self, learned: bool) -> Self {
        Self { learned, ..self }
    }

    /// The step of the samples of the series of this name, in milliseconds.
    pub fn step_ms(&self, name: &str) -> i64 {
        let schema = self.schemas.iter().find(|schema| schema.pattern.is_match(name));
        schema.and_then(|schema| schema.archives.first()).map_or(self.default_step_ms, step_ms)
    }

    /// The largest step of the samples of any series, in milliseconds.
    pub fn longest_ms(&self) -> i64 {
        let steps = self.schemas.iter().filter_map(|schema| schema.archives.first());
        steps.map(step_ms).fold(self.default_step_ms, i64::max)
    }

    /// The rules for a window that starts at `from_s`, asked for at `now_s`, both in seconds: of each
    /// section the finest archive that reaches back to the start, or the coarsest.
    pub fn at(&self, from_s: i64, now_s: i64) -> StepsAt {
        let rules: Vec<SlotRule> =
            self.schemas.iter().map(|schema| schema.at(from_s, now_s)).collect();
        let steps = || rules.iter().filter_map(|rule| rule.steps_ms.last().copied());
        StepsAt {
            shortest_ms: steps().fold(self.default_step_ms, i64::min),
            longest_ms: steps().fold(self.default_step_ms, i64::max),
            slots: SlotRules {
                rules: rules.into(),
                default_step_ms: self.default_step_ms,
                learned: self.learned,
                merges: self.merges.clone(),
            },
        }
    }
}

fn step_ms(archive: &Retention) -> i64 {
    archive.precision_s.saturating_mul(1000)
}

impl Schema {
    fn at(&self, from_s: i64, now_s: i64) -> SlotRule {
        let age_s = now_s.saturating_sub(from_s);
        let reaches = |archive: &Retention| archive.seconds() >= age_s;
        let last = self.archives.len().saturating_sub(1);
        let chosen = self.archives.iter().position(reaches).unwrap_or(last);
        let longest_s = self.archives.last().map_or(0, Retention::seconds);
        SlotRule {
            pattern: self.pattern.clone(),
            steps_ms: self.archives.iter().take(chosen + 1).map(step_ms).collect(),
            after_ms: now_s.saturating_sub(longest_s).saturating_mul(1000),
        }
    }
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SchemaError {
    /// A line that is neither a section, a comment nor `key = value`.
    #[error("line {line} is neither [section], comment nor key = value")]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// A section without one of its keys.
    #[error("line {line}: section [{section}] has no {key}")]
    MissingKey {
        /// Where the section starts, from 1.
        line: usize,
        /// The section.
        section: String,
        /// The key.
        key: &'static str,
    },
    /// A pattern that cannot be used.
    #[error("line {line}: section [{section}]: {source}")]
    Pattern {
        /// Where the section starts, from 1.
        line: usize,
        /// The section.
        section: String,
        /// What is wrong with it.
        source: model::matcher::PatternError,
    },
    /// A retention that cannot be read.
    #[error("line {line}: section [{section}]: {source}")]
    Retention {
        /// Where the section starts, from 1.
        line: usize,
        /// The section.
        section: String,
        /// What is wrong with it.
        source: RetentionError,
    },
    /// A value that is none of those a key may have.
    #[error("line {line}: section [{section}]: {key} cannot be {value:?}, but {wanted}")]
    Value {
        /// Where the section starts, from 1.
        line: usize,
        /// The section.
        section: String,
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        wanted: &'static str,
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

impl Retention {
    /// How far back the archive reaches, in seconds.
    pub fn seconds(&self) -> i64 {
        (self.points.trunc() * self.precision_s as f64) as i64
    }
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
        if pair[1].seconds() <= pair[0].seconds() {
            return Err(RetentionError::NotLonger { fine, coarse });
        }
        if pair[0].points.trunc() < (coarse / fine) as f64 {
            return Err(RetentionError::TooFewPoints { fine, coarse });
        }
    }
    Ok(())
}

fn required<'s>(section: &'s Section, key: &'static str) -> Result<&'s str, SchemaError> {
    section.get(key).ok_or_else(|| SchemaError::MissingKey {
        line: section.line,
        section: section.name.clone(),
        key,
    })
}

fn pattern(section: &Section) -> Result<Pattern, SchemaError> {
    search_pattern(required(section, "pattern")?).map_err(|source| SchemaError::Pattern {
        line: section.line,
        section: section.name.clone(),
        source,
    })
}

fn schema(section: &Section) -> Result<Schema, SchemaError> {
    let pattern = pattern(section)?;
    let bad = |source| SchemaError::Retention {
        line: section.line,
        section: section.name.clone(),
        source,
    };
    let retentions = required(section, "retentions")?;
    let mut archives: Vec<Retention> =
        retentions.split(',').map(parse_retention).collect::<Result<_, _>>().map_err(bad)?;
    check_archives(&mut archives).map_err(bad)?;
    Ok(Schema { pattern, archives })
}

fn merge_rule(section: &Section) -> Result<MergeRule, SchemaError> {
    let bad = |key, value: &str, wanted| SchemaError::Value {
        line: section.line,
        section: section.name.clone(),
        key,
        value: value.to_owned(),
        wanted,
    };
    let mut merge = Merge::DEFAULT;
    if let Some(text) = section.get("xFilesFactor") {
        let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
        let share = share.ok_or_else(|| bad("xFilesFactor", text, "a number from 0 to 1"))?;
        merge.present_min = Number(share);
    }
    if let Some(text) = section.get("aggregationMethod") {
        let wanted = "average, sum, last, max, min, avg_zero, absmax or absmin";
        merge.reducer = method(text).ok_or_else(|| bad("aggregationMethod", text, wanted))?;
    }
    Ok(MergeRule { pattern: pattern(section)?, merge })
}

/// Whisper's ways of merging values.
fn method(name: &str) -> Option<Reducer> {
    Some(match name {
        "average" => Reducer::Average(Arithmetic::Plain),
        "sum" => Reducer::Sum(Arithmetic::Plain),
        "last" => Reducer::Last,
        "max" => Reducer::Max,
        "min" => Reducer::Min,
        "avg_zero" => Reducer::AverageOfSlots,
        "absmax" => Reducer::LargestMagnitude,
        "absmin" => Reducer::SmallestMagnitude,
        _ => return None,
    })
}

/// The pattern of texts in which `search` is found anywhere.
pub fn search_pattern(search: &str) -> Result<Pattern, model::matcher::PatternError> {
    Pattern::new(search)?;
    Pattern::new(&format!(".*(?:{search}).*"))
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
        let steps = rules.at(1_000_000 - 3600, 1_000_000);
        assert_eq!((steps.shortest_ms, steps.longest_ms), (10_000, 300_000));
    }

    #[test]
    fn the_finest_archive_that_reaches_back_decides() {
        let text = "[all]\npattern = .*\nretentions = 10s:6h,1m:7d,10m:1y\n";
        let rules = StepRules::parse(text, 60_000).unwrap();
        let now_s = 1_700_000_000;
        let check = |age_s: i64, expected: &[i64]| {
            let steps = rules.at(now_s - age_s, now_s);
            let rule = steps.slots.rule("a").unwrap();
            assert_eq!(rule.steps_ms.as_ref(), expected, "{age_s}");
            assert_eq!(rule.after_ms, (now_s - 365 * 86_400) * 1000);
            assert_eq!(steps.longest_ms.max(60_000), steps.longest_ms);
        };
        check(6 * 3600, &[10_000]);
        check(6 * 3600 + 1, &[10_000, 60_000]);
        check(8 * 86_400, &[10_000, 60_000, 600_000]);
        check(10 * 365 * 86_400, &[10_000, 60_000, 600_000]);
    }

    #[test]
    fn mistakes_are_named() {
        let check = |text: &str, expected: &str| {
            assert_eq!(StepRules::parse(text, 1).unwrap_err().to_string(), expected);
        };
        check("pattern = x", "line 1 is neither [section], comment nor key = value");
        check("[a]\npattern = x", "line 1: section [a] has no retentions");
        check(
            "[a]\npattern = x\nretentions = 60",
            "line 1: section [a]: retention \"60\" is not precision:length",
        );
        check("[a]\npattern = x\nretentions = 0:5", "line 1: section [a]: a precision is 0");
        check(
            "[a]\npattern = x\nretentions = 60:10,90:20",
            "line 1: section [a]: precision 90 s is no multiple of 60 s",
        );
        let aggregation = |text: &str| {
            StepRules::uniform(1).with_aggregation(text).map(drop).map_err(|e| e.to_string())
        };
        assert_eq!(aggregation("[a]\npattern = \\.count$\naggregationMethod = sum"), Ok(()));
        let error = aggregation("# x\n[a]\npattern = x\nxFilesFactor = 2").unwrap_err();
        let wanted = "line 2: section [a]: xFilesFactor cannot be \"2\", but a number from 0 to 1";
        assert_eq!(error, wanted);
        assert!(aggregation("[a]\npattern = x\naggregationMethod = p95").is_err());
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
