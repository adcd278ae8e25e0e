//! The grammar of what follows an operand: windows, `offset`, `@`, `anchored` and `smoothed`.

use plan::Span;

use super::parser::{Parsed, Parser};
use super::token::{Kind, Word};
use crate::promql::ast::{At, Edges, Expr, ExprKind, Shift};

impl Parser<'_> {
    /// `[range]`, `[range:step]`, `offset`, `@`, `anchored` and `smoothed` behind an operand.
    pub(super) fn followed(&mut self, mut expr: Expr) -> Parsed<Expr> {
        loop {
            let token = self.peek()?;
            match token.kind {
                Kind::LeftBracket => expr = self.bracketed(expr)?,
                Kind::Word(Word::Offset) => {
                    self.take()?;
                    self.offset(&mut expr)?;
                }
                Kind::At => {
                    self.take()?;
                    self.at(&mut expr)?;
                }
                Kind::Word(Word::Anchored) => self.edges(&mut expr, Edges::Anchored)?,
                Kind::Word(Word::Smoothed) => self.edges(&mut expr, Edges::Smoothed)?,
                _ => return Ok(expr),
            }
        }
    }

    fn edges(&mut self, expr: &mut Expr, edges: Edges) -> Parsed<()> {
        self.take()?;
        let word = if edges == Edges::Anchored { "anchored" } else { "smoothed" };
        let span = expr.span;
        if !self.features.extended_selectors {
            let message = format!("{word} modifier is experimental and not enabled");
            return Err(self.error_at(span, message));
        }
        let selector = match &mut expr.kind {
            ExprKind::Selector(selector) => selector,
            ExprKind::Range(range) => &mut range.selector,
            ExprKind::Subquery(_) => {
                let message = format!("{word} modifier is not supported for subqueries");
                return Err(self.error_at(span, message));
            }
            _ => return Err(self.error_at(span, format!("{word} modifier not implemented"))),
        };
        if selector.edges.is_some_and(|present| present != edges) {
            let message = "anchored and smoothed modifiers cannot be used together";
            return Err(self.error_at(span, message));
        }
        selector.edges = Some(edges);
        Ok(())
    }

    fn offset(&mut self, expr: &mut Expr) -> Parsed<()> {
        let offset = self.offset_duration()?;
        let span = expr.span;
        let Some(shift) = shift_of(expr) else {
            let message = "offset modifier must be preceded by an instant vector selector or range \
                           vector selector or a subquery";
            return Err(self.error_at(span, message));
        };
        if shift.offset.is_some() {
            return Err(self.error_at(span, "offset may not be set multiple times"));
        }
        shift.offset = Some(offset);
        expr.span.end = self.closed_at as u32;
        Ok(())
    }

    fn at(&mut self, expr: &mut Expr) -> Parsed<()> {
        let token = self.peek()?;
        let at = match token.kind {
            Kind::Word(word @ (Word::Start | Word::End)) => {
                self.take()?;
                for kind in [Kind::LeftParen, Kind::RightParen] {
                    let found = self.peek()?;
                    if found.kind != kind {
                        return Err(self.unexpected_in(found, "@", "timestamp"));
                    }
                    self.take()?;
                }
                if word == Word::Start { At::Start } else { At::End }
            }
            _ => {
                let Some(seconds) = self.signed_number()? else {
                    let found = self.peek()?;
                    return Err(self.unexpected_in(found, "@", "timestamp"));
                };
                self.instant(seconds, expr.span)?
            }
        };
        let span = expr.span;
        let Some(shift) = shift_of(expr) else {
            let message = "@ modifier must be preceded by an instant vector selector or range \
                           vector selector or a subquery";
            return Err(self.error_at(span, message));
        };
        if shift.at.is_some() {
            return Err(self.error_at(span, "@ <timestamp> may not be set multiple times"));
        }
        shift.at = Some(at);
        expr.span.end = self.closed_at as u32;
        Ok(())
    }

    fn instant(&self, seconds: f64, span: Span) -> Parsed<At> {
        const BOUND: f64 = 9_223_372_036_854_775_808.0;
        if seconds.is_finite() && -BOUND < seconds && seconds < BOUND {
            // Saturates: such instants lie beyond anything that can be stored.
            return Ok(At::Time((seconds * 1e3).round() as i64));
        }
        let shown = match seconds {
            s if s == f64::INFINITY => "+Inf".to_owned(),
            s if s == f64::NEG_INFINITY => "-Inf".to_owned(),
            s if s.is_nan() => "NaN".to_owned(),
            s => format!("{s:.6}"),
        };
        let message = format!("timestamp out of bounds for @ modifier: {shown}");
        Err(self.error_at(span, message))
    }
}

/// Where `offset` and `@` of an expression are kept.
fn shift_of(expr: &mut Expr) -> Option<&mut Shift> {
    match &mut expr.kind {
        ExprKind::Selector(selector) => Some(&mut selector.shift),
        ExprKind::Range(range) => Some(&mut range.selector.shift),
        ExprKind::Subquery(subquery) => Some(&mut subquery.shift),
        _ => None,
    }
}
