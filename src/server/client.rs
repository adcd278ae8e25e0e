//! Who asks: what tells one client of the queries from another.
//!
//! A query is started deep inside handlers that know nothing of who asks, so the client goes with the
//! task that answers the request instead of through all of them.

use std::hash::{Hash as _, Hasher as _};
use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use base64::Engine as _;

/// Headers that name a client, the first one that is there counts: the tenant as Cortex, Mimir and Loki
/// name it, then the user as Grafana forwards it (`send_user_header`).
const NAMING_HEADERS: [&str; 2] = ["x-scope-orgid", "x-grafana-user"];

/// One client: equal for its requests, and for those of no other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientId(u64);

/// Where a connection comes from; an extension of its requests.
#[derive(Clone, Copy, Debug)]
pub struct Remote(pub IpAddr);

tokio::task_local! {
    static CLIENT: ClientId;
}

impl ClientId {
    /// Whose work nobody asked for over a socket.
    const NOBODY: Self = Self(0);

    /// The client of a request: its tenant, its user, or the address that it comes from.
    pub fn of(request: &Request) -> Self {
        let headers = request.headers();
        for name in NAMING_HEADERS {
            if let Some(value) = headers.get(name).filter(|value| !value.is_empty()) {
                return Self::named(name, value.as_bytes());
            }
        }
        if let Some(user) = basic_user(headers) {
            return Self::named("user", &user);
        }
        match request.extensions().get::<Remote>() {
            Some(Remote(IpAddr::V4(address))) => Self::named("address", &address.octets()),
            Some(Remote(IpAddr::V6(address))) => Self::named("address", &address.octets()),
            None => Self::NOBODY,
        }
    }

    /// The client of the request that this task answers.
    pub fn current() -> Self {
        CLIENT.try_with(|client| *client).unwrap_or(Self::NOBODY)
    }

    /// Lets everything that answers a request of this client know it.
    pub(crate) fn known_while<F: Future>(self, answering: F) -> impl Future<Output = F::Output> {
        CLIENT.scope(self, answering)
    }

    fn named(kind: &str, name: &[u8]) -> Self {
        let mut hasher = std::hash::DefaultHasher::new();
        (kind, name).hash(&mut hasher);
        Self(hasher.finish())
    }

    /// A client of tests.
    #[cfg(test)]
    pub(crate) fn numbered(number: u64) -> Self {
        Self(number)
    }
}

/// The user of HTTP's basic authentication. RFC 7617
fn basic_user(headers: &HeaderMap) -> Option<Vec<u8>> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = text.split_once(' ')?;
    let is_basic = scheme.eq_ignore_ascii_case("basic");
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim()).ok()?;
    let user = decoded.split(|byte| *byte == b':').next()?;
    (is_basic && !user.is_empty()).then(|| user.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(headers: &[(&str, &str)], address: &str) -> ClientId {
        let mut request = axum::http::Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(axum::body::Body::empty()).unwrap();
        request.extensions_mut().insert(Remote(address.parse().unwrap()));
        ClientId::of(&request)
    }

    #[test]
    fn a_client_is_its_tenant_its_user_or_its_address() {
        let (one, two) = ("10.0.0.1", "10.0.0.2");
        assert_eq!(id(&[], one), id(&[], one));
        assert_ne!(id(&[], one), id(&[], two));
        assert_ne!(id(&[], "::1"), id(&[], "::2"));
        let ann = ("Authorization", "Basic YW5uOnNlY3JldA==");
        let ann_changed = ("Authorization", "basic YW5uOm90aGVy");
        assert_eq!(id(&[ann], one), id(&[ann_changed], two), "the password says nothing");
        assert_ne!(id(&[ann], one), id(&[("Authorization", "Basic Ym9iOng=")], one));
        assert_eq!(id(&[("Authorization", "Bearer YW5uOng=")], one), id(&[], one));
        let tenant = ("X-Scope-OrgID", "team");
        assert_eq!(id(&[tenant, ann], one), id(&[tenant], two));
        assert_ne!(id(&[tenant], one), id(&[("X-Grafana-User", "team")], one));
        assert_eq!(id(&[("X-Scope-OrgID", "")], one), id(&[], one));
    }

    #[test]
    fn a_task_knows_its_client_and_work_of_its_own_has_none() {
        assert_eq!(ClientId::current(), ClientId::NOBODY);
        let inside = CLIENT.sync_scope(ClientId(5), ClientId::current);
        assert_eq!(inside, ClientId(5));
    }
}
