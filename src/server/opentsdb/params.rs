//! Parameters of a URL and bodies of requests.

use std::io::Read as _;

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::header;

use super::reply::Refusal;

/// The parameters of a URL in order. `;` separates them as `&` does.
#[derive(Clone, Debug, Default)]
pub(super) struct Params(pub(super) Vec<(String, String)>);

impl Params {
    /// Reads what stands behind the `?`.
    pub(super) fn from_query(query: &str) -> Self {
        let parts = query.split(['&', ';']).filter(|part| !part.is_empty());
        let pairs = parts.flat_map(|part| form_urlencoded::parse(part.as_bytes()).into_owned());
        Self(pairs.collect())
    }

    /// The first value of `name`; a parameter without `=` has the empty one.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of `name`, in order.
    pub(super) fn all<'p>(&'p self, name: &'p str) -> impl Iterator<Item = &'p str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// True if `name` is there, whatever its value.
    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

/// Reads a whole body of at most `max` bytes, inflated where it is compressed.
pub(super) async fn read_body(request: Request, max: usize) -> Result<Bytes, Refusal> {
    let encoding = request.headers().get(header::CONTENT_ENCODING);
    let encoding = encoding.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let too_large = || Refusal::too_large(format!("request content is larger than {max} bytes"));
    let body = axum::body::to_bytes(request.into_body(), max).await.map_err(|_| too_large())?;
    let deflated = match encoding.as_str() {
        "gzip" | "x-gzip" => true,
        "deflate" => false,
        _ => return Ok(body),
    };
    let inflated = tokio::task::spawn_blocking(move || inflate(&body, deflated, max)).await;
    match inflated {
        Ok(Ok(bytes)) if bytes.len() <= max => Ok(Bytes::from(bytes)),
        Ok(Ok(_)) => Err(too_large()),
        Ok(Err(error)) => Err(Refusal::bad(format!("cannot inflate the content: {error}"))),
        Err(_) => Err(Refusal::internal("cannot inflate the content")),
    }
}

/// Stops one byte behind `max`, so that a small body cannot become a large one.
fn inflate(body: &[u8], gzip: bool, max: usize) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let limit = max as u64 + 1;
    if gzip {
        flate2::read::MultiGzDecoder::new(body).take(limit).read_to_end(&mut out)?;
    } else {
        flate2::read::ZlibDecoder::new(body).take(limit).read_to_end(&mut out)?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_separate_and_the_first_value_wins() {
        let params = Params::from_query("a=1;b&a=2&c=x%20y+z&&d=%C3%A9");
        assert_eq!(params.get("a"), Some("1"));
        assert!(params.has("b") && !params.has("e"));
        assert_eq!(params.get("c"), Some("x y z"));
        assert_eq!(params.get("d"), Some("é"));
    }

    #[test]
    fn inflating_stops_at_the_limit() {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
        let body = encoder.finish().unwrap();
        assert_eq!(inflate(&body, true, 1000).unwrap().len(), 1001);
        assert!(inflate(b"nonsense", true, 1000).is_err());
    }
}
