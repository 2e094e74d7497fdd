//! Names and passwords in HTTP headers.

use brski_est::authentication::{Challenge, Credentials, CredentialsError};
use http::{HeaderMap, HeaderValue, Request};

fn header(credentials: &Credentials) -> String {
    let mut request = Request::new(Vec::<u8>::new());
    credentials.authorize_basic(&mut request);
    let value = &request.headers()["authorization"];
    assert!(value.is_sensitive());
    value.to_str().unwrap().to_owned()
}

/// RFC 7617 §2 and §2.1.
#[test]
fn basic_is_as_published() {
    let aladdin = Credentials::new("Aladdin", "open sesame").unwrap();
    assert_eq!(header(&aladdin), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    assert_eq!(header(&Credentials::new("test", "123\u{a3}").unwrap()), "Basic dGVzdDoxMjPCow==");
}

#[test]
fn credentials_come_back_as_they_were() {
    for (user, password) in [("dev-1", "s:e:c"), ("", "alone"), ("a", ""), ("\u{e9}", "\u{20ac}")] {
        let credentials = Credentials::new(user, password).unwrap();
        let read = Credentials::from_basic(&header(&credentials)).unwrap();
        assert_eq!((read.user(), read.password()), (user, password));
        assert!(!format!("{read:?}").contains("s:e:c"));
    }
    Credentials::from_basic("basic   QTpC").unwrap();
}

#[test]
fn headers_that_hold_no_credentials_are_refused_by_name() {
    for (header, error) in [
        ("", CredentialsError::Scheme),
        ("Basic", CredentialsError::Scheme),
        ("Bearer QTpC", CredentialsError::Scheme),
        ("Basic !", CredentialsError::Encoding),
        ("Basic QUI=", CredentialsError::Encoding),
        ("Basic QTr/", CredentialsError::Encoding),
        ("Basic QQpBOkI=", CredentialsError::Characters),
        (&format!("Basic {}", "A".repeat(2000)), CredentialsError::TooLong),
    ] {
        assert_eq!(Credentials::from_basic(header).unwrap_err(), error, "{header}");
    }
    assert_eq!(Credentials::new("a:b", "c").unwrap_err(), CredentialsError::Characters);
    assert_eq!(Credentials::new("a", "b\r\nX: y").unwrap_err(), CredentialsError::Characters);
    assert_eq!(Credentials::new("a", &"b".repeat(257)).unwrap_err(), CredentialsError::TooLong);
}

#[test]
fn challenges_are_read_however_they_are_sent() {
    let mut headers = HeaderMap::new();
    let first = "Digest realm=\"est \\\"x\\\"\", nonce=\"n\", qop=\"auth\", Basic realm=\"est\"";
    headers.append("www-authenticate", HeaderValue::from_static(first));
    headers.append("www-authenticate", HeaderValue::from_static("Negotiate"));
    let all = Challenge::all(&headers);
    let [Challenge::Digest(digest), Challenge::Basic { realm }, Challenge::Other { scheme }] =
        all.as_slice()
    else {
        panic!("{all:?}")
    };
    assert_eq!(
        (digest.realm(), realm.as_str(), scheme.as_str()),
        ("est \"x\"", "est", "negotiate")
    );
    assert!(Challenge::all(&HeaderMap::new()).is_empty());
}

#[test]
fn digest_goes_into_the_request() {
    let mut headers = HeaderMap::new();
    let challenge =
        "Digest realm=\"est\", nonce=\"n\", opaque=\"o\", qop=\"auth\", algorithm=SHA-256";
    headers.append("www-authenticate", HeaderValue::from_static(challenge));
    let all = Challenge::all(&headers);
    let [Challenge::Digest(challenge)] = all.as_slice() else { panic!("{all:?}") };
    let mut request = Request::get("/.well-known/est/cacerts").body(Vec::<u8>::new()).unwrap();
    let credentials = Credentials::new("dev \"1\"", "secret").unwrap();
    credentials.authorize_digest(challenge, &mut request, [7; 16], 2).unwrap();
    let value = request.headers()["authorization"].to_str().unwrap();
    for part in [
        "username=\"dev \\\"1\\\"\"",
        "uri=\"/.well-known/est/cacerts\"",
        "nc=00000002",
        "opaque=\"o\"",
        "algorithm=SHA-256",
    ] {
        assert!(value.contains(part), "{value}");
    }
    assert!(!value.contains("secret"));
}
