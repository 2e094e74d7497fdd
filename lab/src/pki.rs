//! The lab's certificates: manufacturers with their IDevIDs and MASAs, and a TLS certificate for the ACME CA.

use std::net::IpAddr;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DistinguishedName,
    DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType,
};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;
use time::macros::datetime;

/// id-pe-masa-url, 1.3.6.1.5.5.7.1.32 (RFC 8995 §2.3.2).
const MASA_URL: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 1, 32];
/// serialNumber, 2.5.4.5.
const SERIAL_NUMBER: [u64; 4] = [2, 5, 4, 5];
/// Below the arc that RFC 5612 keeps for examples.
const PRIVATE: [u64; 8] = [1, 3, 6, 1, 4, 1, 32473, 1];
/// DER of NULL.
const NULL: [u8; 2] = [5, 0];
const IA5_STRING: u8 = 0x16;
/// A certificate without an end (RFC 5280 §4.1.2.5).
const FOREVER: OffsetDateTime = datetime!(9999-12-31 23:59:59 UTC);
/// When the lab's factories were built.
const FOUNDED: OffsetDateTime = datetime!(2020-01-01 00:00:00 UTC);

/// When some of what they made had ended.
const CLOSED: OffsetDateTime = datetime!(2021-01-01 00:00:00 UTC);
/// A time that nobody here sees.
const FAR: OffsetDateTime = datetime!(2999-01-01 00:00:00 UTC);

/// A certificate and its key.
#[derive(Debug)]
pub struct Credential {
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    /// Its key, PKCS#8.
    pub key: PrivatePkcs8KeyDer<'static>,
}

impl Credential {
    fn new(certificate: &CertificateDer<'static>, key: &KeyPair) -> Self {
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Self { certificate: certificate.clone(), key }
    }
}

impl Clone for Credential {
    fn clone(&self) -> Self {
        Self { certificate: self.certificate.clone(), key: self.key.clone_key() }
    }
}

/// What factories do to IDevIDs that is odd, and right all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// The serial number is a UTF8String, where RFC 5280 appendix A.1 has a PrintableString.
    Utf8Serial,
    /// There is no authority key identifier (RFC 5280 §4.2.1.1).
    NoAuthorityKeyIdentifier,
    /// It is for TLS servers, as its extended key usage says.
    ServerUsage,
    /// It has an extension of its maker, which is not critical.
    PrivateExtension,
}

/// What an IDevID says, right or not.
#[derive(Clone, Copy, Debug)]
pub struct IdevidOdds<'a> {
    serial: Option<&'a str>,
    masa_url: Option<&'a str>,
    validity: (OffsetDateTime, OffsetDateTime),
    oddities: &'a [Oddity],
}

impl<'a> IdevidOdds<'a> {
    /// As it should be.
    #[must_use]
    pub fn new(serial: &'a str, masa_url: &'a str) -> Self {
        let validity = (FOUNDED, FOREVER);
        Self { serial: Some(serial), masa_url: Some(masa_url), validity, oddities: &[] }
    }

    /// With what this factory does.
    #[must_use]
    pub fn with(self, oddities: &'a [Oddity]) -> Self {
        Self { oddities, ..self }
    }

    /// Valid until then.
    #[must_use]
    pub fn until(self, end: OffsetDateTime) -> Self {
        Self { validity: (FOUNDED, end), ..self }
    }

    /// Its time is over.
    #[must_use]
    pub fn expired(self) -> Self {
        Self { validity: (FOUNDED, CLOSED), ..self }
    }

    /// Its time has not come.
    #[must_use]
    pub fn early(self) -> Self {
        Self { validity: (FAR, FOREVER), ..self }
    }

    /// Without a serial number in its subject.
    #[must_use]
    pub fn nameless(self) -> Self {
        Self { serial: None, ..self }
    }

    /// Without the URL of a MASA.
    #[must_use]
    pub fn masaless(self) -> Self {
        Self { masa_url: None, ..self }
    }
}

/// A certification authority of the lab.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// Makes a root.
    ///
    /// # Errors
    /// If the library cannot make it.
    pub fn new(name: &str) -> Result<Self, rcgen::Error> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = subject(name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        parameters.not_before = FOUNDED;
        parameters.not_after = FOREVER;
        Ok(Self { issuer: CertifiedIssuer::self_signed(parameters, KeyPair::generate()?)? })
    }

    /// Its certificate.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        self.issuer.der()
    }

    /// Its certificate, PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    fn issue(&self, parameters: &CertificateParams) -> Result<Credential, rcgen::Error> {
        self.issue_for(parameters, &KeyPair::generate()?)
    }

    fn issue_for(
        &self,
        parameters: &CertificateParams,
        key: &KeyPair,
    ) -> Result<Credential, rcgen::Error> {
        let certificate = parameters.signed_by(key, &self.issuer)?;
        Ok(Credential::new(certificate.der(), key))
    }

    /// Makes an IDevID: P-256, the serial number in the subject, the MASA's URL, no end, no extended key usage.
    ///
    /// # Errors
    /// If the library cannot make it.
    pub fn idevid(&self, serial: &str, masa_url: &str) -> Result<Credential, rcgen::Error> {
        self.odd_idevid(IdevidOdds::new(serial, masa_url), &KeyPair::generate()?)
    }

    /// Makes an IDevID as [`Authority::idevid`] does, for any key.
    ///
    /// # Errors
    /// If the library cannot make it.
    pub fn idevid_for(
        &self,
        serial: &str,
        masa_url: &str,
        key: &KeyPair,
    ) -> Result<Credential, rcgen::Error> {
        self.odd_idevid(IdevidOdds::new(serial, masa_url), key)
    }

    /// Makes an IDevID that differs from what RFC 8995 asks for.
    ///
    /// # Errors
    /// If the library cannot make it.
    pub fn odd_idevid(
        &self,
        odds: IdevidOdds<'_>,
        key: &KeyPair,
    ) -> Result<Credential, rcgen::Error> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = subject("device, LAB ONLY");
        if let Some(serial) = odds.serial {
            let kind = DnType::CustomDnType(SERIAL_NUMBER.to_vec());
            let value = match serial.try_into() {
                Ok(printable) if !odds.oddities.contains(&Oddity::Utf8Serial) => {
                    DnValue::PrintableString(printable)
                }
                _ => DnValue::Utf8String(serial.to_owned()),
            };
            parameters.distinguished_name.push(kind, value);
        }
        parameters.custom_extensions.extend(odds.masa_url.map(masa_url_extension));
        parameters.use_authority_key_identifier_extension =
            !odds.oddities.contains(&Oddity::NoAuthorityKeyIdentifier);
        if odds.oddities.contains(&Oddity::ServerUsage) {
            parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        }
        if odds.oddities.contains(&Oddity::PrivateExtension) {
            let extension = CustomExtension::from_oid_content(&PRIVATE, NULL.to_vec());
            parameters.custom_extensions.push(extension);
        }
        (parameters.not_before, parameters.not_after) = odds.validity;
        self.issue_for(&parameters, key)
    }

    /// Makes a certificate for a TLS server on this machine.
    ///
    /// # Errors
    /// If the library cannot make it.
    pub fn server(&self, name: &str) -> Result<Credential, rcgen::Error> {
        self.server_at(name, IpAddr::from([127, 0, 0, 1]))
    }

    /// Makes a certificate for a TLS server at this address; those on this machine are `localhost`, too.
    ///
    /// # Errors
    /// If the library cannot make it.
    pub fn server_at(&self, name: &str, address: IpAddr) -> Result<Credential, rcgen::Error> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = subject(name);
        if address.is_loopback() {
            parameters.subject_alt_names.push(SanType::DnsName("localhost".try_into()?));
        }
        parameters.subject_alt_names.push(SanType::IpAddress(address));
        parameters.is_ca = IsCa::ExplicitNoCa;
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        parameters.use_authority_key_identifier_extension = true;
        parameters.not_before = FOUNDED;
        parameters.not_after = FOREVER;
        self.issue(&parameters)
    }

    /// Makes a certificate for a TLS client.
    ///
    /// # Errors
    /// If the library cannot make it.
    pub fn client(&self, name: &str) -> Result<Credential, rcgen::Error> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = subject(name);
        parameters.is_ca = IsCa::ExplicitNoCa;
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        parameters.use_authority_key_identifier_extension = true;
        parameters.not_before = FOUNDED;
        parameters.not_after = FOREVER;
        self.issue(&parameters)
    }

    /// Makes a certificate that signs vouchers.
    ///
    /// # Errors
    /// If the library cannot make it.
    pub fn voucher_signer(&self) -> Result<Credential, rcgen::Error> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = subject("MASA voucher signer, LAB ONLY");
        parameters.is_ca = IsCa::ExplicitNoCa;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.use_authority_key_identifier_extension = true;
        parameters.not_before = FOUNDED;
        parameters.not_after = FOREVER;
        self.issue(&parameters)
    }
}

fn subject(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, "LAB ONLY");
    subject.push(DnType::CommonName, name);
    subject
}

/// An IA5String of less than 128 octets, as every MASA URL of the lab is.
fn masa_url_extension(url: &str) -> CustomExtension {
    let length = u8::try_from(url.len()).unwrap_or(u8::MAX);
    let content = [&[IA5_STRING, length], url.as_bytes()].concat();
    CustomExtension::from_oid_content(&MASA_URL, content)
}

/// A manufacturer: the CA of its devices, its MASA's signer and TLS certificate.
pub struct Manufacturer {
    /// Its name.
    pub name: String,
    /// The CA of its IDevIDs, its MASA's voucher signer and its MASA's TLS.
    pub authority: Authority,
    /// Signs its vouchers.
    pub voucher_signer: Credential,
    /// Its MASA's TLS certificate.
    pub masa_tls: Credential,
}

impl Manufacturer {
    /// Founds a manufacturer whose MASA is on this machine.
    ///
    /// # Errors
    /// If the library cannot make its certificates.
    pub fn new(name: &str) -> Result<Self, rcgen::Error> {
        Self::at(name, IpAddr::from([127, 0, 0, 1]))
    }

    /// Founds a manufacturer whose MASA is at this address.
    ///
    /// # Errors
    /// If the library cannot make its certificates.
    pub fn at(name: &str, masa: IpAddr) -> Result<Self, rcgen::Error> {
        let authority = Authority::new(&format!("{name} CA, LAB ONLY"))?;
        Ok(Self {
            name: name.to_owned(),
            voucher_signer: authority.voucher_signer()?,
            masa_tls: authority.server_at("MASA, LAB ONLY", masa)?,
            authority,
        })
    }
}

/// PEM of a DER value.
#[must_use]
pub fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;

    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<String> =
        text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// Writes a credential as `NAME.pem` and `NAME.key` (mode 0600).
///
/// # Errors
/// What the system says.
pub fn write(folder: &Path, name: &str, credential: &Credential) -> std::io::Result<()> {
    let certificate = pem("CERTIFICATE", &credential.certificate);
    std::fs::write(folder.join(format!("{name}.pem")), certificate)?;
    let key = pem("PRIVATE KEY", credential.key.secret_pkcs8_der());
    write_secret(&folder.join(format!("{name}.key")), &key)
}

pub(crate) fn write_secret(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}
