//! The line protocol: `put metric timestamp value k=v …`, and a few commands for people.
//!
//! Invariants: a refused line costs none of its neighbours and never the connection; a valid `put` is
//! read on borrowed bytes and copied once, into the batch; replies stand in line order.
//!
//! Lines are UTF-8. One that is not is read as ISO-8859-1, which is what the original takes every
//! line for.

use base::decimal::{DecimalError, parse_i64};
use base::limits::TELNET_LINE_BYTES_MAX;
use memchr::memchr;
use model::WriteBatch;

use super::gate::{Gate, UnknownName};
use super::name::legal_run;
use super::number::{NumberError, Value, parse_value};
use super::point::{
    PointError, TAGS_MAX, before, pack_series, push, push_legal, push_value, show_tags,
    timestamp_ms,
};
use crate::known_keys::Spelling;

/// Tags that are taken apart on the stack; more are refused, but shown in the refusal first.
const TAGS_ON_STACK: usize = 16;

/// A line other than `put`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// Who is speaking.
    Version,
    /// Which commands there are.
    Help,
    /// The program's figures.
    Stats,
    /// Whether the program is well.
    Status,
    /// Caches are to be emptied.
    DropCaches,
    /// The client takes its leave.
    Exit,
    /// The client wants the server to stop.
    DieDieDie,
    /// A pre-aggregated point; the line.
    Rollup(&'a [u8]),
    /// A histogram; the line.
    Histogram(&'a [u8]),
    /// Anything else; the first word.
    Unknown(&'a [u8]),
}

impl<'a> Command<'a> {
    /// The command that a line's first word names. `put` is none of these.
    pub fn from_line(line: &'a [u8]) -> Self {
        match line.split(|byte| *byte == b' ').next().unwrap_or_default() {
            b"version" => Self::Version,
            b"help" => Self::Help,
            b"stats" => Self::Stats,
            b"status" => Self::Status,
            b"dropcaches" => Self::DropCaches,
            b"exit" => Self::Exit,
            b"diediedie" => Self::DieDieDie,
            b"rollup" => Self::Rollup(line),
            b"histogram" => Self::Histogram(line),
            other => Self::Unknown(other),
        }
    }
}

/// Why a `put` gave no point. `Display` is the reply without `put: `.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PutError {
    /// Words are missing.
    #[error("illegal argument: not enough arguments (need least 4, got {0})")]
    TooFew(usize),
    /// Words are missing in another command.
    #[error("illegal argument: not enough arguments (need least {need}, got {got})")]
    TooFewOf {
        /// What the command says that it needs.
        need: usize,
        /// What it got.
        got: usize,
    },
    /// Two blanks behind `rollup`.
    #[error("illegal argument: Missing interval or aggregator")]
    EmptyInterval,
    /// Two blanks behind `put`.
    #[error("illegal argument: empty metric name")]
    EmptyMetric,
    /// The timestamp is no number.
    #[error("invalid value: {0}")]
    BadTimestamp(DecimalError),
    /// The timestamp is not positive.
    #[error("illegal argument: invalid timestamp: {0}")]
    Timestamp(i64),
    /// Two blanks before the value.
    #[error("illegal argument: empty value")]
    EmptyValue,
    /// A tag that is not `k=v`.
    #[error("illegal argument: invalid tag: {0}")]
    Tag(String),
    /// A key with two values.
    #[error("illegal argument: duplicate tag: {tag}, tags={tags}")]
    DuplicateTag {
        /// The second one.
        tag: String,
        /// Those before it.
        tags: String,
    },
    /// Only blanks where tags should be.
    #[error("illegal argument: Need at least one tag (metric={0}, tags={{}})")]
    NoTags(String),
    /// The value is no number.
    #[error("invalid value: {0}")]
    Value(#[from] NumberError),
    /// The point breaks a rule.
    #[error("illegal argument: {0}")]
    Point(#[from] PointError),
    /// A name that may not be used.
    #[error("unknown metric: {0}")]
    Unknown(#[from] UnknownName),
    /// Longer than [`TELNET_LINE_BYTES_MAX`].
    #[error("illegal argument: line is longer than {TELNET_LINE_BYTES_MAX} bytes")]
    TooLong,
}

impl PutError {
    /// The reason as the label of the metric that counts refusals.
    pub fn label(&self) -> &'static str {
        match self {
            Self::TooFew(_) | Self::TooFewOf { .. } | Self::EmptyInterval => "malformed",
            Self::EmptyMetric | Self::Tag(_) | Self::NoTags(_) => "malformed",
            Self::DuplicateTag { .. } | Self::Unknown(_) => "invalid_name",
            Self::BadTimestamp(_) | Self::Timestamp(_) => "invalid_timestamp",
            Self::EmptyValue | Self::Value(_) => "invalid_value",
            Self::Point(error) => error.label(),
            Self::TooLong => "too_long",
        }
    }
}

/// How far a decoder came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fed<'a> {
    /// Bytes done with; the caller keeps the rest and appends what arrives next.
    pub bytes: usize,
    /// The command that stopped the decoder: to be answered before it is fed again.
    pub command: Option<Command<'a>>,
}

/// Decodes a stream of lines that arrives in pieces.
#[derive(Clone, Debug, Default)]
pub struct LineDecoder {
    /// Inside a line that was already refused as too long.
    skipping: bool,
}

impl LineDecoder {
    /// Decodes the complete lines at the front of `bytes`, up to and including the first one that is
    /// no `put`. `refuse` is called for every refused line.
    pub fn feed<'a>(
        &mut self,
        bytes: &'a [u8],
        batch: &mut WriteBatch,
        gate: &mut impl Gate,
        mut refuse: impl FnMut(PutError),
    ) -> Fed<'a> {
        let mut start = 0;
        while let Some(length) = memchr(b'\n', &bytes[start..]) {
            let line = &bytes[start..start + length];
            start += length + 1;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.len() > TELNET_LINE_BYTES_MAX {
                refuse(PutError::TooLong);
                continue;
            }
            match line.strip_prefix(b"put") {
                Some(rest) if rest.is_empty() || rest[0] == b' ' => {
                    if let Err(error) = put_line(line, batch, gate) {
                        refuse(error);
                    }
                }
                _ => {
                    return Fed { bytes: start, command: Some(Command::from_line(line)) };
                }
            }
        }
        if !self.skipping && bytes.len() - start > TELNET_LINE_BYTES_MAX {
            refuse(PutError::TooLong);
            self.skipping = true;
        }
        Fed { bytes: if self.skipping { bytes.len() } else { start }, command: None }
    }
}

/// Decodes one line that starts with `put`, without its end.
#[inline]
pub fn put_line(line: &[u8], batch: &mut WriteBatch, gate: &mut impl Gate) -> Result<(), PutError> {
    let words = split_words(line);
    let spelling = words.map(|words| Spelling::of(&[words.metric, words.tags], batch.hasher()));
    if let (Some(words), Some(spelling)) = (words, spelling)
        && let Some(hash) = gate.recognise(spelling)
        && let Some((at_ms, value)) = words.sample()
    {
        batch.begin_known_row(&[words.metric, b" ", words.tags], hash, unpack);
        push_value(batch, at_ms, value);
        return Ok(());
    }
    if !put_plain(line, batch) {
        put(line, batch).or_else(|error| read_as_latin1(line, batch, error))?;
    }
    let Some(row) = batch.rows().last() else {
        return Ok(());
    };
    // A line in another encoding than it says would be unpacked wrongly.
    let is_text = std::str::from_utf8(line).is_ok();
    let key = spelling.filter(|_| is_text);
    let keys = words.map_or_else(Vec::new, |words| sent_keys(words.tags));
    if let Err(error) = gate.admit(key, row.hash, batch.labels(row), &keys) {
        batch.abandon_row();
        return Err(error.into());
    }
    Ok(())
}

/// The keys of a line's tags as they stand in it.
fn sent_keys(tags: &[u8]) -> Vec<&str> {
    let tags = std::str::from_utf8(tags).unwrap_or_default();
    tags.split(' ').filter_map(|tag| tag.split_once('=')).map(|(key, _)| key).collect()
}

/// The parts of a line of which each has something in it.
#[derive(Clone, Copy, Debug)]
struct Words<'a> {
    metric: &'a [u8],
    timestamp: &'a [u8],
    value: &'a [u8],
    tags: &'a [u8],
}

impl Words<'_> {
    /// The point's time and value, when there is nothing wrong with either.
    #[inline]
    fn sample(&self) -> Option<(i64, Value)> {
        let at_ms = timestamp_ms(parse_i64(self.timestamp).ok()?)?;
        let value = parse_value(self.value).ok()?;
        let finite = !matches!(value, Value::Float(float) if !float.is_finite());
        finite.then_some((at_ms, value))
    }
}

#[inline]
fn split_words(line: &[u8]) -> Option<Words<'_>> {
    let mut rest = Some(line.get(4..)?);
    let (metric, timestamp, value) = (word(&mut rest)?, word(&mut rest)?, word(&mut rest)?);
    Some(Words { metric, timestamp, value, tags: rest? })
}

/// Makes labels of the spelling of a series that was admitted before.
fn unpack(raw: &[u8], _shared: &[u8], packed: &mut Vec<u8>) {
    let mut rest = Some(raw);
    let metric = word(&mut rest).unwrap_or_default();
    let (mut stack, mut heap) = ([(&b""[..], &b""[..]); TAGS_ON_STACK], Vec::new());
    if let Ok(tags) = split_tags(rest.unwrap_or_default(), &mut stack, &mut heap) {
        pack_series(metric, tags, packed);
    }
}

/// Reads a line in which every name is legal ASCII and nothing is out of the ordinary, in one pass.
/// False, with the batch untouched, where the line needs a closer look.
#[inline]
fn put_plain(line: &[u8], batch: &mut WriteBatch) -> bool {
    let Some((metric, rest)) = line.get(4..).and_then(|rest| name_before(rest, b' ')) else {
        return false;
    };
    let mut rest = Some(rest);
    let (Some(timestamp), Some(value)) = (word(&mut rest), word(&mut rest)) else {
        return false;
    };
    let mut tags = [(&b""[..], &b""[..]); TAGS_MAX];
    let mut count = 0;
    let mut ascending = true;
    let mut text = rest.unwrap_or_default();
    while !text.is_empty() {
        let Some((key, behind)) = name_before(text, b'=') else {
            return false;
        };
        let length = legal_run(behind);
        let (value, behind) = behind.split_at(length);
        text = match behind {
            [] => &[],
            [b' ', behind @ ..] => behind,
            _ => return false,
        };
        let known = &tags[..count];
        ascending &= known.last().is_none_or(|last| before(last.0, key));
        let new = ascending || known.iter().all(|known| known.0 != key);
        if value.is_empty() || !new || count == TAGS_MAX {
            return false;
        }
        tags[count] = (key, value);
        count += 1;
    }
    let (Ok(timestamp), Ok(value)) = (parse_i64(timestamp), parse_value(value)) else {
        return false;
    };
    let finite = !matches!(value, Value::Float(float) if !float.is_finite());
    match timestamp_ms(timestamp) {
        Some(at_ms) if count > 0 && finite => {
            push_legal(batch, metric, at_ms, value, &mut tags[..count]).is_ok()
        }
        _ => false,
    }
}

/// A legal name up to `end`, and what follows that.
#[inline(always)]
fn name_before(text: &[u8], end: u8) -> Option<(&[u8], &[u8])> {
    let length = legal_run(text);
    match text.split_at(length) {
        ([], _) => None,
        (name, [byte, rest @ ..]) if *byte == end => Some((name, rest)),
        _ => None,
    }
}

#[cold]
fn read_as_latin1(line: &[u8], batch: &mut WriteBatch, error: PutError) -> Result<(), PutError> {
    if std::str::from_utf8(line).is_ok() {
        return Err(error);
    }
    let text: String = line.iter().copied().map(char::from).collect();
    put(text.as_bytes(), batch)
}

#[inline]
fn put(line: &[u8], batch: &mut WriteBatch) -> Result<(), PutError> {
    let mut rest = line.get(4..);
    let (Some(metric), Some(timestamp), Some(value), Some(tags)) =
        (word(&mut rest), word(&mut rest), word(&mut rest), rest)
    else {
        let blanks = line.iter().filter(|byte| **byte == b' ').count();
        return Err(PutError::TooFew(blanks));
    };
    if metric.is_empty() {
        return Err(PutError::EmptyMetric);
    }
    let timestamp = parse_timestamp(timestamp)?;
    if timestamp <= 0 {
        return Err(PutError::Timestamp(timestamp));
    }
    if value.is_empty() {
        return Err(PutError::EmptyValue);
    }
    let mut stack = [(&b""[..], &b""[..]); TAGS_ON_STACK];
    let mut heap = Vec::new();
    let tags = split_tags(tags, &mut stack, &mut heap)?;
    if tags.is_empty() {
        return Err(PutError::NoTags(text(metric)));
    }
    push(batch, metric, timestamp, parse_value(value)?, tags)?;
    Ok(())
}

/// The bytes up to the next blank; `rest` becomes what follows it, or `None` at the line's end.
#[inline]
fn word<'a>(rest: &mut Option<&'a [u8]>) -> Option<&'a [u8]> {
    let text = (*rest)?;
    match text.iter().position(|byte| *byte == b' ') {
        Some(blank) => {
            *rest = Some(&text[blank + 1..]);
            Some(&text[..blank])
        }
        None => {
            *rest = None;
            Some(text)
        }
    }
}

/// A timestamp; all points are taken out, so that `seconds.millis` reads as milliseconds.
#[inline]
fn parse_timestamp(text: &[u8]) -> Result<i64, PutError> {
    let parsed = if text.contains(&b'.') {
        let digits: Vec<u8> = text.iter().copied().filter(|byte| *byte != b'.').collect();
        parse_i64(&digits)
    } else {
        parse_i64(text)
    };
    parsed.map_err(PutError::BadTimestamp)
}

type Tag<'a> = (&'a [u8], &'a [u8]);

#[inline]
fn split_tags<'a, 'b>(
    words: &'a [u8],
    stack: &'b mut [Tag<'a>; TAGS_ON_STACK],
    heap: &'b mut Vec<Tag<'a>>,
) -> Result<&'b mut [Tag<'a>], PutError> {
    let mut count = 0;
    // Keys in ascending order need not be compared with all before them.
    let mut ascending = true;
    let mut rest = Some(words);
    while let Some(word) = word(&mut rest) {
        if word.is_empty() {
            continue;
        }
        let tag = split_tag(word).ok_or_else(|| PutError::Tag(text(word)))?;
        let known = if heap.is_empty() { &stack[..count] } else { heap.as_slice() };
        ascending &= known.last().is_none_or(|last| before(last.0, tag.0));
        if !ascending && let Some(same) = known.iter().find(|known| known.0 == tag.0) {
            if same.1 == tag.1 {
                continue;
            }
            return Err(PutError::DuplicateTag { tag: text(word), tags: show_tags(known) });
        }
        if heap.is_empty() && count < TAGS_ON_STACK {
            stack[count] = tag;
            count += 1;
        } else {
            if heap.is_empty() {
                heap.extend_from_slice(stack.as_slice());
            }
            heap.push(tag);
        }
    }
    Ok(if heap.is_empty() { &mut stack[..count] } else { heap.as_mut_slice() })
}

/// Exactly one `=`, with something on both sides.
#[inline]
fn split_tag(word: &[u8]) -> Option<Tag<'_>> {
    let equals = word.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (&word[..equals], &word[equals + 1..]);
    (!key.is_empty() && !value.is_empty() && !value.contains(&b'=')).then_some((key, value))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::gate::OpenGate;
    use super::*;
    use base::rng::Rng;
    use model::{SampleKind, SeriesHasher, TenantId};

    fn batch() -> WriteBatch {
        WriteBatch::new(TenantId::DEFAULT, SeriesHasher::with_seed(1))
    }

    /// The points as text, and the refusals.
    fn decode(bytes: &[u8]) -> (Vec<String>, Vec<String>) {
        let mut batch = batch();
        let mut refusals = Vec::new();
        let mut decoder = LineDecoder::default();
        let mut done = 0;
        loop {
            let fed = decoder
                .feed(&bytes[done..], &mut batch, &mut OpenGate, |e| refusals.push(e.to_string()));
            done += fed.bytes;
            match fed.command {
                Some(command) => refusals.push(format!("{command:?}")),
                None => break,
            }
        }
        let points = batch.rows().iter().map(|row| {
            let (times, values) = batch.samples(row);
            let value = match row.kind {
                SampleKind::Integer => (values[0] as i64).to_string(),
                SampleKind::Float | SampleKind::Histogram => {
                    format!("{:?}", f64::from_bits(values[0]))
                }
            };
            format!("{} {} {value}", batch.labels(row), times[0])
        });
        (points.collect(), refusals)
    }

    #[test]
    fn points_keep_their_kind_and_time() {
        for (line, want) in [
            ("put m 1356998400 42 host=a", r#"{__name__="m", host="a"} 1356998400000 42"#),
            ("put m 1356998400500 42.5 host=a", r#"{__name__="m", host="a"} 1356998400500 42.5"#),
            ("put m 1356998400.500 -1 host=a", r#"{__name__="m", host="a"} 1356998400500 -1"#),
            ("put m 1 1e3 b=2 a=1\r", r#"{__name__="m", a="1", b="2"} 1000 1000.0"#),
            ("put m 1 1 a=1 a=1 ", r#"{__name__="m", a="1"} 1000 1"#),
            (
                "put m 1 -9223372036854775808 a=1",
                r#"{__name__="m", a="1"} 1000 -9223372036854775808"#,
            ),
            ("put mé 1 1 ключ=日本", r#"{__name__="mé", "ключ"="日本"} 1000 1"#),
        ] {
            let (points, refusals) = decode(format!("{line}\n").as_bytes());
            assert_eq!((points, refusals), (vec![want.to_owned()], vec![]), "{line}");
        }
        let (points, _) = decode(b"put m\xe9 1 1 a=1\n");
        assert_eq!(points, vec![r#"{__name__="mé", a="1"} 1000 1"#]);
    }

    #[test]
    fn refusals_use_the_originals_words() {
        let cases = "\
put m 1356998400 42 => illegal argument: not enough arguments (need least 4, got 3)
put => illegal argument: not enough arguments (need least 4, got 0)
put  m 1356998400 42 host=a => illegal argument: empty metric name
put m  42 host=a => invalid value: Empty string
put m 1  host=a => illegal argument: empty value
put m abc 42 host=a => invalid value: Invalid character 'a' in abc
put m 0 42 host=a => illegal argument: invalid timestamp: 0
put m 1 nan host=a => invalid value: Invalid character 'n' in nan
put m 5 1e400 host=a => illegal argument: value is NaN or Infinite: Infinity for metric=m timestamp=5
put m 1 1 host=a=b => illegal argument: invalid tag: host=a=b
put m 1 1 host => illegal argument: invalid tag: host
put m 1 1 host=a host=b => illegal argument: duplicate tag: host=b, tags={host=a}
put m 1 99999999999999999999 a=b => invalid value: Value too long: 99999999999999999999
put m 1 9223372036854775808 a=b => invalid value: Overflow in 9223372036854775808
put m!x 1 1 a=b => illegal argument: Invalid metric name (\"m!x\"): illegal character: !
foo bar => Unknown([102, 111, 111])
pUT m 1 1 a=b => Unknown([112, 85, 84])
version => Version
help me => Help";
        for case in cases.lines() {
            let (line, want) = case.split_once(" => ").unwrap();
            let (points, refusals) = decode(format!("{line}\n").as_bytes());
            assert_eq!((points.len(), refusals), (0, vec![want.to_owned()]), "{line}");
        }
        let blanks = decode(b"put m 1 1 \n").1;
        assert_eq!(blanks, ["illegal argument: Need at least one tag (metric=m, tags={})"]);
    }

    #[test]
    fn seventeen_tags_are_refused_with_all_of_them_shown() {
        let tags: Vec<String> = (0..17).map(|index| format!("k{index}=v")).collect();
        let (_, refusals) = decode(format!("put m 1 1 {}\n", tags.join(" ")).as_bytes());
        let want = format!(
            "illegal argument: Too many tags: 17 maximum allowed: 8, tags: {{{}}}",
            tags.join(", ")
        );
        assert_eq!(refusals, [want]);
    }

    #[test]
    fn long_lines_are_skipped_whole_and_cost_no_neighbour() {
        let mut bytes = b"put m 1 1 a=".to_vec();
        bytes.resize(3 * TELNET_LINE_BYTES_MAX, b'x');
        bytes.extend_from_slice(b" b=c\nput m 1 1 a=b\n");
        for piece in [100, 65_537, bytes.len()] {
            let (mut batch, mut refusals) = (batch(), 0);
            let mut decoder = LineDecoder::default();
            let mut buffer = Vec::new();
            for part in bytes.chunks(piece) {
                buffer.extend_from_slice(part);
                let fed = decoder.feed(&buffer, &mut batch, &mut OpenGate, |error| {
                    assert_eq!(error, PutError::TooLong);
                    refusals += 1;
                });
                let done = fed.bytes;
                buffer.drain(..done);
                assert!(buffer.len() <= TELNET_LINE_BYTES_MAX);
            }
            assert_eq!((batch.rows().len(), refusals), (1, 1), "{piece}");
        }
    }

    #[test]
    fn any_bytes_in_any_pieces_are_survived() {
        let words: &[&[u8]] = &[
            b"put",
            b"put ",
            b" ",
            b"m",
            b"1356998400",
            b"1.5",
            b"a=b",
            b"a",
            b"=",
            b"\r",
            b"\n",
            b"\n",
            b"\xff",
            b"\xc3\xa9",
            b"-",
            b"9999999999999999999",
            b"version",
            b"\0",
            b"e",
        ];
        let seed = 0x0dd5_eed5;
        let mut rng = Rng::new(seed);
        for round in 0..3_000 {
            let mut bytes = Vec::new();
            for _ in 0..rng.below(40) {
                bytes.extend_from_slice(words[rng.below(words.len() as u64) as usize]);
            }
            let whole = decode(&bytes);
            let (mut batch, mut count) = (batch(), 0);
            let mut decoder = LineDecoder::default();
            let mut buffer = Vec::new();
            for part in bytes.chunks(1 + rng.below(9) as usize) {
                buffer.extend_from_slice(part);
                loop {
                    let fed = decoder.feed(&buffer, &mut batch, &mut OpenGate, |_| count += 1);
                    let (done, more) = (fed.bytes, fed.command.is_some());
                    buffer.drain(..done);
                    count += usize::from(more);
                    if !more {
                        break;
                    }
                }
            }
            assert_eq!(batch.rows().len(), whole.0.len(), "seed {seed} round {round}");
            assert_eq!(count, whole.1.len(), "seed {seed} round {round}");
            for row in batch.rows() {
                assert!(batch.labels(row).check().is_ok());
            }
        }
    }
}
