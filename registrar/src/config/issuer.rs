//! The sections `[issuer.NAME]`: where certificates come from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::raw;
use super::reader::Reader;

/// A source of certificates.
#[derive(Clone, Debug)]
pub enum IssuerConfig {
    /// An ACME CA.
    Acme(AcmeConfig),
    /// The device CA inside the registrar.
    Local {
        /// Its certificate, PEM.
        certificate: PathBuf,
        /// Its key, PKCS#8 PEM, mode 0600.
        key: PathBuf,
        /// How long its certificates last, in days.
        validity_days: u32,
    },
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
    /// How many orders are driven at once.
    pub orders_in_flight: u32,
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
                raw::Issuer::Local { certificate, key: file, validity_days } => {
                    let days = format!("{key}.validity_days");
                    IssuerConfig::Local {
                        certificate: self.path(&certificate),
                        key: self.path(&file),
                        validity_days: self.bounded(&days, validity_days.unwrap_or(365), 1, 3650),
                    }
                }
                raw::Issuer::Acme {
                    directory,
                    directory_ca,
                    root,
                    account_key,
                    accept_terms,
                    orders_in_flight,
                } => {
                    if !directory.starts_with("https://") {
                        let reason = format!("{directory:?} does not begin with https://");
                        self.problem(&format!("{key}.directory"), reason);
                    }
                    if !accept_terms {
                        let reason = "must be true: the CA makes an account only for those who agree \
                                      to its terms of service; read them first";
                        self.problem(&format!("{key}.accept_terms"), reason.to_owned());
                    }
                    let in_flight = format!("{key}.orders_in_flight");
                    IssuerConfig::Acme(AcmeConfig {
                        directory,
                        directory_ca: directory_ca.map(|path| self.path(&path)),
                        root: root.map(|path| self.path(&path)),
                        account_key: self.path(&account_key),
                        orders_in_flight: self.bounded(
                            &in_flight,
                            orders_in_flight.unwrap_or(8),
                            1,
                            1000,
                        ),
                    })
                }
            };
            read.insert(name, issuer);
        }
        read
    }
}
