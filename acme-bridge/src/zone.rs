//! Authorizes a whole zone of ours before anybody orders, where the CA can: then each order comes ready
//! (draft-ietf-acme-integrations §3; RFC 8555 §7.4.1, RFC 9444 §4.1).

use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;

use crate::bridge::Bridge;
use crate::client::{AcmeClient, AcmeError, DomainAuthorization};
use crate::order::OrderId;
use crate::solver::SolverError;
use crate::store::OrderStoreError;

/// How long the CA may take to validate.
const LIMIT: Duration = Duration::from_secs(120);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Why a zone is not authorized; orders are authorized one by one then.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ZoneAuthorizationError {
    /// The CA.
    #[error(transparent)]
    Acme(#[from] AcmeError),
    /// The answer could not be put out.
    #[error(transparent)]
    Solver(#[from] SolverError),
    /// The store.
    #[error(transparent)]
    Store(#[from] OrderStoreError),
    /// The CA offers nothing that is answered here.
    #[error("the CA offers no challenge for {zone} that is answered here")]
    NoChallenge {
        /// The zone.
        zone: String,
    },
    /// The CA could not validate it, or has not in time.
    #[error("the authorization of {zone} is {status}: {reason}")]
    Failed {
        /// The zone.
        zone: String,
        /// Its state's word.
        status: String,
        /// What the CA said.
        reason: String,
    },
}

impl Bridge {
    /// Authorizes a zone and all names below it; at once if it is authorized already.
    ///
    /// # Errors
    /// [`ZoneAuthorizationError`]; [`AcmeError::Unsupported`] where the CA has no such thing.
    pub async fn authorize_zone(&self, zone: &str) -> Result<(), ZoneAuthorizationError> {
        let _gate = self.gate.read().await;
        let client = self.account.client().await?;
        let authorization = client.authorize_domain(zone).await?;
        if authorization.status == "valid" {
            return Ok(());
        }
        // A row of its own, which no order has.
        let id = OrderId::new(format!("zone:{}:{zone}", self.config.issuer));
        let proven = self.prove(&*client, &id, zone, authorization).await;
        self.solver.clean_up(&id).await?;
        proven
    }

    async fn prove(
        &self,
        client: &dyn AcmeClient,
        id: &OrderId,
        zone: &str,
        mut authorization: DomainAuthorization,
    ) -> Result<(), ZoneAuthorizationError> {
        let kinds = self.solver.challenges(zone);
        let chosen = kinds.iter().find_map(|kind| {
            authorization.offered.iter().find(|(_, challenge)| challenge.kind() == *kind)
        });
        let (url, challenge) =
            chosen.ok_or_else(|| ZoneAuthorizationError::NoChallenge { zone: zone.to_owned() })?;
        self.solver.publish(id, zone, challenge).await?;
        client.accept(url).await?;
        let deadline = Instant::now() + LIMIT;
        loop {
            authorization = client.domain_authorization(&authorization.url).await?;
            match authorization.status.as_str() {
                "valid" => return Ok(()),
                "pending" if Instant::now() < deadline => tokio::time::sleep(LOOK).await,
                status => {
                    return Err(ZoneAuthorizationError::Failed {
                        zone: zone.to_owned(),
                        status: status.chars().take(40).collect(),
                        reason: authorization.failure.unwrap_or_default(),
                    });
                }
            }
        }
    }

    /// Authorizes every zone of ours, if the CA can; what it refuses is authorized with each order.
    pub(crate) async fn authorize_zones(&self) {
        for zone in &self.config.zones {
            match self.authorize_zone(zone).await {
                Ok(()) => {
                    tracing::info!(issuer = %self.config.issuer, zone, "the zone is authorized")
                }
                Err(ZoneAuthorizationError::Acme(AcmeError::Unsupported(_))) => return,
                Err(error) => {
                    tracing::warn!(issuer = %self.config.issuer, zone, %error, "orders are authorized one by one");
                }
            }
        }
    }
}
