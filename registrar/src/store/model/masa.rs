//! How a manufacturer's MASA is spoken to, beside where it lives: what an operator sets, one value for each manufacturer.

use brski_voucher::encoding::{Encoding, Strictness, media_type};
use serde::{Deserialize, Serialize};

/// The options of a manufacturer that concern its devices' vouchers and its MASA.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MasaOptions {
    /// The certificate that the MASA is shown in TLS.
    pub client: MasaClientCertificate,
    /// The file with `USER:PASSWORD` for HTTP Basic and Digest, see [`SecretFile`](crate::secret::SecretFile).
    pub credential: Option<String>,
    /// When the audit log is asked for; what the configuration says if left out.
    pub audit_log: Option<AuditTiming>,
    /// How vouchers and requests are written and read.
    pub dialect: Dialect,
}

/// The certificate that a MASA is shown in TLS (RFC 8995 §5.4.1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MasaClientCertificate {
    /// The registrar's own, which also signs its requests.
    #[default]
    Registrar,
    /// None.
    None,
    /// One that the manufacturer gave its customer.
    Files {
        /// The certificate and any intermediates, PEM.
        certificate: String,
        /// Its key, PKCS#8 PEM, mode 0600, see [`SecretFile`](crate::secret::SecretFile).
        key: String,
    },
}

/// When a MASA is asked for the audit log of a device (RFC 8995 §5.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuditTiming {
    /// Before the pledge gets its voucher.
    BeforeVoucher,
    /// When the pledge says that it accepts its voucher.
    #[default]
    AfterStatus,
    /// Never.
    Off,
}

impl AuditTiming {
    /// Its words, in the order in which they are told.
    pub const WORDS: [(&str, Self); 3] = [
        ("before-voucher", Self::BeforeVoucher),
        ("after-status", Self::AfterStatus),
        ("off", Self::Off),
    ];

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BeforeVoucher => "before-voucher",
            Self::AfterStatus => "after-status",
            Self::Off => "off",
        }
    }

    /// Reads [`AuditTiming::as_str`]'s word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::WORDS.into_iter().find(|(known, _)| *known == word).map(|(_, timing)| timing)
    }
}

/// What older pledges and MASAs need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dialect {
    /// Whether more of what encoders do wrong is read all the same.
    pub lenient: bool,
    /// Whether CMS is written with content type id-data, as before RFC 8366 was finished.
    pub id_data: bool,
    /// Whether COSE goes to the MASA under the name that it had until December 2023.
    pub old_cose_name: bool,
}

impl Dialect {
    /// How strictly artefacts are read.
    #[must_use]
    pub fn strictness(self) -> Strictness {
        match self.lenient {
            true => Strictness::Lenient,
            false => Strictness::Standard,
        }
    }

    /// The encoding of what answers an artefact in `encoding`.
    #[must_use]
    pub fn written(self, encoding: Encoding) -> Encoding {
        match encoding {
            Encoding::Cms if self.id_data => Encoding::CmsIdData,
            other => other,
        }
    }

    /// The media type of an artefact that goes to the MASA.
    #[must_use]
    pub fn media_type(self, encoding: Encoding) -> &'static str {
        match encoding {
            Encoding::Cose if self.old_cose_name => media_type::VOUCHER_COSE_OLD,
            other => other.media_type(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_back_as_they_were_written() {
        let files = |name: &str| format!("/etc/registrar/{name}");
        let options = MasaOptions {
            client: MasaClientCertificate::Files {
                certificate: files("m.pem"),
                key: files("m.key"),
            },
            credential: Some("systemd:masa".into()),
            audit_log: Some(AuditTiming::BeforeVoucher),
            dialect: Dialect { lenient: true, id_data: true, old_cose_name: true },
        };
        for options in [options, MasaOptions::default()] {
            let text = serde_json::to_string(&options).unwrap();
            assert_eq!(serde_json::from_str::<MasaOptions>(&text).unwrap(), options);
        }
        // What is not written is as it always was.
        assert_eq!(serde_json::from_str::<MasaOptions>("{}").unwrap(), MasaOptions::default());
    }

    #[test]
    fn each_timing_has_one_word() {
        for (word, timing) in AuditTiming::WORDS {
            assert_eq!((timing.as_str(), AuditTiming::parse(word)), (word, Some(timing)));
        }
        assert_eq!(AuditTiming::parse("later"), None);
    }

    #[test]
    fn a_dialect_changes_what_it_names_alone() {
        let plain = Dialect::default();
        let old = Dialect { lenient: true, id_data: true, old_cose_name: true };
        assert_eq!(
            (plain.written(Encoding::Cms), old.written(Encoding::Cms)),
            (Encoding::Cms, Encoding::CmsIdData)
        );
        assert_eq!(old.written(Encoding::Jws), Encoding::Jws);
        assert_eq!(plain.media_type(Encoding::Cose), media_type::VOUCHER_COSE);
        assert_eq!(old.media_type(Encoding::Cose), media_type::VOUCHER_COSE_OLD);
        assert_eq!(old.media_type(Encoding::Cms), media_type::VOUCHER_CMS);
        assert_eq!(
            (plain.strictness(), old.strictness()),
            (Strictness::Standard, Strictness::Lenient)
        );
    }
}
