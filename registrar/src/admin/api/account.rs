//! The accounts at ACME CAs.

use acme_bridge::account::AccountShown;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The account at an issuer's CA.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AccountView {
    /// The issuer, by its name in the configuration.
    pub issuer: String,
    /// The directory of its CA.
    pub directory: String,
    /// Where the account is at the CA.
    pub url: String,
    /// What the CA says of it: `valid`, `deactivated` or `revoked`.
    pub status: String,
    /// SHA-256 of its public key (RFC 7638), base64url.
    pub thumbprint: String,
    /// How the CA reaches its owner.
    pub contact: Vec<String>,
    /// What it was told of that last; some CAs keep nothing of it.
    #[serde(default)]
    pub contact_told: Vec<String>,
    /// What it said of what it was told last, if it did not take it.
    #[serde(default)]
    pub contact_refused: Option<String>,
    /// What the CA offers beyond orders, as its directory names it.
    pub offers: Vec<String>,
    /// The profiles that the CA offers.
    pub profiles: Vec<String>,
}

impl AccountView {
    /// Shows the account at the CA of the issuer with this name.
    #[must_use]
    pub fn new(issuer: &str, shown: AccountShown) -> Self {
        Self {
            issuer: issuer.to_owned(),
            directory: shown.directory,
            url: shown.url,
            status: shown.status,
            thumbprint: shown.thumbprint,
            contact: shown.contact,
            contact_told: shown.told.urls,
            contact_refused: shown.told.refusal,
            offers: shown.offers.into_iter().map(str::to_owned).collect(),
            profiles: shown.profiles,
        }
    }
}
