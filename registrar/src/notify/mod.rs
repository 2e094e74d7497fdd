//! Tells somebody of chosen events: RFC 8995 wants a person to hear of what the registrar alone cannot mend (§5.4, §5.7,
//! §5.8.3).
//!
//! A [`follower`] reads the trail of this node from where it stopped last, so that nothing is told before it is
//! durable, a restart forgets nothing, and no request waits. Each event is told at least once, in the order of the
//! trail, and again until its [`Receiver`] takes it: a [`program`] or an [HTTPS address](post).

use async_trait::async_trait;
use thiserror::Error;

pub mod follower;
mod message;
pub mod post;
pub mod program;
pub mod token;

/// Why a receiver did not take an event.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DeliveryError {
    /// The program cannot be run.
    #[error("cannot run it: {0}")]
    Run(#[source] std::io::Error),
    /// The program ended badly.
    #[error("it ended with {0}")]
    Ended(std::process::ExitStatus),
    /// It took too long, and was ended where it was a program.
    #[error("it was not done within {0:?}")]
    Timeout(std::time::Duration),
    /// The bearer token cannot be read.
    #[error(transparent)]
    Token(#[from] token::TokenError),
    /// There was no answer.
    #[error(transparent)]
    Web(#[from] crate::web::WebError),
    /// The request cannot be expressed in HTTP.
    #[error("the request is not HTTP: {0}")]
    Request(#[from] http::Error),
    /// The answer was no yes.
    #[error("it answered {0}")]
    Status(http::StatusCode),
}

/// Whoever is told.
#[async_trait]
pub trait Receiver: Send + Sync + 'static {
    /// Tells of one event. `message`: a JSON object.
    ///
    /// # Errors
    /// [`DeliveryError`]; then the same message comes again.
    async fn deliver(&self, message: &str) -> Result<(), DeliveryError>;
}
