//! Who acts on the admin API, and what they may do.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::entropy::random_id;
use crate::flow::operator::Operator;
use crate::store::model::Millis;

/// What somebody may do; each role may do what those before it may.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// See everything.
    Viewer,
    /// Decide which devices may join.
    Approver,
    /// Everything.
    Operator,
}

impl Role {
    /// All roles, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Approver, Self::Operator];

    /// The word that the configuration uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Approver => "approver",
            Self::Operator => "operator",
        }
    }
}

/// Somebody who was recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// How the trail names them: `uid 1000`, `certificate alice`, `token ci`.
    pub name: String,
    /// What they may do.
    pub role: Role,
}

impl Actor {
    /// This actor at work now.
    #[must_use]
    pub fn operator(&self, now: Millis) -> Operator {
        Operator { name: self.name.clone(), now, correlation: random_id().to_string() }
    }
}
