//! Media types: as they are written, spelled as the clients in the field compare them, and as they are read from anyone.

/// `/cacerts`: without a parameter.
pub const CA_CERTS: &str = "application/pkcs7-mime";
/// `/simpleenroll` and `/simplereenroll`.
pub const CERTS_ONLY: &str = "application/pkcs7-mime; smime-type=certs-only";
/// A CSR.
pub const PKCS10: &str = "application/pkcs10";
/// `/csrattrs`.
pub const CSR_ATTRS: &str = "application/csrattrs";
/// A private key in the answer of `/serverkeygen`.
pub const PKCS8: &str = "application/pkcs8";
/// An encrypted private key in the answer of `/serverkeygen`.
pub const SERVER_GENERATED_KEY: &str = "application/pkcs7-mime; smime-type=server-generated-key";
/// `/renewal-info`.
pub const JSON: &str = "application/json";
/// Why a request is refused.
pub const TEXT: &str = "text/plain";
pub(crate) const MULTIPART_MIXED: &str = "multipart/mixed";

/// Whether a header's value names the same type and subtype, whatever its case and its parameters.
///
/// `value`: the Content-Type as received; `expected`: one of the constants here.
#[must_use]
pub fn is(value: &str, expected: &str) -> bool {
    essence(value).eq_ignore_ascii_case(essence(expected))
}

/// Type and subtype of a Content-Type.
fn essence(value: &str) -> &str {
    value.split(';').next().unwrap_or_default().trim()
}

/// A parameter of a Content-Type, its quotes taken off (RFC 9110 §5.6.6).
pub(crate) fn parameter(value: &str, name: &str) -> Option<String> {
    let mut rest = value.split_once(';')?.1;
    loop {
        let (key, after) = rest.split_once('=')?;
        let (text, after) = parameter_value(after.trim_start())?;
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(text);
        }
        rest = after.split_once(';')?.1;
    }
}

/// A token or a quoted string, and what follows it.
fn parameter_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        let (token, rest) = text.split_at_checked(end)?;
        return Some((token.trim().to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((place, character)) = characters.next() {
        match character {
            '"' => return Some((value, quoted.get(place.saturating_add(1)..)?)),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{CERTS_ONLY, is, parameter};

    #[test]
    fn compares_types_whatever_their_case_and_parameters() {
        assert!(is("Application/PKCS7-mime;smime-type=x", CERTS_ONLY));
        assert!(is(" application/pkcs7-mime ", CERTS_ONLY));
        assert!(!is("application/pkcs7", CERTS_ONLY));
        assert!(!is("", CERTS_ONLY));
    }

    #[test]
    fn finds_parameters_in_every_spelling() {
        let boundary = |value| parameter(value, "boundary");
        assert_eq!(boundary("multipart/mixed ; boundary=b").as_deref(), Some("b"));
        assert_eq!(
            boundary("multipart/mixed;a=\"x;boundary=y\"; Boundary=\"b\\\"c\"").as_deref(),
            Some("b\"c")
        );
        assert_eq!(
            boundary("multipart/mixed; charset = utf-8 ; boundary = b ; x=y").as_deref(),
            Some("b")
        );
        for value in
            ["multipart/mixed", "multipart/mixed; boundary", "multipart/mixed; boundary=\"b", ""]
        {
            assert_eq!(boundary(value), None, "{value}");
        }
    }
}
