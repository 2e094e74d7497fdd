//! What the nodes on one database tell each other.

use std::collections::BTreeMap;

use super::Millis;

/// What a node says of its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSettings {
    /// The node.
    pub node: String,
    /// When it said so.
    pub at: Millis,
    /// Each key that must be the same at all nodes, with a digest of its value.
    pub settings: BTreeMap<String, String>,
}
