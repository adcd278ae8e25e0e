//! The scripts: blocks of `clear`, `load` and `eval`.

use lang::promql::{parse_duration, unquoted};
use model::Labels;
use regex_automata::meta::Regex;

use super::series::{Series, Value, parse_metric, parse_series};

/// One command.
#[derive(Debug)]
pub(crate) enum Command {
    /// Forget everything.
    Clear,
    /// Store samples.
    Load(Load),
    /// Ask and compare.
    Eval(Box<Eval>),
}

/// Samples to store.
#[derive(Debug)]
pub(crate) struct Load {
    /// Distance of the values.
    pub(crate) step_ms: i64,
    /// The series.
    pub(crate) series: Vec<Series>,
    /// Histograms are made of classic buckets, too.
    pub(crate) with_histograms: bool,
    /// Series whose samples say when their counting began: the start of each sample relative to the
    /// sample itself, in milliseconds.
    pub(crate) started: Vec<(Labels, Vec<Option<i64>>)>,
}

/// A question and the answer.
#[derive(Debug)]
pub(crate) struct Eval {
    /// Line of the file, from 1.
    pub(crate) line: usize,
    /// The query.
    pub(crate) query: String,
    /// When.
    pub(crate) time: Time,
    /// The answer.
    pub(crate) expected: Answer,
    /// The answer's order counts.
    pub(crate) ordered: bool,
    /// The query must fail, with one of these texts where given.
    pub(crate) fails: Option<Wording>,
    /// Demands on annotations.
    pub(crate) notes: Notes,
    /// The points of a range vector stand on this grid.
    pub(crate) range_vector: Option<(i64, i64, i64)>,
}

/// When a query is evaluated.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Time {
    /// At one instant.
    Instant(i64),
    /// From, until, step.
    Range(i64, i64, i64),
}

/// An answer.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A number.
    Scalar(f64),
    /// A text.
    Text(String),
    /// Series.
    Series(Vec<Series>),
}

/// Demands on annotations.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Texts of warnings.
    pub(crate) warnings: Vec<Wording>,
    /// Texts of infos.
    pub(crate) infos: Vec<Wording>,
    /// There must be no warning.
    pub(crate) no_warning: bool,
    /// There must be no info.
    pub(crate) no_info: bool,
}

/// A demand on a text.
#[derive(Debug)]
pub(crate) enum Wording {
    /// Any text.
    Any,
    /// This text.
    Exact(String),
    /// A text with a match.
    Regex(Box<Regex>),
}

impl Wording {
    /// True when `text` meets the demand.
    pub(crate) fn accepts(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(wanted) => text == wanted,
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

/// Reads a script.
pub(crate) fn parse_script(text: &str) -> Result<Vec<Command>, String> {
    let lines: Vec<&str> = text
        .split('\n')
        .map(str::trim)
        .map(|line| if line.starts_with('#') { "" } else { line })
        .collect();
    let mut commands = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        let block_end = (at..lines.len()).find(|end| lines[*end].is_empty()).unwrap_or(lines.len());
        let block = &lines[(at + 1).min(lines.len())..block_end.max((at + 1).min(lines.len()))];
        let fail = |error: String| format!("line {}: {error}", at + 1);
        let word = line.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
        if word == "clear" {
            commands.push(Command::Clear);
            at += 1;
        } else if word.starts_with("load") {
            commands.push(Command::Load(parse_load(line, block).map_err(fail)?));
            at = block_end;
        } else if word.starts_with("eval") {
            let eval = parse_eval(at + 1, line, block).map_err(fail)?;
            commands.push(Command::Eval(Box::new(eval)));
            at = block_end;
        } else if line.is_empty() {
            at += 1;
        } else {
            return Err(fail(format!("unknown command {line:?}")));
        }
    }
    Ok(commands)
}

fn parse_load(line: &str, block: &[&str]) -> Result<Load, String> {
    let (word, step) = line.split_once(char::is_whitespace).ok_or("load without a step")?;
    let mut load = Load {
        step_ms: parse_duration(step.trim())?,
        series: Vec::new(),
        with_histograms: word.ends_with("with_nhcb"),
        started: Vec::new(),
    };
    for line in block {
        let (labels, rest) = parse_metric(line)?;
        if let Some(items) = rest.strip_prefix("@st") {
            load.started.push((labels, parse_starts(items)?));
            continue;
        }
        let series = parse_series(line)?;
        // Of equal lines the last one counts.
        load.series.retain(|known| known.labels != series.labels);
        load.series.push(series);
    }
    Ok(load)
}

/// Starts relative to their samples: `_`, `_xN`, `-1m`, `-1mxN`, `-1m+10sxN`.
fn parse_starts(text: &str) -> Result<Vec<Option<i64>>, String> {
    let mut starts = Vec::new();
    for item in text.split_whitespace() {
        let (value, times) = match item.rsplit_once('x') {
            Some((value, times)) => {
                let times: usize = times.parse().map_err(|_| format!("bad count in {item:?}"))?;
                (value, Some(times))
            }
            None => (item, None),
        };
        if value == "_" {
            starts.extend(std::iter::repeat_n(None, times.unwrap_or(1)));
            continue;
        }
        let second = value.char_indices().skip(1).find(|(_, c)| matches!(c, '+' | '-'));
        let (first, delta) = match second {
            Some((at, _)) => (signed_ms(&value[..at])?, signed_ms(&value[at..])?),
            None => (signed_ms(value)?, 0),
        };
        starts.extend((0..=times.unwrap_or(0) as i64).map(|index| Some(first + index * delta)));
    }
    Ok(starts)
}

fn signed_ms(text: &str) -> Result<i64, String> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let ms = if unsigned == "0s" { 0 } else { parse_duration(unsigned)? };
    Ok(if text.starts_with('-') { -ms } else { ms })
}

fn parse_eval(line_number: usize, line: &str, block: &[&str]) -> Result<Eval, String> {
    let (word, rest) = line.split_once(char::is_whitespace).ok_or("eval without a kind")?;
    let (time, query) = parse_time(rest.trim_start())?;
    let mut eval = Eval {
        line: line_number,
        query: query.to_owned(),
        time,
        expected: Answer::Series(Vec::new()),
        ordered: word == "eval_ordered",
        fails: (word == "eval_fail").then_some(Wording::Any),
        notes: Notes::default(),
        range_vector: None,
    };
    match word {
        "eval_warn" => eval.notes.warnings.push(Wording::Any),
        "eval_info" => eval.notes.infos.push(Wording::Any),
        _ => {}
    }
    for line in block {
        if !parse_answer_line(line, &mut eval)? {
            break;
        }
    }
    Ok(eval)
}

fn parse_time(text: &str) -> Result<(Time, &str), String> {
    let (kind, rest) = next_word(text);
    match kind {
        "instant" => {
            let (at, rest) = next_word(rest);
            let (time, query) = next_word(rest);
            if at != "at" {
                return Err("instant without a time".to_owned());
            }
            Ok((Time::Instant(parse_duration(time)?), query))
        }
        "range" => {
            let (from, until, step, query) = parse_grid(rest)?;
            Ok((Time::Range(from, until, step), query))
        }
        other => Err(format!("unknown kind {other:?}")),
    }
}

/// `from A to B step C` and what follows.
fn parse_grid(text: &str) -> Result<(i64, i64, i64, &str), String> {
    let mut rest = text;
    let mut times = [0; 3];
    for (index, wanted) in ["from", "to", "step"].into_iter().enumerate() {
        let (word, behind) = next_word(rest);
        if word != wanted {
            return Err(format!("expected {wanted:?}, got {word:?}"));
        }
        let (time, behind) = next_word(behind);
        times[index] = parse_duration(time)?;
        rest = behind;
    }
    Ok((times[0], times[1], times[2], rest))
}

fn next_word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

/// Reads a line below an `eval`; `false` when it ends the block.
fn parse_answer_line(line: &str, eval: &mut Eval) -> Result<bool, String> {
    if let Some(text) = line.strip_prefix("expected_fail_message") {
        eval.fails = Some(Wording::Exact(text.trim().to_owned()));
        return Ok(false);
    }
    if let Some(text) = line.strip_prefix("expected_fail_regexp") {
        eval.fails = Some(regex(text.trim())?);
        return Ok(false);
    }
    if next_word(line).0 == "expect" {
        parse_expect(next_word(line).1, eval)?;
        return Ok(true);
    }
    if let Some(number) = parse_number(line) {
        eval.expected = Answer::Scalar(number);
        return Ok(false);
    }
    let series = parse_series(line)?;
    if let Answer::Series(known) = &mut eval.expected {
        known.retain(|one| one.labels != series.labels);
        known.push(series);
    }
    Ok(true)
}

fn parse_expect(text: &str, eval: &mut Eval) -> Result<(), String> {
    if let Some(grid) = text.strip_prefix("range vector ") {
        let (from, until, step, _) = parse_grid(grid)?;
        eval.range_vector = Some((from, until, step));
        return Ok(());
    }
    if let Some(token) = text.strip_prefix("string ") {
        let text = unquoted(token.trim()).ok_or_else(|| format!("bad text {token:?}"))?;
        eval.expected = Answer::Text(text);
        return Ok(());
    }
    let (kind, rest) = next_word(text);
    let wording = match (rest.strip_prefix("msg:"), rest.strip_prefix("regex:")) {
        (Some(exact), _) => Wording::Exact(exact.trim().to_owned()),
        (_, Some(pattern)) => regex(pattern.trim())?,
        _ => Wording::Any,
    };
    match kind {
        "ordered" => eval.ordered = true,
        "fail" => eval.fails = Some(wording),
        "warn" => eval.notes.warnings.push(wording),
        "info" => eval.notes.infos.push(wording),
        "no_warn" => eval.notes.no_warning = true,
        "no_info" => eval.notes.no_info = true,
        other => return Err(format!("unknown expectation {other:?}")),
    }
    Ok(())
}

fn regex(pattern: &str) -> Result<Wording, String> {
    Regex::new(pattern).map(|regex| Wording::Regex(Box::new(regex))).map_err(|e| e.to_string())
}

/// A line that is a number and nothing else.
fn parse_number(line: &str) -> Option<f64> {
    match line.to_ascii_lowercase().as_str() {
        "nan" => Some(f64::NAN),
        "inf" | "+inf" => Some(f64::INFINITY),
        "-inf" => Some(f64::NEG_INFINITY),
        lower => match lower.strip_prefix("0x") {
            Some(digits) => i64::from_str_radix(digits, 16).ok().map(|number| number as f64),
            None => lower.parse().ok(),
        },
    }
}

/// The single value of an expected series.
pub(crate) fn single(series: &Series) -> Option<Value> {
    series.values.first().cloned()
}
