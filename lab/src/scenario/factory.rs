//! Makes the devices of a fleet as their manufacturer makes them.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
    RsaKeySize,
};
use thiserror::Error;
use time::OffsetDateTime;

use super::turn::Turns;
use super::words::{Addresses, KeyKind, SerialStyle, UrlStyle};
use super::{Fleet, Maker};
use crate::masa::Masa;
use crate::pki::{IdevidOdds, Manufacturer};
use crate::pledge::{Pledge, PledgeError};

/// The first address that a device may have of its own: Linux has all of 127.0.0.0/8 on the loopback interface.
const FIRST_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 16, 0, 0);
/// How many characters X.520 allows a serial number.
const LONG: usize = 64;

/// Why a device cannot be made.
#[derive(Debug, Error)]
pub(super) enum FactoryError {
    /// Its certificate.
    #[error("an IDevID cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// What is in it.
    #[error(transparent)]
    Pledge(#[from] PledgeError),
}

/// A manufacturer at work.
pub(super) struct Works {
    pub(super) manufacturer: Manufacturer,
    pub(super) masa: Masa,
    /// The turns of those who ask its MASA.
    pub(super) turns: Turns,
}

impl Works {
    /// Waits until its MASA ends by itself; says why.
    pub(super) async fn failure(&self) -> String {
        let Self { manufacturer, masa, .. } = self;
        let why = masa.ended().await;
        format!(
            "the MASA of {} at {} ended by itself: {why}; {} voucher requests had come to it",
            manufacturer.name,
            masa.url(),
            masa.requests()
        )
    }
}

/// Makes the device with this number, counted from 1 in its fleet, and with `position` among all.
pub(super) fn device(
    works: &Works,
    maker: &Maker,
    fleet: &Fleet,
    number: u32,
    position: u32,
) -> Result<Pledge, FactoryError> {
    let serial = serial(maker.serial, &fleet.name, number);
    let url = masa_url(maker.masa_url, &works.masa.url());
    let odds = IdevidOdds::new(&serial, url.as_deref().unwrap_or_default()).with(&maker.odd);
    let odds = if url.is_none() { odds.masaless() } else { odds };
    let odds = match maker.lifetime_days {
        None => odds,
        Some(days) => {
            odds.until(OffsetDateTime::now_utc() + Duration::from_secs(u64::from(days) * 86_400))
        }
    };
    let authority = &works.manufacturer.authority;
    let idevid = authority.odd_idevid(odds, &key(maker.key)?)?;
    let pledge = Pledge::new(idevid, authority.certificate())?
        .knowing(&works.manufacturer.voucher_signer.certificate)?
        .writing(fleet.encoding)
        .speaking(fleet.tls);
    Ok(match fleet.addresses {
        Addresses::Own => pledge.living_at(address(position)),
        Addresses::Shared => pledge,
    })
}

fn key(kind: KeyKind) -> Result<KeyPair, rcgen::Error> {
    match kind {
        KeyKind::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        KeyKind::P384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
        KeyKind::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
        KeyKind::Ed25519 => KeyPair::generate_for(&PKCS_ED25519),
    }
}

/// What serial numbers of a fleet begin with.
pub(super) fn prefix(fleet: &str) -> String {
    fleet.to_ascii_uppercase()
}

fn serial(style: SerialStyle, fleet: &str, number: u32) -> String {
    let prefix = prefix(fleet);
    match style {
        SerialStyle::Plain => format!("{prefix}-{number:04}"),
        SerialStyle::Product => format!("PID:LAB-9000 SN:{prefix}-{number:04}"),
        SerialStyle::Long => {
            let width = LONG.saturating_sub(prefix.len() + 1);
            format!("{prefix}-{number:0width$}")
        }
        SerialStyle::NonAscii => format!("№ {prefix}-{number:04}"),
    }
}

/// `masa`: its host and port.
fn masa_url(style: UrlStyle, masa: &str) -> Option<String> {
    match style {
        UrlStyle::Authority => Some(masa.to_owned()),
        UrlStyle::Https => Some(format!("https://{masa}")),
        UrlStyle::Path => Some(format!("https://{masa}/.well-known/brski")),
        UrlStyle::Capitals => {
            Some(format!("HTTPS://{}/.well-known/brski/", masa.to_ascii_uppercase()))
        }
        UrlStyle::Http => Some(format!("http://{masa}")),
        UrlStyle::Absent => None,
    }
}

fn address(position: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(u32::from(FIRST_ADDRESS).saturating_add(position)))
}

/// Whether this machine has the devices' own addresses.
pub(super) fn has_addresses() -> bool {
    std::net::TcpListener::bind((address(1), 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_have_the_style_of_their_maker() {
        assert_eq!(serial(SerialStyle::Plain, "pumps", 7), "PUMPS-0007");
        assert_eq!(serial(SerialStyle::Product, "pumps", 7), "PID:LAB-9000 SN:PUMPS-0007");
        assert_eq!(serial(SerialStyle::Long, "pumps", 7).len(), LONG);
        assert!(!serial(SerialStyle::NonAscii, "pumps", 7).is_ascii());
    }

    #[test]
    fn every_style_of_url_but_none_leads_to_the_masa() {
        for (word, style) in <UrlStyle as super::super::words::Word>::WORDS {
            for host in ["localhost", "10.77.3.2"] {
                let url = masa_url(*style, &format!("{host}:9443"));
                let read = url.as_deref().map(brski_voucher::idevid::MasaUrl::parse);
                match read {
                    None => assert_eq!(*style, UrlStyle::Absent),
                    Some(read) => {
                        let read = read.unwrap();
                        assert_eq!((read.host(), read.port()), (host, 9443), "{word}");
                        assert_eq!(read.path("x"), "/.well-known/brski/x", "{word}");
                    }
                }
            }
        }
    }

    #[test]
    fn devices_live_on_this_machine() {
        assert!(address(0).is_loopback() && address(1_000_000).is_loopback());
        assert_ne!(address(1), address(2));
    }
}
