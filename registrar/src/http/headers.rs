//! What request headers say, compared as loosely as the field does: essence only, any case.

use brski_voucher::encoding::{Encoding, Strictness, media_type};
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName};

use crate::flow::refusal::Refusal;

/// The longest header value that is quoted back, in characters.
const QUOTED: usize = 100;

/// A header as text; empty where it is absent or not text.
#[must_use]
pub fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// A voucher's media type: how it is encoded, and what the client calls that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoucherType {
    /// The encoding.
    pub encoding: Encoding,
    /// The name that the answer gets.
    pub name: &'static str,
}

/// What is said of a body that is no voucher request.
const VOUCHER_TYPES: &str =
    "application/voucher-cms+json, application/voucher-jws+json or application/voucher+cose";
/// COSE's media type and the one that it had until December 2023.
const COSE_NAMES: [&str; 2] = [media_type::VOUCHER_COSE, media_type::VOUCHER_COSE_OLD];

/// The media type of a voucher request; the answer's is the same, and the client must take that.
///
/// `strictness`: the lenient also know what was in use before RFC 8366 named its own.
///
/// # Errors
/// [`Refusal::MediaType`], [`Refusal::NotAcceptable`].
pub fn voucher_type(headers: &HeaderMap, strictness: Strictness) -> Result<VoucherType, Refusal> {
    let received = text(headers, &CONTENT_TYPE);
    let named = Encoding::of_media_type(received);
    let encoding = match (named, strictness) {
        (None, Strictness::Lenient) => alias(received),
        (named, _) => named,
    };
    let Some(encoding) = encoding else {
        return Err(Refusal::MediaType { received: quote(received), expected: VOUCHER_TYPES });
    };
    if encoding != Encoding::Cose {
        let name = encoding.media_type();
        require_acceptable(headers, name)?;
        return Ok(VoucherType { encoding, name });
    }
    // The name that the client uses itself, else the other one if that is what it accepts.
    let is_used = |name: &&str| essence(received).eq_ignore_ascii_case(name);
    let used = COSE_NAMES.into_iter().find(is_used).unwrap_or(media_type::VOUCHER_COSE);
    let others = COSE_NAMES.into_iter().filter(|name| *name != used);
    for name in others {
        if require_acceptable(headers, used).is_err() && require_acceptable(headers, name).is_ok() {
            return Ok(VoucherType { encoding, name });
        }
    }
    require_acceptable(headers, used)?;
    Ok(VoucherType { encoding, name: used })
}

/// What older implementations send.
fn alias(received: &str) -> Option<Encoding> {
    let has = |wanted: &str| {
        let parameters = received.split(';').skip(1);
        let plain = parameters.map(|each| each.trim().replace('"', "").to_ascii_lowercase());
        plain.into_iter().any(|parameter| parameter == wanted)
    };
    let essence = essence(received);
    if essence.eq_ignore_ascii_case("application/pkcs7-mime") && has("smime-type=voucher-request") {
        Some(Encoding::Cms)
    } else if essence.eq_ignore_ascii_case("application/cose") && has("cose-type=cose-sign1") {
        Some(Encoding::Cose)
    } else {
        None
    }
}

/// Checks that the body has the media type `expected`; its parameters do not matter.
///
/// # Errors
/// [`Refusal::MediaType`].
pub fn require_media_type(headers: &HeaderMap, expected: &'static str) -> Result<(), Refusal> {
    let received = text(headers, &CONTENT_TYPE);
    if essence(received).eq_ignore_ascii_case(expected) {
        Ok(())
    } else {
        Err(Refusal::MediaType { received: quote(received), expected })
    }
}

/// Checks that the client takes an answer of the media type `offered`. An absent Accept takes everything.
///
/// # Errors
/// [`Refusal::NotAcceptable`].
pub fn require_acceptable(headers: &HeaderMap, offered: &'static str) -> Result<(), Refusal> {
    let mut ranges = headers
        .get_all(ACCEPT)
        .iter()
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .map(essence)
        .filter(|range| !range.is_empty())
        .peekable();
    if ranges.peek().is_none() || ranges.any(|range| covers(range, offered)) {
        Ok(())
    } else {
        Err(Refusal::NotAcceptable { accepted: quote(text(headers, &ACCEPT)), offered })
    }
}

fn covers(range: &str, offered: &str) -> bool {
    let family = offered.split('/').next().unwrap_or_default();
    range == "*/*"
        || range.eq_ignore_ascii_case(offered)
        || range.strip_suffix("/*").is_some_and(|wanted| wanted.eq_ignore_ascii_case(family))
}

fn essence(value: &str) -> &str {
    value.split(';').next().unwrap_or_default().trim()
}

fn quote(value: &str) -> String {
    value.chars().take(QUOTED).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const VOUCHER: &str = "application/voucher-cms+json";

    fn headers(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn compares_the_essence_of_a_media_type() {
        for value in [VOUCHER, "Application/Voucher-CMS+JSON", "application/voucher-cms+json; x=y"]
        {
            require_media_type(&headers(CONTENT_TYPE, value), VOUCHER).unwrap();
        }
        for value in ["", "application/json", "application/voucher-cms+jsonx"] {
            require_media_type(&headers(CONTENT_TYPE, value), VOUCHER).unwrap_err();
        }
    }

    fn both(content_type: &str, accept: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        if let Some(accept) = accept {
            headers.insert(ACCEPT, accept.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_voucher_comes_in_the_encoding_and_under_the_name_of_its_request() {
        let (new, old) = (media_type::VOUCHER_COSE, media_type::VOUCHER_COSE_OLD);
        for (sent, accept, encoding, name) in [
            (VOUCHER, None, Encoding::Cms, VOUCHER),
            ("Application/Voucher-CMS+JSON;a=b", Some("*/*"), Encoding::Cms, VOUCHER),
            (
                media_type::VOUCHER_JWS,
                Some("application/*"),
                Encoding::Jws,
                media_type::VOUCHER_JWS,
            ),
            (new, None, Encoding::Cose, new),
            (old, None, Encoding::Cose, old),
            (old, Some("*/*"), Encoding::Cose, old),
            (old, Some(new), Encoding::Cose, new),
            (new, Some("application/voucher-cose+cbor, text/plain"), Encoding::Cose, old),
        ] {
            let found = voucher_type(&both(sent, accept), Strictness::Standard).unwrap();
            assert_eq!(found, VoucherType { encoding, name }, "{sent} {accept:?}");
        }
    }

    #[test]
    fn refuses_what_is_no_voucher_request_and_who_does_not_take_its_answer() {
        for sent in ["", "text/plain", "application/voucher+json", "application/cose"] {
            let refusal = voucher_type(&both(sent, None), Strictness::Lenient).unwrap_err();
            assert_eq!(refusal.kind(), "media-type-unknown", "{sent}");
        }
        for (sent, accept) in [
            (VOUCHER, media_type::VOUCHER_JWS),
            (media_type::VOUCHER_JWS, VOUCHER),
            (media_type::VOUCHER_COSE, "application/cose"),
        ] {
            let refusal =
                voucher_type(&both(sent, Some(accept)), Strictness::Standard).unwrap_err();
            assert_eq!(refusal.kind(), "not-acceptable", "{sent} {accept}");
        }
    }

    #[test]
    fn the_lenient_know_older_names() {
        for (sent, encoding) in [
            ("application/pkcs7-mime; smime-type=voucher-request", Encoding::Cms),
            ("application/cose; cose-type=\"cose-sign1\"", Encoding::Cose),
        ] {
            let headers = both(sent, None);
            assert_eq!(voucher_type(&headers, Strictness::Lenient).unwrap().encoding, encoding);
            voucher_type(&headers, Strictness::Standard).unwrap_err();
        }
    }

    #[test]
    fn takes_any_accept_header_that_covers_the_answer() {
        require_acceptable(&HeaderMap::new(), VOUCHER).unwrap();
        for value in ["*/*", "application/*", "text/html, application/voucher-cms+json;q=0.5", ""] {
            require_acceptable(&headers(ACCEPT, value), VOUCHER).unwrap();
        }
        for value in ["text/html", "application/json", "text/*"] {
            require_acceptable(&headers(ACCEPT, value), VOUCHER).unwrap_err();
        }
    }
}
