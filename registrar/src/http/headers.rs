//! What request headers say, compared as loosely as the field does: essence only, any case.

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
