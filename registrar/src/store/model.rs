//! What the registrar knows, as values: the rows of the store in domain terms.
//!
//! Every state is an enum whose variants carry what only that state has.
//! Times are integer Unix milliseconds, UTC; identifiers are 16 random bytes in hex; DER is kept as received.

use std::fmt;

use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

pub use self::idevid::{EndedIdevid, IdevidOptions, SerialPlace, SerialPlaceError};
pub use self::masa::{AuditTiming, Dialect, MasaClientCertificate, MasaOptions};
pub use self::node::NodeSettings;
pub use self::nonceless::NoncelessVoucher;
pub use self::operator::{Approval, ApprovalReason, ApprovalState, Credential, WaitingDevices};
pub use self::order::{ListedOrder, OrderFilter, OrderPlace, OrderTally, RevocationRow};
pub use self::own::{OwnCertificate, OwnRecords, RootChange};
pub use self::page::{DeviceFilter, DevicePlace, EventFilter, EventPlace};
pub use self::sealed_key::SealedKey;
pub use self::survey::{CertificateEnds, DeviceTally, EventTally, OrderQueue, Queues};
pub use self::trail::{Checkpoint, CheckpointKind, Event, Head, StoredEvent, Verdict};
pub use self::voucher::{AuditRecord, AuditVerdict, VoucherExchange, VoucherState};

mod idevid;
mod masa;
mod node;
mod nonceless;
mod operator;
mod order;
mod own;
mod page;
mod sealed_key;
mod survey;
mod trail;
mod voucher;

/// An identifier of ours: 16 bytes that nobody can guess, as 32 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Id(String);

impl Id {
    /// Builds an identifier from 16 random bytes.
    #[must_use]
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(hex(&bytes))
    }

    /// Builds the identifier of a row from when it is made and 10 random bytes.
    ///
    /// Rows of one time lie together in the indexes, as with UUIDv7 (RFC 9562 §5.7): the store touches fewer pages.
    #[must_use]
    pub fn of_row(at: Millis, random: [u8; 10]) -> Self {
        let [_, _, time @ ..] = at.0.to_be_bytes();
        Self(hex(&time) + &hex(&random))
    }

    /// Takes an identifier as the store keeps it.
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The 32 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Lower-case hexadecimal digits of `bytes`.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A point in time: Unix milliseconds, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub i64);

impl Millis {
    /// Whole seconds since the Unix epoch.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The time `milliseconds` later.
    #[must_use]
    pub fn plus(self, milliseconds: i64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }
}

/// SHA-256 of something, for look-ups.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
        let mut octets = [0; 32];
        octets.iter_mut().zip(digest.as_ref()).for_each(|(octet, byte)| *octet = *byte);
        Self(octets)
    }

    /// Reads 64 hexadecimal digits in any case; colons between them do not matter.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text.bytes().filter(|each| *each != b':').collect();
        let mut octets = [0; 32];
        let (pairs, rest) = digits.as_chunks::<2>();
        if pairs.len() != octets.len() || !rest.is_empty() {
            return None;
        }
        for (octet, [high, low]) in octets.iter_mut().zip(pairs) {
            let value = |digit: u8| char::from(digit).to_digit(16);
            *octet = u8::try_from(value(*high)? * 16 + value(*low)?).ok()?;
        }
        Some(Self(octets))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex(&self.0))
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex(&self.0))
    }
}

/// What a manufacturer's devices need before they may enroll.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entry {
    /// A voucher of its MASA (RFC 8995).
    Voucher,
    /// The IDevID alone, if an operator expects the device or approved it.
    Est,
}

impl Entry {
    /// The word that the store and the command line use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Voucher => "voucher",
            Self::Est => "est",
        }
    }

    /// Reads [`Entry::as_str`]'s word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Voucher, Self::Est].into_iter().find(|entry| entry.as_str() == word)
    }
}

/// A manufacturer whose devices may come, with what is needed to reach its MASA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manufacturer {
    /// Identifier of ours.
    pub id: Id,
    /// The operator's name for it; unique.
    pub name: String,
    /// Anchors of its IDevIDs.
    pub anchors: Vec<CertificateDer<'static>>,
    /// Overrides the MASA URL of the IDevID (RFC 8995 §2.8).
    pub masa_url: Option<String>,
    /// Anchors of the MASA's TLS certificate; empty: the operating system's.
    pub masa_anchors: Vec<CertificateDer<'static>>,
    /// Hosts at which its MASA may be called; empty: any public address.
    pub masa_hosts: Vec<String>,
    /// Anchors of its voucher signers; empty: unknown.
    pub voucher_anchors: Vec<CertificateDer<'static>>,
    /// What its devices need before they may enroll.
    pub entry: Entry,
    /// How its MASA is spoken to.
    pub masa: MasaOptions,
    /// What its IDevIDs are like.
    pub idevid: IdevidOptions,
    /// When it was added.
    pub created_at: Millis,
}

/// Where a device stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceState {
    /// Imported, not seen yet.
    Expected,
    /// Asked to join; a person decides.
    Pending,
    /// Policy or a person said yes.
    Admitted,
    /// Holds a voucher of its MASA for this domain.
    Vouchered,
    /// Holds a certificate.
    Enrolled,
    /// Taken out of service.
    Retired,
    /// Barred.
    Blocked,
}

impl DeviceState {
    /// The word that the store and the command line use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expected => "expected",
            Self::Pending => "pending",
            Self::Admitted => "admitted",
            Self::Vouchered => "vouchered",
            Self::Enrolled => "enrolled",
            Self::Retired => "retired",
            Self::Blocked => "blocked",
        }
    }

    /// Reads [`DeviceState::as_str`]'s word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [
            Self::Expected,
            Self::Pending,
            Self::Admitted,
            Self::Vouchered,
            Self::Enrolled,
            Self::Retired,
            Self::Blocked,
        ]
        .into_iter()
        .find(|state| state.as_str() == word)
    }
}

/// A device: a row with an identifier, a name and a state of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Identifier of ours.
    pub id: Id,
    /// Its DNS name, lower case: assigned once, by the import or at admission; none before.
    pub name: Option<String>,
    /// The profile that the import or its admission chose.
    pub profile: String,
    /// Where it stands, in the operator's words.
    pub site: Option<String>,
    /// Where it stands.
    pub state: DeviceState,
    /// When the row was made.
    pub created_at: Millis,
    /// When the row changed last.
    pub updated_at: Millis,
}

/// What a device proves itself with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Its IDevID.
    Idevid {
        /// The manufacturer's identifier.
        manufacturer: Id,
        /// The serial number that the IDevID carries.
        serial: String,
        /// The IDevID; none before the device shows one that is admitted or waits.
        seen: Option<SeenIdevid>,
    },
    /// The name and the secret of an EST credential.
    Credential {
        /// The credential's name.
        name: String,
    },
}

impl Identity {
    /// The manufacturer's identifier, where there is one.
    #[must_use]
    pub fn manufacturer(&self) -> Option<&Id> {
        match self {
            Self::Idevid { manufacturer, .. } => Some(manufacturer),
            Self::Credential { .. } => None,
        }
    }

    /// The serial number, where there is one.
    #[must_use]
    pub fn serial(&self) -> Option<&str> {
        match self {
            Self::Idevid { serial, .. } => Some(serial),
            Self::Credential { .. } => None,
        }
    }

    /// The credential's name, where there is one.
    #[must_use]
    pub fn credential(&self) -> Option<&str> {
        match self {
            Self::Idevid { .. } => None,
            Self::Credential { name } => Some(name),
        }
    }

    /// The IDevID that was seen.
    #[must_use]
    pub fn seen(&self) -> Option<&SeenIdevid> {
        match self {
            Self::Idevid { seen, .. } => seen.as_ref(),
            Self::Credential { .. } => None,
        }
    }

    /// The identity in words.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Idevid { serial, .. } => format!("serial number {serial}"),
            Self::Credential { name } => format!("credential {name}"),
        }
    }
}

/// An IDevID that a device showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenIdevid {
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub spki: Sha256,
    /// The certificate, DER.
    pub certificate: CertificateDer<'static>,
}

/// A device together with its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownDevice {
    /// The device.
    pub device: Device,
    /// What it proves itself with.
    pub identity: Identity,
}

/// Where an enrollment stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnrollmentState {
    /// The CSR passed every check; the issuer was not asked yet.
    Approved,
    /// The issuer has it.
    Ordered,
    /// The certificate is here.
    Issued {
        /// SHA-256 of the certificate.
        certificate: Sha256,
    },
    /// The issuer will not issue for this CSR.
    Refused {
        /// What the issuer said.
        reason: String,
    },
    /// The issuer could not issue; another try may succeed.
    Failed {
        /// What went wrong.
        reason: String,
    },
    /// Ended by an operator.
    Cancelled {
        /// Why.
        reason: String,
    },
}

/// One wish of one device for one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrollment {
    /// Identifier of ours; the order of the bridge has the same.
    pub id: Id,
    /// The device.
    pub device: Id,
    /// The profile.
    pub profile: String,
    /// The issuer that the profile names.
    pub issuer: String,
    /// The name that the certificate will carry.
    pub name: String,
    /// What makes a retry the same enrollment: profile, device, SPKI, subject, requested extensions.
    pub key: Sha256,
    /// The CSR, DER.
    pub csr: Vec<u8>,
    /// SHA-256 of the certificate that is being renewed.
    pub replaces: Option<Sha256>,
    /// Where it stands.
    pub state: EnrollmentState,
    /// When it was approved.
    pub created_at: Millis,
    /// When it changed last.
    pub updated_at: Millis,
}

/// A certificate that this registrar obtained for a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// SHA-256 of the certificate.
    pub fingerprint: Sha256,
    /// The device.
    pub device: Id,
    /// The enrollment that it answers.
    pub enrollment: Id,
    /// The issuer, by its name in the configuration.
    pub issuer: String,
    /// SHA-256 of the CA certificate directly above it, where its chain had one.
    pub authority: Option<Sha256>,
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub spki: Sha256,
    /// Start of its validity.
    pub not_before: Millis,
    /// End of its validity.
    pub not_after: Millis,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Millis>,
    /// When it was stored.
    pub created_at: Millis,
}

/// A CA certificate seen above an issued certificate; served by `/cacerts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainCertificate {
    /// The issuer, by its name in the configuration.
    pub issuer: String,
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    /// SHA-256 of the certificate.
    pub fingerprint: Sha256,
}
