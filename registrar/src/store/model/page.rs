//! What a page is made of: which rows fit, and where the page before it ended.

use serde::{Deserialize, Serialize};

use super::{DeviceState, Id, KnownDevice, Millis};

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

/// A device's place in the order of a page.
///
/// Without a text the devices come by age; with one, those whose name begins with it come by name,
/// and after them those whose serial number alone does, by serial number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum DevicePlace {
    /// By age.
    Age {
        /// When its row was made.
        created_at: Millis,
        /// Its identifier.
        id: Id,
    },
    /// By name.
    Name(String),
    /// By serial number.
    Serial {
        /// Its serial number.
        serial: String,
        /// Its identifier.
        id: Id,
    },
}

impl DevicePlace {
    /// The place of a device that fits a filter.
    #[must_use]
    pub fn of(known: &KnownDevice, filter: &DeviceFilter) -> Self {
        let device = &known.device;
        match (&filter.text, &device.name) {
            (None, _) => Self::Age { created_at: device.created_at, id: device.id.clone() },
            (Some(text), Some(name)) if name.starts_with(&text.to_lowercase()) => {
                Self::Name(name.clone())
            }
            (Some(_), _) => {
                let serial = known.identity.serial().unwrap_or_default().to_owned();
                Self::Serial { serial, id: device.id.clone() }
            }
        }
    }
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventPlace {
    /// When it happened.
    pub time: Millis,
    /// Its node.
    pub node: String,
    /// Its number on that node.
    pub seq: i64,
}
