//! The 35 aggregators: what each computes and how it fills the time between two points.

use plan::node::Number;
use plan::semantics::{Arithmetic, Between, PercentileMethod, Reducer};

/// Names of all aggregators.
pub const NAMES: [&str; 35] = [
    "avg",
    "count",
    "dev",
    "diff",
    "ep50r3",
    "ep50r7",
    "ep75r3",
    "ep75r7",
    "ep90r3",
    "ep90r7",
    "ep95r3",
    "ep95r7",
    "ep999r3",
    "ep999r7",
    "ep99r3",
    "ep99r7",
    "first",
    "last",
    "max",
    "median",
    "mimmax",
    "mimmin",
    "min",
    "mult",
    "none",
    "p50",
    "p75",
    "p90",
    "p95",
    "p99",
    "p999",
    "pfsum",
    "squareSum",
    "sum",
    "zimsum",
];

/// One aggregator.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregator {
    /// What it makes of several values.
    pub reducer: Reducer,
    /// The value of a series between two of its points.
    pub between: Between,
    /// Series are not merged at all.
    pub is_none: bool,
}

/// The aggregator of this name; names are case-sensitive.
pub fn aggregator(name: &str) -> Option<Aggregator> {
    let skip = Arithmetic::SkipNaN;
    let (reducer, between) = match name {
        "sum" => (Reducer::Sum(skip), Between::Linear),
        "min" => (Reducer::Min, Between::Linear),
        "max" => (Reducer::Max, Between::Linear),
        "avg" => (Reducer::Average(skip), Between::Linear),
        "median" => (Reducer::Median { upper: true }, Between::Linear),
        // A product that met NaN is NaN, unlike all other results.
        "mult" => (Reducer::Product(Arithmetic::Plain), Between::Linear),
        "dev" => (Reducer::StdDev(skip), Between::Linear),
        "diff" => (Reducer::Difference, Between::Linear),
        "zimsum" => (Reducer::Sum(skip), Between::Zero),
        "none" | "first" => (Reducer::First, Between::Zero),
        "last" => (Reducer::Last, Between::Zero),
        "count" => (Reducer::CountNumbers, Between::Zero),
        "squareSum" => (Reducer::SumSquares(skip), Between::Zero),
        "mimmin" => (Reducer::Min, Between::Largest),
        "mimmax" => (Reducer::Max, Between::Smallest),
        "pfsum" => (Reducer::Sum(skip), Between::Previous),
        _ => (percentile(name)?, Between::Linear),
    };
    Some(Aggregator { reducer, between, is_none: name == "none" })
}

/// `p99`, `ep99r3`, `ep99r7`; 999 means 99.9.
fn percentile(name: &str) -> Option<Reducer> {
    let (digits, method) = match name.strip_prefix("ep") {
        Some(rest) => match rest.strip_suffix("r3") {
            Some(digits) => (digits, PercentileMethod::R3),
            None => (rest.strip_suffix("r7")?, PercentileMethod::R7),
        },
        None => (name.strip_prefix('p')?, PercentileMethod::Legacy),
    };
    let quantile = match digits {
        "50" => 0.5,
        "75" => 0.75,
        "90" => 0.9,
        "95" => 0.95,
        "99" => 0.99,
        "999" => 0.999,
        _ => return None,
    };
    Some(Reducer::Percentile(Number(quantile), method))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_aggregator() {
        for name in NAMES {
            assert!(aggregator(name).is_some(), "{name}");
        }
        for name in ["", "SUM", "p42", "ep99", "p", "ep99r3x"] {
            assert!(aggregator(name).is_none(), "{name}");
        }
    }
}
