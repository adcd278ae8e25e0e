//! The functions: names, parameters and what each is lowered to. The table is also the answer of
//! `/functions`, from which editors offer completions and check arguments.

use super::argument::Arguments;
use super::error::GraphiteError;
use super::lower::{Lowering, alias, combine, moving, series, special, transform};
use plan::Node;

use self::ParamKind::{
    AggFunc, AggOrSeriesFunc, Any, Boolean, Float, IntOrInf, IntOrInterval, Integer, Interval,
    NodeOrTag, SeriesList, String, Tag,
};

/// One function.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    /// What it is called.
    pub name: &'static str,
    /// The editor's menu it stands in.
    pub group: &'static str,
    /// How it is written.
    pub signature: &'static str,
    /// What it does, in a sentence.
    pub description: &'static str,
    /// Its parameters in order.
    pub params: &'static [Param],
    /// Its plan.
    pub(super) lower: Lower,
}

/// Turns bound arguments into a plan.
pub(super) type Lower = fn(&mut Lowering<'_>, &Arguments<'_>) -> Result<Node, GraphiteError>;

/// One parameter.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// What it is called.
    pub name: &'static str,
    /// What it takes.
    pub kind: ParamKind,
    /// Editors ask for it.
    pub required: bool,
    /// It may be left out nevertheless.
    pub lenient: bool,
    /// It takes all further arguments.
    pub multiple: bool,
    /// Its value where it is not given, as JSON.
    pub default: Option<&'static str>,
    /// The only texts it takes; empty = any.
    pub options: &'static [&'static str],
    /// Values that an editor offers, as JSON.
    pub suggestions: &'static [&'static str],
}

/// The types of parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ParamKind {
    SeriesList,
    AggFunc,
    AggOrSeriesFunc,
    Float,
    Integer,
    IntOrInf,
    IntOrInterval,
    Interval,
    Boolean,
    String,
    NodeOrTag,
    Tag,
    Any,
}

impl ParamKind {
    /// The type's name for editors.
    pub fn name(self) -> &'static str {
        match self {
            SeriesList => "seriesList",
            AggFunc => "aggFunc",
            AggOrSeriesFunc => "aggOrSeriesFunc",
            Float => "float",
            Integer => "integer",
            IntOrInf => "intOrInf",
            IntOrInterval => "intOrInterval",
            Interval => "interval",
            Boolean => "boolean",
            String => "string",
            NodeOrTag => "nodeOrTag",
            Tag => "tag",
            Any => "any",
        }
    }
}

impl Param {
    /// The texts it takes: its own list, or those of its kind.
    pub fn choices(&self) -> Vec<&'static str> {
        match self.kind {
            AggFunc => AGGREGATIONS.to_vec(),
            AggOrSeriesFunc => {
                let mut all = [AGGREGATIONS, &CALLBACKS[..]].concat();
                all.sort_unstable();
                all.dedup();
                all
            }
            _ => self.options.to_vec(),
        }
    }

    const fn or(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    const fn lenient(mut self) -> Self {
        self.lenient = true;
        self
    }

    const fn many(mut self) -> Self {
        self.multiple = true;
        self
    }

    const fn of(mut self, options: &'static [&'static str]) -> Self {
        self.options = options;
        self
    }

    const fn like(mut self, suggestions: &'static [&'static str]) -> Self {
        self.suggestions = suggestions;
        self
    }
}

const fn req(name: &'static str, kind: ParamKind) -> Param {
    Param {
        name,
        kind,
        required: true,
        lenient: false,
        multiple: false,
        default: None,
        options: &[],
        suggestions: &[],
    }
}

const fn opt(name: &'static str, kind: ParamKind) -> Param {
    let mut param = req(name, kind);
    param.required = false;
    param
}

const fn function(
    name: &'static str,
    group: &'static str,
    signature: &'static str,
    description: &'static str,
    params: &'static [Param],
    lower: Lower,
) -> Function {
    Function { name, group, signature, description, params, lower }
}

/// Names of the functions of many values.
pub const AGGREGATIONS: &[&str] = &[
    "average", "avg", "avg_zero", "count", "current", "diff", "last", "max", "median", "min",
    "multiply", "range", "rangeOf", "stddev", "sum", "total",
];

/// Render functions that may stand for an aggregation in `groupByNode` and its relatives.
pub const CALLBACKS: [&str; 9] = [
    "averageSeries",
    "countSeries",
    "diffSeries",
    "maxSeries",
    "minSeries",
    "multiplySeries",
    "rangeOfSeries",
    "stddevSeries",
    "sumSeries",
];

/// The function of this name.
pub fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.binary_search_by(|function| function.name.cmp(name)).ok().map(|at| &FUNCTIONS[at])
}

/// All functions in the order of their names.
#[rustfmt::skip]
pub const FUNCTIONS: &[Function] = &[
    function("absolute", "Transform", "absolute(seriesList)", "Absolute values.", &[req("seriesList", SeriesList)], transform::absolute),
    function("add", "Transform", "add(seriesList, constant)", "Adds a constant.", &[req("seriesList", SeriesList), req("constant", Float)], transform::add),
    function("aggregate", "Combine", "aggregate(seriesList, func, xFilesFactor=None)", "Combines all series by the given function.", &[req("seriesList", SeriesList), req("func", AggFunc), opt("xFilesFactor", Float)], combine::aggregate),
    function("alias", "Alias", "alias(seriesList, newName)", "Another name.", &[req("seriesList", SeriesList), req("newName", String)], alias::alias),
    function("aliasByMetric", "Alias", "aliasByMetric(seriesList)", "The last node of the path as the name.", &[req("seriesList", SeriesList)], alias::alias_by_metric),
    function("aliasByNode", "Alias", "aliasByNode(seriesList, *nodes)", "Nodes of the path as the name.", &[req("seriesList", SeriesList), req("nodes", NodeOrTag).many()], alias::alias_by_node),
    function("aliasByTags", "Alias", "aliasByTags(seriesList, *tags)", "Values of tags as the name.", &[req("seriesList", SeriesList), req("tags", NodeOrTag).many()], alias::alias_by_node_tags),
    function("aliasSub", "Alias", "aliasSub(seriesList, search, replace)", "Replaces matches in the name.", &[req("seriesList", SeriesList), req("search", String), req("replace", String)], alias::alias_sub),
    function("alpha", "Graph", "alpha(seriesList, alpha)", "Transparency of the line.", &[req("seriesList", SeriesList), req("alpha", Float)], alias::alpha),
    function("averageAbove", "Filter Series", "averageAbove(seriesList, n)", "Series whose average lies above n.", &[req("seriesList", SeriesList), req("n", Float)], series::average_above),
    function("averageBelow", "Filter Series", "averageBelow(seriesList, n)", "Series whose average is at most n.", &[req("seriesList", SeriesList), req("n", Float)], series::average_below),
    function("averageSeries", "Combine", "averageSeries(*seriesLists)", "Average of all series.", &[req("seriesLists", SeriesList).many()], combine::average),
    function("avg", "Combine", "avg(*seriesLists)", "Average of all series.", &[req("seriesLists", SeriesList).many()], combine::average),
    function("changed", "Special", "changed(seriesList)", "1 where the value differs from the one before, else 0.", &[req("seriesList", SeriesList)], transform::changed),
    function("color", "Graph", "color(seriesList, theColor)", "Colour of the line.", &[req("seriesList", SeriesList), req("theColor", String)], alias::color),
    function("consolidateBy", "Special", "consolidateBy(seriesList, consolidationFunc)", "How values are merged when they are too many.", &[req("seriesList", SeriesList), req("consolidationFunc", String).of(&["average", "avg", "avg_zero", "first", "last", "max", "min", "sum"])], alias::consolidate_by),
    function("constantLine", "Special", "constantLine(value)", "A constant.", &[req("value", Float)], special::constant_line),
    function("countSeries", "Combine", "countSeries(*seriesLists)", "Number of series.", &[opt("seriesLists", SeriesList).many()], combine::count),
    function("cumulative", "Special", "cumulative(seriesList)", "Adds values when they are too many.", &[req("seriesList", SeriesList)], alias::cumulative),
    function("currentAbove", "Filter Series", "currentAbove(seriesList, n)", "Series whose last value lies above n.", &[req("seriesList", SeriesList), req("n", Float)], series::current_above),
    function("currentBelow", "Filter Series", "currentBelow(seriesList, n)", "Series whose last value is at most n.", &[req("seriesList", SeriesList), req("n", Float)], series::current_below),
    function("dashed", "Graph", "dashed(seriesList, dashLength=5)", "Draws a dashed line.", &[req("seriesList", SeriesList), opt("dashLength", Integer).or("5")], alias::dashed),
    function("delay", "Transform", "delay(seriesList, steps)", "Moves values later by a number of steps.", &[req("seriesList", SeriesList), req("steps", Integer)], transform::delay),
    function("derivative", "Transform", "derivative(seriesList)", "Difference to the previous value.", &[req("seriesList", SeriesList)], transform::derivative),
    function("diffSeries", "Combine", "diffSeries(*seriesLists)", "First series minus all others.", &[req("seriesLists", SeriesList).many()], combine::diff),
    function("drawAsInfinite", "Graph", "drawAsInfinite(seriesList)", "Draws values as vertical lines.", &[req("seriesList", SeriesList)], alias::draw_as_infinite),
    function("exclude", "Filter Series", "exclude(seriesList, pattern)", "Series whose name does not match.", &[req("seriesList", SeriesList), req("pattern", String)], series::exclude),
    function("exp", "Transform", "exp(seriesList)", "e to the power of each value.", &[req("seriesList", SeriesList)], transform::exp),
    function("fallbackSeries", "Special", "fallbackSeries(seriesList, fallback)", "The fallback where nothing is found.", &[req("seriesList", SeriesList), req("fallback", SeriesList)], special::fallback_series),
    function("filterSeries", "Filter Series", "filterSeries(seriesList, func, operator, threshold)", "Series of which a function compares so with a threshold.", &[req("seriesList", SeriesList), req("func", AggFunc), req("operator", String).of(&["!=", "<", "<=", "=", ">", ">="]), req("threshold", Float)], series::filter_series),
    function("grep", "Filter Series", "grep(seriesList, pattern)", "Series whose name matches.", &[req("seriesList", SeriesList), req("pattern", String)], series::grep),
    function("group", "Combine", "group(*seriesLists)", "Several lists as one.", &[opt("seriesLists", SeriesList).many()], combine::group),
    function("groupByNode", "Combine", "groupByNode(seriesList, nodeNum, callback='average')", "Combines series that share a node of their path.", &[req("seriesList", SeriesList), req("nodeNum", NodeOrTag), opt("callback", AggOrSeriesFunc).or("\"average\"")], combine::group_by_node),
    function("groupByNodes", "Combine", "groupByNodes(seriesList, callback, *nodes)", "Combines series that share several nodes of their path.", &[req("seriesList", SeriesList), req("callback", AggOrSeriesFunc), opt("nodes", NodeOrTag).many()], combine::group_by_nodes),
    function("groupByTags", "Combine", "groupByTags(seriesList, callback, *tags)", "Combines series that share values of tags.", &[req("seriesList", SeriesList), req("callback", AggOrSeriesFunc), req("tags", Tag).many()], combine::group_by_tags),
    function("highest", "Filter Series", "highest(seriesList, n=1, func='average')", "The n series with the highest result of a function.", &[req("seriesList", SeriesList), req("n", Integer).lenient(), opt("func", AggFunc).or("\"average\"")], series::highest),
    function("highestAverage", "Filter Series", "highestAverage(seriesList, n)", "The n series with the highest average.", &[req("seriesList", SeriesList), req("n", Integer)], series::highest_average),
    function("highestCurrent", "Filter Series", "highestCurrent(seriesList, n)", "The n series with the highest last value.", &[req("seriesList", SeriesList), req("n", Integer)], series::highest_current),
    function("highestMax", "Filter Series", "highestMax(seriesList, n)", "The n series with the highest largest value.", &[req("seriesList", SeriesList), req("n", Integer)], series::highest_max),
    function("integral", "Transform", "integral(seriesList)", "Running sum.", &[req("seriesList", SeriesList)], transform::integral),
    function("interpolate", "Transform", "interpolate(seriesList, limit=inf)", "Fills gaps on the line between their neighbours.", &[req("seriesList", SeriesList), opt("limit", IntOrInf).or("1e9999")], transform::interpolate),
    function("invert", "Transform", "invert(seriesList)", "1 divided by each value.", &[req("seriesList", SeriesList)], transform::invert),
    function("isNonNull", "Transform", "isNonNull(seriesList)", "1 where there is a value, 0 where there is none.", &[req("seriesList", SeriesList)], transform::is_non_null),
    function("keepLastValue", "Transform", "keepLastValue(seriesList, limit=inf)", "Fills short gaps with the value before them.", &[req("seriesList", SeriesList), opt("limit", IntOrInf).or("1e9999")], transform::keep_last_value),
    function("limit", "Filter Series", "limit(seriesList, n)", "The first n series.", &[req("seriesList", SeriesList), req("n", Integer)], series::limit),
    function("lineWidth", "Graph", "lineWidth(seriesList, width)", "Width of the line.", &[req("seriesList", SeriesList), req("width", Float)], alias::line_width),
    function("log", "Transform", "log(seriesList, base=10)", "Logarithm to a base.", &[req("seriesList", SeriesList), opt("base", Integer).or("10")], transform::log),
    function("logit", "Transform", "logit(seriesList)", "The logit of each value.", &[req("seriesList", SeriesList)], transform::logit),
    function("lowest", "Filter Series", "lowest(seriesList, n=1, func='average')", "The n series with the lowest result of a function.", &[req("seriesList", SeriesList), req("n", Integer).lenient(), opt("func", AggFunc).or("\"average\"")], series::lowest),
    function("lowestAverage", "Filter Series", "lowestAverage(seriesList, n)", "The n series with the lowest average.", &[req("seriesList", SeriesList), req("n", Integer)], series::lowest_average),
    function("lowestCurrent", "Filter Series", "lowestCurrent(seriesList, n)", "The n series with the lowest last value.", &[req("seriesList", SeriesList), req("n", Integer)], series::lowest_current),
    function("maxSeries", "Combine", "maxSeries(*seriesLists)", "Largest value of all series at each time.", &[req("seriesLists", SeriesList).many()], combine::max),
    function("maximumAbove", "Filter Series", "maximumAbove(seriesList, n)", "Series whose largest value lies above n.", &[req("seriesList", SeriesList), req("n", Float)], series::maximum_above),
    function("maximumBelow", "Filter Series", "maximumBelow(seriesList, n)", "Series whose largest value is at most n.", &[req("seriesList", SeriesList), req("n", Float)], series::maximum_below),
    function("minMax", "Transform", "minMax(seriesList)", "Scales values to 0 ... 1 between the smallest and the largest.", &[req("seriesList", SeriesList)], transform::min_max),
    function("minSeries", "Combine", "minSeries(*seriesLists)", "Smallest value of all series at each time.", &[req("seriesLists", SeriesList).many()], combine::min),
    function("minimumAbove", "Filter Series", "minimumAbove(seriesList, n)", "Series whose smallest value lies above n.", &[req("seriesList", SeriesList), req("n", Float)], series::minimum_above),
    function("minimumBelow", "Filter Series", "minimumBelow(seriesList, n)", "Series whose smallest value is at most n.", &[req("seriesList", SeriesList), req("n", Float)], series::minimum_below),
    function("movingAverage", "Calculate", "movingAverage(seriesList, windowSize, xFilesFactor=None)", "Average of the last values at each time.", &[req("seriesList", SeriesList), req("windowSize", IntOrInterval).like(&["5", "7", "10", "\"1min\"", "\"5min\"", "\"10min\"", "\"30min\"", "\"1hour\""]), opt("xFilesFactor", Float)], moving::average),
    function("movingMax", "Calculate", "movingMax(seriesList, windowSize, xFilesFactor=None)", "Largest of the last values at each time.", &[req("seriesList", SeriesList), req("windowSize", IntOrInterval).like(&["5", "7", "10", "\"1min\"", "\"5min\"", "\"10min\"", "\"30min\"", "\"1hour\""]), opt("xFilesFactor", Float)], moving::max),
    function("movingMedian", "Calculate", "movingMedian(seriesList, windowSize, xFilesFactor=None)", "Median of the last values at each time.", &[req("seriesList", SeriesList), req("windowSize", IntOrInterval).like(&["5", "7", "10", "\"1min\"", "\"5min\"", "\"10min\"", "\"30min\"", "\"1hour\""]), opt("xFilesFactor", Float)], moving::median),
    function("movingMin", "Calculate", "movingMin(seriesList, windowSize, xFilesFactor=None)", "Smallest of the last values at each time.", &[req("seriesList", SeriesList), req("windowSize", IntOrInterval).like(&["5", "7", "10", "\"1min\"", "\"5min\"", "\"10min\"", "\"30min\"", "\"1hour\""]), opt("xFilesFactor", Float)], moving::min),
    function("movingSum", "Calculate", "movingSum(seriesList, windowSize, xFilesFactor=None)", "Sum of the last values at each time.", &[req("seriesList", SeriesList), req("windowSize", IntOrInterval).like(&["5", "7", "10", "\"1min\"", "\"5min\"", "\"10min\"", "\"30min\"", "\"1hour\""]), opt("xFilesFactor", Float)], moving::sum),
    function("movingWindow", "Calculate", "movingWindow(seriesList, windowSize, func='average', xFilesFactor=None)", "A function of the last values at each time.", &[req("seriesList", SeriesList), req("windowSize", IntOrInterval).like(&["5", "7", "10", "\"1min\"", "\"5min\"", "\"10min\"", "\"30min\"", "\"1hour\""]), opt("func", AggFunc).or("\"average\""), opt("xFilesFactor", Float)], moving::window),
    function("multiplySeries", "Combine", "multiplySeries(*seriesLists)", "Product of all series; no value where any is missing.", &[req("seriesLists", SeriesList).many()], combine::multiply),
    function("nonNegativeDerivative", "Transform", "nonNegativeDerivative(seriesList, maxValue=None, minValue=None)", "Growth of a counter between neighbouring values.", &[req("seriesList", SeriesList), opt("maxValue", Float), opt("minValue", Float)], transform::non_negative_derivative),
    function("offset", "Transform", "offset(seriesList, factor)", "Adds a constant.", &[req("seriesList", SeriesList), req("factor", Float)], transform::offset),
    function("offsetToZero", "Transform", "offsetToZero(seriesList)", "Takes the smallest value away, so that it becomes 0.", &[req("seriesList", SeriesList)], transform::offset_to_zero),
    function("perSecond", "Transform", "perSecond(seriesList, maxValue=None, minValue=None)", "Growth of a counter per second.", &[req("seriesList", SeriesList), opt("maxValue", Float), opt("minValue", Float)], transform::per_second),
    function("pow", "Transform", "pow(seriesList, factor)", "Each value to a power.", &[req("seriesList", SeriesList), req("factor", Float)], transform::pow),
    function("rangeOfSeries", "Combine", "rangeOfSeries(*seriesLists)", "Largest minus smallest value of all series at each time.", &[req("seriesLists", SeriesList).many()], combine::range),
    function("removeAboveValue", "Filter Data", "removeAboveValue(seriesList, n)", "Removes values above n.", &[req("seriesList", SeriesList), req("n", Float)], transform::remove_above_value),
    function("removeBelowValue", "Filter Data", "removeBelowValue(seriesList, n)", "Removes values below n.", &[req("seriesList", SeriesList), req("n", Float)], transform::remove_below_value),
    function("removeEmptySeries", "Filter Series", "removeEmptySeries(seriesList, xFilesFactor=None)", "Series that have any value.", &[req("seriesList", SeriesList), opt("xFilesFactor", Float)], series::remove_empty),
    function("round", "Transform", "round(seriesList, precision=None)", "Rounds to a number of decimals.", &[req("seriesList", SeriesList), opt("precision", Integer).or("0")], transform::round),
    function("scale", "Transform", "scale(seriesList, factor)", "Multiplies by a constant.", &[req("seriesList", SeriesList), req("factor", Float)], transform::scale),
    function("scaleToSeconds", "Transform", "scaleToSeconds(seriesList, seconds)", "Turns values per step into values per the given number of seconds.", &[req("seriesList", SeriesList), req("seconds", Float)], transform::scale_to_seconds),
    function("secondYAxis", "Graph", "secondYAxis(seriesList)", "Draws on the second axis.", &[req("seriesList", SeriesList)], alias::second_y_axis),
    function("seriesByTag", "Special", "seriesByTag(*tagExpressions)", "Series by their tags.", &[req("tagExpressions", String).many()], special::series_by_tag),
    function("setXFilesFactor", "Special", "setXFilesFactor(seriesList, xFilesFactor)", "Share of values that a merged value needs.", &[req("seriesList", SeriesList), req("xFilesFactor", Float)], alias::set_x_files_factor),
    function("sigmoid", "Transform", "sigmoid(seriesList)", "The sigmoid of each value.", &[req("seriesList", SeriesList)], transform::sigmoid),
    function("sortBy", "Sorting", "sortBy(seriesList, func='average', reverse=False)", "Sorts by a function of each series.", &[req("seriesList", SeriesList), opt("func", AggFunc).or("\"average\""), opt("reverse", Boolean).or("false")], series::sort_by),
    function("sortByMaxima", "Sorting", "sortByMaxima(seriesList)", "Sorts by largest value, largest first.", &[req("seriesList", SeriesList)], series::sort_by_maxima),
    function("sortByMinima", "Sorting", "sortByMinima(seriesList)", "Sorts by smallest value, smallest first.", &[req("seriesList", SeriesList)], series::sort_by_minima),
    function("sortByName", "Sorting", "sortByName(seriesList, natural=False, reverse=False)", "Sorts by name.", &[req("seriesList", SeriesList), opt("natural", Boolean).or("false"), opt("reverse", Boolean).or("false")], series::sort_by_name),
    function("sortByTotal", "Sorting", "sortByTotal(seriesList)", "Sorts by sum, largest first.", &[req("seriesList", SeriesList)], series::sort_by_total),
    function("squareRoot", "Transform", "squareRoot(seriesList)", "Square roots.", &[req("seriesList", SeriesList)], transform::square_root),
    function("stddevSeries", "Combine", "stddevSeries(*seriesLists)", "Standard deviation of all series at each time.", &[req("seriesLists", SeriesList).many()], combine::stddev),
    function("sum", "Combine", "sum(*seriesLists)", "Adds all series.", &[req("seriesLists", SeriesList).many()], combine::sum),
    function("sumSeries", "Combine", "sumSeries(*seriesLists)", "Adds all series.", &[req("seriesLists", SeriesList).many()], combine::sum),
    function("summarize", "Transform", "summarize(seriesList, intervalString, func='sum', alignToFrom=False)", "Gathers values in longer intervals.", &[req("seriesList", SeriesList), req("intervalString", Interval).like(&["\"10min\"", "\"1h\"", "\"1d\""]), opt("func", AggFunc).or("\"sum\""), opt("alignToFrom", Boolean).or("false")], transform::summarize),
    function("threshold", "Graph", "threshold(value, label=None, color=None)", "A horizontal line.", &[req("value", Float), opt("label", String), opt("color", String)], special::threshold),
    function("time", "Transform", "time(name, step=60)", "The time itself as a series.", &[req("name", String), opt("step", Integer).or("60")], special::time),
    function("timeFunction", "Transform", "timeFunction(name, step=60)", "The time itself as a series.", &[req("name", String), opt("step", Integer).or("60")], special::time),
    function("timeShift", "Transform", "timeShift(seriesList, timeShift, resetEnd=True, alignDST=False)", "The same series from another time.", &[req("seriesList", SeriesList), req("timeShift", Interval).like(&["\"1h\"", "\"6h\"", "\"12h\"", "\"1d\"", "\"2d\"", "\"7d\"", "\"14d\"", "\"30d\""]), opt("resetEnd", Boolean).or("true"), opt("alignDst", Boolean).or("false")], transform::time_shift),
    function("transformNull", "Transform", "transformNull(seriesList, default=0, referenceSeries=None)", "A value in place of missing ones.", &[req("seriesList", SeriesList), opt("default", Float).or("0"), opt("referenceSeries", SeriesList)], transform::transform_null),
    function("unique", "Filter Series", "unique(*seriesLists)", "The first series of each name.", &[req("seriesLists", SeriesList).many()], combine::unique),
    function("xFilesFactor", "Special", "xFilesFactor(seriesList, xFilesFactor)", "Share of values that a merged value needs.", &[req("seriesList", SeriesList), req("xFilesFactor", Float)], alias::set_x_files_factor),
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn names_are_sorted() {
        assert!(FUNCTIONS.windows(2).all(|pair| pair[0].name < pair[1].name));
    }

    /// Compares with the recorded table, where it is there.
    #[test]
    fn parameters_are_those_of_the_original() {
        let vectors = std::env::var("TRIBUTARY_VECTORS").unwrap_or_else(|_| {
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors").into()
        });
        let path = format!("{vectors}/graphite/functions_meta.json");
        let Ok(text) = std::fs::read_to_string(path) else {
            eprintln!("1 files absent");
            return;
        };
        let recorded: Value = serde_json::from_str(&text).unwrap();
        for function in FUNCTIONS {
            let entry = &recorded[function.name];
            assert_eq!(entry["group"], function.group, "{}", function.name);
            assert_eq!(entry["signature"], function.signature);
            let params = entry["params"].as_array().unwrap();
            assert_eq!(params.len(), function.params.len(), "{}", function.name);
            for (param, recorded) in function.params.iter().zip(params) {
                assert_eq!(recorded["name"], param.name, "{}", function.name);
                assert_eq!(recorded["type"], param.kind.name(), "{}", function.name);
                assert_eq!(recorded["required"] == true, param.required);
                assert_eq!(recorded["multiple"] == true, param.multiple);
                assert_eq!(recorded.get("default").is_some(), param.default.is_some());
            }
        }
    }
}
