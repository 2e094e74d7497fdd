//! Services in this process that a site needs, each a task that takes connections or frames for ever: whoever runs a
//! site hears at once when one of them ends all the same, and why.

use std::fmt::Display;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// How long a listener that gave an error is left alone.
const ERROR_PAUSE: Duration = Duration::from_millis(50);
/// How many errors one after the other are the end of a listener: as many as come in five seconds.
const ERRORS_MOST: u32 = 100;

/// A running service; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Service {
    task: AbortHandle,
    /// Why it ended; empty while it runs.
    end: watch::Receiver<String>,
}

impl Service {
    /// Starts it, in the threads that this is called in. `work`: ends only where something fails, and says what.
    pub(crate) fn start<W>(work: impl Future<Output = W> + Send + 'static) -> Self
    where
        W: Display + Send + 'static,
    {
        let (sender, end) = watch::channel(String::new());
        let work = tokio::spawn(work);
        let task = work.abort_handle();
        tokio::spawn(async move {
            let why = match work.await {
                Ok(why) => why.to_string(),
                Err(error) => error.to_string(),
            };
            sender.send_replace(why);
        });
        Self { task, end }
    }

    /// Waits until it ends by itself; gives why.
    pub(crate) async fn ended(&self) -> String {
        let mut end = self.end.clone();
        match end.wait_for(|why| !why.is_empty()).await {
            Ok(why) => why.clone(),
            Err(_) => "its threads are gone".to_owned(),
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits for the next connection. One that broke before it was taken is not the listener's end, nor is a moment
/// without descriptors.
///
/// # Errors
/// Why there will be no other one.
pub(crate) async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    let mut errors = 0;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return Ok(stream),
            // A socket that does not listen any more says this for ever.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(error),
            Err(error) if errors >= ERRORS_MOST => return Err(error),
            Err(_) => errors += 1,
        }
        tokio::time::sleep(ERROR_PAUSE).await;
    }
}

/// Waits until the first of several ends, and gives what it says; for ever, if there is none.
pub(crate) async fn first<T>(all: impl IntoIterator<Item = impl Future<Output = T>>) -> T {
    let mut all: Vec<Pin<Box<_>>> = all.into_iter().map(Box::pin).collect();
    let ended = poll_fn(|context| {
        let ended = all.iter_mut().find_map(|each| match each.as_mut().poll(context) {
            Poll::Ready(end) => Some(end),
            Poll::Pending => None,
        });
        ended.map_or(Poll::Pending, Poll::Ready)
    });
    ended.await
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    #[tokio::test]
    async fn a_service_that_ends_or_panics_says_why() {
        let ends = Service::start(async { io::Error::other("nobody comes any more") });
        assert_eq!(ends.ended().await, "nobody comes any more");
        let panics = Service::start::<&str>(async { panic!("it was too much") });
        let why = panics.ended().await;
        assert!(why.contains("panicked") && why.contains("it was too much"), "{why}");
        assert_eq!(panics.ended().await, why, "whoever asks later hears it, too");
    }

    #[tokio::test]
    async fn the_first_of_many_is_heard() {
        let never = || Service::start(std::future::pending::<&str>());
        let all = [never(), Service::start(async { "enough" }), never()];
        assert_eq!(first(all.iter().map(Service::ended)).await, "enough");
    }

    #[tokio::test]
    async fn a_service_ends_with_its_owner() {
        let (alive, mut is_dropped) = tokio::sync::oneshot::channel::<()>();
        let service = Service::start(async move {
            let _alive = alive;
            std::future::pending::<&str>().await
        });
        assert!(is_dropped.try_recv().is_err());
        drop(service);
        assert!(is_dropped.await.is_err(), "what it held is gone");
    }

    #[tokio::test]
    async fn a_listener_that_is_shut_gives_its_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        // A listening socket is shut as any other is, by whoever has it.
        let same = std::net::TcpStream::from(listener.as_fd().try_clone_to_owned().unwrap());
        same.shutdown(std::net::Shutdown::Both).unwrap();
        let error = accept(&listener).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
    }
}
