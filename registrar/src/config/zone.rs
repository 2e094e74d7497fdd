//! The sections `[zone."NAME"]`: the DNS zones that devices are named in, and how their names are proven.

use std::collections::BTreeMap;

use super::raw;
use super::reader::Reader;

impl Reader {
    pub(super) fn zones(&mut self, zones: &BTreeMap<String, raw::Zone>) -> Vec<String> {
        for (name, zone) in zones {
            let key = format!("zone.{name:?}");
            if let Err(reason) = dns_name(name) {
                self.problem(&key, reason);
            }
            self.choose(&format!("{key}.challenge"), &zone.challenge, &[("dns-01", ())]);
            self.choose(&format!("{key}.solver"), &zone.solver, &[("built-in", ())]);
        }
        zones.keys().map(|name| name.to_ascii_lowercase()).collect()
    }
}

/// Checks that `text` is a DNS name of at least two labels.
///
/// # Errors
/// What is wrong with it.
pub fn dns_name(text: &str) -> Result<(), String> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|each| each.is_ascii_alphanumeric() || each == b'-')
    };
    // Below it there must be room for a label of 63 octets and its dot.
    if text.len() > 253 - 64 || text.split('.').count() < 2 || !text.split('.').all(is_label) {
        return Err(format!("{text:?} is not a DNS name such as iot.example.org"));
    }
    Ok(())
}
