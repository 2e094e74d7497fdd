//! Credentials of devices without an IDevID.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::moment;
use crate::store::model::Credential;

/// A credential to make.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCredential {
    /// The user name, which is the first label of the device's name too.
    #[schema(pattern = "^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$")]
    pub name: String,
    /// The profile that the device gets; `default` if left out.
    pub profile: Option<String>,
    /// How many enrollments it is good for; 1 if left out.
    #[schema(minimum = 1, maximum = 1000000)]
    pub uses: Option<u32>,
    /// After how many seconds it ends; never if left out.
    #[schema(minimum = 1, maximum = 4294967295u32)]
    pub expires_in_secs: Option<u32>,
}

/// A credential that was just made.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct MadeCredential {
    /// The user name.
    pub name: String,
    /// The secret. It is shown now and never again.
    pub secret: String,
}

/// A credential as it is listed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CredentialView {
    /// The user name.
    pub name: String,
    /// The profile that the device gets.
    pub profile: String,
    /// How many enrollments it is good for.
    pub uses: u32,
    /// How many were made with it.
    pub used: u32,
    /// When it was made.
    pub created_at: String,
    /// When it ends.
    pub expires_at: Option<String>,
    /// When it was revoked.
    pub revoked_at: Option<String>,
}

impl From<&Credential> for CredentialView {
    fn from(row: &Credential) -> Self {
        Self {
            name: row.name.clone(),
            profile: row.profile.clone(),
            uses: row.uses,
            used: row.used,
            created_at: moment(row.created_at),
            expires_at: row.expires_at.map(moment),
            revoked_at: row.revoked_at.map(moment),
        }
    }
}
