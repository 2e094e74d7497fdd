//! A manufacturer, a device, a domain and its registrar, made anew for each test.

use std::time::Duration;

use brski_voucher::artefact::{
    Assertion, Binding, Nonce, PledgeRequest, PledgeRequestFields, RegistrarRequest,
    RegistrarRequestFields, Voucher, VoucherFields,
};
use brski_voucher::certificate::Certificate;
use brski_voucher::idevid::{self, SerialNumber};
use brski_voucher::registrar::registrar_request_fields;
use brski_voucher::signature::PrivateKey;
use brski_voucher::trust::{Anchors, ValidityTime};
use brski_voucher::verify::{Unverified, Verified};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, DnValue, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, date_time_ymd,
};
use rustls_pki_types::UnixTime;

/// 2026-06-01T00:00:00Z, when everything here is valid.
pub(crate) const NOW: u64 = 1_780_272_000;
pub(crate) const SERIAL: &str = "00-D0-E5-F2-00-02";
pub(crate) const MASA: &str = "masa.example.com:9443";

pub(crate) fn now() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(NOW))
}

pub(crate) fn at_now() -> ValidityTime {
    ValidityTime::At(now())
}

/// Years after `NOW` when certificates are over.
pub(crate) fn at_year_2050() -> ValidityTime {
    ValidityTime::At(UnixTime::since_unix_epoch(Duration::from_secs(2_524_608_000)))
}

pub(crate) fn serial(text: &str) -> SerialNumber {
    SerialNumber::parse(text).unwrap()
}

pub(crate) fn nonce() -> Nonce {
    Nonce::parse("-_XE9zK9q8Ll1qylMtLKeg").unwrap()
}

/// A certificate with its key.
pub(crate) struct Party {
    pub(crate) certificate: Certificate,
    pub(crate) signer: PrivateKey,
    pub(crate) key: KeyPair,
    pub(crate) params: CertificateParams,
}

impl Party {
    fn new(params: CertificateParams, key: KeyPair, der: &[u8]) -> Self {
        Self {
            certificate: Certificate::from_der(der).unwrap(),
            signer: PrivateKey::from_pkcs8_der(&key.serialize_der()).unwrap(),
            key,
            params,
        }
    }

    pub(crate) fn root(params: CertificateParams, key: KeyPair) -> Self {
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self::new(params, key, &der)
    }

    pub(crate) fn issue(&self, params: CertificateParams, key: KeyPair) -> Self {
        let issuer = Issuer::from_params(&self.params, &self.key);
        let der = params.signed_by(&key, &issuer).unwrap().der().to_vec();
        Self::new(params, key, &der)
    }

    /// A certificate of a key of any kind.
    pub(crate) fn issue_for(&self, params: CertificateParams, key: &KeyPair) -> Certificate {
        let issuer = Issuer::from_params(&self.params, &self.key);
        Certificate::from_der(params.signed_by(key, &issuer).unwrap().der()).unwrap()
    }

    pub(crate) fn anchors(&self) -> Anchors {
        Anchors::new(&[self.certificate.der().clone()]).unwrap()
    }

    pub(crate) fn chain(&self) -> Vec<Certificate> {
        vec![self.certificate.clone()]
    }
}

pub(crate) fn p256() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

pub(crate) fn p384() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap()
}

pub(crate) fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2036, 1, 1);
    params.use_authority_key_identifier_extension = true;
    params
}

pub(crate) fn ca_params(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

pub(crate) fn idevid_params(serial: &str) -> CertificateParams {
    let mut params = params("device");
    let attribute = DnType::CustomDnType(vec![2, 5, 4, 5]);
    params.distinguished_name.push(attribute, DnValue::Utf8String(serial.to_owned()));
    params.custom_extensions.push(masa_extension(0x16, MASA));
    params
}

pub(crate) fn masa_extension(tag: u8, url: &str) -> CustomExtension {
    let content = [&[tag, u8::try_from(url.len()).unwrap()], url.as_bytes()].concat();
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 32], content)
}

pub(crate) fn registrar_params() -> CertificateParams {
    let mut params = params("registrar");
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::Other(vec![1, 3, 6, 1, 5, 5, 7, 3, 28]),
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params
}

/// Everybody.
pub(crate) struct World {
    pub(crate) vendor: Party,
    pub(crate) device: Party,
    pub(crate) masa: Party,
    pub(crate) domain: Party,
    pub(crate) registrar: Party,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_registrar(registrar_params())
    }

    pub(crate) fn with_registrar(registrar: CertificateParams) -> Self {
        let vendor = Party::root(ca_params("vendor CA"), p384());
        let domain = Party::root(ca_params("domain CA"), p384());
        Self {
            device: vendor.issue(idevid_params(SERIAL), p256()),
            masa: vendor.issue(params("masa"), p384()),
            registrar: domain.issue(registrar, p256()),
            vendor,
            domain,
        }
    }

    /// The registrar's certificate, then the domain CA's.
    pub(crate) fn registrar_chain(&self) -> Vec<Certificate> {
        vec![self.registrar.certificate.clone(), self.domain.certificate.clone()]
    }

    pub(crate) fn pledge_fields(&self) -> PledgeRequestFields {
        PledgeRequestFields {
            assertion: Assertion::Proximity,
            serial_number: serial(SERIAL),
            nonce: nonce(),
            created_on: Some(now()),
            proximity_registrar_cert: self.registrar.certificate.der().clone(),
        }
    }

    pub(crate) fn sign_pledge(&self, fields: &PledgeRequestFields) -> Verified<PledgeRequest> {
        let der = fields.sign(&self.device.signer, &self.device.chain(), now()).unwrap();
        Unverified::parse(&der).unwrap().verify_by_key(&self.device.certificate).unwrap()
    }

    pub(crate) fn pledge_request(&self) -> Verified<PledgeRequest> {
        self.sign_pledge(&self.pledge_fields())
    }

    pub(crate) fn registrar_fields(&self) -> RegistrarRequestFields {
        let idevid = &self.device.certificate;
        registrar_request_fields(&self.pledge_request(), idevid, &serial(SERIAL), now())
    }

    pub(crate) fn sign_registrar(
        &self,
        fields: &RegistrarRequestFields,
    ) -> Verified<RegistrarRequest> {
        let chain = self.registrar_chain();
        let der = fields.sign(&self.registrar.signer, &chain, now()).unwrap();
        Unverified::parse(&der).unwrap().verify_presented(at_now()).unwrap()
    }

    pub(crate) fn voucher_fields(&self) -> VoucherFields {
        VoucherFields {
            assertion: Assertion::Proximity,
            serial_number: serial(SERIAL),
            binding: Binding::Nonce(nonce()),
            created_on: now(),
            idevid_issuer: Some(idevid::issuer(&self.device.certificate)),
            pinned_domain_cert: self.domain.certificate.der().clone(),
            domain_cert_revocation_checks: Some(false),
        }
    }

    pub(crate) fn sign_voucher(&self, fields: &VoucherFields) -> Verified<Voucher> {
        let der = fields.sign(&self.masa.signer, &self.masa.chain(), now()).unwrap();
        let voucher = Unverified::parse(&der).unwrap();
        voucher.verify_by_anchors(&self.vendor.anchors(), at_now()).unwrap()
    }
}
