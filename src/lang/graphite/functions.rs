//! The functions: names, parameters and what each is lowered to. The table is also the answer of
//! `/functions`, from which editors offer completions and check arguments.

use super::argument::Arguments;
use super::error::GraphiteError;
use super::lower::{
    Lowering, alias, combine, groups, legend, moving, percent, season, series, shift, special,
    transform,
};
use plan::Node;

use self::ParamKind::{
    AggFunc, AggOrSeriesFunc, Any, Boolean, Date, Float, IntOrInf, IntOrInterval, Integer,
    Interval, NodeOrTag, SeriesList, SeriesLists, String, Tag,
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
    Date,
    Node,
    SeriesLists,
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
            Date => "date",
            ParamKind::Node => "node",
            SeriesLists => "seriesLists",
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
pub const CALLBACKS: [&str; 20] = [
    "asPercent",
    "averageSeries",
    "averageSeriesWithWildcards",
    "avg",
    "countSeries",
    "diffSeries",
    "diffSeriesLists",
    "maxSeries",
    "minSeries",
    "multiplySeries",
    "multiplySeriesLists",
    "multiplySeriesWithWildcards",
    "pct",
    "powSeries",
    "rangeOfSeries",
    "stddevSeries",
    "sum",
    "sumSeries",
    "sumSeriesLists",
    "sumSeriesWithWildcards",
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
    function("aggregateLine", "Calculate", "aggregateLine(seriesList, func='average', keepStep=False)", "A line at the result of a function over the whole series.", &[req("seriesList", SeriesList), opt("func", AggFunc).or("\"average\""), opt("keepStep", Boolean).or("false")], series::aggregate_line),
    function("aggregateSeriesLists", "Combine", "aggregateSeriesLists(seriesListFirstPos, seriesListSecondPos, func, xFilesFactor=None)", "Combines the series at the same place of two lists.", &[req("seriesListFirstPos", SeriesList), req("seriesListSecondPos", SeriesList), req("func", AggFunc), opt("xFilesFactor", Float)], groups::aggregate_lists),
    function("aggregateWithWildcards", "Combine", "aggregateWithWildcards(seriesList, func, *positions)", "Combines series whose names differ only in the nodes at the given places.", &[req("seriesList", SeriesList), req("func", AggFunc), opt("position", ParamKind::Node).many()], combine::aggregate_with_wildcards),
    function("alias", "Alias", "alias(seriesList, newName)", "Another name.", &[req("seriesList", SeriesList), req("newName", String)], alias::alias),
    function("aliasByMetric", "Alias", "aliasByMetric(seriesList)", "The last node of the path as the name.", &[req("seriesList", SeriesList)], alias::alias_by_metric),
    function("aliasByNode", "Alias", "aliasByNode(seriesList, *nodes)", "Nodes of the path as the name.", &[req("seriesList", SeriesList), req("nodes", NodeOrTag).many()], alias::alias_by_node),
    function("aliasByTags", "Alias", "aliasByTags(seriesList, *tags)", "Values of tags as the name.", &[req("seriesList", SeriesList), req("tags", NodeOrTag).many()], alias::alias_by_node_tags),
    function("aliasQuery", "Alias", "aliasQuery(seriesList, search, replace, newName)", "Names series after the last value of another one.", &[req("seriesList", SeriesList), req("search", String), req("replace", String), req("newName", String)], legend::alias_query),
    function("aliasSub", "Alias", "aliasSub(seriesList, search, replace)", "Replaces matches in the name.", &[req("seriesList", SeriesList), req("search", String), req("replace", String)], alias::alias_sub),
    function("alpha", "Graph", "alpha(seriesList, alpha)", "Transparency of the line.", &[req("seriesList", SeriesList), req("alpha", Float)], alias::alpha),
    function("applyByNode", "Combine", "applyByNode(seriesList, nodeNum, templateFunction, newName=None)", "Evaluates a target for every prefix of the names.", &[req("seriesList", SeriesList), req("nodeNum", ParamKind::Node), req("templateFunction", String), opt("newName", String)], groups::apply_by_node),
    function("areaBetween", "Graph", "areaBetween(seriesList)", "Draws the area between two series.", &[req("seriesList", SeriesList)], alias::area_between),
    function("asPercent", "Combine", "asPercent(seriesList, total=None, *nodes)", "Percentage of a total.", &[req("seriesList", SeriesList), opt("total", Any), opt("nodes", NodeOrTag).many()], percent::as_percent),
    function("averageAbove", "Filter Series", "averageAbove(seriesList, n)", "Series whose average lies above n.", &[req("seriesList", SeriesList), req("n", Float)], series::average_above),
    function("averageBelow", "Filter Series", "averageBelow(seriesList, n)", "Series whose average is at most n.", &[req("seriesList", SeriesList), req("n", Float)], series::average_below),
    function("averageOutsidePercentile", "Filter Series", "averageOutsidePercentile(seriesList, n)", "Series whose average lies outside of a band of percentiles.", &[req("seriesList", SeriesList), req("n", Float)], series::average_outside),
    function("averageSeries", "Combine", "averageSeries(*seriesLists)", "Average of all series.", &[req("seriesLists", SeriesList).many()], combine::average),
    function("averageSeriesWithWildcards", "Combine", "averageSeriesWithWildcards(seriesList, *position)", "Average of series whose names differ only in the nodes at the given places.", &[req("seriesList", SeriesList), opt("position", ParamKind::Node).many()], combine::average_with_wildcards),
    function("avg", "Combine", "avg(*seriesLists)", "Average of all series.", &[req("seriesLists", SeriesList).many()], combine::average),
    function("cactiStyle", "Special", "cactiStyle(seriesList, system=None, units=None)", "Last, largest and smallest value in columns behind the name.", &[req("seriesList", SeriesList), opt("system", String).of(&["binary", "si"]), opt("units", String)], legend::cacti_style),
    function("changed", "Special", "changed(seriesList)", "1 where the value differs from the one before, else 0.", &[req("seriesList", SeriesList)], transform::changed),
    function("color", "Graph", "color(seriesList, theColor)", "Colour of the line.", &[req("seriesList", SeriesList), req("theColor", String)], alias::color),
    function("compressPeriodicGaps", "Transform", "compressPeriodicGaps(seriesList)", "Widens the step of series that have a value at every n-th time only.", &[req("seriesList", SeriesList)], transform::compress_gaps),
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
    function("diffSeriesLists", "Combine", "diffSeriesLists(seriesListFirstPos, seriesListSecondPos)", "Subtracts the series at the same place of two lists.", &[req("seriesListFirstPos", SeriesList), req("seriesListSecondPos", SeriesList)], groups::diff_lists),
    function("divideSeries", "Combine", "divideSeries(dividendSeriesList, divisorSeries)", "Divides each series by one.", &[req("dividendSeriesList", SeriesList), req("divisorSeries", SeriesList)], percent::divide_series),
    function("divideSeriesLists", "Combine", "divideSeriesLists(dividendSeriesList, divisorSeriesList)", "Divides the series at the same place of two lists.", &[req("dividendSeriesList", SeriesList), req("divisorSeriesList", SeriesList)], percent::divide_series_lists),
    function("drawAsInfinite", "Graph", "drawAsInfinite(seriesList)", "Draws values as vertical lines.", &[req("seriesList", SeriesList)], alias::draw_as_infinite),
    function("events", "Special", "events(*tags)", "Number of events with all of the tags.", &[req("tags", String).many()], special::events),
    function("exclude", "Filter Series", "exclude(seriesList, pattern)", "Series whose name does not match.", &[req("seriesList", SeriesList), req("pattern", String)], series::exclude),
    function("exp", "Transform", "exp(seriesList)", "e to the power of each value.", &[req("seriesList", SeriesList)], transform::exp),
    function("exponentialMovingAverage", "Calculate", "exponentialMovingAverage(seriesList, windowSize)", "Average of all values up to each time, the last ones weighing most.", &[req("seriesList", SeriesList), req("windowSize", IntOrInterval).like(&["5", "7", "10", "\"1min\"", "\"5min\"", "\"10min\"", "\"30min\"", "\"1hour\""])], moving::exponential),
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
    function("hitcount", "Transform", "hitcount(seriesList, intervalString, alignToInterval=False)", "Turns rates per second into hits per interval.", &[req("seriesList", SeriesList), req("intervalString", Interval).like(&["\"10min\"", "\"1h\"", "\"1d\""]), opt("alignToInterval", Boolean).or("false")], transform::hitcount),
    function("holtWintersAberration", "Calculate", "holtWintersAberration(seriesList, delta=3, bootstrapInterval='7d', seasonality='1d')", "How far values lie outside of the confidence bands.", &[req("seriesList", SeriesList), opt("delta", Integer).or("3"), opt("bootstrapInterval", Interval).or("\"7d\"").like(&["\"7d\"", "\"30d\""]), opt("seasonality", Interval).or("\"1d\"").like(&["\"1d\"", "\"7d\""])], season::aberration),
    function("holtWintersConfidenceArea", "Calculate", "holtWintersConfidenceArea(seriesList, delta=3, bootstrapInterval='7d', seasonality='1d')", "Draws the area between the confidence bands.", &[req("seriesList", SeriesList), opt("delta", Integer).or("3"), opt("bootstrapInterval", Interval).or("\"7d\"").like(&["\"7d\"", "\"30d\""]), opt("seasonality", Interval).or("\"1d\"").like(&["\"1d\"", "\"7d\""])], season::confidence_area),
    function("holtWintersConfidenceBands", "Calculate", "holtWintersConfidenceBands(seriesList, delta=3, bootstrapInterval='7d', seasonality='1d')", "Bands around the forecast.", &[req("seriesList", SeriesList), opt("delta", Integer).or("3"), opt("bootstrapInterval", Interval).or("\"7d\"").like(&["\"7d\"", "\"30d\""]), opt("seasonality", Interval).or("\"1d\"").like(&["\"1d\"", "\"7d\""])], season::confidence_bands),
    function("holtWintersForecast", "Calculate", "holtWintersForecast(seriesList, bootstrapInterval='7d', seasonality='1d')", "What the season and the trend of the past predict.", &[req("seriesList", SeriesList), opt("bootstrapInterval", Interval).or("\"7d\"").like(&["\"7d\"", "\"30d\""]), opt("seasonality", Interval).or("\"1d\"").like(&["\"1d\"", "\"7d\""])], season::forecasts),
    function("identity", "Calculate", "identity(name)", "The time itself as a series.", &[req("name", String)], special::identity),
    function("integral", "Transform", "integral(seriesList)", "Running sum.", &[req("seriesList", SeriesList)], transform::integral),
    function("integralByInterval", "Transform", "integralByInterval(seriesList, intervalUnit)", "Running sum that begins anew with every interval.", &[req("seriesList", SeriesList), req("intervalUnit", String)], transform::integral_by_interval),
    function("interpolate", "Transform", "interpolate(seriesList, limit=inf)", "Fills gaps on the line between their neighbours.", &[req("seriesList", SeriesList), opt("limit", IntOrInf).or("1e9999")], transform::interpolate),
    function("invert", "Transform", "invert(seriesList)", "1 divided by each value.", &[req("seriesList", SeriesList)], transform::invert),
    function("isNonNull", "Transform", "isNonNull(seriesList)", "1 where there is a value, 0 where there is none.", &[req("seriesList", SeriesList)], transform::is_non_null),
    function("keepLastValue", "Transform", "keepLastValue(seriesList, limit=inf)", "Fills short gaps with the value before them.", &[req("seriesList", SeriesList), opt("limit", IntOrInf).or("1e9999")], transform::keep_last_value),
    function("legendValue", "Alias", "legendValue(seriesList, *valueTypes)", "Numbers of the values behind the name.", &[req("seriesList", SeriesList), opt("valuesTypes", String).many().of(&["average", "averageSeries", "avg", "avgSeries", "avg_zero", "avg_zeroSeries", "binary", "count", "countSeries", "current", "currentSeries", "diff", "diffSeries", "last", "lastSeries", "max", "maxSeries", "median", "medianSeries", "min", "minSeries", "multiply", "multiplySeries", "range", "rangeOf", "rangeOfSeries", "rangeSeries", "si", "stddev", "stddevSeries", "sum", "sumSeries", "total", "totalSeries"])], legend::legend_value),
    function("limit", "Filter Series", "limit(seriesList, n)", "The first n series.", &[req("seriesList", SeriesList), req("n", Integer)], series::limit),
    function("lineWidth", "Graph", "lineWidth(seriesList, width)", "Width of the line.", &[req("seriesList", SeriesList), req("width", Float)], alias::line_width),
    function("linearRegression", "Calculate", "linearRegression(seriesList, startSourceAt=None, endSourceAt=None)", "The straight line that fits best.", &[req("seriesList", SeriesList), opt("startSourceAt", Date), opt("endSourceAt", Date)], season::linear_regression),
    function("log", "Transform", "log(seriesList, base=10)", "Logarithm to a base.", &[req("seriesList", SeriesList), opt("base", Integer).or("10")], transform::log),
    function("logit", "Transform", "logit(seriesList)", "The logit of each value.", &[req("seriesList", SeriesList)], transform::logit),
    function("lower", "Alias", "lower(seriesList, *pos)", "The name in lower case.", &[req("seriesList", SeriesList), opt("pos", Integer).many()], alias::lower),
    function("lowest", "Filter Series", "lowest(seriesList, n=1, func='average')", "The n series with the lowest result of a function.", &[req("seriesList", SeriesList), req("n", Integer).lenient(), opt("func", AggFunc).or("\"average\"")], series::lowest),
    function("lowestAverage", "Filter Series", "lowestAverage(seriesList, n)", "The n series with the lowest average.", &[req("seriesList", SeriesList), req("n", Integer)], series::lowest_average),
    function("lowestCurrent", "Filter Series", "lowestCurrent(seriesList, n)", "The n series with the lowest last value.", &[req("seriesList", SeriesList), req("n", Integer)], series::lowest_current),
    function("map", "Combine", "map(seriesList, *mapNodes)", "Groups series for reduce by nodes of their paths.", &[req("seriesList", SeriesList), req("mapNodes", NodeOrTag).many()], groups::map_series),
    function("mapSeries", "Combine", "mapSeries(seriesList, *mapNodes)", "Groups series for reduceSeries by nodes of their paths.", &[req("seriesList", SeriesList), req("mapNodes", NodeOrTag).many()], groups::map_series),
    function("maxSeries", "Combine", "maxSeries(*seriesLists)", "Largest value of all series at each time.", &[req("seriesLists", SeriesList).many()], combine::max),
    function("maximumAbove", "Filter Series", "maximumAbove(seriesList, n)", "Series whose largest value lies above n.", &[req("seriesList", SeriesList), req("n", Float)], series::maximum_above),
    function("maximumBelow", "Filter Series", "maximumBelow(seriesList, n)", "Series whose largest value is at most n.", &[req("seriesList", SeriesList), req("n", Float)], series::maximum_below),
    function("minMax", "Transform", "minMax(seriesList)", "Scales values to 0 ... 1 between the smallest and the largest.", &[req("seriesList", SeriesList)], transform::min_max),
    function("minSeries", "Combine", "minSeries(*seriesLists)", "Smallest value of all series at each time.", &[req("seriesLists", SeriesList).many()], combine::min),
    function("minimumAbove", "Filter Series", "minimumAbove(seriesList, n)", "Series whose smallest value lies above n.", &[req("seriesList", SeriesList), req("n", Float)], series::minimum_above),
    function("minimumBelow", "Filter Series", "minimumBelow(seriesList, n)", "Series whose smallest value is at most n.", &[req("seriesList", SeriesList), req("n", Float)], series::minimum_below),
    function("mostDeviant", "Filter Series", "mostDeviant(seriesList, n)", "The n series with the largest variance.", &[req("seriesList", SeriesList), req("n", Integer)], series::most_deviant),
    function("movingAverage", "Calculate", "movingAverage(seriesList, windowSize, xFilesFactor=None)", "Average of the last values at each time.", &[req("seriesList", SeriesList), req("windowSize", IntOrInterval).like(&["5", "7", "10", "\"1min\"", "\"5min\"", "\"10min\"", "\"30min\"", "\"1hour\""]), opt("xFilesFactor", Float)], moving::average),
    function("movingMax", "Calculate", "movingMax(seriesList, windowSize, xFilesFactor=None)", "Largest of the last values at each time.", &[req("seriesList", SeriesList), req("windowSize", IntOrInterval).like(&["5", "7", "10", "\"1min\"", "\"5min\"", "\"10min\"", "\"30min\"", "\"1hour\""]), opt("xFilesFactor", Float)], moving::max),
    function("movingMedian", "Calculate", "movingMedian(seriesList, windowSize, xFilesFactor=None)", "Median of the last values at each time.", &[req("seriesList", SeriesList), req("windowSize", IntOrInterval).like(&["5", "7", "10", "\"1min\"", "\"5min\"", "\"10min\"", "\"30min\"", "\"1hour\""]), opt("xFilesFactor", Float)], moving::median),
    function("movingMin", "Calculate", "movingMin(seriesList, windowSize, xFilesFactor=None)", "Smallest of the last values at each time.", &[req("seriesList", SeriesList), req("windowSize", IntOrInterval).like(&["5", "7", "10", "\"1min\"", "\"5min\"", "\"10min\"", "\"30min\"", "\"1hour\""]), opt("xFilesFactor", Float)], moving::min),
    function("movingSum", "Calculate", "movingSum(seriesList, windowSize, xFilesFactor=None)", "Sum of the last values at each time.", &[req("seriesList", SeriesList), req("windowSize", IntOrInterval).like(&["5", "7", "10", "\"1min\"", "\"5min\"", "\"10min\"", "\"30min\"", "\"1hour\""]), opt("xFilesFactor", Float)], moving::sum),
    function("movingWindow", "Calculate", "movingWindow(seriesList, windowSize, func='average', xFilesFactor=None)", "A function of the last values at each time.", &[req("seriesList", SeriesList), req("windowSize", IntOrInterval).like(&["5", "7", "10", "\"1min\"", "\"5min\"", "\"10min\"", "\"30min\"", "\"1hour\""]), opt("func", AggFunc).or("\"average\""), opt("xFilesFactor", Float)], moving::window),
    function("multiplySeries", "Combine", "multiplySeries(*seriesLists)", "Product of all series; no value where any is missing.", &[req("seriesLists", SeriesList).many()], combine::multiply),
    function("multiplySeriesLists", "Combine", "multiplySeriesLists(seriesListFirstPos, seriesListSecondPos)", "Multiplies the series at the same place of two lists.", &[req("seriesListFirstPos", SeriesList), req("seriesListSecondPos", SeriesList)], groups::multiply_lists),
    function("multiplySeriesWithWildcards", "Combine", "multiplySeriesWithWildcards(seriesList, *position)", "Product of series whose names differ only in the nodes at the given places.", &[req("seriesList", SeriesList), opt("position", ParamKind::Node).many()], combine::multiply_with_wildcards),
    function("nPercentile", "Calculate", "nPercentile(seriesList, n)", "A line at a percentile of each series.", &[req("seriesList", SeriesList), req("n", Float)], series::n_percentile),
    function("nonNegativeDerivative", "Transform", "nonNegativeDerivative(seriesList, maxValue=None, minValue=None)", "Growth of a counter between neighbouring values.", &[req("seriesList", SeriesList), opt("maxValue", Float), opt("minValue", Float)], transform::non_negative_derivative),
    function("offset", "Transform", "offset(seriesList, factor)", "Adds a constant.", &[req("seriesList", SeriesList), req("factor", Float)], transform::offset),
    function("offsetToZero", "Transform", "offsetToZero(seriesList)", "Takes the smallest value away, so that it becomes 0.", &[req("seriesList", SeriesList)], transform::offset_to_zero),
    function("pct", "Combine", "pct(seriesList, total=None, *nodes)", "Percentage of a total.", &[req("seriesList", SeriesList), opt("total", Any), opt("nodes", NodeOrTag).many()], percent::as_percent),
    function("perSecond", "Transform", "perSecond(seriesList, maxValue=None, minValue=None)", "Growth of a counter per second.", &[req("seriesList", SeriesList), opt("maxValue", Float), opt("minValue", Float)], transform::per_second),
    function("percentileOfSeries", "Combine", "percentileOfSeries(seriesList, n, interpolate=False)", "A percentile of all series at each time.", &[req("seriesList", SeriesList), req("n", Float), opt("interpolate", Boolean).or("false")], combine::percentile),
    function("pow", "Transform", "pow(seriesList, factor)", "Each value to a power.", &[req("seriesList", SeriesList), req("factor", Float)], transform::pow),
    function("powSeries", "Combine", "powSeries(*seriesLists)", "The first series to the power of the others.", &[req("seriesList", SeriesList).many()], combine::power),
    function("randomWalk", "Special", "randomWalk(name, step=60)", "A walk by random steps.", &[req("name", String), opt("step", Integer).or("60")], special::random_walk),
    function("randomWalkFunction", "Special", "randomWalkFunction(name, step=60)", "A walk by random steps.", &[req("name", String), opt("step", Integer).or("60")], special::random_walk),
    function("rangeOfSeries", "Combine", "rangeOfSeries(*seriesLists)", "Largest minus smallest value of all series at each time.", &[req("seriesLists", SeriesList).many()], combine::range),
    function("reduce", "Combine", "reduce(seriesLists, reduceFunction, reduceNode, *reduceMatchers)", "Calls a function with the series of each group.", &[req("seriesLists", SeriesLists), req("reduceFunction", String), req("reduceNode", ParamKind::Node), req("reduceMatchers", String).many()], groups::reduce_series),
    function("reduceSeries", "Combine", "reduceSeries(seriesLists, reduceFunction, reduceNode, *reduceMatchers)", "Calls a function with the series of each group.", &[req("seriesLists", SeriesLists), req("reduceFunction", String), req("reduceNode", ParamKind::Node), req("reduceMatchers", String).many()], groups::reduce_series),
    function("removeAbovePercentile", "Filter Data", "removeAbovePercentile(seriesList, n)", "Removes values above a percentile of their series.", &[req("seriesList", SeriesList), req("n", Float)], series::remove_above),
    function("removeAboveValue", "Filter Data", "removeAboveValue(seriesList, n)", "Removes values above n.", &[req("seriesList", SeriesList), req("n", Float)], transform::remove_above_value),
    function("removeBelowPercentile", "Filter Data", "removeBelowPercentile(seriesList, n)", "Removes values below a percentile of their series.", &[req("seriesList", SeriesList), req("n", Float)], series::remove_below),
    function("removeBelowValue", "Filter Data", "removeBelowValue(seriesList, n)", "Removes values below n.", &[req("seriesList", SeriesList), req("n", Float)], transform::remove_below_value),
    function("removeBetweenPercentile", "Filter Series", "removeBetweenPercentile(seriesList, n)", "Series that leave a band of percentiles of all.", &[req("seriesList", SeriesList), req("n", Float)], series::remove_between),
    function("removeEmptySeries", "Filter Series", "removeEmptySeries(seriesList, xFilesFactor=None)", "Series that have any value.", &[req("seriesList", SeriesList), opt("xFilesFactor", Float)], series::remove_empty),
    function("round", "Transform", "round(seriesList, precision=None)", "Rounds to a number of decimals.", &[req("seriesList", SeriesList), opt("precision", Integer).or("0")], transform::round),
    function("scale", "Transform", "scale(seriesList, factor)", "Multiplies by a constant.", &[req("seriesList", SeriesList), req("factor", Float)], transform::scale),
    function("scaleToSeconds", "Transform", "scaleToSeconds(seriesList, seconds)", "Turns values per step into values per the given number of seconds.", &[req("seriesList", SeriesList), req("seconds", Float)], transform::scale_to_seconds),
    function("secondYAxis", "Graph", "secondYAxis(seriesList)", "Draws on the second axis.", &[req("seriesList", SeriesList)], alias::second_y_axis),
    function("seriesByTag", "Special", "seriesByTag(*tagExpressions)", "Series by their tags.", &[req("tagExpressions", String).many()], special::series_by_tag),
    function("setXFilesFactor", "Special", "setXFilesFactor(seriesList, xFilesFactor)", "Share of values that a merged value needs.", &[req("seriesList", SeriesList), req("xFilesFactor", Float)], alias::set_x_files_factor),
    function("sigmoid", "Transform", "sigmoid(seriesList)", "The sigmoid of each value.", &[req("seriesList", SeriesList)], transform::sigmoid),
    function("sin", "Transform", "sin(name, amplitude=1, step=60)", "The sine of the time.", &[req("name", String), opt("amplitude", Integer).or("1"), opt("step", Integer).or("60")], special::sine),
    function("sinFunction", "Transform", "sinFunction(name, amplitude=1, step=60)", "The sine of the time.", &[req("name", String), opt("amplitude", Integer).or("1"), opt("step", Integer).or("60")], special::sine),
    function("smartSummarize", "Transform", "smartSummarize(seriesList, intervalString, func='sum', alignTo=None)", "Gathers values in longer intervals from the start of the request on.", &[req("seriesList", SeriesList), req("intervalString", Interval).like(&["\"10min\"", "\"1h\"", "\"1d\""]), opt("func", AggFunc).or("\"sum\""), opt("alignTo", String).of(&["false", "null", "true", "days", "hours", "minutes", "months", "seconds", "weeks", "years"])], transform::smart_summarize),
    function("sortBy", "Sorting", "sortBy(seriesList, func='average', reverse=False)", "Sorts by a function of each series.", &[req("seriesList", SeriesList), opt("func", AggFunc).or("\"average\""), opt("reverse", Boolean).or("false")], series::sort_by),
    function("sortByMaxima", "Sorting", "sortByMaxima(seriesList)", "Sorts by largest value, largest first.", &[req("seriesList", SeriesList)], series::sort_by_maxima),
    function("sortByMinima", "Sorting", "sortByMinima(seriesList)", "Sorts by smallest value, smallest first.", &[req("seriesList", SeriesList)], series::sort_by_minima),
    function("sortByName", "Sorting", "sortByName(seriesList, natural=False, reverse=False)", "Sorts by name.", &[req("seriesList", SeriesList), opt("natural", Boolean).or("false"), opt("reverse", Boolean).or("false")], series::sort_by_name),
    function("sortByTotal", "Sorting", "sortByTotal(seriesList)", "Sorts by sum, largest first.", &[req("seriesList", SeriesList)], series::sort_by_total),
    function("squareRoot", "Transform", "squareRoot(seriesList)", "Square roots.", &[req("seriesList", SeriesList)], transform::square_root),
    function("stacked", "Graph", "stacked(seriesLists, stackName='__DEFAULT__')", "Puts series on top of each other.", &[req("seriesList", SeriesList), opt("stack", String)], alias::stacked),
    function("stddevSeries", "Combine", "stddevSeries(*seriesLists)", "Standard deviation of all series at each time.", &[req("seriesLists", SeriesList).many()], combine::stddev),
    function("stdev", "Calculate", "stdev(seriesList, points, windowTolerance=0.1)", "Standard deviation of the last points.", &[req("seriesList", SeriesList), req("points", Integer), opt("windowTolerance", Float).or("0.1")], moving::deviation),
    function("substr", "Special", "substr(seriesList, start=0, stop=0)", "Some nodes of the name.", &[req("seriesList", SeriesList), opt("start", ParamKind::Node).or("0"), opt("stop", ParamKind::Node).or("0")], alias::substr),
    function("sum", "Combine", "sum(*seriesLists)", "Adds all series.", &[req("seriesLists", SeriesList).many()], combine::sum),
    function("sumSeries", "Combine", "sumSeries(*seriesLists)", "Adds all series.", &[req("seriesLists", SeriesList).many()], combine::sum),
    function("sumSeriesLists", "Combine", "sumSeriesLists(seriesListFirstPos, seriesListSecondPos)", "Adds the series at the same place of two lists.", &[req("seriesListFirstPos", SeriesList), req("seriesListSecondPos", SeriesList)], groups::sum_lists),
    function("sumSeriesWithWildcards", "Combine", "sumSeriesWithWildcards(seriesList, *position)", "Sum of series whose names differ only in the nodes at the given places.", &[req("seriesList", SeriesList), opt("position", ParamKind::Node).many()], combine::sum_with_wildcards),
    function("summarize", "Transform", "summarize(seriesList, intervalString, func='sum', alignToFrom=False)", "Gathers values in longer intervals.", &[req("seriesList", SeriesList), req("intervalString", Interval).like(&["\"10min\"", "\"1h\"", "\"1d\""]), opt("func", AggFunc).or("\"sum\""), opt("alignToFrom", Boolean).or("false")], transform::summarize),
    function("threshold", "Graph", "threshold(value, label=None, color=None)", "A horizontal line.", &[req("value", Float), opt("label", String), opt("color", String)], special::threshold),
    function("time", "Transform", "time(name, step=60)", "The time itself as a series.", &[req("name", String), opt("step", Integer).or("60")], special::time),
    function("timeFunction", "Transform", "timeFunction(name, step=60)", "The time itself as a series.", &[req("name", String), opt("step", Integer).or("60")], special::time),
    function("timeShift", "Transform", "timeShift(seriesList, timeShift, resetEnd=True, alignDST=False)", "The same series from another time.", &[req("seriesList", SeriesList), req("timeShift", Interval).like(&["\"1h\"", "\"6h\"", "\"12h\"", "\"1d\"", "\"2d\"", "\"7d\"", "\"14d\"", "\"30d\""]), opt("resetEnd", Boolean).or("true"), opt("alignDst", Boolean).or("false")], shift::time_shift),
    function("timeSlice", "Transform", "timeSlice(seriesList, startSliceAt, endSliceAt='now')", "Values inside a part of the time only.", &[req("seriesList", SeriesList), req("startSliceAt", Date), opt("endSliceAt", Date).or("\"now\"")], shift::time_slice),
    function("timeStack", "Transform", "timeStack(seriesList, timeShiftUnit='1d', timeShiftStart=0, timeShiftEnd=7)", "The same series from several earlier times.", &[req("seriesList", SeriesList), opt("timeShiftUnit", Interval).or("\"1d\"").like(&["\"1h\"", "\"6h\"", "\"12h\"", "\"1d\"", "\"2d\"", "\"7d\"", "\"14d\"", "\"30d\""]), opt("timeShiftStart", Integer).or("0"), opt("timeShiftEnd", Integer).or("7")], shift::time_stack),
    function("transformNull", "Transform", "transformNull(seriesList, default=0, referenceSeries=None)", "A value in place of missing ones.", &[req("seriesList", SeriesList), opt("default", Float).or("0"), opt("referenceSeries", SeriesList)], transform::transform_null),
    function("unique", "Filter Series", "unique(*seriesLists)", "The first series of each name.", &[req("seriesLists", SeriesList).many()], combine::unique),
    function("upper", "Alias", "upper(seriesList, *pos)", "The name in upper case.", &[req("seriesList", SeriesList), opt("pos", Integer).many()], alias::upper),
    function("useSeriesAbove", "Filter Series", "useSeriesAbove(seriesList, value, search, replace)", "Other series named after those above a value.", &[req("seriesList", SeriesList), req("value", Float), req("search", String), req("replace", String)], groups::use_series_above),
    function("verticalLine", "Graph", "verticalLine(ts, label=None, color=None)", "A vertical line at a time.", &[req("ts", Date), opt("label", String), opt("color", String)], special::vertical_line),
    function("weightedAverage", "Combine", "weightedAverage(seriesListAvg, seriesListWeight, *nodes)", "Average weighted by other series.", &[req("seriesListAvg", SeriesList), req("seriesListWeight", SeriesList), opt("nodes", NodeOrTag).many()], percent::weighted_average),
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
