//! Hands of the simulation: the clock, the gate before each access to the store, and the MASA.

use std::future::poll_fn;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::task::Poll;

use acme_bridge::Clock;
use async_trait::async_trait;
use brski_registrar::masa::Masa;
use brski_registrar::masa::client::{MasaAnswer, MasaRequest};
use brski_registrar::masa::error::MasaError;
use brski_registrar::store::memory::Turnstile;
use brski_registrar::store::watch::Access;
use bytes::Bytes;
use tokio::sync::oneshot;

use super::site::BEGIN;

/// A clock that goes when it is told to.
#[derive(Debug)]
pub(super) struct HandClock(AtomicI64);

impl HandClock {
    pub(super) fn new() -> Self {
        Self(AtomicI64::new(BEGIN))
    }

    pub(super) fn add(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::Relaxed);
    }
}

impl Clock for HandClock {
    fn now(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Lets through as many accesses as whoever is polled now may make.
#[derive(Default)]
pub(super) struct Gate {
    left: AtomicI64,
    is_shut: AtomicBool,
    failing: AtomicI64,
}

impl Gate {
    /// Before a task is polled: how far it may go.
    pub(super) fn allow(&self, pace: u8) {
        let left = if pace == u8::MAX { i64::MAX } else { i64::from(pace) };
        self.left.store(left, Ordering::Relaxed);
        self.is_shut.store(false, Ordering::Relaxed);
    }

    /// Whether the task that was polled stands before the gate.
    pub(super) fn is_shut(&self) -> bool {
        self.is_shut.load(Ordering::Relaxed)
    }

    /// Has the next accesses fail.
    pub(super) fn fail(&self, accesses: u8) {
        self.failing.store(accesses.into(), Ordering::Relaxed);
    }

    pub(super) async fn pass(&self) {
        poll_fn(|_| match self.left.load(Ordering::Relaxed) {
            left if left > 0 => {
                self.left.store(left - 1, Ordering::Relaxed);
                Poll::Ready(())
            }
            _ => {
                self.is_shut.store(true, Ordering::Relaxed);
                Poll::Pending
            }
        })
        .await;
    }
}

#[async_trait]
impl Turnstile for Gate {
    async fn enter(&self, _: Access) -> Result<(), String> {
        self.pass().await;
        let failing = self.failing.load(Ordering::Relaxed);
        if failing > 0 {
            self.failing.store(failing - 1, Ordering::Relaxed);
            return Err("the database is away".to_owned());
        }
        Ok(())
    }

    async fn leave(&self) {
        self.pass().await;
    }
}

/// What a MASA was asked.
pub(super) struct Call {
    pub(super) host: String,
    /// Its word or its name, in lower case.
    pub(super) operation: String,
    pub(super) body: Bytes,
    /// Where the answer goes, if it did not go yet.
    pub(super) answer: Option<oneshot::Sender<Result<MasaAnswer, MasaError>>>,
}

/// All MASAs, which remember every call.
#[derive(Default)]
pub(super) struct Masas(pub(super) Mutex<Vec<Call>>);

#[async_trait]
impl Masa for Masas {
    async fn call(&self, request: MasaRequest<'_>) -> Result<MasaAnswer, MasaError> {
        let (sender, answer) = oneshot::channel();
        self.0.lock().unwrap().push(Call {
            host: request.url.host().to_owned(),
            operation: request.operation.as_str().to_owned(),
            body: request.body,
            answer: Some(sender),
        });
        answer.await.unwrap_or(Err(MasaError::AnswerBroken))
    }
}
