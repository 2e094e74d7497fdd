//! Bodies that no client can wait for: one that stops, and one that never does.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::Frame;

const CHUNK: [u8; 8192] = [b'0'; 8192];

enum Unending {
    Begins,
    Stops,
    Goes,
}

impl HttpBody for Unending {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match *self {
            Self::Begins => {
                *self = Self::Stops;
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"0")))))
            }
            Self::Stops => Poll::Pending,
            Self::Goes => {
                context.waker().wake_by_ref();
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&CHUNK)))))
            }
        }
    }
}

/// One octet, and then nothing.
pub(crate) fn slow() -> Body {
    Body::new(Unending::Begins)
}

/// Octet after octet, for ever.
pub(crate) fn huge() -> Body {
    Body::new(Unending::Goes)
}
