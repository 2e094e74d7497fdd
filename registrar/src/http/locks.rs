//! One request at a time for the same thing: two identical retries must not both ask the MASA or the issuer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OwnedMutexGuard;

use crate::store::model::Sha256;

/// Locks by digest; a lock nobody holds or waits for takes no memory for long.
#[derive(Debug, Default)]
pub struct Locks {
    held: Mutex<HashMap<Sha256, Weak<tokio::sync::Mutex<()>>>>,
}

impl Locks {
    /// Waits until nobody else holds the lock of `key`, and holds it while the guard lives.
    pub async fn lock(&self, key: Sha256) -> OwnedMutexGuard<()> {
        let lock = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.retain(|_, lock| lock.strong_count() > 0);
            match held.get(&key).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    let lock = Arc::new(tokio::sync::Mutex::new(()));
                    held.insert(key, Arc::downgrade(&lock));
                    lock
                }
            }
        };
        lock.lock_owned().await
    }
}
