//! What is reported of devices: tables for people, JSON objects for programs.

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::pledge::journey::Enrolled;

/// A device that made it.
#[derive(Debug, Serialize)]
pub struct DeviceReport {
    /// Its serial number.
    pub serial: String,
    /// Its name.
    pub name: String,
    /// The names in its certificate.
    pub san: Vec<String>,
    /// The CA that issued it.
    pub issuer: String,
    /// The certificate's serial number, hexadecimal.
    pub certificate_serial: String,
    /// Start of its validity: RFC 3339.
    pub not_before: String,
    /// End of its validity: RFC 3339.
    pub not_after: String,
    /// How long each phase took, in milliseconds.
    pub phases_ms: PhasesReport,
}

/// How long each phase took, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PhasesReport {
    /// From the first connection to the accepted voucher.
    pub voucher: u128,
    /// From `/cacerts` to the checked certificate.
    pub enroll: u128,
    /// The new connection and the report.
    pub status: u128,
}

impl DeviceReport {
    /// The report of a device.
    #[must_use]
    pub fn of(enrolled: &Enrolled) -> Self {
        let certificate = &enrolled.certificate;
        let san: Vec<String> = certificate.dns_names().into_iter().map(str::to_owned).collect();
        Self {
            serial: enrolled.serial.clone(),
            name: san.first().cloned().unwrap_or_default(),
            san,
            issuer: enrolled.issuer.clone(),
            certificate_serial: hexadecimal(certificate.serial()),
            not_before: date(certificate.not_before()),
            not_after: date(certificate.not_after()),
            phases_ms: PhasesReport {
                voucher: enrolled.phases.voucher.as_millis(),
                enroll: enrolled.phases.enroll.as_millis(),
                status: enrolled.phases.status.as_millis(),
            },
        }
    }
}

/// A table of devices, for people.
#[must_use]
pub fn devices(devices: &[DeviceReport]) -> String {
    let header =
        ["DEVICE", "NAME", "ISSUER", "CERTIFICATE", "VALID UNTIL", "VOUCHER", "ENROLL", "STATUS"];
    let rows: Vec<Vec<String>> = devices.iter().map(|device| row(device).into()).collect();
    table(&header, &rows)
}

/// A table, each column as wide as its widest cell.
#[must_use]
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let title = header.get(column).map_or(0, |title| title.len());
        cells.map(|cell| cell.chars().count()).chain([title]).max().unwrap_or(0)
    };
    let mut line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells
            .iter()
            .enumerate()
            .map(|(column, cell)| format!("{cell:<width$}", width = width(column)))
            .collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    };
    line(header.to_vec());
    for row in rows {
        line(row.iter().map(String::as_str).collect());
    }
    text
}

fn row(device: &DeviceReport) -> [String; 8] {
    let milliseconds = |value: u128| format!("{value} ms");
    // The beginning of a serial number tells certificates apart.
    let certificate: String = device.certificate_serial.chars().take(16).collect();
    [
        device.serial.clone(),
        device.name.clone(),
        device.issuer.clone(),
        certificate,
        device.not_after.clone(),
        milliseconds(device.phases_ms.voucher),
        milliseconds(device.phases_ms.enroll),
        milliseconds(device.phases_ms.status),
    ]
}

/// Octets as hexadecimal digits.
pub(crate) fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// A time in RFC 3339. `seconds`: since the epoch, UTC.
pub(crate) fn date(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|moment| moment.format(&Rfc3339).ok())
        .unwrap_or_else(|| seconds.to_string())
}
