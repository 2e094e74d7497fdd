//! Is what the CA sent what was asked for? Pure. (RFC 8555 §7.4.2, §11.4.)
//!
//! A CA may rewrite the subject and drop extensions; key, names, validity and the path to a configured root may not differ.

use std::collections::BTreeSet;
use std::time::Duration;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};
use thiserror::Error;
use webpki::{
    ALL_VERIFICATION_ALGS, EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter,
    anchor_from_trusted_cert,
};

use crate::order::Csr;

/// The longest chain that is read, in octets of PEM.
const CHAIN_OCTETS: usize = 128 * 1024;

/// Why a chain is not handed out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ChainRefusal {
    /// It is longer than any chain.
    #[error("the chain has {octets} octets, more than {CHAIN_OCTETS}")]
    TooLong {
        /// Its length.
        octets: usize,
    },
    /// It holds a PEM block that is no certificate.
    #[error("the chain holds a PEM block {label:?}, and may hold certificates only")]
    ForeignBlock {
        /// The block's label.
        label: String,
    },
    /// It holds no certificate, or one that cannot be read.
    #[error("the chain holds no certificate that can be read")]
    Unreadable,
    /// The certificate is of another key.
    #[error("the certificate is of another key than the CSR")]
    Key,
    /// The certificate carries other names.
    #[error("the certificate is for {certificate:?}, the CSR for {csr:?}")]
    Names {
        /// In the certificate.
        certificate: Vec<String>,
        /// In the CSR.
        csr: Vec<String>,
    },
    /// The certificate does not lead to a configured root now.
    #[error("the certificate does not lead to a configured root: {0}")]
    Path(webpki::Error),
}

/// Any extended key usage: what it may be used for is between the CA and the device.
struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, _usages: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

/// Checks a chain against the CSR that it answers, and gives it back as DER: the certificate first, the root last.
///
/// `pem`: as downloaded. `roots`: certificates that a chain may end at. `now`: Unix milliseconds.
///
/// # Errors
/// [`ChainRefusal`].
pub fn chain(
    pem: &str,
    csr: &Csr,
    roots: &[CertificateDer<'static>],
    now: i64,
) -> Result<Vec<CertificateDer<'static>>, ChainRefusal> {
    let mut chain = read(pem)?;
    let (leaf, intermediates) = chain.split_first().ok_or(ChainRefusal::Unreadable)?;
    let certificate = EndEntityCert::try_from(leaf).map_err(ChainRefusal::Path)?;
    if certificate.subject_public_key_info().as_ref() != csr.spki {
        return Err(ChainRefusal::Key);
    }
    check_names(&certificate, csr)?;
    let anchors: Vec<_> =
        roots.iter().filter_map(|root| anchor_from_trusted_cert(root).ok()).collect();
    let seconds = u64::try_from(now.div_euclid(1000)).unwrap_or(0);
    let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let path = certificate
        .verify_for_usage(ALL_VERIFICATION_ALGS, &anchors, intermediates, at, AnyUsage, None, None)
        .map_err(ChainRefusal::Path)?;
    let reached = path.anchor();
    let root = roots.iter().find(|root| {
        anchor_from_trusted_cert(root).is_ok_and(|anchor| {
            anchor.subject == reached.subject
                && anchor.subject_public_key_info == reached.subject_public_key_info
        })
    });
    // CAs leave the root out; where one is sent all the same, it is not kept twice.
    if let Some(root) = root
        && !chain.contains(root)
    {
        chain.push(root.clone());
    }
    Ok(chain)
}

fn check_names(certificate: &EndEntityCert<'_>, csr: &Csr) -> Result<(), ChainRefusal> {
    let received: BTreeSet<String> =
        certificate.valid_dns_names().map(str::to_ascii_lowercase).collect();
    let wanted: BTreeSet<String> = csr.names.iter().map(|name| name.to_ascii_lowercase()).collect();
    if received == wanted {
        return Ok(());
    }
    Err(ChainRefusal::Names {
        certificate: received.into_iter().collect(),
        csr: wanted.into_iter().collect(),
    })
}

fn read(pem: &str) -> Result<Vec<CertificateDer<'static>>, ChainRefusal> {
    if pem.len() > CHAIN_OCTETS {
        return Err(ChainRefusal::TooLong { octets: pem.len() });
    }
    let foreign = pem
        .split("-----BEGIN ")
        .skip(1)
        .map(|block| block.split("-----").next().unwrap_or_default())
        .find(|label| *label != "CERTIFICATE");
    if let Some(label) = foreign {
        return Err(ChainRefusal::ForeignBlock { label: label.chars().take(40).collect() });
    }
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| ChainRefusal::Unreadable)?;
    if chain.is_empty() {
        return Err(ChainRefusal::Unreadable);
    }
    Ok(chain)
}
