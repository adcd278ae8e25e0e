//! Graphite paths, plain and tagged, and their labels.
//!
//! `name;tag=value;…` and `name{tag="value",…}` name the same series. Of a repeated tag the last one
//! counts; a tag called `name` is overwritten by the series' name; leading `~` are taken off the
//! name, since a tag's value may not start with one (graphite-web, TaggedSeries).

use model::{METRIC_NAME, WriteBatch};

/// Why a text is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing stands before the tags, or only `~`.
    #[error("path has no metric name")]
    NoName,
    /// A part behind the name is not `tag=value`.
    #[error("path has a part that is not tag=value")]
    NotATag,
    /// A tag is empty or holds one of `; ! ^ =`.
    #[error("tag name is empty or holds one of ; ! ^ =")]
    BadTag,
    /// A value is empty, holds `;` or starts with `~`.
    #[error("tag value is empty, holds ; or starts with ~")]
    BadValue,
}

/// Opens a row of `batch` with the labels of `path`. On `Err` the batch is as it was.
#[inline]
pub fn push_path(batch: &mut WriteBatch, path: &[u8]) -> Result<(), PathError> {
    let plain = memchr::memchr(b';', path).is_none()
        && path.first().is_some_and(|first| *first != b'~')
        && path.last() != Some(&b'}');
    if !plain {
        return push_tagged(batch, path);
    }
    batch.begin_row();
    batch.push_label(METRIC_NAME.as_bytes(), path);
    // One label cannot occur twice.
    let _ = batch.end_labels();
    Ok(())
}

#[inline(never)]
fn push_tagged(batch: &mut WriteBatch, path: &[u8]) -> Result<(), PathError> {
    if !path.ends_with(b"\"}") && push_parts(batch, path)? {
        return Ok(());
    }
    // The rare spellings: braces, very many tags.
    let (name, tags) = parse(path)?;
    batch.begin_row();
    batch.push_label(METRIC_NAME.as_bytes(), &name);
    for (tag, value) in &tags {
        batch.push_label(tag, value);
    }
    batch.end_labels().map_err(|_| {
        batch.abandon_row();
        PathError::BadTag
    })
}

/// Tags that are brought in order on the stack; more take the slower way.
const INLINE_TAGS_MAX: usize = 16;

/// Pushes the parts of `name;tag=value…`; `false` when there are too many to do it here.
fn push_parts(batch: &mut WriteBatch, path: &[u8]) -> Result<bool, PathError> {
    let mut parts = path.split(|byte| *byte == b';');
    let name = sanitized_name(parts.next().unwrap_or_default())?;
    let mut labels: [(&[u8], &[u8]); INLINE_TAGS_MAX] = [(&[], &[]); INLINE_TAGS_MAX];
    labels[0] = (METRIC_NAME.as_bytes(), name);
    let mut count = 1;
    for part in parts {
        let (tag, value) = split_tag(part)?;
        if tag == b"name" {
            continue;
        }
        // Insertion from the end: senders mostly sort their tags.
        let place = labels[..count].iter().rposition(|(known, _)| *known <= tag);
        match place {
            Some(place) if labels[place].0 == tag => labels[place].1 = value,
            _ if count == INLINE_TAGS_MAX => return Ok(false),
            _ => {
                let place = place.map_or(0, |place| place + 1);
                labels.copy_within(place..count, place + 1);
                labels[place] = (tag, value);
                count += 1;
            }
        }
    }
    batch.begin_row();
    for (label, value) in &labels[..count] {
        batch.push_label(label, value);
    }
    // In order and unique, so this cannot fail.
    let _ = batch.end_labels();
    Ok(true)
}

fn sanitized_name(name: &[u8]) -> Result<&[u8], PathError> {
    let start = name.iter().position(|byte| *byte != b'~').ok_or(PathError::NoName)?;
    Ok(&name[start..])
}

fn split_tag(part: &[u8]) -> Result<(&[u8], &[u8]), PathError> {
    // Tags are short: a plain loop beats a vectorised search.
    let equals = part.iter().position(|byte| *byte == b'=').ok_or(PathError::NotATag)?;
    let (tag, value) = (&part[..equals], &part[equals + 1..]);
    check_tag(tag, value)?;
    Ok((tag, value))
}

fn check_tag(tag: &[u8], value: &[u8]) -> Result<(), PathError> {
    // `__name__` is where the name itself is kept.
    let reserved = tag.is_empty() || tag == METRIC_NAME.as_bytes();
    if reserved || tag.iter().any(|byte| matches!(byte, b';' | b'!' | b'^' | b'=')) {
        return Err(PathError::BadTag);
    }
    if value.is_empty() || value[0] == b'~' || value.contains(&b';') {
        return Err(PathError::BadValue);
    }
    Ok(())
}

/// Name and tags of a path; each tag once, in order of first appearance.
pub type NameAndTags = (Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>);

/// Takes a path apart.
pub fn parse(path: &[u8]) -> Result<NameAndTags, PathError> {
    let brace = memchr::memchr(b'{', path).filter(|_| path.ends_with(b"\"}"));
    let mut tags: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut set = |tag: &[u8], value: &[u8]| {
        if tag == b"name" {
            return;
        }
        match tags.iter_mut().find(|(known, _)| known == tag) {
            Some((_, known)) => *known = value.to_vec(),
            None => tags.push((tag.to_vec(), value.to_vec())),
        }
    };
    let name = match brace {
        Some(brace) => {
            for (tag, value) in brace_tags(&path[brace + 1..path.len() - 1])? {
                check_tag(tag, &value)?;
                set(tag, &value);
            }
            &path[..brace]
        }
        None => {
            let mut parts = path.split(|byte| *byte == b';');
            let name = parts.next().unwrap_or_default();
            sanitized_name(name)?;
            for part in parts {
                let (tag, value) = split_tag(part)?;
                set(tag, value);
            }
            name
        }
    };
    Ok((sanitized_name(name)?.to_vec(), tags))
}

/// A tag as it stands in the path, and its value without escapes.
type BraceTag<'p> = (&'p [u8], Vec<u8>);

/// `tag="value",…` with `\"` and `\\` as escapes.
fn brace_tags(mut text: &[u8]) -> Result<Vec<BraceTag<'_>>, PathError> {
    let mut tags = Vec::new();
    loop {
        let equals = memchr::memchr(b'=', text).ok_or(PathError::NotATag)?;
        let (tag, rest) = (&text[..equals], &text[equals + 1..]);
        let rest = rest.strip_prefix(b"\"").ok_or(PathError::NotATag)?;
        let (value, rest) = quoted(rest)?;
        tags.push((tag, value));
        match rest {
            [] => return Ok(tags),
            [b',', rest @ ..] => text = rest,
            _ => return Err(PathError::NotATag),
        }
    }
}

/// The text up to the closing quote, unescaped, and what follows it.
fn quoted(text: &[u8]) -> Result<(Vec<u8>, &[u8]), PathError> {
    let mut value = Vec::new();
    let mut bytes = text.iter().enumerate();
    while let Some((index, byte)) = bytes.next() {
        match byte {
            b'"' => return Ok((value, &text[index + 1..])),
            b'\\' => value.extend(bytes.next().map(|(_, escaped)| *escaped)),
            _ => value.push(*byte),
        }
    }
    Err(PathError::NotATag)
}

/// The one spelling of a path under which its series is known: the name, then the `;tag=value`
/// parts sorted as whole byte strings.
pub fn canonical(path: &str) -> Result<String, PathError> {
    let (name, tags) = parse(path.as_bytes())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut parts: Vec<String> =
        tags.iter().map(|(tag, value)| format!(";{}={}", text(tag), text(value))).collect();
    parts.sort();
    Ok(text(&name) + &parts.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{SeriesHasher, TenantId, identity::flat_name};

    /// The canonical path, by both routes: text to text, and through a batch's labels.
    fn check(path: &str, expected: Result<&str, PathError>) {
        assert_eq!(canonical(path), expected.map(str::to_owned), "{path}");
        let mut batch = WriteBatch::new(TenantId::DEFAULT, SeriesHasher::with_seed(1));
        match push_path(&mut batch, path.as_bytes()) {
            Ok(()) => {
                let labels = batch.labels(&batch.rows()[0]).to_labels();
                assert!(labels.view().check().is_ok(), "{path}");
                assert_eq!(flat_name(&labels), expected.unwrap_or("an error"), "{path}");
            }
            Err(error) => {
                assert_eq!(Err(error), expected, "{path}");
                assert!(batch.is_empty());
            }
        }
    }

    #[test]
    fn paths_have_one_canonical_spelling() {
        check("a.b", Ok("a.b"));
        check("a.b;z=1;a=2", Ok("a.b;a=2;z=1"));
        check("a.b;a=1;a1=2", Ok("a.b;a1=2;a=1"));
        check("a.b;t=v;t=w", Ok("a.b;t=w"));
        check("a.b;t=v=w", Ok("a.b;t=v=w"));
        check("a.b;name=evil", Ok("a.b"));
        check("~~a.b;t=v", Ok("a.b;t=v"));
        check("m{b=\"2\",a=\"x\\\\y\"}", Ok("m;a=x\\y;b=2"));
        check("m{}", Ok("m{}"));
        let many: Vec<String> = (10..40).rev().map(|tag| format!(";t{tag}=v")).collect();
        let sorted: Vec<String> = (10..40).map(|tag| format!(";t{tag}=v")).collect();
        check(&format!("m{}", many.concat()), Ok(&format!("m{}", sorted.concat())));
        check("m{a=\"1\"};t=v", Ok("m{a=\"1\"};t=v"));
    }

    #[test]
    fn bad_paths_leave_no_row() {
        check("", Err(PathError::NoName));
        check("~", Err(PathError::NoName));
        check(";t=v", Err(PathError::NoName));
        check("a.b;t", Err(PathError::NotATag));
        check("a.b;", Err(PathError::NotATag));
        check("a.b;;t=v", Err(PathError::NotATag));
        check("a.b;=v", Err(PathError::BadTag));
        check("a.b;t!=v", Err(PathError::BadTag));
        check("a.b;__name__=x", Err(PathError::BadTag));
        check("a.b;t=", Err(PathError::BadValue));
        check("a.b;t=~v", Err(PathError::BadValue));
        check("m{a=\"\"}", Err(PathError::BadValue));
        check("m{a=\"b;c\"}", Err(PathError::BadValue));
        check("{a=\"1\"}", Err(PathError::NoName));
    }
}
