//! Devices a page at a time, each after the last one of the page before it.

use super::tables::{Rows, at_most, sorted};
use crate::store::model::{DeviceFilter, DevicePlace, KnownDevice};

impl Rows {
    /// The devices that fit a filter, after a place.
    pub(super) fn devices_page(
        &self,
        filter: &DeviceFilter,
        after: Option<&DevicePlace>,
        limit: u32,
    ) -> Vec<KnownDevice> {
        let fits = |known: &KnownDevice| {
            filter.state.is_none_or(|state| known.device.state == state)
                && filter
                    .manufacturer
                    .as_ref()
                    .is_none_or(|wanted| known.identity.manufacturer() == Some(wanted))
                && filter.text.as_deref().is_none_or(|text| begins_with(known, text))
        };
        let devices = self.devices.keys().filter_map(|id| self.known(id)).filter(fits);
        let place = |known: &KnownDevice| rank(&DevicePlace::of(known, filter));
        let after = after.map(rank);
        sorted(devices, place)
            .into_iter()
            .filter(|known| after.as_ref().is_none_or(|after| place(known) > *after))
            .take(at_most(limit))
            .collect()
    }
}

/// Whether the name, in any case, or the serial number begins with a text.
fn begins_with(known: &KnownDevice, text: &str) -> bool {
    let name = known.device.name.as_deref();
    name.is_some_and(|name| name.starts_with(&text.to_lowercase()))
        || known.identity.serial().is_some_and(|serial| serial.starts_with(text))
}

/// A place as something that can be compared: names come before serial numbers.
fn rank(place: &DevicePlace) -> (u8, i64, String, String) {
    match place {
        DevicePlace::Age { created_at, id } => {
            (0, created_at.0, id.as_str().to_owned(), String::new())
        }
        DevicePlace::Name(name) => (1, 0, name.clone(), String::new()),
        DevicePlace::Serial { serial, id } => (2, 0, serial.clone(), id.as_str().to_owned()),
    }
}
