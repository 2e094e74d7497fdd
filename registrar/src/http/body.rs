//! Request bodies, bounded before anything reads them.

use axum::body::Body;
use http_body_util::BodyExt as _;

use crate::flow::refusal::Refusal;

/// The longest body that is read, in octets.
pub const LIMIT: usize = 64 * 1024;
/// How much of a longer body is thrown away so that its sender reads the answer, in octets.
const DRAIN: usize = 1024 * 1024;

/// Reads a whole body.
///
/// A body above [`LIMIT`] is read on and forgotten, up to 1 MiB: a client that is still sending
/// when the connection closes would see a reset instead of the reason.
///
/// # Errors
/// [`Refusal::BodyTooLong`] above [`LIMIT`]; [`Refusal::BodyUnreadable`] if it breaks off.
pub async fn read(mut body: Body) -> Result<Vec<u8>, Refusal> {
    let mut octets = Vec::new();
    let mut total = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::BodyUnreadable)?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        total = total.saturating_add(data.len());
        if total <= LIMIT {
            octets.extend_from_slice(&data);
        } else if total > DRAIN {
            break;
        } else {
            octets.clear();
        }
    }
    if total > LIMIT {
        return Err(Refusal::BodyTooLong { limit: LIMIT });
    }
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reads_up_to_the_limit_and_not_an_octet_more() {
        assert_eq!(read(Body::from(vec![7; LIMIT])).await.unwrap().len(), LIMIT);
        for length in [LIMIT + 1, 3 * DRAIN] {
            let refusal = read(Body::from(vec![7; length])).await.unwrap_err();
            assert!(matches!(refusal, Refusal::BodyTooLong { limit: LIMIT }));
        }
    }
}
