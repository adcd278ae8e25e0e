//! Text to tree: lexer, grammar, positions.
//!
//! The grammar is Prometheus 3.14's, with its wording and byte positions of errors; only the first
//! error is reported, as its API shows only the first. Length and nesting are capped before anything
//! recurses.

pub(crate) mod lexer;
pub(crate) mod number;
pub(crate) mod parser;
pub(crate) mod quote;
pub(crate) mod token;

pub(crate) mod duration;
mod modifier;
mod selector;

use base::limits::{QUERY_BYTES_MAX, QUERY_DEPTH_MAX, QUERY_HEIGHT_MAX};

use super::Features;
use super::ast::{Expr, Selector};
use crate::error::LangError;
use parser::Parser;
use token::Kind;

/// What is wrong with the bytes `start..end` of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    /// In Prometheus's words.
    pub(crate) message: String,
    /// First byte.
    pub(crate) start: usize,
    /// Byte behind the last one.
    pub(crate) end: usize,
}

impl SyntaxError {
    /// The error as the crate's users see it.
    pub(crate) fn in_text(self, text: &str) -> LangError {
        if self.message == TOO_DEEP {
            return LangError::limit(format!(
                "query is nested too deeply: at most {QUERY_DEPTH_MAX} levels and chains of \
                 {QUERY_HEIGHT_MAX} operators are allowed"
            ));
        }
        LangError::syntax_at(self.message, text, self.start, self.end)
    }
}

/// Stands for the limit until the error leaves this module.
pub(crate) const TOO_DEEP: &str = "query is nested too deeply";

/// Parses an expression; types are not checked yet.
pub(crate) fn parse_expr(text: &str, features: Features) -> Result<Expr, LangError> {
    check_length(text)?;
    let mut parser = Parser::new(text, features);
    parser.whole_expression().map_err(|error| error.in_text(text))
}

/// Parses a selector that stands alone, without offset, `@` or range.
pub(crate) fn parse_selector(text: &str) -> Result<Selector, LangError> {
    check_length(text)?;
    let mut parser = Parser::new(text, Features::default());
    parser.whole_selector().map_err(|error| error.in_text(text))
}

fn check_length(text: &str) -> Result<(), LangError> {
    if text.len() > QUERY_BYTES_MAX {
        return Err(LangError::limit(format!(
            "query is too long: {} bytes, at most {QUERY_BYTES_MAX} are allowed",
            text.len()
        )));
    }
    Ok(())
}

/// True for the end of the text.
fn is_end(kind: Kind) -> bool {
    kind == Kind::End
}
