//! Published artefacts: RFC 8995 (CMS), draft-ietf-anima-jws-voucher, draft-ietf-anima-constrained-voucher (COSE).

mod cms;
mod cose;
mod jws;
mod sid;

use std::path::PathBuf;
use std::time::Duration;

use brski_voucher::certificate::Certificate;
use brski_voucher::signature::PrivateKey;
use brski_voucher::trust::{Anchors, ValidityTime};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};

/// One folder of the vectors.
struct Folder(PathBuf);

impl Folder {
    /// The folder, if it is there.
    #[expect(clippy::disallowed_methods, reason = "where vectors lie is a matter of the machine")]
    fn of(name: &str) -> Option<Self> {
        let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
        let folder = std::env::var_os("VECTORS_DIR").map_or_else(beside, PathBuf::from).join(name);
        if folder.is_dir() {
            return Some(Self(folder));
        }
        assert_ne!(
            std::env::var("CI").as_deref(),
            Ok("true"),
            "no vectors at {}",
            folder.display()
        );
        println!("skipped: no vectors");
        None
    }

    #[expect(clippy::disallowed_methods, reason = "vectors are files")]
    fn octets(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.join(name)).unwrap()
    }

    /// A file of hexadecimal digits, folded.
    fn hex(&self, name: &str) -> Vec<u8> {
        let text = String::from_utf8(self.octets(name)).unwrap();
        let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
        digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
    }

    fn certificate(&self, name: &str) -> Certificate {
        let der = CertificateDer::from_pem_slice(&self.octets(name)).unwrap();
        Certificate::from_der(&der).unwrap()
    }

    fn key(&self, name: &str) -> PrivateKey {
        PrivateKey::from_der(&PrivateKeyDer::from_pem_slice(&self.octets(name)).unwrap()).unwrap()
    }
}

fn at(seconds: u64) -> ValidityTime {
    ValidityTime::At(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
}

fn anchor(certificate: &Certificate) -> Anchors {
    Anchors::new(&[certificate.der().clone()]).unwrap()
}
