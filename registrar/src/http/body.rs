//! Request bodies, bounded before anything reads them.

use axum::body::{Body, HttpBody as _};
use http_body_util::BodyExt as _;

use crate::config::BodyLimits;
use crate::flow::refusal::Refusal;

/// How much of a longer body is thrown away so that its sender reads the answer, in octets.
const DRAIN: usize = 1024 * 1024;

/// Reads a whole body.
///
/// A body above the limit is read on and forgotten, up to 1 MiB: a client that is still sending
/// when the connection closes would see a reset instead of the reason.
/// One that says itself that it is longer than that is refused unread.
///
/// # Errors
/// [`Refusal::BodyTooLong`]; [`Refusal::BodyTooSlow`]; [`Refusal::BodyUnreadable`] if it breaks off.
pub async fn read(body: Body, limits: BodyLimits) -> Result<Vec<u8>, Refusal> {
    let reading = tokio::time::timeout(limits.timeout, whole(body, limits.octets));
    reading.await.unwrap_or(Err(Refusal::BodyTooSlow { limit_secs: limits.timeout.as_secs() }))
}

async fn whole(mut body: Body, limit: usize) -> Result<Vec<u8>, Refusal> {
    let mut octets = Vec::new();
    let mut total = 0_usize;
    // The length that a header declares: nobody waits for what would be thrown away.
    if usize::try_from(body.size_hint().lower()).map_or(true, |declared| declared > DRAIN) {
        return Err(Refusal::BodyTooLong { limit });
    }
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::BodyUnreadable)?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        total = total.saturating_add(data.len());
        if total <= limit {
            octets.extend_from_slice(&data);
        } else if total > DRAIN {
            break;
        } else {
            octets.clear();
        }
    }
    if total > limit {
        return Err(Refusal::BodyTooLong { limit });
    }
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use axum::body::HttpBody;
    use bytes::Bytes;
    use hyper::body::{Frame, SizeHint};

    use super::*;

    /// A body of a declared length whose sender neither sends nor goes away.
    struct Silent {
        declared: u64,
    }

    impl HttpBody for Silent {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.declared)
        }
    }

    const OCTETS: usize = 5000;
    const LIMITS: BodyLimits = BodyLimits { octets: OCTETS, timeout: Duration::from_secs(60) };

    #[tokio::test]
    async fn reads_up_to_the_limit_and_not_an_octet_more() {
        assert_eq!(read(Body::from(vec![7; OCTETS]), LIMITS).await.unwrap().len(), OCTETS);
        for length in [OCTETS + 1, 3 * DRAIN] {
            let refusal = read(Body::from(vec![7; length]), LIMITS).await.unwrap_err();
            assert!(matches!(refusal, Refusal::BodyTooLong { limit: OCTETS }));
        }
    }

    #[tokio::test]
    async fn waits_no_longer_than_it_may() {
        let body = Body::new(Silent { declared: 1 });
        let limits = BodyLimits { timeout: Duration::from_millis(1), ..LIMITS };
        let refusal = read(body, limits).await.unwrap_err();
        assert!(matches!(refusal, Refusal::BodyTooSlow { .. }));
    }

    #[tokio::test]
    async fn waits_for_no_body_that_says_that_it_is_too_long() {
        for declared in [DRAIN + 1, usize::MAX] {
            let body = Body::new(Silent { declared: u64::try_from(declared).unwrap() });
            let refusal = read(body, LIMITS).await.unwrap_err();
            assert!(matches!(refusal, Refusal::BodyTooLong { limit: OCTETS }));
        }
    }
}
