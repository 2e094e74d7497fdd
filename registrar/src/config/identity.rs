//! The section `[identity]`: the registrar's own certificate and key, and what vouchers pin.

use std::path::PathBuf;

use super::raw;
use super::reader::Reader;
use crate::keys::KeyPlace;

/// The files of the registrar's identity.
#[derive(Clone, Debug)]
pub struct IdentityFiles {
    /// Its certificate and any intermediates, PEM.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: KeyPlace,
    /// The domain CA's certificate, PEM.
    pub domain_ca: PathBuf,
    /// The key of the domain CA, where it is at hand; the keys of later roots are beside it.
    pub domain_ca_key: Option<KeyPlace>,
    /// What MASAs are offered to pin.
    pub pin: Pin,
    /// So many days before its end the registrar's certificate is renewed; at most a third of its life.
    pub renew_before_days: u32,
    /// For so many days at least an earlier root is served.
    pub old_root_days: u32,
}

/// What vouchers shall pin: how much of its chain the registrar shows a MASA (RFC 8995 §5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin {
    /// The registrar's own certificate.
    EndEntity,
    /// The CA that issued it.
    IssuingCa,
    /// The domain's root.
    Root,
}

impl Reader {
    pub(super) fn identity(&mut self, identity: &raw::Identity) -> Option<IdentityFiles> {
        let pin = self.choose(
            "identity.pin",
            &identity.pin,
            &[("root", Pin::Root), ("issuing-ca", Pin::IssuingCa), ("ee", Pin::EndEntity)],
        )?;
        let key = self.key_place("identity.key", &identity.key);
        let domain_ca_key = identity
            .domain_ca_key
            .as_deref()
            .map(|text| self.key_place("identity.domain_ca_key", text));
        let domain_ca_key = match domain_ca_key {
            None => None,
            Some(place) => Some(place?),
        };
        let (before, days) = (identity.renew_before_days, identity.old_root_days);
        Some(IdentityFiles {
            certificate: self.path(&identity.certificate),
            key: key?,
            domain_ca: self.path(&identity.domain_ca),
            domain_ca_key,
            pin,
            renew_before_days: self.bounded("identity.renew_before_days", before, 1, 3650),
            old_root_days: self.bounded("identity.old_root_days", days, 0, 3650),
        })
    }
}
