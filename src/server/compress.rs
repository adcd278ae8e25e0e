//! gzip of answers, piece by piece as they are written.

use std::io::{self, Write as _};

use axum::body::{Body, BodyDataStream, HttpBody as _};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use flate2::write::GzEncoder;
use futures::StreamExt as _;

/// Bodies below this are sent as they are; gzip's own header would eat the gain.
const COMPRESS_BYTES_MIN: u64 = 1024;

/// True where the client lists exactly `gzip`: Grafana forwards a browser's whole list, and decodes no
/// other encoding reliably.
pub(crate) fn is_wanted(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|list| list.split(',').any(|item| item.trim() == "gzip"))
}

/// The answer in gzip, where that is `wanted` and worth it.
pub(crate) fn compress(wanted: bool, mut response: Response) -> Response {
    response.headers_mut().append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if !wanted || !is_worth_it(&response) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts.headers.remove(header::CONTENT_LENGTH);
    let compressing = Compressing {
        input: body.into_data_stream(),
        encoder: GzEncoder::new(Vec::new(), flate2::Compression::fast()),
    };
    let pieces = futures::stream::try_unfold(Some(compressing), next_piece);
    Response::from_parts(parts, Body::from_stream(pieces))
}

/// Of the answers whose length nobody knows yet only JSON: the frames of a remote read are compressed
/// already, and their reader waits for each.
fn is_worth_it(response: &Response) -> bool {
    let headers = response.headers();
    if headers.contains_key(header::CONTENT_ENCODING) {
        return false;
    }
    match response.body().size_hint().exact() {
        Some(length) => length >= COMPRESS_BYTES_MIN,
        None => headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json")),
    }
}

struct Compressing {
    input: BodyDataStream,
    encoder: GzEncoder<Vec<u8>>,
}

/// The next compressed piece; the last leaves nothing behind.
async fn next_piece(
    state: Option<Compressing>,
) -> Result<Option<(Bytes, Option<Compressing>)>, axum::Error> {
    let Some(Compressing { mut input, mut encoder }) = state else { return Ok(None) };
    loop {
        let Some(piece) = input.next().await.transpose()? else {
            let rest = blocking(move || encoder.finish()).await?;
            return Ok(Some((rest.into(), None)));
        };
        encoder = blocking(move || encoder.write_all(&piece).map(|()| encoder)).await?;
        let out = std::mem::take(encoder.get_mut());
        if !out.is_empty() {
            return Ok(Some((out.into(), Some(Compressing { input, encoder }))));
        }
    }
}

/// Runs what takes milliseconds off the threads that serve sockets.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, axum::Error> {
    let done = tokio::task::spawn_blocking(work).await.map_err(axum::Error::new)?;
    done.map_err(axum::Error::new)
}
