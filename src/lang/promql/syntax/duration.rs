//! The grammar of durations in windows and offsets.

use base::limits::QUERY_DEPTH_MAX;
use plan::Span;

use super::parser::{Parsed, Parser, span_of};
use super::token::{Kind, Operator, POWER, PRODUCT, Word};
use super::{SyntaxError, TOO_DEEP};
use crate::promql::ast::{DurationExpr, DurationKind};

/// Seconds that fit the reference's 64 bits of nanoseconds.
const SECONDS_MAX: f64 = 9_223_372_036.854_776;

impl Parser<'_> {
    /// A duration in brackets; a literal must be positive. `context` and `wanted` word the error of
    /// anything else.
    pub(super) fn positive_duration(
        &mut self,
        context: &'static str,
        wanted: &'static str,
    ) -> Parsed<DurationExpr> {
        self.duration_operators = 0;
        let duration = self.duration(0, (context, wanted))?;
        if matches!(duration.kind, DurationKind::Literal { seconds, .. } if seconds <= 0.0) {
            return Err(self.error_at(duration.span, "duration must be greater than 0"));
        }
        Ok(duration)
    }

    /// The duration of an `offset`: a single term, so that `offset 5m + 1` adds to the value.
    pub(super) fn offset_duration(&mut self) -> Parsed<DurationExpr> {
        self.duration_operators = 0;
        let context = ("offset", "number, duration, step(), or range()");
        let token = self.peek()?;
        let negative = match token.kind {
            Kind::Operator(Operator::Subtract) => true,
            Kind::Operator(Operator::Add) => false,
            _ => return self.duration_term(context),
        };
        self.take()?;
        let term = self.duration_term(context)?;
        self.signed(negative, token.start as u32, term)
    }

    fn duration(&mut self, level: u8, context: (&str, &str)) -> Parsed<DurationExpr> {
        self.enter()?;
        let mut left = self.duration_operand(context)?;
        while let Kind::Operator(op) = self.peek()?.kind {
            let precedence = op.precedence();
            let is_arithmetic = precedence >= Operator::Add.precedence();
            if !is_arithmetic || precedence < level {
                break;
            }
            self.duration_operators += 1;
            if self.duration_operators > QUERY_DEPTH_MAX {
                return Err(self.error_at(left.span, TOO_DEEP));
            }
            let token = self.take()?;
            let next = if precedence == POWER { precedence } else { precedence + 1 };
            let right = self.duration(next, context)?;
            left = self.combined(op, span_of(token), left, right)?;
        }
        self.leave();
        Ok(left)
    }

    fn combined(
        &self,
        op: Operator,
        op_span: Span,
        left: DurationExpr,
        right: DurationExpr,
    ) -> Parsed<DurationExpr> {
        if matches!(right.kind, DurationKind::Literal { seconds: 0.0, .. }) {
            match op {
                Operator::Divide => return Err(self.error_at(op_span, "division by zero")),
                Operator::Modulo => return Err(self.error_at(op_span, "modulo by zero")),
                _ => {}
            }
        }
        let span = Span { start: left.span.start, end: right.span.end };
        let kind = DurationKind::Arithmetic(op, Box::new(left), Box::new(right));
        Ok(DurationExpr { kind, span })
    }

    fn duration_operand(&mut self, context: (&str, &str)) -> Parsed<DurationExpr> {
        let token = self.peek()?;
        let negative = match token.kind {
            Kind::Operator(Operator::Subtract) => true,
            Kind::Operator(Operator::Add) => false,
            _ => return self.duration_term(context),
        };
        self.take()?;
        let operand = self.duration(PRODUCT + 1, context)?;
        self.signed(negative, token.start as u32, operand)
    }

    /// A sign folds into a literal and stays before anything else; a plus leaves no trace.
    fn signed(&self, negative: bool, start: u32, mut term: DurationExpr) -> Parsed<DurationExpr> {
        if let DurationKind::Literal { seconds, .. } = &mut term.kind {
            if negative {
                *seconds = -*seconds;
            }
            term.span.start = start;
            return Ok(term);
        }
        if !negative {
            return Ok(term);
        }
        let span = Span { start, end: term.span.end };
        Ok(DurationExpr { kind: DurationKind::Negative(Box::new(term)), span })
    }

    fn duration_term(&mut self, context: (&str, &str)) -> Parsed<DurationExpr> {
        let token = self.peek()?;
        let mut span = span_of(token);
        let kind = match token.kind {
            Kind::Number | Kind::Duration => {
                self.take()?;
                let seconds = self.number_value(token)?;
                if !(-SECONDS_MAX..=SECONDS_MAX).contains(&seconds) {
                    return Err(self.error_at(span, "duration out of range"));
                }
                DurationKind::Literal { seconds, is_duration: token.kind == Kind::Duration }
            }
            Kind::Word(word @ (Word::Step | Word::Range)) => {
                self.take()?;
                self.duration_token(Kind::LeftParen, context)?;
                self.duration_token(Kind::RightParen, context)?;
                if word == Word::Step { DurationKind::Step } else { DurationKind::Range }
            }
            Kind::Word(word @ (Word::MinOf | Word::MaxOf)) => {
                self.take()?;
                self.duration_token(Kind::LeftParen, context)?;
                let first = Box::new(self.duration(0, context)?);
                self.duration_token(Kind::Comma, context)?;
                let second = Box::new(self.duration(0, context)?);
                self.duration_token(Kind::RightParen, context)?;
                if word == Word::MinOf {
                    DurationKind::MinOf(first, second)
                } else {
                    DurationKind::MaxOf(first, second)
                }
            }
            Kind::LeftParen => {
                self.take()?;
                let inner = self.duration(0, context)?;
                self.duration_token(Kind::RightParen, context)?;
                DurationKind::Paren(Box::new(inner))
            }
            _ => return Err(self.unexpected_in(token, context.0, context.1)),
        };
        if !matches!(kind, DurationKind::Literal { .. }) {
            span.end = self.closed_at as u32;
        }
        Ok(DurationExpr { kind, span })
    }

    fn duration_token(&mut self, kind: Kind, context: (&str, &str)) -> Parsed<()> {
        let token = self.peek()?;
        if token.kind != kind {
            return Err(self.unexpected_in(token, context.0, context.1));
        }
        self.take()?;
        Ok(())
    }
}

/// The seconds of `duration` for a query of this step and range. The error carries the bytes at
/// fault, as the reference reports them.
pub(crate) fn evaluate(
    duration: &DurationExpr,
    step_seconds: f64,
    range_seconds: f64,
) -> Result<f64, SyntaxError> {
    let value = |part: &DurationExpr| evaluate(part, step_seconds, range_seconds);
    let failure = |message: &str| SyntaxError {
        message: message.to_owned(),
        start: duration.span.start as usize,
        end: duration.span.end as usize,
    };
    let seconds = match &duration.kind {
        DurationKind::Literal { seconds, .. } => *seconds,
        DurationKind::Step => step_seconds,
        DurationKind::Range => range_seconds,
        DurationKind::Negative(inner) => -value(inner)?,
        DurationKind::Paren(inner) => value(inner)?,
        DurationKind::MinOf(a, b) => value(a)?.min(value(b)?),
        DurationKind::MaxOf(a, b) => value(a)?.max(value(b)?),
        DurationKind::Arithmetic(op, a, b) => {
            let (a, b) = (value(a)?, value(b)?);
            match op {
                Operator::Add => a + b,
                Operator::Subtract => a - b,
                Operator::Multiply => a * b,
                Operator::Divide if b == 0.0 => return Err(failure("division by zero")),
                Operator::Divide => a / b,
                Operator::Modulo if b == 0.0 => return Err(failure("modulo by zero")),
                Operator::Modulo => a % b,
                _ => a.powf(b),
            }
        }
    };
    if (-SECONDS_MAX..=SECONDS_MAX).contains(&seconds) {
        Ok(seconds)
    } else {
        Err(failure("duration is out of range"))
    }
}
