//! The manufacturers whose devices may come, ready for use: which of them vouches for a certificate?

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use brski_voucher::certificate::Certificate;
use brski_voucher::idevid::SerialRules;
use brski_voucher::trust::{Anchors, ValidityTime, verify_chain};
use rustls_pki_types::CertificateDer;
use thiserror::Error;

use crate::store::model::{EndedIdevid, Id, Manufacturer, SerialPlaceError};

/// For how long a chain that led to an anchor is taken to lead there still, in seconds, while its first certificate is
/// valid. No anchor changes meanwhile, since this directory is made anew where one does.
const VOUCHED_SECS: u64 = 60;
/// How many such chains are remembered; a pledge asks several times, and then for a long time not.
const VOUCHED_MOST: usize = 4096;

/// A manufacturer with its anchors read.
#[derive(Debug)]
pub struct KnownManufacturer {
    /// The row of the store.
    pub row: Manufacturer,
    /// Anchors of its IDevIDs.
    pub anchors: Anchors,
    /// Anchors of its voucher signers; `None` where none is known.
    pub voucher_anchors: Option<Anchors>,
    /// Where its IDevIDs have their serial number.
    pub serial_rules: SerialRules,
}

impl KnownManufacturer {
    /// At which time one of its IDevIDs must be valid: now, or whenever it began, where it may have ended since
    /// (RFC 8995 §2.6.2). One that has not begun is nobody's.
    fn time_for(&self, leaf: &Certificate, time: ValidityTime) -> ValidityTime {
        match (self.row.idevid.ended, time) {
            (EndedIdevid::Accepted, ValidityTime::At(now)) if has_begun(leaf, now.as_secs()) => {
                ValidityTime::IgnoringExpiry
            }
            _ => time,
        }
    }

    /// Whether one of its IDevIDs counts at this time, as far as its own dates say.
    fn may_count(&self, leaf: &Certificate, now_secs: u64) -> bool {
        has_begun(leaf, now_secs)
            && (self.row.idevid.ended == EndedIdevid::Accepted || !has_ended(leaf, now_secs))
    }
}

/// A stored manufacturer that cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ManufacturerError {
    /// An anchor is none.
    #[error("manufacturer {manufacturer:?} has an anchor that cannot be read: {reason}")]
    Anchor {
        /// The manufacturer.
        manufacturer: String,
        /// What is wrong with the anchor.
        reason: String,
    },
    /// A place for the serial number is none.
    #[error("manufacturer {manufacturer:?} has a serial number nowhere")]
    SerialPlace {
        /// The manufacturer.
        manufacturer: String,
        /// What is wrong with the place.
        #[source]
        reason: SerialPlaceError,
    },
}

/// All manufacturers, as they were when the store was read.
#[derive(Debug, Default)]
pub struct ManufacturerDirectory {
    known: Vec<Arc<KnownManufacturer>>,
    vouched: Mutex<HashMap<ChainDigest, Vouched>>,
}

/// SHA-256 over a certificate and those that came with it.
type ChainDigest = Vec<u8>;

/// A chain that led to a manufacturer's anchors.
#[derive(Debug)]
struct Vouched {
    at_secs: u64,
    manufacturer: Arc<KnownManufacturer>,
}

impl ManufacturerDirectory {
    /// Reads the anchors and options of all rows.
    ///
    /// # Errors
    /// [`ManufacturerError`] for the first that cannot be read.
    pub fn new(rows: Vec<Manufacturer>) -> Result<Self, ManufacturerError> {
        let known = rows
            .into_iter()
            .map(|row| {
                let read = |certificates: &[CertificateDer<'static>]| {
                    Anchors::new(certificates).map_err(|error| ManufacturerError::Anchor {
                        manufacturer: row.name.clone(),
                        reason: error.to_string(),
                    })
                };
                let anchors = read(&row.anchors)?;
                let voucher_anchors = match row.voucher_anchors.is_empty() {
                    true => None,
                    false => Some(read(&row.voucher_anchors)?),
                };
                let serial_rules = row.idevid.serial_rules().map_err(|reason| {
                    ManufacturerError::SerialPlace { manufacturer: row.name.clone(), reason }
                })?;
                Ok(Arc::new(KnownManufacturer { row, anchors, voucher_anchors, serial_rules }))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { known, vouched: Mutex::default() })
    }

    /// The manufacturer with this identifier.
    #[must_use]
    pub fn by_id(&self, id: &Id) -> Option<Arc<KnownManufacturer>> {
        self.known.iter().find(|known| known.row.id == *id).cloned()
    }

    /// The manufacturer of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<Arc<KnownManufacturer>> {
        self.known.iter().find(|each| each.row.name == name).cloned()
    }

    /// Finds the manufacturer whose anchors the certificate chains to.
    ///
    /// # Errors
    /// Why not, in the words of the path check: of the last manufacturer tried.
    pub fn identify(
        &self,
        leaf: &Certificate,
        intermediates: &[Certificate],
        time: ValidityTime,
    ) -> Result<Arc<KnownManufacturer>, String> {
        // Who does not look at the end of certificates has no time that could be compared.
        let at_secs = match time {
            ValidityTime::At(now) => Some(now.as_secs()),
            ValidityTime::IgnoringExpiry => None,
        };
        let chain = digest(leaf, intermediates);
        if let Some(manufacturer) = at_secs.and_then(|now| self.vouched(&chain, leaf, now)) {
            return Ok(manufacturer);
        }
        let mut reason = "no manufacturer is configured".to_owned();
        for manufacturer in &self.known {
            let time = manufacturer.time_for(leaf, time);
            match verify_chain(leaf, intermediates, &manufacturer.anchors, time) {
                Ok(()) => {
                    if let Some(at_secs) = at_secs {
                        self.remember(chain, at_secs, manufacturer);
                    }
                    return Ok(Arc::clone(manufacturer));
                }
                Err(error) => reason = error.to_string(),
            }
        }
        Err(reason)
    }

    fn vouched(
        &self,
        chain: &[u8],
        leaf: &Certificate,
        now_secs: u64,
    ) -> Option<Arc<KnownManufacturer>> {
        let vouched = self.vouched.lock().unwrap_or_else(PoisonError::into_inner);
        let found = vouched.get(chain)?;
        let is_recent = now_secs.checked_sub(found.at_secs).is_some_and(|age| age < VOUCHED_SECS);
        let may_count = found.manufacturer.may_count(leaf, now_secs);
        (may_count && is_recent).then(|| Arc::clone(&found.manufacturer))
    }

    fn remember(&self, chain: ChainDigest, at_secs: u64, manufacturer: &Arc<KnownManufacturer>) {
        let mut vouched = self.vouched.lock().unwrap_or_else(PoisonError::into_inner);
        if vouched.len() >= VOUCHED_MOST {
            vouched.retain(|_, each| at_secs.saturating_sub(each.at_secs) < VOUCHED_SECS);
        }
        // A flood of new devices is judged without this.
        if vouched.len() < VOUCHED_MOST {
            vouched.insert(chain, Vouched { at_secs, manufacturer: Arc::clone(manufacturer) });
        }
    }
}

fn has_begun(leaf: &Certificate, now_secs: u64) -> bool {
    i64::try_from(now_secs).is_ok_and(|now| leaf.not_before() <= now)
}

/// Whether a certificate has ended at a time, in seconds.
pub(crate) fn has_ended(leaf: &Certificate, now_secs: u64) -> bool {
    i64::try_from(now_secs).is_ok_and(|now| leaf.not_after() < now)
}

fn digest(leaf: &Certificate, intermediates: &[Certificate]) -> ChainDigest {
    let mut context = Context::new(&SHA256);
    for certificate in std::iter::once(leaf).chain(intermediates) {
        context.update(certificate.der());
    }
    context.finish().as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls_pki_types::UnixTime;
    use time::OffsetDateTime;

    use super::*;
    use crate::store::model::{Entry, Id, IdevidOptions, MasaOptions, Millis};

    const BEGIN: i64 = 1_700_000_000;
    const END: i64 = BEGIN + 1000;

    type Authority = CertifiedIssuer<'static, KeyPair>;

    fn authority() -> Authority {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
    }

    fn device(authority: &Authority) -> Certificate {
        let date = |seconds| OffsetDateTime::from_unix_timestamp(seconds).unwrap();
        let mut parameters = CertificateParams::default();
        (parameters.not_before, parameters.not_after) = (date(BEGIN), date(END));
        let key = KeyPair::generate().unwrap();
        Certificate::from_der(parameters.signed_by(&key, authority).unwrap().der()).unwrap()
    }

    fn directory(authority: &Authority) -> ManufacturerDirectory {
        directory_where(authority, EndedIdevid::Refused)
    }

    fn directory_where(authority: &Authority, ended: EndedIdevid) -> ManufacturerDirectory {
        let row = Manufacturer {
            masa: MasaOptions::default(),
            idevid: IdevidOptions { ended, ..IdevidOptions::default() },
            id: Id::from_stored("1".into()),
            name: "pumps".into(),
            anchors: vec![authority.der().clone()],
            masa_url: None,
            masa_anchors: vec![],
            masa_hosts: vec![],
            voucher_anchors: vec![],
            entry: Entry::Voucher,
            created_at: Millis(0),
        };
        ManufacturerDirectory::new(vec![row]).unwrap()
    }

    fn at(seconds: i64) -> ValidityTime {
        let since = Duration::from_secs(u64::try_from(seconds).unwrap());
        ValidityTime::At(UnixTime::since_unix_epoch(since))
    }

    #[test]
    fn what_was_vouched_for_is_remembered_for_a_minute_and_not_beyond_its_end() {
        let authority = authority();
        let (directory, device) = (directory(&authority), device(&authority));
        assert!(directory.identify(&device, &[], at(END - 10)).is_ok());
        assert_eq!(directory.vouched.lock().unwrap().len(), 1);
        assert!(directory.identify(&device, &[], at(END)).is_ok());
        assert!(directory.identify(&device, &[], at(END + 1)).is_err(), "it has ended");
        assert!(directory.identify(&device, &[], at(BEGIN - 1)).is_err(), "it has not begun");
        let chain = digest(&device, &[]);
        let now = |seconds: i64| u64::try_from(END - 10 + seconds).unwrap();
        assert!(directory.vouched(&chain, &device, now(9)).is_some());
        let early = u64::try_from(BEGIN).unwrap();
        directory.remember(chain.clone(), early, &Arc::clone(&directory.known[0]));
        assert!(directory.vouched(&chain, &device, early + VOUCHED_SECS - 1).is_some());
        assert!(directory.vouched(&chain, &device, early + VOUCHED_SECS).is_none());
        assert!(directory.vouched(&chain, &device, early - 1).is_none(), "the clock went back");
    }

    #[test]
    fn an_idevid_that_has_ended_counts_where_the_manufacturer_says_so_and_none_that_has_not_begun()
    {
        let authority = authority();
        let device = device(&authority);
        for (ended, is_taken) in [(EndedIdevid::Refused, false), (EndedIdevid::Accepted, true)] {
            let directory = directory_where(&authority, ended);
            // Looked at, and remembered.
            for _ in 0..2 {
                assert_eq!(directory.identify(&device, &[], at(END + 1)).is_ok(), is_taken);
                assert!(directory.identify(&device, &[], at(END)).is_ok());
                assert!(directory.identify(&device, &[], at(BEGIN - 1)).is_err());
            }
        }
        // Whose it is matters as ever.
        let accepting = directory_where(&self::authority(), EndedIdevid::Accepted);
        assert!(accepting.identify(&device, &[], at(END + 1)).is_err());
    }

    #[test]
    fn what_was_refused_is_not_remembered_nor_is_another_chain() {
        let (ours, theirs) = (authority(), authority());
        let directory = directory(&ours);
        for _ in 0..2 {
            assert!(directory.identify(&device(&theirs), &[], at(BEGIN)).is_err());
        }
        assert!(directory.vouched.lock().unwrap().is_empty());
        assert!(directory.identify(&device(&ours), &[], at(BEGIN)).is_ok());
        assert!(directory.identify(&device(&theirs), &[], at(BEGIN)).is_err());
    }

    #[test]
    fn no_more_are_remembered_than_may_be() {
        let authority = authority();
        let directory = directory(&authority);
        let manufacturer = Arc::clone(&directory.known[0]);
        for number in 0..VOUCHED_MOST + 10 {
            directory.remember(number.to_be_bytes().to_vec(), 100, &manufacturer);
        }
        assert_eq!(directory.vouched.lock().unwrap().len(), VOUCHED_MOST);
        directory.remember(b"later".to_vec(), 100 + VOUCHED_SECS, &manufacturer);
        assert_eq!(directory.vouched.lock().unwrap().len(), 1, "the old ones make room");
    }
}
