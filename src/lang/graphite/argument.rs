//! Arguments bound to the parameters of a function, and their values by type.
//!
//! Strict where the original is lenient: a value of the wrong type is refused before anything is
//! read. Numbers may come as texts that hold one, and truth as `true`, `"true"`, 1 or 0.

use jiff::tz::TimeZone;
use plan::semantics::NodeKey;

use super::ast::{Call, Expr, ExprKind};
use super::error::GraphiteError;
use super::functions::{self, Function, Param, ParamKind};
use super::time::{parse_interval, parse_time};

/// A call's arguments by parameter.
#[derive(Debug)]
pub struct Arguments<'e> {
    function: &'static Function,
    name: &'e str,
    values: Vec<Vec<&'e Expr>>,
}

impl<'e> Arguments<'e> {
    /// Binds by place, then by name. Fails on what is left over and on what is missing.
    pub fn bind(function: &'static Function, call: &'e Call) -> Result<Self, GraphiteError> {
        let mut values: Vec<Vec<&Expr>> = vec![Vec::new(); function.params.len()];
        let unexpected = |argument: String| GraphiteError::UnexpectedArgument {
            function: call.name.clone(),
            argument,
        };
        let last = function.params.len().saturating_sub(1);
        for (place, argument) in call.arguments.iter().enumerate() {
            let slot = match function.params.get(place.min(last)) {
                Some(param) if place <= last || param.multiple => place.min(last),
                _ => return Err(unexpected(format!("number {}", place + 1))),
            };
            values[slot].push(argument);
        }
        for (keyword, value) in &call.keywords {
            let named = |param: &Param| param.name.eq_ignore_ascii_case(keyword);
            let slot = function.params.iter().position(named);
            match slot {
                Some(slot) if values[slot].is_empty() => values[slot].push(value),
                _ => return Err(unexpected(format!("{keyword:?}"))),
            }
        }
        for (param, values) in function.params.iter().zip(&values) {
            if param.required && !param.lenient && values.is_empty() {
                return Err(GraphiteError::MissingArgument {
                    function: call.name.clone(),
                    parameter: param.name,
                });
            }
        }
        Ok(Self { function, name: &call.name, values })
    }

    /// The function's name as it was called.
    pub fn function_name(&self) -> &'e str {
        self.name
    }

    fn slot(&self, parameter: &str) -> (&'static Param, &[&'e Expr]) {
        const NOTHING: &Param = &Param {
            name: "",
            kind: super::functions::ParamKind::Any,
            required: false,
            lenient: false,
            multiple: false,
            default: None,
            options: &[],
            suggestions: &[],
        };
        let index = self.function.params.iter().position(|param| param.name == parameter);
        debug_assert!(index.is_some(), "{} has no parameter {parameter}", self.name);
        match index {
            Some(index) => (&self.function.params[index], &self.values[index]),
            None => (NOTHING, &[]),
        }
    }

    /// An error about a parameter.
    pub fn bad(&self, parameter: &str, expected: &'static str) -> GraphiteError {
        let parameter = self.slot(parameter).0.name;
        GraphiteError::BadArgument { function: self.name.to_owned(), parameter, expected }
    }

    /// All values of a parameter.
    pub fn all(&self, parameter: &str) -> &[&'e Expr] {
        self.slot(parameter).1
    }

    /// The value of a parameter; `none` counts as not given.
    pub fn get(&self, parameter: &str) -> Option<&'e Expr> {
        self.all(parameter).first().copied().filter(|value| value.kind != ExprKind::None)
    }

    /// A float, if given.
    pub fn float(&self, parameter: &str) -> Result<Option<f64>, GraphiteError> {
        let value = match self.get(parameter).map(|value| &value.kind) {
            None => return Ok(None),
            Some(ExprKind::Integer(value)) => Some(*value as f64),
            Some(ExprKind::Float(value, _)) => Some(*value),
            Some(ExprKind::Infinity) => Some(f64::INFINITY),
            Some(ExprKind::Text(text)) => text.trim().parse().ok(),
            Some(_) => None,
        };
        value.map(Some).ok_or_else(|| self.bad(parameter, "a number"))
    }

    /// A float that was checked to be there.
    pub fn required_float(&self, parameter: &str) -> Result<f64, GraphiteError> {
        self.float(parameter)?.ok_or_else(|| self.bad(parameter, "a number"))
    }

    /// A whole number, if given.
    pub fn integer(&self, parameter: &str) -> Result<Option<i64>, GraphiteError> {
        let value = match self.get(parameter).map(|value| &value.kind) {
            None => return Ok(None),
            Some(ExprKind::Integer(value)) => Some(*value),
            // What came through a template is a float however it was spelled.
            Some(ExprKind::Float(_, spelling)) => spelling.parse().ok(),
            Some(ExprKind::Text(text)) => text.trim().parse().ok(),
            Some(_) => None,
        };
        value.map(Some).ok_or_else(|| self.bad(parameter, "a whole number"))
    }

    /// A whole number that was checked to be there.
    pub fn required_integer(&self, parameter: &str) -> Result<i64, GraphiteError> {
        self.integer(parameter)?.ok_or_else(|| self.bad(parameter, "a whole number"))
    }

    /// All values as whole numbers.
    pub fn integers(&self, parameter: &str) -> Result<Vec<i64>, GraphiteError> {
        let number = |value: &&Expr| match &value.kind {
            ExprKind::Integer(value) => Some(*value),
            ExprKind::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        let numbers: Option<Vec<i64>> = self.all(parameter).iter().map(number).collect();
        numbers.ok_or_else(|| self.bad(parameter, "whole numbers"))
    }

    /// The epoch of a time, if given, in seconds.
    pub fn date(
        &self,
        parameter: &str,
        now_s: i64,
        zone: &TimeZone,
    ) -> Result<Option<i64>, GraphiteError> {
        match self.get(parameter).map(|value| &value.kind) {
            None => Ok(None),
            Some(ExprKind::Text(text)) => parse_time(text, now_s, zone).map(Some),
            Some(ExprKind::Integer(epoch)) => parse_time(&epoch.to_string(), now_s, zone).map(Some),
            Some(_) => Err(self.bad(parameter, "a time in quotes")),
        }
    }

    /// True or false, if given.
    pub fn boolean(&self, parameter: &str) -> Result<Option<bool>, GraphiteError> {
        let value = match self.get(parameter).map(|value| &value.kind) {
            None => return Ok(None),
            Some(ExprKind::Boolean(value)) => Some(*value),
            Some(ExprKind::Integer(value @ 0..=1)) => Some(*value == 1),
            Some(ExprKind::Text(text)) => text.to_ascii_lowercase().parse().ok(),
            Some(_) => None,
        };
        value.map(Some).ok_or_else(|| self.bad(parameter, "true or false"))
    }

    /// A text, if given; only one of the parameter's choices where it has some.
    pub fn text(&self, parameter: &str) -> Result<Option<&'e str>, GraphiteError> {
        let choices = self.slot(parameter).0.choices();
        match self.get(parameter).map(|value| &value.kind) {
            None => Ok(None),
            Some(ExprKind::Text(text)) => {
                // Any function may stand for an aggregation; editors offer some.
                let is_function = self.slot(parameter).0.kind == ParamKind::AggOrSeriesFunc
                    && functions::find(text).is_some();
                let known = choices.is_empty() || is_function || choices.contains(&text.as_str());
                if known { Ok(Some(text)) } else { Err(self.bad(parameter, "a known name")) }
            }
            Some(_) => Err(self.bad(parameter, "a text in quotes")),
        }
    }

    /// A text in quotes, whatever the parameter's choices.
    pub fn free_text(&self, parameter: &str) -> Result<&'e str, GraphiteError> {
        match self.get(parameter).map(|value| &value.kind) {
            Some(ExprKind::Text(text)) => Ok(text),
            _ => Err(self.bad(parameter, "a text in quotes")),
        }
    }

    /// A text that was checked to be there.
    pub fn required_text(&self, parameter: &str) -> Result<&'e str, GraphiteError> {
        self.text(parameter)?.ok_or_else(|| self.bad(parameter, "a text in quotes"))
    }

    /// The name of an aggregation; `sumSeries` counts as `sum`.
    pub fn aggregation(&self, parameter: &str) -> Result<Option<&'e str>, GraphiteError> {
        match self.get(parameter).map(|value| &value.kind) {
            None => Ok(None),
            Some(ExprKind::Text(text)) => Ok(Some(text.strip_suffix("Series").unwrap_or(text))),
            Some(_) => Err(self.bad(parameter, "the name of an aggregation in quotes")),
        }
    }

    /// The seconds of an interval, with its text.
    pub fn interval(&self, parameter: &str) -> Result<(i64, &'e str), GraphiteError> {
        let text = self.required_text(parameter)?;
        Ok((parse_interval(text)?, text))
    }

    /// The milliseconds of an interval longer than nothing, with its text, if given.
    pub fn length_ms(&self, parameter: &str) -> Result<Option<(i64, &'e str)>, GraphiteError> {
        if self.get(parameter).is_none() {
            return Ok(None);
        }
        let (seconds, text) = self.interval(parameter)?;
        if seconds <= 0 {
            return Err(self.bad(parameter, "an interval longer than nothing"));
        }
        Ok(Some((seconds.saturating_mul(1000), text)))
    }

    /// Nodes by number and tags by name.
    pub fn nodes(&self, parameter: &str) -> Result<Vec<NodeKey>, GraphiteError> {
        let key = |value: &&Expr| match &value.kind {
            ExprKind::Integer(index) => Ok(NodeKey::Index(*index)),
            ExprKind::Text(tag) => Ok(match tag.parse() {
                Ok(index) => NodeKey::Index(index),
                Err(_) => NodeKey::Label(super::tagspec::label_of(tag).to_owned()),
            }),
            _ => Err(self.bad(parameter, "a node's number or a tag in quotes")),
        };
        self.all(parameter).iter().map(key).collect()
    }

    /// All values as texts.
    pub fn texts(&self, parameter: &str) -> Result<Vec<&'e str>, GraphiteError> {
        let text = |value: &&'e Expr| match &value.kind {
            ExprKind::Text(text) => Ok(text.as_str()),
            _ => Err(self.bad(parameter, "a text in quotes")),
        };
        self.all(parameter).iter().map(text).collect()
    }
}
