//! Manufacturers whose devices may join.

use std::path::Path;

use brski_voucher::idevid::MasaUrl;
use brski_voucher::trust::Anchors;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::Service;
use crate::admin::actor::Actor;
use crate::admin::api::manufacturer::{ManufacturerView, NewManufacturer, NewMasaOptions};
use crate::admin::problem::Problem;
use crate::config::LabAnchors;
use crate::config::danger::lab_manufacturers;
use crate::entropy::random_id;
use crate::secret::{SecretFile, credentials_folder};
use crate::store::Change;
use crate::store::model::{
    AuditTiming, Dialect, Entry, Id, Manufacturer, MasaClientCertificate, MasaOptions, Millis,
};

/// The longest name of a manufacturer, in octets.
const NAME_OCTETS: usize = 64;

impl Service {
    /// Adds a manufacturer.
    ///
    /// # Errors
    /// A problem that names what is wrong with it.
    pub async fn add_manufacturer(
        &self,
        actor: &Actor,
        new: NewManufacturer,
    ) -> Result<ManufacturerView, Problem> {
        let operator = actor.operator(self.now());
        let row = manufacturer(new, random_id(), operator.now)?;
        let config = self.config.load();
        if config.danger.lab_anchors == LabAnchors::Refused
            && !lab_manufacturers(&config, std::slice::from_ref(&row)).is_empty()
        {
            let error = "a certificate says LAB ONLY: its key is guarded by nobody";
            let hint =
                "in a lab, set [danger] allow_lab_anchors = true and start the registrar again";
            return Err(Problem::invalid(error, hint));
        }
        let detail = format!("manufacturer {}", row.name);
        let event = operator.event("manufacturer-added", "RFC 8995 §2.8", None, detail);
        let change = Change::AddManufacturer(row.clone());
        self.store.commit(vec![change], vec![event]).await?;
        self.observer.manufacturers_changed().await;
        Ok((&row).into())
    }

    /// Lists the manufacturers.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn manufacturers(&self) -> Result<Vec<ManufacturerView>, Problem> {
        Ok(self.store.manufacturers().await?.iter().map(Into::into).collect())
    }
}

fn manufacturer(new: NewManufacturer, id: Id, now: Millis) -> Result<Manufacturer, Problem> {
    let is_legal = (1..=NAME_OCTETS).contains(&new.name.len())
        && new.name.bytes().all(|each| each.is_ascii_alphanumeric() || b"._-".contains(&each));
    if !is_legal {
        let error =
            format!("the name {:?} is none of 1 to 64 letters, digits, '.', '_', '-'", new.name);
        return Err(Problem::invalid(error, "choose another --name"));
    }
    if let Some(url) = &new.masa_url {
        MasaUrl::parse(url).map_err(|error| {
            let hint = "give --masa-url as host:port or https://host/path";
            Problem::invalid(error.to_string(), hint)
        })?;
    }
    if let Some(host) = new.masa_hosts.iter().find(|host| !is_host(host)) {
        let error = format!("{host:?} is neither HOST nor HOST:PORT");
        return Err(Problem::invalid(error, "give --masa-host without scheme and path"));
    }
    let anchors = anchors("--ca", &new.ca)?;
    let masa_anchors = match &new.masa_ca {
        Some(pem) => self::anchors("--masa-ca", pem)?,
        None => Vec::new(),
    };
    let voucher_anchors = match &new.voucher_ca {
        Some(pem) => self::anchors("--voucher-ca", pem)?,
        None => anchors.clone(),
    };
    Ok(Manufacturer {
        id,
        name: new.name,
        anchors,
        masa_url: new.masa_url,
        masa_anchors,
        masa_hosts: new.masa_hosts,
        voucher_anchors,
        entry: match new.est_without_brski {
            true => Entry::Est,
            false => Entry::Voucher,
        },
        masa: masa_options(new.masa)?,
        created_at: now,
    })
}

fn masa_options(new: NewMasaOptions) -> Result<MasaOptions, Problem> {
    let client = match (new.client_certificate.as_deref(), new.client_key) {
        (None | Some("registrar"), None) => MasaClientCertificate::Registrar,
        (Some("none"), None) => MasaClientCertificate::None,
        (Some(certificate), Some(key)) if Path::new(certificate).is_absolute() => {
            secret("--masa-client-key", &key)?;
            MasaClientCertificate::Files { certificate: certificate.to_owned(), key }
        }
        (certificate, _) => {
            let certificate = certificate.unwrap_or_default();
            let error = format!("{certificate:?} is no certificate to show a MASA");
            let hint = "give --masa-client-certificate as registrar, none, or a file with --masa-client-key";
            return Err(Problem::invalid(error, hint));
        }
    };
    if let Some(place) = &new.credential {
        secret("--masa-credential", place)?;
    }
    let audit_log = match new.audit_log.as_deref().map(|word| (word, AuditTiming::parse(word))) {
        None => None,
        Some((_, Some(timing))) => Some(timing),
        Some((word, None)) => {
            let words = AuditTiming::WORDS.map(|(word, _)| word).join(", ");
            let error = format!("{word:?} is no time to ask for an audit log");
            return Err(Problem::invalid(error, format!("give --audit-log as one of {words}")));
        }
    };
    let dialect =
        Dialect { lenient: new.lenient, id_data: new.id_data, old_cose_name: new.old_cose_name };
    Ok(MasaOptions { client, credential: new.credential, audit_log, dialect })
}

/// Checks that a secret can be read, so that its absence is not found out by a device.
fn secret(option: &str, place: &str) -> Result<(), Problem> {
    let read = SecretFile::parse(place).and_then(|file| file.read(credentials_folder().as_deref()));
    read.map(|_| ()).map_err(|error| {
        let hint = format!("give {option} a file of mode 0600, or systemd:NAME");
        Problem::invalid(error.to_string(), hint)
    })
}

fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 260
        && text.bytes().all(|each| each.is_ascii_alphanumeric() || b".-:_[]".contains(&each))
}

fn anchors(option: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let unusable = |reason: String| {
        let error = format!("the file of {option} {reason}");
        Problem::invalid(error, "give a PEM file with CA certificates")
    };
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(format!("is not PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(unusable("holds no certificate".to_owned()));
    }
    Anchors::new(&certificates).map_err(|error| unusable(format!("cannot be used: {error}")))?;
    Ok(certificates)
}
