//! Tells a page that something happened, by server-sent events, so that it asks for itself again.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use hyper::body::Frame;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, interval};

use super::Console;
use crate::admin::api::event::TailQuery;

/// How often the trail is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often something is sent at least, so that a page that has gone is noticed.
const BEAT: Duration = Duration::from_secs(15);
/// How long a stream lasts; the browser opens another one, and is asked again who it is.
const LIFE: Duration = Duration::from_secs(300);

/// Says that the store is away.
const AWAY: &[u8] = b"event: away\ndata:\n\n";

/// `GET /console/live`: `event: changed` whenever the trail grew, `event: away` when it cannot be read any more.
pub(super) async fn stream(State(console): State<Arc<Console>>) -> Response {
    let Ok(permit) = Arc::clone(&console.streams).try_acquire_owned() else {
        let headers = [(RETRY_AFTER, HeaderValue::from_static("30"))];
        return (StatusCode::SERVICE_UNAVAILABLE, headers, "too many pages are live\n")
            .into_response();
    };
    let (sender, receiver) = channel(4);
    tokio::spawn(async move {
        let _permit = permit;
        follow(&console, &sender).await;
    });
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, Body::new(Stream(receiver))).into_response()
}

async fn follow(console: &Console, sender: &Sender<Bytes>) {
    let end = Instant::now() + LIFE;
    let mut heard = Instant::now();
    let (mut place, mut is_away) = (None, false);
    let mut ticks = interval(LOOK);
    let mut shutdown = console.shutdown.clone();
    while Instant::now() < end {
        tokio::select! {
            _ = ticks.tick() => {}
            () = sender.closed() => return,
            _ = shutdown.wait_for(|stop| *stop) => return,
        }
        // A store that is away says nothing; the page itself tells that when it asks for itself.
        let query = TailQuery { after: place.clone() };
        let Ok(page) = console.service.tail(&query).await else {
            if !is_away && sender.send(Bytes::from_static(AWAY)).await.is_err() {
                return;
            }
            is_away = true;
            continue;
        };
        is_away = false;
        place = page.next.or(place);
        let text = if !page.items.is_empty() {
            "event: changed\ndata:\n\n"
        } else if heard.elapsed() >= BEAT {
            ": still here\n\n"
        } else {
            continue;
        };
        heard = Instant::now();
        if sender.send(Bytes::from_static(text.as_bytes())).await.is_err() {
            return;
        }
    }
}

/// What a channel gives, as a body without an end known beforehand.
pub(super) struct Stream(pub(super) Receiver<Bytes>);

impl HttpBody for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
