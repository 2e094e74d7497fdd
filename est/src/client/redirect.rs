//! Where a server sends a client instead (RFC 7030 §3.2.1).

use http::Uri;
use http::uri::Authority;

/// The longest target that is told, in characters.
const TARGET_CHARACTERS: usize = 512;
const HTTPS_PORT: u16 = 443;

/// A redirection, which is told and never followed by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Redirect {
    /// To another path of the same server: a client may follow it, a few times.
    SameOrigin {
        /// The path, with a query if it has one.
        path: String,
    },
    /// To another server, or to no HTTPS: not without asking a person (RFC 7030 §3.2.1), and a device has none.
    Elsewhere {
        /// Where to, as far as it is text.
        location: String,
    },
}

impl Redirect {
    /// Reads a Location. `server`: who sent it.
    #[must_use]
    pub fn read(location: &str, server: &Authority) -> Self {
        let elsewhere =
            || Self::Elsewhere { location: super::reason::cleaned(location, TARGET_CHARACTERS) };
        let Ok(uri) = location.parse::<Uri>() else {
            return elsewhere();
        };
        // Two slashes begin a host, not a path (RFC 3986 §4.2).
        if location.starts_with('/') && !location.starts_with("//") {
            return Self::SameOrigin { path: location.to_owned() };
        }
        let is_same = uri.scheme_str() == Some("https")
            && uri.authority().is_some_and(|authority| {
                authority.host().eq_ignore_ascii_case(server.host())
                    && port(authority) == port(server)
                    && !authority.as_str().contains('@')
            });
        match uri.path_and_query() {
            Some(path) if is_same => Self::SameOrigin { path: path.as_str().to_owned() },
            _ => elsewhere(),
        }
    }
}

fn port(authority: &Authority) -> u16 {
    authority.port_u16().unwrap_or(HTTPS_PORT)
}
