//! Manufacturers whose devices may join.

use std::path::Path;

use brski_voucher::idevid::MasaUrl;
use brski_voucher::trust::Anchors;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::Service;
use crate::admin::actor::Actor;
use crate::admin::api::manufacturer::{
    ManufacturerChanges, ManufacturerView, NewManufacturer, NewMasaOptions,
};
use crate::admin::problem::{Kind, Problem};
use crate::config::LabAnchors;
use crate::config::danger::lab_manufacturers;
use crate::entropy::row_id;
use crate::secret::{SecretFile, credentials_folder};
use crate::store::Change;
use crate::store::model::{
    AuditTiming, Dialect, EndedIdevid, Entry, Id, IdevidOptions, Manufacturer,
    MasaClientCertificate, MasaOptions, Millis, SerialPlace,
};

/// The longest name of a manufacturer, in octets.
const NAME_OCTETS: usize = 64;
/// The word for a MASA that lives where the IDevIDs say.
const FROM_IDEVID: &str = "idevid";
/// The word for an audit log that is asked for when the configuration says.
const CONFIGURED: &str = "configured";

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
        let row = manufacturer(new, row_id(operator.now), operator.now)?;
        self.refuse_lab_anchors(&row)?;
        let detail = format!("manufacturer {}", row.name);
        let event = operator.event("manufacturer-added", "RFC 8995 §2.8", None, detail);
        let change = Change::AddManufacturer(row.clone());
        self.store.commit(vec![change], vec![event]).await?;
        self.observer.manufacturers_changed().await;
        Ok((&row).into())
    }

    /// Changes settings of a manufacturer.
    ///
    /// # Errors
    /// A problem that names what is wrong with them; a conflict if somebody else changed the manufacturer meanwhile.
    pub async fn change_manufacturer(
        &self,
        actor: &Actor,
        name: &str,
        changes: ManufacturerChanges,
    ) -> Result<ManufacturerView, Problem> {
        let rows = self.store.manufacturers().await?;
        let before = rows.into_iter().find(|row| row.name == name).ok_or_else(|| {
            let error = format!("there is no manufacturer {name:?}");
            Problem::new(Kind::NotFound, error, "'registrar manufacturer list' shows all of them")
        })?;
        let (after, changed) = changed(before.clone(), changes)?;
        if changed.is_empty() {
            let hint = "'registrar manufacturer set --help' shows what can be changed";
            return Err(Problem::invalid("nothing is to be changed", hint));
        }
        self.refuse_lab_anchors(&after)?;
        let detail = format!("manufacturer {name}: {}", changed.join("; "));
        let event = actor.operator(self.now()).event(
            "manufacturer-changed",
            "RFC 8995 §2.3.1, §2.6.2, §2.8",
            None,
            detail,
        );
        let view = (&after).into();
        let change = Change::ChangeManufacturer { before: before.into(), after: after.into() };
        self.store.commit(vec![change], vec![event]).await?;
        self.observer.manufacturers_changed().await;
        Ok(view)
    }

    fn refuse_lab_anchors(&self, row: &Manufacturer) -> Result<(), Problem> {
        let config = self.config.load();
        if config.danger.lab_anchors == LabAnchors::Refused
            && !lab_manufacturers(&config, std::slice::from_ref(row)).is_empty()
        {
            let error = "a certificate says LAB ONLY: its key is guarded by nobody";
            let hint =
                "in a lab, set [danger] allow_lab_anchors = true and start the registrar again";
            return Err(Problem::invalid(error, hint));
        }
        Ok(())
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
        check_url(url)?;
    }
    check_hosts(&new.masa_hosts)?;
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
        entry: entry(new.est_without_brski),
        masa: masa_options(new.masa)?,
        idevid: checked(new.idevid.into())?,
        created_at: now,
    })
}

/// The manufacturer with what changes of it, and that in words.
fn changed(
    mut row: Manufacturer,
    changes: ManufacturerChanges,
) -> Result<(Manufacturer, Vec<String>), Problem> {
    let mut words = change_masa(&mut row, &changes)?;
    if let Some(pem) = &changes.ca {
        row.anchors = anchors("--ca", pem)?;
        words.push(format!("{} anchors of IDevIDs", row.anchors.len()));
    }
    if let Some(pem) = &changes.voucher_ca {
        row.voucher_anchors = anchors("--voucher-ca", pem)?;
        words.push(format!("{} anchors of voucher signers", row.voucher_anchors.len()));
    }
    if let Some(serial) = changes.serial {
        row.idevid = checked(IdevidOptions { serial, ..row.idevid })?;
        words.push(format!("serial numbers from {}", places(&row.idevid.serial)));
    }
    if let Some(accept_ended) = changes.accept_ended {
        row.idevid.ended = if accept_ended { EndedIdevid::Accepted } else { EndedIdevid::Refused };
        let what = if accept_ended { "accepted" } else { "refused" };
        words.push(format!("IDevIDs that have ended are {what}"));
    }
    if let Some(est) = changes.est_without_brski {
        row.entry = entry(est);
        words.push(format!("devices need {}", if est { "no voucher" } else { "a voucher" }));
    }
    Ok((row, words))
}

fn change_masa(
    row: &mut Manufacturer,
    changes: &ManufacturerChanges,
) -> Result<Vec<String>, Problem> {
    let mut words = Vec::new();
    if let Some(url) = changes.masa_url.as_deref() {
        row.masa_url = match url {
            FROM_IDEVID => None,
            url => {
                check_url(url)?;
                Some(url.to_owned())
            }
        };
        words.push(format!("MASA from {url}"));
    }
    if let Some(hosts) = &changes.masa_hosts {
        check_hosts(hosts)?;
        row.masa_hosts.clone_from(hosts);
        let hosts = if hosts.is_empty() { "any public one".to_owned() } else { hosts.join(" ") };
        words.push(format!("MASA hosts {hosts}"));
    }
    if let Some(pem) = changes.masa_ca.as_deref() {
        row.masa_anchors = if pem.is_empty() { Vec::new() } else { anchors("--masa-ca", pem)? };
        words.push(format!("{} anchors of the MASA's TLS certificate", row.masa_anchors.len()));
    }
    if let Some(word) = changes.audit_log.as_deref() {
        row.masa.audit_log = match word {
            CONFIGURED => None,
            word => Some(audit_timing(word)?),
        };
        words.push(format!("audit log {word}"));
    }
    Ok(words)
}

fn entry(est_without_brski: bool) -> Entry {
    match est_without_brski {
        true => Entry::Est,
        false => Entry::Voucher,
    }
}

fn places(serial: &[SerialPlace]) -> String {
    let words: Vec<String> = serial.iter().map(ToString::to_string).collect();
    match words.is_empty() {
        true => SerialPlace::SubjectSerialNumber.to_string(),
        false => words.join(", "),
    }
}

/// The options, if a serial number can be looked for where they say.
fn checked(options: IdevidOptions) -> Result<IdevidOptions, Problem> {
    options.serial_rules().map_err(|error| {
        let hint = "give --serial-from as 'registrar manufacturer add --help' says";
        Problem::invalid(error.to_string(), hint)
    })?;
    Ok(options)
}

fn check_url(url: &str) -> Result<(), Problem> {
    MasaUrl::parse(url).map(|_| ()).map_err(|error| {
        let hint = "give --masa-url as host:port or https://host/path";
        Problem::invalid(error.to_string(), hint)
    })
}

fn check_hosts(hosts: &[String]) -> Result<(), Problem> {
    match hosts.iter().find(|host| !is_host(host)) {
        None => Ok(()),
        Some(host) => {
            let error = format!("{host:?} is neither HOST nor HOST:PORT");
            Err(Problem::invalid(error, "give --masa-host without scheme and path"))
        }
    }
}

fn audit_timing(word: &str) -> Result<AuditTiming, Problem> {
    AuditTiming::parse(word).ok_or_else(|| {
        let words = AuditTiming::WORDS.map(|(word, _)| word).join(", ");
        let error = format!("{word:?} is no time to ask for an audit log");
        Problem::invalid(error, format!("give --audit-log as one of {words}"))
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
    let audit_log = new.audit_log.as_deref().map(audit_timing).transpose()?;
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
