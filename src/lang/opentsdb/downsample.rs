//! `interval-function[-fill]`: how the points of a series are thinned.

use plan::semantics::Reducer;

use super::aggregator::aggregator;
use super::time::{Duration, TimeError, parse_duration};

/// Why a text is no downsampler.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DownsampleError {
    /// One part.
    #[error("Invalid downsampling specifier '{0}': must provide at least interval and function")]
    TooFew(String),
    /// Four parts or more.
    #[error(
        "Invalid downsampling specifier '{0}': must consist of interval, function, and optional \
         fill policy"
    )]
    TooMany(String),
    /// The interval is none.
    #[error(transparent)]
    Interval(#[from] TimeError),
    /// The function is no aggregator.
    #[error("No such downsampling function: {0}")]
    Function(String),
    /// `none` makes no single value.
    #[error("cannot use the NONE aggregator for downsampling")]
    None,
    /// The fill policy is none.
    #[error("Unrecognized fill policy: {0}")]
    Fill(String),
}

/// What an empty bucket becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FillPolicy {
    /// Nothing.
    None,
    /// NaN, shown as `"NaN"`.
    Nan,
    /// NaN, shown as `null`.
    Null,
    /// 0.
    Zero,
    /// A number that no request can give.
    Scalar,
}

/// A downsampler.
#[derive(Clone, Debug, PartialEq)]
pub struct Downsample {
    /// Length of the buckets; `None` makes the whole request one bucket.
    pub interval: Option<Duration>,
    /// Buckets follow the calendar.
    pub calendar: bool,
    /// Name of the function.
    pub function: String,
    /// The function.
    pub reducer: Reducer,
    /// What an empty bucket becomes.
    pub fill: FillPolicy,
}

/// Reads a downsampler.
pub fn parse_downsample(text: &str) -> Result<Downsample, DownsampleError> {
    let parts: Vec<&str> = text.split('-').collect();
    let (interval, function, fill) = match parts[..] {
        [] | [_] => return Err(DownsampleError::TooFew(text.to_owned())),
        [interval, function] => (interval, function, None),
        [interval, function, fill] => (interval, function, Some(fill)),
        _ => return Err(DownsampleError::TooMany(text.to_owned())),
    };
    let whole = interval.contains("all");
    let calendar = !whole && interval.ends_with('c');
    let interval = if whole {
        None
    } else {
        Some(parse_duration(interval.strip_suffix('c').unwrap_or(interval))?)
    };
    let found =
        aggregator(function).ok_or_else(|| DownsampleError::Function(function.to_owned()))?;
    if found.is_none {
        return Err(DownsampleError::None);
    }
    let fill = match fill.map(str::to_ascii_lowercase).as_deref() {
        None | Some("none") => FillPolicy::None,
        Some("nan") => FillPolicy::Nan,
        Some("null") => FillPolicy::Null,
        Some("zero") => FillPolicy::Zero,
        Some("scalar") => FillPolicy::Scalar,
        Some(_) => return Err(DownsampleError::Fill(fill.unwrap_or_default().to_owned())),
    };
    let (function, reducer) = (function.to_owned(), found.reducer);
    Ok(Downsample { interval, calendar, function, reducer, fill })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_and_refused_in_order() {
        let calendar = parse_downsample("1dc-sum").unwrap();
        assert!(calendar.calendar && calendar.interval.unwrap().nominal_ms == 86_400_000);
        assert_eq!(parse_downsample("0all-sum-zero").unwrap().interval, None);
        assert_eq!(parse_downsample("1h-ep99r7-NULL").unwrap().fill, FillPolicy::Null);
        for (text, want) in [
            ("", "Invalid downsampling specifier '': must provide at least interval and function"),
            ("blah-avg-lerp", "Invalid duration (number): blah"),
            ("10m-avg-max", "Unrecognized fill policy: max"),
            ("1m-none-lerp", "cannot use the NONE aggregator for downsampling"),
            ("c-avg", "Cannot parse null or empty duration"),
            ("10s-AVG", "No such downsampling function: AVG"),
        ] {
            assert_eq!(parse_downsample(text).unwrap_err().to_string(), want, "{text}");
        }
    }
}
