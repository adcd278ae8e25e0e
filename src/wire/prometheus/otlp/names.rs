//! Names of metrics, labels and units in Prometheus's spelling.
//!
//! OpenTelemetry names with dots and keeps units apart; Prometheus wants letters, digits and
//! underscores, and units at the end of the name. How much of that is done is a [`Strategy`]. The
//! tables and the order of steps are otlptranslator 1.0's; tokens are runs of letters, digits and
//! colons.

use std::borrow::Cow;

/// How names are translated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Underscores for what Prometheus had no characters for, units and types at the end.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// Names as they are, units and types at the end.
    NoUtf8EscapingWithSuffixes,
    /// Underscores, nothing at the end.
    UnderscoreEscapingWithoutSuffixes,
    /// Names as they are.
    NoTranslation,
}

impl Strategy {
    /// The one that Prometheus's configuration calls so.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "UnderscoreEscapingWithSuffixes" => Some(Self::UnderscoreEscapingWithSuffixes),
            "NoUTF8EscapingWithSuffixes" => Some(Self::NoUtf8EscapingWithSuffixes),
            "UnderscoreEscapingWithoutSuffixes" => Some(Self::UnderscoreEscapingWithoutSuffixes),
            "NoTranslation" => Some(Self::NoTranslation),
            _ => None,
        }
    }

    /// Characters beyond the old ones become underscores.
    pub fn escapes(self) -> bool {
        matches!(
            self,
            Self::UnderscoreEscapingWithSuffixes | Self::UnderscoreEscapingWithoutSuffixes
        )
    }

    /// Units and types are added.
    pub fn adds_suffixes(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::NoUtf8EscapingWithSuffixes)
    }
}

/// What a metric's name depends on beside its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameKind {
    /// A gauge: unit 1 is a ratio.
    Gauge,
    /// A counter: `_total`.
    Monotonic,
    /// Anything else.
    Other,
}

/// Units by their UCUM codes.
const UNITS: [(&str, &str); 25] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("%", "percent"),
];

/// Units behind a stroke.
const PER_UNITS: [(&str, &str); 7] = [
    ("s", "second"),
    ("m", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

fn is_name_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == ':'
}

fn lookup<'a>(table: &[(&str, &'static str)], code: &'a str) -> &'a str {
    table.iter().find(|(known, _)| *known == code).map_or(code, |(_, name)| name)
}

/// The words of a unit in front of its stroke and behind it, the latter with `per_`; empty for none.
/// What stands in braces is a remark and no unit.
fn unit_words(unit: &str) -> (&str, Cow<'_, str>) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let word = |text: &'_ str| !text.is_empty() && !text.contains(['{', '}']);
    let main = match main.trim() {
        "1" => "",
        main if word(main) => lookup(&UNITS, main),
        _ => "",
    };
    let per = per.trim();
    let per = if word(per) { format!("per_{}", lookup(&PER_UNITS, per)).into() } else { "".into() };
    (main, per)
}

/// Underscores for other characters, never two in a row, none in front.
fn clean_unit(unit: &str) -> String {
    let mut out = String::with_capacity(unit.len());
    let mut after_underscore = false;
    for character in unit.chars() {
        let is_good = is_name_character(character);
        if is_good {
            out.push(character);
        } else if !after_underscore {
            out.push('_');
        }
        after_underscore = !is_good;
    }
    out.strip_prefix('_').map(str::to_owned).unwrap_or(out)
}

/// The unit as metadata and the label `__unit__` have it.
pub fn unit(unit: &str, escapes: bool) -> String {
    let (main, per) = unit_words(unit);
    let (main, per) =
        if escapes { (clean_unit(main), clean_unit(&per)) } else { (main.into(), per.into()) };
    let text = match (main.is_empty(), per.is_empty()) {
        (false, false) => format!("{main}_{per}"),
        (false, true) => main,
        _ => per,
    };
    let text = text.strip_prefix('_').unwrap_or(&text);
    text.strip_suffix('_').unwrap_or(text).to_owned()
}

/// The name of a metric. `Err` is the original's text when nothing is left of it.
pub fn metric(
    name: &str,
    unit: &str,
    kind: NameKind,
    strategy: Strategy,
) -> Result<String, String> {
    if !strategy.escapes() {
        let suffixed = strategy.adds_suffixes();
        return Ok(if suffixed { with_suffixes(name, unit, kind) } else { name.to_owned() });
    }
    let built =
        if strategy.adds_suffixes() { from_tokens(name, unit, kind) } else { escaped(name) };
    if built.is_empty() {
        return Err(format!("normalization for metric {name:?} resulted in empty name"));
    }
    if built != name && built.bytes().all(|byte| byte == b'_') {
        return Err(format!(
            "normalization for metric {name:?} resulted in invalid name {built:?}"
        ));
    }
    Ok(built)
}

/// Runs of other characters become one underscore; a digit in front gets one.
fn escaped(name: &str) -> String {
    let is_other = |character: char| !is_name_character(character) && character != '_';
    let parts: Vec<&str> = name.split(is_other).filter(|part| !part.is_empty()).collect();
    underscore_in_front_of_digit(parts.join("_"))
}

fn underscore_in_front_of_digit(name: String) -> String {
    if name.starts_with(|first: char| first.is_ascii_digit()) { format!("_{name}") } else { name }
}

/// The words of the name, of its unit and of its kind.
fn from_tokens(name: &str, unit: &str, kind: NameKind) -> String {
    let (main, per) = unit_words(unit);
    let (mut main, per) = (clean_unit(main), clean_unit(&per));
    let mut tokens: Vec<&str> =
        name.split(|character| !is_name_character(character)).filter(|t| !t.is_empty()).collect();
    if tokens.contains(&main.as_str()) {
        main.clear();
    }
    let per = if per == "per_" { "" } else { per.strip_suffix('_').unwrap_or(&per) };
    let per = if tokens.contains(&per) { "" } else { per };
    let main = if per.is_empty() { &main } else { main.strip_suffix('_').unwrap_or(&main) };
    tokens.extend([main, per].into_iter().filter(|word| !word.is_empty()));
    if kind == NameKind::Monotonic {
        tokens.retain(|token| *token != "total");
        tokens.push("total");
    }
    if kind == NameKind::Gauge && unit == "1" {
        tokens.retain(|token| *token != "ratio");
        tokens.push("ratio");
    }
    underscore_in_front_of_digit(tokens.join("_"))
}

/// The name as it is with what it lacks at its end.
fn with_suffixes(name: &str, unit: &str, kind: NameKind) -> String {
    /// Without the word and whatever character parts it from the rest.
    fn trim<'n>(name: &'n str, suffix: &str) -> &'n str {
        let is_longer = name.len() > suffix.len() + 1;
        match name.strip_suffix(suffix).filter(|_| is_longer) {
            None => name,
            Some(rest) => {
                let delimiter = rest.chars().next_back().map_or(0, char::len_utf8);
                &rest[..rest.len() - delimiter]
            }
        }
    }
    let mut name = name;
    let is_ratio = kind == NameKind::Gauge && unit == "1";
    if is_ratio {
        name = trim(name, "ratio");
    }
    if kind == NameKind::Monotonic {
        name = trim(name, "total");
    }
    let (main, per) = unit_words(unit);
    if !per.is_empty() {
        name = trim(name, &per);
    }
    let mut out = name.to_owned();
    let mut add = |suffix: &str| {
        out.push('_');
        out.push_str(suffix);
    };
    if !main.is_empty() && !name.ends_with(main) {
        add(main);
    }
    if !per.is_empty() {
        add(&per);
    }
    if kind == NameKind::Monotonic {
        add("total");
    }
    if is_ratio {
        add("ratio");
    }
    out
}

/// How label names are translated.
#[derive(Clone, Copy, Debug)]
pub struct LabelRules {
    /// Characters beyond the old ones become underscores.
    pub escapes: bool,
    /// A name that begins with one underscore gets `key` in front.
    pub marks_underscore: bool,
    /// Underscores in a row stay.
    pub keeps_underscores: bool,
}

/// Appends the name of a label to `out`. `Err` is the original's text when nothing is left of it.
pub fn label(name: &str, rules: LabelRules, out: &mut String) -> Result<(), String> {
    if name.is_empty() {
        return Err("label name is empty".to_owned());
    }
    let only_underscores = |text: &str| text.bytes().all(|byte| byte == b'_');
    if !rules.escapes {
        if only_underscores(name) {
            return Err(format!("label name {name:?} contains only underscores"));
        }
        out.push_str(name);
        return Ok(());
    }
    let start = out.len();
    sanitize(name, rules.keeps_underscores, out);
    let built = &out[start..];
    let prefix = if built.starts_with(|first: char| first.is_ascii_digit()) {
        "key_"
    } else if rules.marks_underscore && built.starts_with('_') && !built.starts_with("__") {
        "key"
    } else {
        ""
    };
    out.insert_str(start, prefix);
    let built = &out[start..];
    if only_underscores(built) {
        let text =
            format!("normalization for label name {name:?} resulted in invalid name {built:?}");
        out.truncate(start);
        return Err(text);
    }
    Ok(())
}

fn sanitize(name: &str, keeps_underscores: bool, out: &mut String) {
    let reserved = name.strip_prefix("__").and_then(|rest| rest.strip_suffix("__"));
    let (name, frame) = match reserved {
        Some(inner) if !keeps_underscores => (inner, "__"),
        _ => (name, ""),
    };
    out.push_str(frame);
    let mut after_underscore = false;
    for character in name.chars() {
        let is_good = character.is_ascii_alphanumeric();
        if is_good {
            out.push(character);
        } else if keeps_underscores || !after_underscore {
            out.push('_');
        }
        after_underscore = !is_good;
    }
    out.push_str(frame);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases of otlptranslator's own tests.
    #[test]
    fn metrics_are_named_as_in_the_original() {
        use NameKind::{Gauge, Monotonic, Other};
        use Strategy::{
            NoTranslation as Plain, NoUtf8EscapingWithSuffixes as Utf8,
            UnderscoreEscapingWithSuffixes as Full, UnderscoreEscapingWithoutSuffixes as Short,
        };
        for (name, unit, kind, strategy, want) in [
            ("system.io", "foo/bar", Monotonic, Full, "system_io_foo_per_bar_total"),
            ("system.network.io", "By", Monotonic, Full, "system_network_io_bytes_total"),
            ("hw.gpu.utilization", "1", Gauge, Full, "hw_gpu_utilization_ratio"),
            ("hw.gpu.ratio.x", "1", Gauge, Full, "hw_gpu_x_ratio"),
            ("a.total.b", "", Monotonic, Full, "a_b_total"),
            ("memory.used_bytes", "By", Gauge, Full, "memory_used_bytes"),
            ("speed", "m/s", Gauge, Full, "speed_meters_per_second"),
            ("speed.per_second", "m/s", Gauge, Full, "speed_per_second_meters_per_second"),
            ("x", "{things}/s", Gauge, Full, "x_per_second"),
            ("3cats", "", Gauge, Full, "_3cats"),
            ("weird__name..x", "__test $/°C", Gauge, Full, "weird_name_x_test_per_C"),
            ("é.x", "", Other, Full, "x"),
            ("weird__name..x", "s", Monotonic, Short, "weird__name_x"),
            ("5.x", "s", Monotonic, Short, "_5_x"),
            ("http.requests", "s", Monotonic, Utf8, "http.requests_seconds_total"),
            ("http.requests.total", "", Monotonic, Utf8, "http.requests_total"),
            ("x.ratio", "1", Gauge, Utf8, "x_ratio"),
            ("x", "%/m", Other, Utf8, "x_percent_per_minute"),
            ("é.x", "s", Monotonic, Plain, "é.x"),
        ] {
            assert_eq!(metric(name, unit, kind, strategy).as_deref(), Ok(want), "{name} {unit}");
        }
        for (name, strategy, want) in [
            ("", Full, "normalization for metric \"\" resulted in empty name"),
            ("é", Full, "normalization for metric \"é\" resulted in empty name"),
            ("é_é", Short, "normalization for metric \"é_é\" resulted in invalid name \"_\""),
        ] {
            assert_eq!(metric(name, "", Other, strategy), Err(want.to_owned()));
        }
    }

    #[test]
    fn labels_are_named_as_in_the_original() {
        let usual = LabelRules { escapes: true, marks_underscore: true, keeps_underscores: true };
        let short = LabelRules { keeps_underscores: false, ..usual };
        let plain = LabelRules { marks_underscore: false, ..usual };
        let utf8 = LabelRules { escapes: false, ..usual };
        for (name, rules, want) in [
            ("http.method", usual, Ok("http_method")),
            ("a..b", usual, Ok("a__b")),
            ("a..b", short, Ok("a_b")),
            ("__a..b__", short, Ok("__a_b__")),
            ("__a..b__", usual, Ok("__a__b__")),
            ("_a", usual, Ok("key_a")),
            ("_a", plain, Ok("_a")),
            ("__a", usual, Ok("__a")),
            ("0a", usual, Ok("key_0a")),
            ("ü.x", usual, Ok("__x")),
            ("ü.x", utf8, Ok("ü.x")),
            ("", usual, Err("label name is empty")),
            ("ü", plain, Err("normalization for label name \"ü\" resulted in invalid name \"_\"")),
            ("__", utf8, Err("label name \"__\" contains only underscores")),
        ] {
            let mut out = "|".to_owned();
            let got = label(name, rules, &mut out).map(|()| &out[1..]);
            assert_eq!(got, want.map_err(str::to_owned), "{name}");
        }
    }

    #[test]
    fn units_are_spelled_out() {
        for (code, want) in [("s", "seconds"), ("By/s", "bytes_per_second"), ("1", ""), ("{x}", "")]
        {
            assert_eq!(unit(code, true), want);
        }
    }
}
