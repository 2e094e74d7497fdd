//! The sections `[issuer.NAME]`: where certificates come from.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use acme_bridge::Contacts;
use acme_bridge::quota::{Limits, Rate};

use super::reader::Reader;
use super::{dns_name, raw};
use crate::keys::KeyPlace;

/// The directory's host whose limits are known.
const LETS_ENCRYPT: &str = "api.letsencrypt.org";
/// The longest time that a limit counts over, in seconds: a year.
const LIMIT_SECS: u32 = 366 * 24 * 3600;

/// A source of certificates.
#[derive(Clone, Debug)]
pub enum IssuerConfig {
    /// An ACME CA.
    Acme(Box<AcmeConfig>),
    /// The device CA inside the registrar.
    Local(LocalConfig),
}

/// The device CA inside the registrar.
#[derive(Clone, Debug)]
pub struct LocalConfig {
    /// Its certificate, PEM.
    pub certificate: PathBuf,
    /// Its key.
    pub key: KeyPlace,
    /// How long its certificates last, in days.
    pub validity_days: u32,
    /// Where its revocation list is, which its certificates name.
    pub crl_url: Option<String>,
}

/// An ACME CA.
#[derive(Clone, Debug)]
pub struct AcmeConfig {
    /// Its directory, HTTPS.
    pub directory: String,
    /// Anchors of the directory's TLS certificate; none: the operating system's.
    pub directory_ca: Option<PathBuf>,
    /// The roots that issued chains must end at; none: the operating system's.
    pub root: Option<PathBuf>,
    /// The account's key; made if it is not there.
    pub account_key: PathBuf,
    /// How the CA reaches the account's owner (RFC 8555 §7.3).
    pub contacts: Contacts,
    /// The account that the CA knows by other means: a file of two lines, mode 0600 (RFC 8555 §7.3.4).
    pub eab_file: Option<PathBuf>,
    /// The CA's profile that is ordered.
    pub profile: Option<String>,
    /// How many orders are driven at once.
    pub orders_in_flight: u32,
    /// How long an order stays with a registrar that says nothing more of it.
    pub lease: Duration,
    /// The domains that the CA counts names under, lower case, where they are not the last two labels.
    pub registered_domains: Vec<String>,
    /// How much may be asked of the CA.
    pub limits: Limits,
    /// How long it may be down or refuse for its limits before a fallback takes over.
    pub fallback_after: Duration,
}

impl Reader {
    pub(super) fn issuers(
        &mut self,
        issuers: BTreeMap<String, raw::Issuer>,
    ) -> BTreeMap<String, IssuerConfig> {
        let mut read = BTreeMap::new();
        for (name, issuer) in issuers {
            let key = format!("issuer.{name}");
            let issuer = match issuer {
                local @ raw::Issuer::Local { .. } => self.local(&key, local),
                acme @ raw::Issuer::Acme { .. } => self.acme(&key, acme),
            };
            read.extend(issuer.map(|issuer| (name, issuer)));
        }
        read
    }

    fn local(&mut self, key: &str, issuer: raw::Issuer) -> Option<IssuerConfig> {
        let raw::Issuer::Local { certificate, key: file, validity_days, crl_url } = issuer else {
            return None;
        };
        if let Some(url) = &crl_url
            && !url.starts_with("http://")
        {
            // Whoever checks a list over TLS would need a list to check that (RFC 5280 §8).
            let reason = format!("{url:?} does not begin with http://");
            self.problem(&format!("{key}.crl_url"), reason);
        }
        let days = format!("{key}.validity_days");
        Some(IssuerConfig::Local(LocalConfig {
            certificate: self.path(&certificate),
            key: self.key_place(&format!("{key}.key"), &file)?,
            validity_days: self.bounded(&days, validity_days.unwrap_or(365), 1, 3650),
            crl_url,
        }))
    }

    fn acme(&mut self, key: &str, issuer: raw::Issuer) -> Option<IssuerConfig> {
        let raw::Issuer::Acme {
            directory,
            directory_ca,
            root,
            account_key,
            accept_terms,
            contact,
            orders_in_flight,
            eab_file,
            profile,
            registered_domains,
            fallback_after_secs,
            lease_secs,
            limits,
        } = issuer
        else {
            return None;
        };
        if !directory.starts_with("https://") {
            let reason = format!("{directory:?} does not begin with https://");
            self.problem(&format!("{key}.directory"), reason);
        }
        if !accept_terms {
            let reason = "must be true: the CA makes an account only for those who agree \
                          to its terms of service; read them first";
            self.problem(&format!("{key}.accept_terms"), reason.to_owned());
        }
        let contacts = Contacts::parse(contact).unwrap_or_else(|error| {
            self.problem(&format!("{key}.contact"), error.to_string());
            Contacts::default()
        });
        for domain in &registered_domains {
            if let Err(reason) = dns_name(domain) {
                self.problem(&format!("{key}.registered_domains"), reason);
            }
        }
        let in_flight = format!("{key}.orders_in_flight");
        let after = format!("{key}.fallback_after_secs");
        let after = self.bounded(&after, fallback_after_secs.unwrap_or(300), 1, 7 * 24 * 3600);
        let lease = self.bounded(&format!("{key}.lease_secs"), lease_secs.unwrap_or(120), 10, 3600);
        Some(IssuerConfig::Acme(Box::new(AcmeConfig {
            lease: Duration::from_secs(u64::from(lease)),
            limits: self.ca_limits(key, &directory, limits),
            directory,
            directory_ca: directory_ca.map(|path| self.path(&path)),
            root: root.map(|path| self.path(&path)),
            account_key: self.path(&account_key),
            contacts,
            eab_file: eab_file.map(|path| self.path(&path)),
            profile,
            orders_in_flight: self.bounded(&in_flight, orders_in_flight.unwrap_or(8), 1, 1000),
            registered_domains: registered_domains
                .iter()
                .map(|domain| domain.to_ascii_lowercase())
                .collect(),
            fallback_after: Duration::from_secs(u64::from(after)),
        })))
    }

    /// The limits as written; those of a CA whose limits are known, where none are.
    fn ca_limits(&mut self, key: &str, directory: &str, limits: Option<raw::AcmeLimits>) -> Limits {
        let Some(limits) = limits else {
            return match directory.contains(LETS_ENCRYPT) {
                true => Limits::lets_encrypt(),
                false => Limits::default(),
            };
        };
        let mut rate = |name: &str, limit: Option<raw::AcmeLimit>| {
            limit.map(|limit| {
                let key = format!("{key}.limits.{name}");
                Rate {
                    orders: self.bounded(&format!("{key}.orders"), limit.orders, 1, 1_000_000),
                    period_secs: self.bounded(&format!("{key}.secs"), limit.secs, 1, LIMIT_SECS),
                }
            })
        };
        Limits {
            account: rate("account", limits.account),
            registered_domain: rate("registered_domain", limits.registered_domain),
            names: rate("names", limits.names),
        }
    }
}
