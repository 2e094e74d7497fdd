//! The section `[danger]`: what makes a registrar weaker than it should be, each with its own key (RFC 8995 §7.3).

use std::path::{Path, PathBuf};

use brski_voucher::certificate::Certificate;

use super::{Config, IssuerConfig, Problem, raw};
use crate::identity::read_certificates;
use crate::store::model::Manufacturer;

/// What certificates of a lab say in their subject; their keys are made anew each time, and kept by nobody.
const LAB: &str = "LAB ONLY";

/// What makes a registrar weaker than it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Danger {
    /// Whether certificates of a lab are good for anything.
    pub lab_anchors: LabAnchors,
    /// The manufacturer whose device every client counts as whose certificate no manufacturer vouches for.
    pub any_device_as: Option<String>,
}

/// Whether certificates of a lab are good for anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LabAnchors {
    /// A registrar that has one does not start.
    #[default]
    Refused,
    /// They are as good as others.
    Allowed,
}

impl From<raw::Danger> for Danger {
    fn from(raw: raw::Danger) -> Self {
        let lab_anchors = match raw.allow_lab_anchors {
            true => LabAnchors::Allowed,
            false => LabAnchors::Refused,
        };
        Self { lab_anchors, any_device_as: raw.accept_any_device_as }
    }
}

/// Whether a certificate is one of a lab.
#[must_use]
pub fn is_of_lab(certificate: &Certificate) -> bool {
    certificate.subject_text().contains(LAB)
}

/// The certificates of a lab that the configuration names.
#[must_use]
pub fn lab_certificates(config: &Config) -> Vec<Problem> {
    let mut found = Vec::new();
    for (key, path) in certificate_files(config) {
        // What cannot be read is said elsewhere.
        let certificates = read_certificates(path).unwrap_or_default();
        if let Some(certificate) = certificates.iter().find(|each| is_of_lab(each)) {
            let subject = certificate.subject_text();
            let reason = format!("{} holds {subject:?}, which is good for a lab", path.display());
            found.push(config.problem(&key, format!("{reason}: {REMEDY}")));
        }
    }
    found
}

/// The same of the manufacturers in the store.
#[must_use]
pub fn lab_manufacturers(config: &Config, manufacturers: &[Manufacturer]) -> Vec<Problem> {
    let is_lab = |row: &&Manufacturer| {
        let anchors = row.anchors.iter().chain(&row.masa_anchors).chain(&row.voucher_anchors);
        anchors.filter_map(|der| Certificate::from_der(der).ok()).any(|each| is_of_lab(&each))
    };
    let told = |row: &Manufacturer| {
        let name = &row.name;
        let reason = format!("manufacturer {name:?} has an anchor that is good for a lab");
        config.problem("danger.allow_lab_anchors", format!("{reason}: {REMEDY}"))
    };
    manufacturers.iter().filter(is_lab).map(told).collect()
}

/// What somebody may regret, said at each start and by `registrar check`.
#[must_use]
pub fn warnings(danger: &Danger) -> Vec<(&'static str, String)> {
    let mut warnings = Vec::new();
    if danger.lab_anchors == LabAnchors::Allowed {
        let reason = "is true: certificates whose keys nobody guards are trusted".to_owned();
        warnings.push(("danger.allow_lab_anchors", reason));
    }
    if let Some(name) = &danger.any_device_as {
        let reason = format!(
            "is set: whoever comes with any certificate counts as a device of {name:?}, unproven"
        );
        warnings.push(("danger.accept_any_device_as", reason));
    }
    warnings
}

const REMEDY: &str = "'registrar serve' refuses it, unless [danger] allow_lab_anchors = true";

impl Config {
    fn problem(&self, key: &str, reason: String) -> Problem {
        Problem { file: self.file.clone(), key: key.to_owned(), reason }
    }
}

fn certificate_files(config: &Config) -> Vec<(String, &Path)> {
    let mut files: Vec<(String, &PathBuf)> = vec![
        ("identity.certificate".to_owned(), &config.identity.certificate),
        ("identity.domain_ca".to_owned(), &config.identity.domain_ca),
    ];
    for (name, issuer) in &config.issuers {
        let mut add = |key: &str, file| files.push((format!("issuer.{name}.{key}"), file));
        match issuer {
            IssuerConfig::Local(local) => add("certificate", &local.certificate),
            IssuerConfig::Acme(acme) => {
                acme.directory_ca.iter().for_each(|file| add("directory_ca", file));
                acme.root.iter().for_each(|file| add("root", file));
            }
        }
    }
    if let Some(file) = &config.admin.client_ca {
        files.push(("admin.client_ca".to_owned(), file));
    }
    files.into_iter().map(|(key, file)| (key, file.as_path())).collect()
}
