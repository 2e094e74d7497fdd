//! Manufacturers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::moment;
use crate::store::model::{
    Dialect, EndedIdevid, Entry, IdevidOptions, Manufacturer, MasaClientCertificate, MasaOptions,
    SerialPlace,
};

/// A manufacturer to add.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewManufacturer {
    /// The operator's name for it: 1 to 64 letters, digits, '.', '_', '-'.
    #[schema(pattern = "^[A-Za-z0-9._-]{1,64}$")]
    pub name: String,
    /// PEM: the anchors of its IDevIDs.
    pub ca: String,
    /// Overrides the MASA URL of the IDevIDs.
    pub masa_url: Option<String>,
    /// PEM: the anchors of its MASA's TLS certificate.
    pub masa_ca: Option<String>,
    /// The hosts that its MASA may have.
    #[serde(default)]
    pub masa_hosts: Vec<String>,
    /// PEM: the anchors of its voucher signers; those of its IDevIDs if left out.
    pub voucher_ca: Option<String>,
    /// Whether its devices may enroll with their IDevID alone, if an operator expects or approves them.
    #[serde(default)]
    pub est_without_brski: bool,
    /// How its MASA is spoken to.
    #[serde(default)]
    pub masa: NewMasaOptions,
    /// What its IDevIDs are like.
    #[serde(default)]
    pub idevid: IdevidView,
}

/// What a manufacturer's IDevIDs are like where that is not what RFC 8995 asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IdevidView {
    /// Where the serial number stands, at most 8 places: the first that has one counts; none: the subject's serialNumber.
    pub serial: Vec<SerialPlace>,
    /// Whether devices may join whose IDevID has ended.
    pub accept_ended: bool,
}

impl From<&IdevidOptions> for IdevidView {
    fn from(options: &IdevidOptions) -> Self {
        let accept_ended = options.ended == EndedIdevid::Accepted;
        Self { serial: options.serial.clone(), accept_ended }
    }
}

impl From<IdevidView> for IdevidOptions {
    fn from(view: IdevidView) -> Self {
        let ended = match view.accept_ended {
            true => EndedIdevid::Accepted,
            false => EndedIdevid::Refused,
        };
        Self { serial: view.serial, ended }
    }
}

/// What changes of a manufacturer; what is left out stays as it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ManufacturerChanges {
    /// Where the serial number of its IDevIDs stands; empty: the subject's serialNumber.
    pub serial: Option<Vec<SerialPlace>>,
    /// Whether devices may join whose IDevID has ended.
    pub accept_ended: Option<bool>,
    /// Whether its devices may enroll with their IDevID alone, if an operator expects or approves them.
    pub est_without_brski: Option<bool>,
    /// When the audit log is asked for: "before-voucher", "after-status", "off", or "configured" for what the
    /// configuration says.
    pub audit_log: Option<String>,
    /// Where its MASA lives; "idevid" for where the IDevIDs say.
    pub masa_url: Option<String>,
    /// The hosts that its MASA may have; empty: any public one.
    pub masa_hosts: Option<Vec<String>>,
    /// PEM: all anchors of its IDevIDs from now on.
    pub ca: Option<String>,
    /// PEM: all anchors of its MASA's TLS certificate from now on; empty: those of the operating system.
    pub masa_ca: Option<String>,
    /// PEM: all anchors of its voucher signers from now on.
    pub voucher_ca: Option<String>,
}

/// How a MASA is spoken to.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NewMasaOptions {
    /// The certificate that it is shown in TLS: "registrar" (also if left out), "none", or a PEM file on the
    /// registrar's machine.
    pub client_certificate: Option<String>,
    /// The file with the key of that certificate: PKCS#8 PEM, mode 0600; or `systemd:NAME`.
    pub client_key: Option<String>,
    /// The file with `USER:PASSWORD` for HTTP Basic and Digest, mode 0600; or `systemd:NAME`.
    pub credential: Option<String>,
    /// When the audit log is asked for: "before-voucher", "after-status" or "off"; as the configuration says if left out.
    pub audit_log: Option<String>,
    /// Whether more of what encoders do wrong is read all the same.
    pub lenient: bool,
    /// Whether CMS is written with content type id-data.
    pub id_data: bool,
    /// Whether COSE is sent as application/voucher-cose+cbor.
    pub old_cose_name: bool,
}

/// A manufacturer as it is shown.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ManufacturerView {
    /// Identifier.
    pub id: String,
    /// The operator's name for it.
    pub name: String,
    /// How many anchors its IDevIDs have.
    pub anchors: usize,
    /// Where its MASA lives, if the operator says so.
    pub masa_url: Option<String>,
    /// The hosts that its MASA may have; empty: any public one.
    pub masa_hosts: Vec<String>,
    /// How many anchors its voucher signers have.
    pub voucher_anchors: usize,
    /// Whether its devices may enroll with their IDevID alone, if an operator expects or approves them.
    pub est_without_brski: bool,
    /// How its MASA is spoken to.
    pub masa: MasaView,
    /// What its IDevIDs are like.
    pub idevid: IdevidView,
    /// When it was added.
    pub created_at: String,
}

/// How a MASA is spoken to, as it is shown; of secrets, where they are kept.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MasaView {
    /// The certificate that it is shown in TLS: "registrar", "none", or a file.
    pub client_certificate: String,
    /// Where the name and password for it are kept.
    pub credential: Option<String>,
    /// When the audit log is asked for, if the operator says so for this manufacturer.
    pub audit_log: Option<String>,
    /// Whether more of what encoders do wrong is read all the same.
    pub lenient: bool,
    /// Whether CMS is written with content type id-data.
    pub id_data: bool,
    /// Whether COSE is sent as application/voucher-cose+cbor.
    pub old_cose_name: bool,
}

impl From<&MasaOptions> for MasaView {
    fn from(options: &MasaOptions) -> Self {
        let Dialect { lenient, id_data, old_cose_name } = options.dialect;
        Self {
            client_certificate: match &options.client {
                MasaClientCertificate::Registrar => "registrar".to_owned(),
                MasaClientCertificate::None => "none".to_owned(),
                MasaClientCertificate::Files { certificate, .. } => certificate.clone(),
            },
            credential: options.credential.clone(),
            audit_log: options.audit_log.map(|timing| timing.as_str().to_owned()),
            lenient,
            id_data,
            old_cose_name,
        }
    }
}

impl From<&Manufacturer> for ManufacturerView {
    fn from(row: &Manufacturer) -> Self {
        Self {
            id: row.id.to_string(),
            name: row.name.clone(),
            anchors: row.anchors.len(),
            masa_url: row.masa_url.clone(),
            masa_hosts: row.masa_hosts.clone(),
            voucher_anchors: row.voucher_anchors.len(),
            est_without_brski: row.entry == Entry::Est,
            masa: (&row.masa).into(),
            idevid: (&row.idevid).into(),
            created_at: moment(row.created_at),
        }
    }
}
