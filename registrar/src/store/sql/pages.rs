//! Devices and events a page at a time: each page begins after the last row of the one before it,
//! so that rows that come meanwhile neither repeat nor hide another.

use super::read::KNOWN_DEVICE;
use super::rows;
use super::session::{Result, Session, Value, all, one};
use super::trail;
use crate::store::model::{
    DeviceFilter, DevicePlace, EventFilter, EventPlace, KnownDevice, StoredEvent,
};

/// Up to how many devices that a text fits are gathered by index and sorted; of more, the devices are read in order,
/// since then one comes soon enough.
const FEW: u32 = 2_000;

/// A condition, and the values of its placeholders.
struct Conditions<'a> {
    text: String,
    values: Vec<Value<'a>>,
}

impl<'a> Conditions<'a> {
    fn new() -> Self {
        Self { text: String::new(), values: Vec::new() }
    }

    /// Adds a value and gives its placeholder.
    fn value(&mut self, value: impl Into<Value<'a>>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    fn and(&mut self, condition: &str) {
        self.text.push_str(if self.text.is_empty() { " WHERE " } else { " AND " });
        self.text.push_str(condition);
    }
}

/// The devices that fit a filter, the oldest first, after a place.
pub(super) async fn devices(
    session: &mut dyn Session,
    filter: &DeviceFilter,
    after: Option<&DevicePlace>,
    limit: u32,
) -> Result<Vec<KnownDevice>> {
    let range = filter.text.as_deref().map(Range::of);
    let is_rare = match &range {
        None => false,
        Some(range) => count(session, range).await? < i64::from(FEW),
    };
    let mut conditions = Conditions::new();
    if let Some(range) = &range {
        let condition = range.condition(&mut conditions, is_rare);
        conditions.and(&condition);
    }
    if let Some(state) = filter.state {
        let state = conditions.value(state.as_str());
        conditions.and(&format!("d.state = {state}"));
    }
    if let Some(manufacturer) = &filter.manufacturer {
        let manufacturer = conditions.value(manufacturer);
        conditions.and(&format!("i.manufacturer = {manufacturer}"));
    }
    if let Some(place) = after {
        let (at, id) = (conditions.value(place.created_at), conditions.value(&place.id));
        conditions.and(&format!("(d.created_at, d.id) > ({at}, {id})"));
    }
    let Conditions { text, mut values } = conditions;
    values.push(limit.into());
    let sql = format!("{KNOWN_DEVICE}{text} ORDER BY d.created_at, d.id LIMIT ${}", values.len());
    all(session, &sql, &values, rows::known_device).await
}

/// The texts that begin with a text, as the range that an index knows.
struct Range {
    /// As written, for serial numbers.
    serial: (String, String),
    /// In lower case, for names.
    name: (String, String),
}

impl Range {
    fn of(text: &str) -> Self {
        // No text is after the last character of Unicode.
        let range = |text: String| (text.clone(), format!("{text}\u{10ffff}"));
        Self { serial: range(text.to_owned()), name: range(text.to_lowercase()) }
    }

    fn condition<'a>(&'a self, conditions: &mut Conditions<'a>, is_rare: bool) -> String {
        let (serial, serial_end) =
            (conditions.value(&self.serial.0), conditions.value(&self.serial.1));
        let (name, name_end) = (conditions.value(&self.name.0), conditions.value(&self.name.1));
        match is_rare {
            true => format!(
                "d.id IN (SELECT device FROM identities WHERE serial >= {serial} \
                 AND serial <= {serial_end} \
                 UNION SELECT device FROM names WHERE name >= {name} AND name <= {name_end})"
            ),
            false => format!(
                "((i.serial >= {serial} AND i.serial <= {serial_end}) \
                 OR (n.name >= {name} AND n.name <= {name_end}))"
            ),
        }
    }
}

/// How many rows fit, at most [`FEW`].
async fn count(session: &mut dyn Session, range: &Range) -> Result<i64> {
    let sql = "SELECT count(*) AS number FROM (\
               SELECT device FROM identities WHERE serial >= $1 AND serial <= $2 \
               UNION ALL SELECT device FROM names WHERE name >= $3 AND name <= $4 \
               LIMIT $5) AS fitting";
    let values = [
        Value::from(&range.serial.0),
        Value::from(&range.serial.1),
        Value::from(&range.name.0),
        Value::from(&range.name.1),
        FEW.into(),
    ];
    Ok(one(session, sql, &values, |row| row.integer("number")).await?.unwrap_or_default())
}

/// The events that fit a filter, the oldest first: after a place, or else the newest.
pub(super) async fn events(
    session: &mut dyn Session,
    filter: &EventFilter,
    after: Option<&EventPlace>,
    limit: u32,
) -> Result<Vec<StoredEvent>> {
    let mut conditions = Conditions::new();
    if let Some(device) = &filter.device {
        let device = conditions.value(device);
        conditions.and(&format!("device = {device}"));
    }
    for (column, value) in [("kind", &filter.kind), ("verdict", &filter.verdict)] {
        if let Some(value) = value {
            let value = conditions.value(value);
            conditions.and(&format!("{column} = {value}"));
        }
    }
    if let Some(since) = filter.since {
        let since = conditions.value(since);
        conditions.and(&format!("time >= {since}"));
    }
    if let Some(place) = after {
        let (time, node) = (conditions.value(place.time), conditions.value(&place.node));
        let seq = conditions.value(place.seq);
        conditions.and(&format!("(time, node, seq) > ({time}, {node}, {seq})"));
    }
    let is_newest = filter.since.is_none() && after.is_none();
    let order = if is_newest { "DESC" } else { "ASC" };
    let Conditions { text, mut values } = conditions;
    values.push(limit.into());
    let sql = format!(
        "SELECT * FROM events{text} ORDER BY time {order}, node {order}, seq {order} LIMIT ${}",
        values.len()
    );
    let mut events = all(session, &sql, &values, trail::event).await?;
    if is_newest {
        events.reverse();
    }
    Ok(events)
}
