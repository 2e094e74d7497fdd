//! Certificates that are to be revoked: rows that wait for the CA as orders do (RFC 8555 §7.6).
//!
//! Two nodes may ask at once, since a CA revokes once and says so.

use tracing::{info, warn};

use crate::bridge::Bridge;
use crate::client::AcmeError;
use crate::store::{Revocation, RevocationOutcome};

/// How many are sent at a time.
const AT_ONCE: u32 = 16;
/// The first pause after a failure, in milliseconds; it doubles with each further one.
const FIRST_PAUSE: i64 = 5_000;
/// The longest pause, in milliseconds: an hour.
const LONGEST_PAUSE: i64 = 3_600_000;

impl Bridge {
    /// Sends the revocations that are due.
    pub(crate) async fn revoke_due(&self) {
        let now = self.clock.now();
        if self.health().paused_until(now).is_some() {
            return;
        }
        let due = match self.store.revocations(&self.config.issuer, now, AT_ONCE).await {
            Ok(due) => due,
            Err(error) => {
                return warn!(issuer = %self.config.issuer, %error, "cannot look for revocations");
            }
        };
        for revocation in due {
            let outcome = match self.revoke(&revocation).await {
                Ok(()) => {
                    self.counters.revoked();
                    info!(issuer = %self.config.issuer, "a certificate is revoked");
                    RevocationOutcome::Done
                }
                Err(error) => {
                    let pause = FIRST_PAUSE << revocation.attempts.min(16);
                    let due = now.saturating_add(pause.min(LONGEST_PAUSE));
                    RevocationOutcome::Again { due, problem: error.to_string() }
                }
            };
            if let Err(error) = self.store.revoked(&revocation, &outcome, self.clock.now()).await {
                // It is sent again, which changes nothing.
                return warn!(issuer = %self.config.issuer, %error, "cannot write of a revocation");
            }
        }
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<(), AcmeError> {
        let _gate = self.gate.read().await;
        let client = self.account.client().await?;
        client.revoke(&revocation.certificate, revocation.reason).await
    }
}
