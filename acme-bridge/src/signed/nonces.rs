//! The nonces of one directory, shared by everybody who asks it (RFC 8555 §6.5, §7.2).

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How many unused nonces are kept.
const KEPT: usize = 256;
/// How long a nonce is likely to be taken.
const AGE: Duration = Duration::from_secs(300);
/// The longest nonce that is kept, in octets.
const OCTETS: usize = 512;

/// A pool of nonces: the freshest is used first, since a CA forgets the oldest.
#[derive(Debug, Default)]
pub(crate) struct Nonces(Mutex<VecDeque<(String, Instant)>>);

impl Nonces {
    /// Keeps a nonce; one that is malformed is ignored, as RFC 8555 §6.5.1 has it.
    pub(crate) fn keep(&self, nonce: &str) {
        if !is_nonce(nonce) {
            return;
        }
        let mut nonces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if nonces.len() >= KEPT {
            nonces.pop_front();
        }
        nonces.push_back((nonce.to_owned(), Instant::now()));
    }

    /// Takes the freshest nonce; nobody else gets it.
    pub(crate) fn take(&self) -> Option<String> {
        let mut nonces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (nonce, since) = nonces.pop_back()?;
        if since.elapsed() > AGE {
            // All others are older.
            nonces.clear();
            return None;
        }
        Some(nonce)
    }
}

/// Whether a text is base64url, and not too long.
pub(crate) fn is_nonce(text: &str) -> bool {
    (1..=OCTETS).contains(&text.len())
        && text.bytes().all(|each| each.is_ascii_alphanumeric() || matches!(each, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_freshest_is_given_once() {
        let nonces = Nonces::default();
        nonces.keep("old");
        nonces.keep("new");
        assert_eq!(nonces.take().as_deref(), Some("new"));
        assert_eq!(nonces.take().as_deref(), Some("old"));
        assert_eq!(nonces.take(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn old_and_malformed_ones_are_given_to_nobody() {
        let nonces = Nonces::default();
        for malformed in ["", "with space", "with\r\nline", "plus+", "pad=", &"a".repeat(513)] {
            nonces.keep(malformed);
        }
        assert_eq!(nonces.take(), None);
        nonces.keep("old");
        tokio::time::advance(AGE * 2).await;
        assert_eq!(nonces.take(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_nonces_is_bounded() {
        let nonces = Nonces::default();
        for number in 0..10_000 {
            nonces.keep(&format!("n{number}"));
        }
        let mut left = 0;
        while nonces.take().is_some() {
            left += 1;
        }
        assert_eq!(left, KEPT);
    }
}
