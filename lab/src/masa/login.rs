//! Whom a MASA lets in by HTTP: Basic and Digest (RFC 8995 §5.4).

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use brski_est::authentication::{Challenge, Credentials};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};

use super::options::{Login, Scheme};
use super::refuse;

/// What Digest answers are made over; one for the life of the lab is enough.
const NONCE: &str = "TEFCIE9OTFk";

/// Checks who asks.
///
/// # Errors
/// The 401 that says what to bring.
#[allow(clippy::result_large_err, reason = "an answer is as large as it is, once a request")]
pub(super) fn check(
    login: Option<&Login>,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Result<(), Response> {
    let Some(Login { scheme, credentials }) = login else {
        return Ok(());
    };
    let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let challenge = match scheme {
        Scheme::Basic => "Basic realm=\"MASA, LAB ONLY\"".to_owned(),
        Scheme::Digest => format!(
            "Digest realm=\"MASA, LAB ONLY\", nonce=\"{NONCE}\", qop=\"auth\", algorithm=SHA-256"
        ),
    };
    let is_right = sent.is_some_and(|sent| match scheme {
        Scheme::Basic => is_basic(sent, credentials),
        Scheme::Digest => is_digest(sent, credentials, &challenge, method, path),
    });
    if is_right {
        return Ok(());
    }
    let mut response = refuse(StatusCode::UNAUTHORIZED, "who are you?");
    if let Ok(value) = HeaderValue::try_from(challenge) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    Err(response)
}

fn is_basic(sent: &str, credentials: &Credentials) -> bool {
    Credentials::from_basic(sent).is_ok_and(|sent| {
        sent.user() == credentials.user() && sent.password() == credentials.password()
    })
}

/// Makes the same answer with the client's nonce, and compares.
fn is_digest(
    sent: &str,
    credentials: &Credentials,
    challenge: &str,
    method: &Method,
    path: &str,
) -> bool {
    let expected = || {
        let mut headers = HeaderMap::new();
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::try_from(challenge).ok()?);
        let Some(Challenge::Digest(challenge)) = Challenge::all(&headers).into_iter().next() else {
            return None;
        };
        let mut request = Request::builder().method(method).uri(path).body(()).ok()?;
        let nonce = STANDARD.decode(parameter(sent, "cnonce=\"", '"')?).ok()?.try_into().ok()?;
        let count = u32::from_str_radix(parameter(sent, "nc=", ',')?, 16).ok()?;
        credentials.authorize_digest(&challenge, &mut request, nonce, count).ok()?;
        Some(request.headers().get(header::AUTHORIZATION)?.to_str().ok()?.to_owned())
    };
    expected().is_some_and(|expected| expected == sent)
}

fn parameter<'a>(sent: &'a str, begin: &str, end: char) -> Option<&'a str> {
    let (_, rest) = sent.split_once(begin)?;
    Some(rest.split(end).next().unwrap_or_default().trim())
}
