//! Devices that are expected: a CSV file of them, or one.
//!
//! Every line is judged before any is imported, so that a file is mended at once and not line by line.

use std::collections::HashSet;

use brski_voucher::idevid::SerialNumber;

use super::Service;
use crate::admin::actor::Actor;
use crate::admin::api::device::{Import, Imported, NewDevice, WrongLines};
use crate::admin::problem::{FieldProblem, Problem};
use crate::config::DEFAULT_PROFILE;
use crate::entropy::row_id;
use crate::flow::Decision;
use crate::flow::operator::Operator;
use crate::policy::name::device_name;
use crate::store::Change;
use crate::store::model::{Device, DeviceState, Id, Identity, KnownDevice, Manufacturer};

/// How many wrong lines are told.
const TOLD: usize = 1000;
/// The longest text about a device's place, in characters.
const SITE_CHARACTERS: usize = 200;
/// The columns that a file may have; the first two must be there.
const COLUMNS: [&str; 5] = ["serial", "manufacturer", "name", "profile", "site"];

/// A device that passed every check.
pub(super) struct ExpectedDevice {
    manufacturer: Id,
    serial: String,
    name: Option<String>,
    profile: String,
    site: Option<String>,
}

/// The device as it will be, and what to write for it.
pub(super) struct Expected {
    pub(super) known: KnownDevice,
    pub(super) decision: Decision,
}

impl ExpectedDevice {
    pub(super) fn expect(self, operator: &Operator) -> Expected {
        let id = row_id(operator.now);
        let detail = format!("serial number {} is expected", self.serial);
        let event = operator.event("device-expected", "RFC 8995 §5.3", Some(&id), detail);
        let known = KnownDevice {
            device: Device {
                id,
                name: self.name,
                profile: self.profile,
                site: self.site,
                state: DeviceState::Expected,
                created_at: operator.now,
                updated_at: operator.now,
            },
            identity: Identity::Idevid {
                manufacturer: self.manufacturer,
                serial: self.serial,
                seen: None,
            },
        };
        let changes = vec![Change::AddDevice(known.clone())];
        Expected { known, decision: Decision { changes, events: vec![event] } }
    }
}

/// What is wrong with a field of a device.
struct Wrong {
    field: &'static str,
    reason: String,
}

impl Service {
    /// Imports the devices of a CSV file, in one transaction.
    ///
    /// # Errors
    /// A problem with each wrong line; then nothing was imported, unless wrong lines were to be skipped.
    pub async fn import(&self, actor: &Actor, import: &Import) -> Result<Imported, Problem> {
        let (rows, mut wrong) = parse(&import.csv)?;
        let manufacturers = self.store.manufacturers().await?;
        let operator = actor.operator(self.now());
        let mut seen = Seen::default();
        let mut whole = Decision::default();
        let mut imported = 0;
        for (line, new) in rows {
            let judged = match self.judge(&new, &manufacturers).await? {
                Ok(device) => seen.remember(&device).map(|()| device),
                Err(wrong) => Err(wrong),
            };
            match judged {
                Ok(device) => {
                    let decision = device.expect(&operator).decision;
                    whole.changes.extend(decision.changes);
                    whole.events.extend(decision.events);
                    imported += 1;
                }
                Err(Wrong { field, reason }) => {
                    wrong.push(FieldProblem { field: format!("line {line}, {field}"), reason });
                }
            }
        }
        if !wrong.is_empty() && import.wrong_lines == WrongLines::Refuse {
            return Err(wrong_lines(wrong));
        }
        self.commit(whole).await?;
        Ok(Imported { imported, skipped: wrong })
    }

    /// Checks one device that is to be expected.
    pub(super) async fn expected_device(&self, new: &NewDevice) -> Result<ExpectedDevice, Problem> {
        let manufacturers = self.store.manufacturers().await?;
        self.judge(new, &manufacturers).await?.map_err(|Wrong { field, reason }| {
            Problem::invalid(format!("{field}: {reason}"), "mend it and repeat")
        })
    }

    async fn judge(
        &self,
        new: &NewDevice,
        manufacturers: &[Manufacturer],
    ) -> Result<Result<ExpectedDevice, Wrong>, Problem> {
        let device = match self.check(new, manufacturers) {
            Ok(device) => device,
            Err(wrong) => return Ok(Err(wrong)),
        };
        let known = self.store.device_by_serial(&device.manufacturer, &device.serial).await?;
        if let Some(known) = known {
            let state = known.device.state.as_str();
            let reason = format!("{:?} is there already, and {state}", device.serial);
            return Ok(Err(Wrong { field: "serial", reason }));
        }
        if let Some(name) = &device.name {
            let found = self.store.find_devices(name).await?;
            if found.iter().any(|known| known.device.name.as_ref() == Some(name)) {
                let reason = format!("{name:?} is the name of another device");
                return Ok(Err(Wrong { field: "name", reason }));
            }
        }
        Ok(Ok(device))
    }

    /// The checks that ask nobody.
    fn check(
        &self,
        new: &NewDevice,
        manufacturers: &[Manufacturer],
    ) -> Result<ExpectedDevice, Wrong> {
        let serial = SerialNumber::parse(&new.serial)
            .map_err(|error| Wrong { field: "serial", reason: error.to_string() })?;
        let manufacturer =
            manufacturers.iter().find(|row| row.name == new.manufacturer).ok_or_else(|| Wrong {
                field: "manufacturer",
                reason: format!(
                    "there is no manufacturer {:?}; 'registrar manufacturer add' adds one",
                    new.manufacturer
                ),
            })?;
        let profile_name = new.profile.as_deref().unwrap_or(DEFAULT_PROFILE);
        let profile = self
            .profile(profile_name)
            .map_err(|problem| Wrong { field: "profile", reason: problem.detail })?;
        let name = new
            .name
            .as_deref()
            .map(|name| device_name(name, &profile.zone))
            .transpose()
            .map_err(|error| Wrong { field: "name", reason: error.to_string() })?;
        if new.site.as_deref().is_some_and(|site| site.chars().count() > SITE_CHARACTERS) {
            let reason = format!("it is longer than {SITE_CHARACTERS} characters");
            return Err(Wrong { field: "site", reason });
        }
        Ok(ExpectedDevice {
            manufacturer: manufacturer.id.clone(),
            serial: serial.to_string(),
            name,
            profile: profile_name.to_owned(),
            site: new.site.clone(),
        })
    }
}

/// What the lines before had.
#[derive(Default)]
struct Seen {
    serials: HashSet<(Id, String)>,
    names: HashSet<String>,
}

impl Seen {
    fn remember(&mut self, device: &ExpectedDevice) -> Result<(), Wrong> {
        if !self.serials.insert((device.manufacturer.clone(), device.serial.clone())) {
            let reason = format!("{:?} is on a line before, too", device.serial);
            return Err(Wrong { field: "serial", reason });
        }
        match &device.name {
            Some(name) if !self.names.insert(name.clone()) => {
                Err(Wrong { field: "name", reason: format!("{name:?} is on a line before, too") })
            }
            _ => Ok(()),
        }
    }
}

fn wrong_lines(mut wrong: Vec<FieldProblem>) -> Problem {
    let number = wrong.len();
    wrong.truncate(TOLD);
    let mut problem = Problem::invalid(
        match number {
            1 => "1 line is wrong, and nothing was imported".to_owned(),
            _ => format!("{number} lines are wrong, and nothing was imported"),
        },
        "mend them, or import the right ones with --partial",
    );
    problem.errors = wrong;
    problem
}

type Rows = Vec<(usize, NewDevice)>;

/// The rows of a file with their line numbers, and the lines that are no rows.
fn parse(text: &str) -> Result<(Rows, Vec<FieldProblem>), Problem> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| unreadable(&error))?.clone();
    for column in &header {
        if !COLUMNS.contains(&column) {
            let nearest =
                COLUMNS.iter().max_by(|a, b| likeness(column, a).total_cmp(&likeness(column, b)));
            return Err(Problem::invalid(
                format!("line 1: there is no column {column:?}"),
                format!(
                    "columns are {}; did you mean {:?}?",
                    COLUMNS.join(", "),
                    nearest.copied().unwrap_or_default()
                ),
            ));
        }
    }
    for needed in ["serial", "manufacturer"] {
        if !header.iter().any(|column| column == needed) {
            return Err(Problem::invalid(
                format!("line 1: the column {needed:?} is missing"),
                "the first line names the columns: serial,manufacturer,name,profile,site",
            ));
        }
    }
    let (mut rows, mut wrong, mut lines) = (Vec::new(), Vec::new(), Lines::of(text));
    for record in reader.records() {
        match record {
            Ok(record) => {
                let line = lines.at(record.position());
                rows.push((line, row(&header, &record)));
            }
            Err(error) => {
                let line = lines.at(error.position());
                let reason = reason(&error);
                wrong.push(FieldProblem { field: format!("line {line}"), reason });
            }
        }
    }
    Ok((rows, wrong))
}

/// Counts lines as records are read, one after the other. The reader's own count is of no use: it begins a record
/// after CR, before the LF of a file that has both.
struct Lines<'a> {
    text: &'a str,
    octet: usize,
    line: usize,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        Self { text, octet: 0, line: 1 }
    }

    /// The number of the line that a record begins in which stands after those that were asked for before.
    fn at(&mut self, position: Option<&csv::Position>) -> usize {
        let begin = position.and_then(|position| usize::try_from(position.byte()).ok());
        let after = begin.and_then(|begin| self.text.get(begin..)).unwrap_or_default();
        let blank = after.len().saturating_sub(after.trim_start().len());
        let end = begin.unwrap_or(0).saturating_add(blank).max(self.octet);
        let passed = self.text.as_bytes().get(self.octet..end).unwrap_or_default();
        let ends = passed.iter().filter(|octet| **octet == b'\n').count();
        (self.octet, self.line) = (end, self.line.saturating_add(ends));
        self.line
    }
}

fn likeness(column: &str, known: &&&str) -> f64 {
    strsim::jaro_winkler(column, known)
}

fn row(header: &csv::StringRecord, record: &csv::StringRecord) -> NewDevice {
    let column = |name: &str| {
        let position = header.iter().position(|each| each == name);
        let cell = position.and_then(|position| record.get(position));
        cell.filter(|cell| !cell.is_empty()).map(str::to_owned)
    };
    NewDevice {
        serial: column("serial").unwrap_or_default(),
        manufacturer: column("manufacturer").unwrap_or_default(),
        name: column("name"),
        profile: column("profile"),
        site: column("site"),
    }
}

fn unreadable(error: &csv::Error) -> Problem {
    Problem::invalid(
        format!("the file cannot be read: {}", reason(error)),
        "give CSV in UTF-8 whose first line names the columns",
    )
}

fn reason(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("it has {len} fields, and the header {expected_len}")
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_whatever_ends_them() {
        for end in ["\n", "\r\n"] {
            let text =
                ["serial,manufacturer,site", "A,m,\"two", "lines\"", "", "B,m,", "C,m"].join(end);
            let (rows, wrong) = parse(&text).unwrap();
            let rows: Vec<(usize, &str)> =
                rows.iter().map(|(line, new)| (*line, new.serial.as_str())).collect();
            assert_eq!(rows, [(2, "A"), (5, "B")], "{end:?}");
            assert_eq!(wrong[0].field, "line 6", "{end:?}");
        }
    }
}
