//! The `m` parameter: `agg:[option:]…metric{k=v,…}{k=v,…}`.
//!
//! The text is split on every `:` before anything else is looked at, and inside braces on every `,`
//! and `=`, so none of them can stand in a filter's value. That is how the original reads it, and a
//! grammar that was cleverer would accept what the original refuses.

use std::collections::BTreeMap;

use super::error::OpenTsdbError;
use super::filter::Filter;
use super::request::{RateOptions, SubQuery};

/// Reads one `m` parameter.
pub fn parse_m(text: &str) -> Result<SubQuery, OpenTsdbError> {
    let parts: Vec<&str> = text.split(':').collect();
    let (aggregator, options, metric) = match parts.as_slice() {
        [aggregator, options @ .., metric] if options.len() <= 3 => (aggregator, options, metric),
        _ => {
            let many = if parts.len() < 2 { "not enough" } else { "too many" };
            let message = format!("Invalid parameter m={text} ({many} :-separated parts)");
            return Err(OpenTsdbError::bad(message));
        }
    };
    let mut query = SubQuery { aggregator: Some((*aggregator).to_owned()), ..SubQuery::default() };
    for option in options {
        apply_option(&mut query, option)?;
    }
    let (metric, filters) = parse_metric(metric)?;
    query.metric = Some(metric);
    query.filters = filters;
    Ok(query)
}

/// An option is told by its beginning; one that is not known is ignored, as in the original.
fn apply_option(query: &mut SubQuery, option: &str) -> Result<(), OpenTsdbError> {
    let lower = option.to_ascii_lowercase();
    match lower.as_bytes() {
        [] => return Err(OpenTsdbError::unmapped("String index out of range: 0")),
        [first, ..] if first.is_ascii_digit() => query.downsample = Some(option.to_owned()),
        _ if lower.starts_with("rate") => {
            query.rate = true;
            query.rate_options = Some(parse_rate(option)?).filter(|_| option.len() > 4);
        }
        _ if lower.starts_with("explicit_tags") => query.explicit_tags = true,
        _ if lower.starts_with("pre-agg") => query.pre_aggregate = true,
        _ if lower.starts_with("rollup_") => query.rollup_usage = Some(option.to_uppercase()),
        _ if lower.starts_with("percentiles") => query.percentiles = Some(percentiles(option)?),
        _ if lower.starts_with("show-histogram-buckets") => query.show_buckets = true,
        _ => {}
    }
    Ok(())
}

/// Reads `percentiles[p,…]`.
fn percentiles(option: &str) -> Result<Vec<f64>, OpenTsdbError> {
    let inside = option.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    let (list, _) = inside.ok_or_else(|| {
        // The original's spelling.
        OpenTsdbError::bad(format!("Malformated percentile query paramater: {option}"))
    })?;
    let number = |text: &str| {
        let wrong = || OpenTsdbError::unmapped(format!("For input string: \"{}\"", text.trim()));
        text.trim().parse().map_err(|_| wrong())
    };
    list.split(',').map(number).collect()
}

/// Reads `rate`, or `rate{counter[,max[,reset]]}`. What stands for the last brace is cut off unseen.
pub fn parse_rate(text: &str) -> Result<RateOptions, OpenTsdbError> {
    if text.len() == 4 {
        return Ok(RateOptions::default());
    }
    let mut inside = text.get(5..).unwrap_or_default().chars();
    if text.len() < 6 || inside.next_back().is_none() {
        let message = format!("Invalid rate options specification: {text}");
        return Err(OpenTsdbError::bad(message));
    }
    let parts: Vec<&str> = inside.as_str().split(',').collect();
    if parts.len() > 3 {
        return Err(OpenTsdbError::bad(format!(
            "Incorrect number of values in rate options specification, must be counter[,counter max \
             value,reset value], recieved: {} parts",
            parts.len()
        )));
    }
    let number = |index: usize, default: i64, what: &str| match parts.get(index) {
        None | Some(&"") => Ok(default),
        Some(text) => text.parse().map_err(|_| {
            let message = format!("{what} value of counter was not a number, received '{text}'");
            OpenTsdbError::bad(message)
        }),
    };
    let first = parts.first().copied().unwrap_or_default();
    Ok(RateOptions {
        counter: first.ends_with("counter"),
        counter_max: number(1, i64::MAX, "Max")?,
        reset_value: number(2, 0, "Reset")?,
        drop_resets: first == "dropcounter",
    })
}

/// Reads `metric{group,…}{filter,…}`. The filters of the second braces come first.
pub fn parse_metric(text: &str) -> Result<(String, Vec<Filter>), OpenTsdbError> {
    if text.is_empty() {
        return Err(OpenTsdbError::unmapped("Metric cannot be null or empty"));
    }
    let Some((metric, braces)) = text.split_once('{') else {
        return Ok((text.to_owned(), Vec::new()));
    };
    let Some(inside) = braces.strip_suffix('}') else {
        return Err(OpenTsdbError::unmapped(format!("Missing '}}' at the end of: {text}")));
    };
    let mut filters = Vec::new();
    let mut groups = inside;
    let two = inside.split_once('}').zip(inside.rsplit_once('{'));
    if let Some(((first, _), (_, last))) = two {
        groups = first;
        parse_list(last, "filter", false, &mut filters)?;
    }
    parse_list(groups, "tag", true, &mut filters)?;
    Ok((metric.to_owned(), filters))
}

/// Reads `metric{k=v,…}` of one series, or of those that have these tags.
pub fn parse_series(text: &str) -> Result<(String, BTreeMap<String, String>), OpenTsdbError> {
    let Some((metric, braces)) = text.split_once('{') else {
        return Ok((text.to_owned(), BTreeMap::new()));
    };
    let Some(inside) = braces.strip_suffix('}') else {
        return Err(OpenTsdbError::unmapped(format!("Missing '}}' at the end of: {text}")));
    };
    if inside.is_empty() {
        return Ok((metric.to_owned(), BTreeMap::new()));
    }
    let pairs: Vec<&str> = inside.split(',').collect();
    let tags = parse_tags(&pairs).map_err(|(pair, why)| {
        OpenTsdbError::unmapped(format!("When parsing tag '{pair}': {why}"))
    })?;
    Ok((metric.to_owned(), tags))
}

/// Reads tags of the form `k=v`; of a bad one the tag, and what is wrong with it.
pub fn parse_tags(pairs: &[&str]) -> Result<BTreeMap<String, String>, (String, String)> {
    let mut tags = BTreeMap::new();
    for pair in pairs {
        let wrong = |why: String| Err(((*pair).to_owned(), why));
        let parts: Vec<&str> = pair.split('=').collect();
        let (key, value) = match parts[..] {
            [key, value] if !key.is_empty() && !value.is_empty() => (key, value),
            _ => return wrong(format!("invalid tag: {pair}")),
        };
        match tags.insert(key.to_owned(), value.to_owned()) {
            Some(known) if known != value => {
                return wrong(format!("duplicate tag: {pair}, tags={{{key}={known}}}"));
            }
            _ => {}
        }
    }
    Ok(tags)
}

fn parse_list(
    list: &str,
    what: &str,
    group_by: bool,
    filters: &mut Vec<Filter>,
) -> Result<(), OpenTsdbError> {
    if list.is_empty() {
        return Ok(());
    }
    for pair in list.split(',') {
        let wrong = |reason: String| {
            OpenTsdbError::unmapped(format!("When parsing {what} '{pair}': {reason}"))
        };
        let parts: Vec<&str> = pair.split('=').collect();
        let (key, value) = match parts[..] {
            [key, value] if !key.is_empty() && !value.is_empty() => (key, value),
            _ => return Err(wrong(format!("invalid tag: {pair}"))),
        };
        let filter = Filter::from_value(key, value, group_by);
        filters.push(filter.map_err(|error| wrong(error.to_string()))?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_in_any_order() {
        let query = parse_m("sum:rate{dropcounter,,5}:10s-avg-nan:explicit_tags:m{a=b}").unwrap();
        assert_eq!(query.aggregator.as_deref(), Some("sum"));
        assert_eq!(query.metric.as_deref(), Some("m"));
        assert_eq!(query.downsample.as_deref(), Some("10s-avg-nan"));
        assert!(query.rate && query.explicit_tags);
        let options = query.rate_options.unwrap();
        assert_eq!((options.counter, options.drop_resets), (true, true));
        assert_eq!((options.counter_max, options.reset_value), (i64::MAX, 5));
        assert!(parse_m("sum:junk:m").is_ok());
    }

    #[test]
    fn braces_are_read_as_the_original_reads_them() {
        let of = |text: &str| match parse_metric(text) {
            Ok((metric, filters)) => {
                let filters: Vec<String> = filters
                    .iter()
                    .map(|f| format!("{}={}({}){}", f.tagk, f.kind.name(), f.text, f.group_by))
                    .collect();
                format!("{metric} {}", filters.join(" "))
            }
            Err(error) => error.message,
        };
        for (text, want) in [
            ("m", "m "),
            ("m{}", "m "),
            ("m{}{}", "m "),
            ("m{h=*}{}", "m h=wildcard(*)true"),
            ("m{}{dc=lga}", "m dc=literal_or(lga)false"),
            ("m{h=wildcard(w*)}{dc=regexp(l.*)}", "m dc=regexp(l.*)false h=wildcard(w*)true"),
            ("m{h=a,h=b}", "m h=literal_or(a)true h=literal_or(b)true"),
            ("", "Metric cannot be null or empty"),
            ("a{h=1", "Missing '}' at the end of: a{h=1"),
            ("a{h}", "When parsing tag 'h': invalid tag: h"),
            ("a{h=}", "When parsing tag 'h=': invalid tag: h="),
            ("m{a=b}{c}", "When parsing filter 'c': invalid tag: c"),
            ("m{,a=b}", "When parsing tag '': invalid tag: "),
        ] {
            assert_eq!(of(text), want, "{text}");
        }
    }

    #[test]
    fn any_text_is_survived() {
        let parts = [":", "{", "}", "=", ",", "a", "(", ")", "*", "|", "rate", "1s-sum", "é", "-"];
        let mut rng = base::rng::Rng::new(9);
        for _ in 0..5_000 {
            let count = rng.below(14);
            let text: String =
                (0..count).map(|_| parts[rng.below(parts.len() as u64) as usize]).collect();
            let _ = parse_m(&text);
        }
    }
}
