//! What a page is made of: which rows fit, and where the page before it ended.

use super::{DeviceState, Id, Millis};

/// Which devices are meant; an empty filter means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceFilter {
    /// In this state.
    pub state: Option<DeviceState>,
    /// Of this manufacturer.
    pub manufacturer: Option<Id>,
    /// Whose name or serial number begins with this text; names in any case.
    pub text: Option<String>,
}

/// A device's place in the order of devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevicePlace {
    /// When its row was made.
    pub created_at: Millis,
    /// Its identifier.
    pub id: Id,
}

/// Which events are meant; an empty filter means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Of this device.
    pub device: Option<Id>,
    /// Not older than this.
    pub since: Option<Millis>,
    /// Of this kind.
    pub kind: Option<String>,
    /// With this verdict.
    pub verdict: Option<String>,
}

/// An event's place in the order of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPlace {
    /// When it happened.
    pub time: Millis,
    /// Its node.
    pub node: String,
    /// Its number on that node.
    pub seq: i64,
}
