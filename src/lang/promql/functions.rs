//! The functions of PromQL: what they take and give.
//!
//! The signatures are those of the `promql-parser` crate, which keeps step with Prometheus's own
//! table. Its table is private, so each signature is read off the parse of one minimal call; a
//! function is known when it stands here *and* the crate agrees that the call is well-formed.

use std::collections::HashMap;
use std::sync::LazyLock;

use promql_parser::parser::value::ValueType as CrateType;
use promql_parser::parser::{Expr as CrateExpr, parse};

use super::ast::ValueType;

/// What a function takes and gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Its name.
    pub name: &'static str,
    /// The types of its arguments; the last one repeats.
    pub takes: Vec<ValueType>,
    /// 0: all arguments must be given; n: the last one may be left out and given up to n times;
    /// negative: the last one may be left out or repeated without end.
    pub variadic: i32,
    /// The type of its value.
    pub returns: ValueType,
    /// Behind a feature flag.
    pub is_experimental: bool,
}

static TABLE: LazyLock<HashMap<&'static str, Signature>> = LazyLock::new(read_signatures);

/// Reads all signatures now: a millisecond or two that the first query takes otherwise.
pub fn prepare() {
    LazyLock::force(&TABLE);
}

/// The signature of the function `name`.
pub fn signature(name: &str) -> Option<&'static Signature> {
    TABLE.get(name)
}

/// All functions, in no order.
pub fn all() -> impl Iterator<Item = &'static Signature> {
    TABLE.values()
}

/// Arguments of a minimal call, and the functions called so.
const CALLS: [(&str, &str); 16] = [
    ("", "end pi range start step time"),
    (
        "m",
        "abs absent acos acosh asin asinh atan atanh ceil cos cosh days_in_month day_of_month \
         day_of_week day_of_year deg exp floor histogram_avg histogram_count histogram_stddev \
         histogram_stdvar histogram_sum hour info ln log10 log2 minute month rad round scalar sgn \
         sin sinh sort sort_desc sqrt start_timestamp tan tanh timestamp year",
    ),
    (
        "m[1m]",
        "absent_over_time avg_over_time changes count_over_time delta deriv first_over_time idelta \
         increase irate last_over_time mad_over_time max_over_time min_over_time present_over_time \
         rate resets stddev_over_time stdvar_over_time sum_over_time ts_of_first_over_time \
         ts_of_last_over_time ts_of_max_over_time ts_of_min_over_time",
    ),
    ("m, 1", "clamp_max clamp_min"),
    ("m, 1, 1", "clamp"),
    ("1", "vector"),
    ("1, 1", "max_of min_of"),
    ("1, m", "histogram_quantile"),
    ("1, 1, m", "histogram_fraction"),
    ("m, \"a\", 1, 1", "histogram_quantiles"),
    ("m[1m], 1", "predict_linear"),
    ("m[1m], 1, 1", "double_exponential_smoothing"),
    ("1, m[1m]", "quantile_over_time"),
    ("m, \"a\"", "sort_by_label sort_by_label_desc"),
    ("m, \"a\", \"b\", \"c\"", "label_join"),
    ("m, \"a\", \"b\", \"c\", \"d\"", "label_replace"),
];

fn read_signatures() -> HashMap<&'static str, Signature> {
    let mut table = HashMap::new();
    for (arguments, names) in CALLS {
        for name in names.split_ascii_whitespace() {
            if let Ok(CrateExpr::Call(call)) = parse(&format!("{name}({arguments})")) {
                let signature = Signature {
                    name,
                    takes: call.func.arg_types.iter().map(|kind| value_type(*kind)).collect(),
                    variadic: call.func.variadic,
                    returns: value_type(call.func.return_type),
                    is_experimental: call.func.experimental,
                };
                table.insert(name, signature);
            }
        }
    }
    table
}

fn value_type(kind: CrateType) -> ValueType {
    match kind {
        CrateType::Scalar => ValueType::Scalar,
        CrateType::Vector => ValueType::Vector,
        CrateType::Matrix => ValueType::Matrix,
        CrateType::String => ValueType::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crate_knows_every_function() {
        for (arguments, names) in CALLS {
            for name in names.split_ascii_whitespace() {
                assert!(signature(name).is_some(), "{name}({arguments})");
            }
        }
        assert_eq!(signature("rate").map(|rate| rate.returns), Some(ValueType::Vector));
        assert_eq!(signature("label_join").map(|join| join.variadic), Some(-1));
        assert!(signature("limitk").is_none() && signature("integral").is_none());
        assert!(signature("mad_over_time").is_some_and(|mad| mad.is_experimental));
    }
}
