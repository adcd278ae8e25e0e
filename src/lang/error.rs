//! The one error of all three languages: what is wrong with a query's text, and where.
//!
//! A message reads as the reference implementation of its language words it, because clients show it
//! and some look for parts of it.

use std::fmt;

use base::error::{Classify, ErrorKind};

/// A query that cannot be turned into a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LangError {
    /// What is wrong, without the position.
    pub message: String,
    /// Where, for errors of the grammar and of types.
    pub position: Option<Position>,
    /// Whether the text or its meaning is at fault.
    pub stage: Stage,
}

/// A place in a query's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// First byte.
    pub start: u32,
    /// Byte behind the last one.
    pub end: u32,
    /// Line of the first byte, from 1.
    pub line: u32,
    /// Bytes from the start of the line to the first byte, from 1.
    pub column: u32,
}

/// What is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The text: a request that no data can save.
    Syntax,
    /// The meaning: Prometheus finds these while it evaluates, and answers as for a failed execution.
    Meaning,
    /// The text is longer or deeper than a limit.
    Limit,
}

impl Position {
    /// The position of the bytes `start..end` of `text`; an empty text has no line.
    pub fn in_text(text: &str, start: usize, end: usize) -> Self {
        if text.is_empty() {
            return Self { start: 0, end: 0, line: 0, column: 0 };
        }
        let before = text.as_bytes().get(..start.min(text.len())).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        Self {
            start: start as u32,
            end: end as u32,
            line: line as u32,
            column: (before.len() - line_start + 1) as u32,
        }
    }
}

impl LangError {
    /// An error of the text without a position.
    pub fn syntax(message: impl Into<String>) -> Self {
        Self { message: message.into(), position: None, stage: Stage::Syntax }
    }

    /// An error of the text at the bytes `start..end` of `text`.
    pub fn syntax_at(message: impl Into<String>, text: &str, start: usize, end: usize) -> Self {
        let position = Some(Position::in_text(text, start, end));
        Self { message: message.into(), position, stage: Stage::Syntax }
    }

    /// An error of the meaning.
    pub fn meaning(message: impl Into<String>) -> Self {
        Self { message: message.into(), position: None, stage: Stage::Meaning }
    }

    /// A text that passes a limit.
    pub fn limit(message: impl Into<String>) -> Self {
        Self { message: message.into(), position: None, stage: Stage::Limit }
    }
}

impl fmt::Display for LangError {
    /// Prometheus's wording: `1:5: parse error: message`, or the message alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(at) if at.line == 0 => {
                write!(f, "unknown position: parse error: {}", self.message)
            }
            Some(at) => write!(f, "{}:{}: parse error: {}", at.line, at.column, self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for LangError {}

impl Classify for LangError {
    fn kind(&self) -> ErrorKind {
        match self.stage {
            Stage::Syntax | Stage::Meaning => ErrorKind::Invalid,
            Stage::Limit => ErrorKind::TooLarge,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_bytes_of_their_line() {
        let error = LangError::syntax_at("unexpected x", "a +\nä x", 7, 8);
        assert_eq!(error.to_string(), "2:4: parse error: unexpected x");
        assert_eq!(Position::in_text("", 0, 0).line, 0);
        assert_eq!(Position::in_text("ab", 9, 9).line, 1);
    }
}
