//! The lines `rollup` and `histogram`. They are rare beside `put`, so they are read with less haste.

use base::decimal::parse_i64;

use super::telnet::PutError;

/// A line taken apart; its tags have distinct keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecialLine<'a> {
    /// Behind `rollup`: interval and functions. Behind `histogram`: the number of the encoding, if
    /// the line has one.
    pub what: &'a str,
    /// The metric.
    pub metric: &'a str,
    /// As given: seconds or milliseconds.
    pub timestamp: i64,
    /// The value.
    pub value: &'a str,
    /// The tags.
    pub tags: Vec<(&'a str, &'a str)>,
}

/// Interval, function over time and function over tags of a `rollup` line's first word; empty where
/// it does not say.
pub fn rollup_parts(what: &str) -> (&str, &str, &str) {
    let (time, tags) = what.split_once(':').map_or((what, ""), |(time, tags)| (time, tags));
    match time.split_once('-') {
        Some((interval, aggregator)) => (interval, aggregator, tags),
        None if tags.is_empty() => ("", time, time),
        None => ("", tags, tags),
    }
}

/// Reads `rollup 1h-sum metric timestamp value k=v …`.
pub fn rollup_line(line: &str) -> Result<SpecialLine<'_>, PutError> {
    let words: Vec<&str> = line.split(' ').collect();
    let [_, what, rest @ ..] = words.as_slice() else {
        return Err(PutError::TooFewOf { need: 7, got: words.len() - 1 });
    };
    if words.len() < 6 {
        return Err(PutError::TooFewOf { need: 7, got: words.len() - 1 });
    }
    if what.is_empty() {
        return Err(PutError::EmptyInterval);
    }
    point(what, rest)
}

/// Reads `histogram metric timestamp [id] value k=v …`.
pub fn histogram_line(line: &str) -> Result<SpecialLine<'_>, PutError> {
    let words: Vec<&str> = line.split(' ').collect();
    if words.len() < 5 {
        return Err(PutError::TooFewOf { need: 5, got: words.len() - 1 });
    }
    match words.as_slice() {
        [_, metric, timestamp, id, rest @ ..] if id.parse::<i32>().is_ok() => {
            let words: Vec<&str> = [*metric, *timestamp].into_iter().chain(rest.to_vec()).collect();
            point(id, &words)
        }
        [_, rest @ ..] => point("", rest),
        [] => Err(PutError::TooFewOf { need: 5, got: 0 }),
    }
}

fn point<'a>(what: &'a str, words: &[&'a str]) -> Result<SpecialLine<'a>, PutError> {
    let [metric, timestamp, value, tags @ ..] = words else {
        return Err(PutError::TooFewOf { need: 5, got: words.len() + 1 });
    };
    if metric.is_empty() {
        return Err(PutError::EmptyMetric);
    }
    let digits = timestamp.replace('.', "");
    let timestamp = parse_i64(digits.as_bytes()).map_err(PutError::BadTimestamp)?;
    if timestamp <= 0 {
        return Err(PutError::Timestamp(timestamp));
    }
    if value.is_empty() {
        return Err(PutError::EmptyValue);
    }
    let mut known: Vec<(&str, &str)> = Vec::new();
    for word in tags.iter().filter(|word| !word.is_empty()) {
        let pair = word
            .split_once('=')
            .filter(|(key, value)| !key.is_empty() && !value.is_empty() && !value.contains('='));
        let (key, value) = pair.ok_or_else(|| PutError::Tag((*word).to_owned()))?;
        match known.iter().find(|(other, _)| *other == key) {
            Some((_, other)) if *other == value => {}
            Some(_) => {
                let (tag, tags) = ((*word).to_owned(), super::point::show_tags(&known));
                return Err(PutError::DuplicateTag { tag, tags });
            }
            None => known.push((key, value)),
        }
    }
    if known.is_empty() {
        return Err(PutError::NoTags((*metric).to_owned()));
    }
    Ok(SpecialLine { what, metric, timestamp, value, tags: known })
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::rng::Rng;

    #[test]
    fn lines_are_taken_apart() {
        let line = rollup_line("rollup 1h-sum:max r 1356998400 10 host=web01 ").unwrap();
        assert_eq!((line.metric, line.timestamp, line.value), ("r", 1_356_998_400, "10"));
        assert_eq!(line.tags, [("host", "web01")]);
        assert_eq!(rollup_parts(line.what), ("1h", "sum", "max"));
        assert_eq!(rollup_parts("sum"), ("", "sum", "sum"));
        assert_eq!(rollup_parts("1m-avg"), ("1m", "avg", ""));
        let line = histogram_line("histogram h 1.5 0 AAA= k=v").unwrap();
        assert_eq!((line.what, line.timestamp, line.value), ("0", 15, "AAA="));
        let line = histogram_line("histogram h 1 u=1:1,2=3 k=v").unwrap();
        assert_eq!((line.what, line.value), ("", "u=1:1,2=3"));
        for (line, want) in [
            ("rollup 1h-sum r 1356998400", "not enough arguments (need least 7, got 3)"),
            ("rollup", "not enough arguments (need least 7, got 0)"),
            ("rollup  r 1 1 k=v", "Missing interval or aggregator"),
            ("rollup 1h-sum r 0 1 k=v", "invalid timestamp: 0"),
            ("rollup 1h-sum r 1 1 k=v k=w", "duplicate tag: k=w, tags={k=v}"),
        ] {
            let error = rollup_line(line).unwrap_err().to_string();
            assert_eq!(error, format!("illegal argument: {want}"), "{line}");
        }
        let error = histogram_line("histogram h 1356998400").unwrap_err().to_string();
        assert_eq!(error, "illegal argument: not enough arguments (need least 5, got 2)");
    }

    #[test]
    fn any_line_is_survived() {
        let words = ["rollup", "1h-sum", "1h-", "-", ":", "m", "1", "0", "a=b", "=", "", "1,2=3"];
        let mut rng = Rng::new(21);
        for _ in 0..5_000 {
            let count = rng.below(9);
            let line: Vec<&str> =
                (0..count).map(|_| words[rng.below(words.len() as u64) as usize]).collect();
            let line = line.join(" ");
            let _ = (rollup_line(&line), histogram_line(&line));
        }
    }
}
