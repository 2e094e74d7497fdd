//! Every lie that a pledge, a join proxy, a MASA or an ACME CA can tell a registrar, as one list, and what must become of each.
//!
//! A [`Fault`] is told by somebody ([`Liar`]), breaks a clause, in a field, and meets a refusal: a status and a word in
//! the registrar's trail. Beside each lie goes its honest twin, the same request by the same kind of device without
//! the lie, which must succeed: a registrar that refuses everything passes nothing.

pub mod report;
pub mod run;

mod ca;
mod enroll;
mod link;
mod list;
mod request;
mod telemetry;
mod workshop;

pub use self::list::Fault;

use serde::Serialize;

/// Who lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Liar {
    /// The device, or somebody who holds one.
    Pledge,
    /// Whoever stands between the device and the registrar.
    Proxy,
    /// The manufacturer's service.
    Masa,
    /// The ACME CA.
    Ca,
}

impl Liar {
    /// The liar's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pledge => "pledge",
            Self::Proxy => "proxy",
            Self::Masa => "masa",
            Self::Ca => "ca",
        }
    }
}

/// When in a device's life the lie is told; its honest twin does the same without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It asks for a voucher.
    Voucher,
    /// It has a voucher, and says what it thinks of it.
    VoucherStatus,
    /// It has accepted a voucher, and asks for a certificate.
    Enroll,
    /// It has a certificate, and asks for another.
    Reenroll,
    /// It has a certificate, and says so.
    EnrollStatus,
}

/// What there is to know about a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Card {
    /// Its name: words with hyphens.
    pub name: &'static str,
    /// Who lies.
    pub liar: Liar,
    /// When.
    pub stage: Stage,
    /// The clause that it breaks.
    pub clause: &'static str,
    /// What it is about: a header, a member, a part of a certificate.
    pub field: &'static str,
    /// The HTTP status that it must meet; 0 where the connection is closed without an answer.
    pub status: u16,
    /// The event that this project's registrar must write; empty where it writes none.
    pub event: &'static str,
}
