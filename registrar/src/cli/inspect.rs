//! `registrar inspect`: what is this file?

use std::path::PathBuf;

use brski_est::certs_only;
use brski_est::csr::Csr;
use brski_est::transfer;
use brski_voucher::artefact::{PledgeRequest, RegistrarRequest, Voucher};
use brski_voucher::certificate::Certificate;
use brski_voucher::verify::Unverified;
use clap::Args;

use super::Failed;
use super::table::clean;
use crate::store::model::hex;

#[derive(Debug, Args)]
pub(super) struct InspectOptions {
    /// A file: DER, PEM or base64
    file: PathBuf,
}

pub(super) fn inspect(options: &InspectOptions) -> Result<(), Failed> {
    let path = options.file.display();
    let octets = std::fs::read(&options.file)
        .map_err(|error| Failed::new(format!("{path}: cannot be read: {error}")))?;
    let der = transfer::decode(&octets).map_err(|error| Failed::new(format!("{path}: {error}")))?;
    let text = describe(&der).ok_or_else(|| {
        Failed::new(format!(
            "{path}: is no certificate, CSR, voucher, voucher request or certs-only message"
        ))
    })?;
    print!("{text}");
    Ok(())
}

fn describe(der: &[u8]) -> Option<String> {
    if let Ok(voucher) = Unverified::<Voucher>::parse(der) {
        return Some(artefact("voucher", voucher.content(), voucher.certificates()));
    }
    if let Ok(request) = Unverified::<PledgeRequest>::parse(der) {
        // Both requests have one root; what the registrar's holds tells them apart.
        let registrar = Unverified::<RegistrarRequest>::parse(der)
            .ok()
            .filter(|request| request.content().prior_signed_voucher_request().is_some());
        return Some(match registrar {
            Some(request) => {
                artefact("registrar's voucher request", request.content(), request.certificates())
            }
            None => artefact("pledge's voucher request", request.content(), request.certificates()),
        });
    }
    if let Ok(certificate) = Certificate::from_der(der) {
        return Some(format!("certificate\n{}", self::certificate(&certificate)));
    }
    if let Ok(csr) = Csr::parse(der) {
        return Some(self::csr(csr));
    }
    let certificates = certs_only::decode(der).ok()?;
    let mut text = format!("certs-only message with {} certificates\n", certificates.len());
    for der in certificates {
        let certificate = Certificate::from_der(&der).ok()?;
        text.push_str(&self::certificate(&certificate));
    }
    Some(text)
}

fn artefact(kind: &str, content: &impl std::fmt::Debug, certificates: &[Certificate]) -> String {
    let mut text = format!("{kind} (signature not verified)\n{content:#?}\n");
    for certificate in certificates {
        text.push_str("carries\n");
        text.push_str(&self::certificate(certificate));
    }
    text
}

fn certificate(certificate: &Certificate) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        text.push_str(&format!("  {name:<16} {}\n", clean(value)));
    };
    line("SHA-256", &hex(&certificate.fingerprint()));
    line("serial", &hex(certificate.serial()));
    line(
        "valid",
        &format!("{} to {} (Unix seconds)", certificate.not_before(), certificate.not_after()),
    );
    if let Some(serial) = certificate.subject_serial_number() {
        line("device serial", serial);
    }
    if let Some(url) = certificate.masa_url_extension() {
        line("MASA", url);
    }
    for name in certificate.dns_names() {
        line("DNS name", name);
    }
    line("CA", if certificate.is_ca() { "yes" } else { "no" });
    text
}

fn csr(csr: Csr) -> String {
    let names: Vec<String> = csr
        .subject_alt_names()
        .map(|names| names.iter().map(ToString::to_string).collect())
        .unwrap_or_default();
    let key = csr.key_algorithm();
    let extensions: Vec<String> =
        csr.extensions().iter().map(|extension| extension.oid().to_owned()).collect();
    let proof = match csr.prove() {
        Ok(_) => "holds".to_owned(),
        Err(error) => error.to_string(),
    };
    format!(
        "CSR\n  key              {key}\n  names            {}\n  extensions       {}\n  signature        {proof}\n",
        clean(&names.join(", ")),
        extensions.join(", "),
    )
}
