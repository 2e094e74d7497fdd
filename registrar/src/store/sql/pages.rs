//! Devices and events a page at a time: each page begins after the last row of the one before it,
//! so that rows that come meanwhile neither repeat nor hide another.

use super::read::KNOWN_DEVICE;
use super::rows;
use super::session::{Result, Session, Value, all, one};
use super::trail;
use crate::store::model::{
    DeviceFilter, DevicePlace, EventFilter, EventPlace, KnownDevice, StoredEvent,
};

/// So many rows are sorted in no time.
const FEW: u32 = 5_000;

/// A condition, and the values of its placeholders.
pub(super) struct Conditions<'a> {
    text: String,
    values: Vec<Value<'a>>,
}

impl<'a> Conditions<'a> {
    pub(super) fn new() -> Self {
        Self { text: String::new(), values: Vec::new() }
    }

    /// Adds a value and gives its placeholder.
    pub(super) fn value(&mut self, value: impl Into<Value<'a>>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    pub(super) fn and(&mut self, condition: &str) {
        self.text.push_str(if self.text.is_empty() { " WHERE " } else { " AND " });
        self.text.push_str(condition);
    }

    /// The `WHERE` clause, if any, and the values.
    pub(super) fn parts(self) -> (String, Vec<Value<'a>>) {
        (self.text, self.values)
    }
}

/// The devices that fit a filter, after a place.
pub(super) async fn devices(
    session: &mut dyn Session,
    filter: &DeviceFilter,
    after: Option<&DevicePlace>,
    limit: u32,
) -> Result<Vec<KnownDevice>> {
    let Some(text) = &filter.text else {
        return by_age(session, filter, after, limit).await;
    };
    let by = way(session, filter).await?;
    let mut found = Vec::new();
    if !matches!(after, Some(DevicePlace::Serial { .. })) {
        found = by_name(session, filter, by, text, after, limit).await?;
    }
    let rest = limit.saturating_sub(u32::try_from(found.len()).unwrap_or(limit));
    if rest > 0 {
        found.extend(by_serial(session, filter, by, text, after, rest).await?);
    }
    Ok(found)
}

/// Whether rows are found by a condition's own index, or the order's index is walked and the condition asked of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Condition,
    Order,
}

impl By {
    /// A column as a condition names it: of an expression no index is used.
    fn column(self, column: &str) -> String {
        match self {
            Self::Condition => column.to_owned(),
            Self::Order => format!("{column} || ''"),
        }
    }
}

/// The conditions that do not depend on the order.
fn conditions(filter: &DeviceFilter, by: By) -> Conditions<'_> {
    let mut conditions = Conditions::new();
    if let Some(state) = filter.state {
        let state = conditions.value(state.as_str());
        conditions.and(&format!("{} = {state}", by.column("d.state")));
    }
    if let Some(manufacturer) = &filter.manufacturer {
        let manufacturer = conditions.value(manufacturer);
        conditions.and(&format!("{} = {manufacturer}", by.column("i.manufacturer")));
    }
    conditions
}

/// How to search by a text: where few rows fit the rest of the filter, they are sorted; else the texts are walked, and
/// the next row that fits is near.
async fn way(session: &mut dyn Session, filter: &DeviceFilter) -> Result<By> {
    let mut all = Vec::new();
    if let Some(state) = filter.state {
        let sql = "SELECT count(*) AS rows FROM \
                   (SELECT 1 AS it FROM devices WHERE state = $1 LIMIT $2) AS few";
        all.push((sql, Value::from(state.as_str())));
    }
    if let Some(manufacturer) = &filter.manufacturer {
        let sql = "SELECT count(*) AS rows FROM \
                   (SELECT 1 AS it FROM identities WHERE manufacturer = $1 LIMIT $2) AS few";
        all.push((sql, Value::from(manufacturer)));
    }
    for (sql, value) in all {
        let found = one(session, sql, &[value, FEW.into()], |row| row.integer("rows")).await?;
        if found.unwrap_or(0) < i64::from(FEW) {
            return Ok(By::Condition);
        }
    }
    Ok(By::Order)
}

async fn page(
    session: &mut dyn Session,
    conditions: Conditions<'_>,
    order: &str,
    limit: u32,
) -> Result<Vec<KnownDevice>> {
    let Conditions { text, mut values } = conditions;
    values.push(limit.into());
    let sql = format!("{KNOWN_DEVICE}{text} ORDER BY {order} LIMIT ${}", values.len());
    all(session, &sql, &values, rows::known_device).await
}

async fn by_age(
    session: &mut dyn Session,
    filter: &DeviceFilter,
    after: Option<&DevicePlace>,
    limit: u32,
) -> Result<Vec<KnownDevice>> {
    let mut conditions = conditions(filter, By::Condition);
    if let Some(DevicePlace::Age { created_at, id }) = after {
        let (at, id) = (conditions.value(*created_at), conditions.value(id));
        conditions.and(&format!("(d.created_at, d.id) > ({at}, {id})"));
    }
    page(session, conditions, "d.created_at, d.id", limit).await
}

/// The end of the texts that begin with a text: no text is after the last character of Unicode.
fn end(text: &str) -> String {
    format!("{text}\u{10ffff}")
}

async fn by_name(
    session: &mut dyn Session,
    filter: &DeviceFilter,
    by: By,
    text: &str,
    after: Option<&DevicePlace>,
    limit: u32,
) -> Result<Vec<KnownDevice>> {
    let first = text.to_lowercase();
    let last = end(&first);
    let mut conditions = conditions(filter, by);
    // One lower bound alone: of two, SQLite may take the first and walk from there to the place.
    let begin = match after {
        Some(DevicePlace::Name(name)) if *name >= first => {
            format!("n.name > {}", conditions.value(name))
        }
        _ => format!("n.name >= {}", conditions.value(&first)),
    };
    let most = conditions.value(&last);
    conditions.and(&format!("{begin} AND n.name <= {most}"));
    page(session, conditions, "n.name", limit).await
}

/// Those whose serial number fits and whose name does not, so that no device comes twice.
async fn by_serial(
    session: &mut dyn Session,
    filter: &DeviceFilter,
    by: By,
    text: &str,
    after: Option<&DevicePlace>,
    limit: u32,
) -> Result<Vec<KnownDevice>> {
    let (last, name) = (end(text), text.to_lowercase());
    let name_last = end(&name);
    let mut conditions = conditions(filter, by);
    // The lower bound is the place's own, where there is one: else each page would begin at the first row.
    let begin = match after {
        Some(DevicePlace::Serial { serial, .. }) if serial.as_str() > text => serial.as_str(),
        _ => text,
    };
    let (least, most) = (conditions.value(begin), conditions.value(&last));
    conditions.and(&format!("i.serial >= {least} AND i.serial <= {most}"));
    let (least, most) = (conditions.value(&name), conditions.value(&name_last));
    conditions.and(&format!("(n.name IS NULL OR n.name < {least} OR n.name > {most})"));
    if let Some(DevicePlace::Serial { serial, id }) = after {
        let (serial, id) = (conditions.value(serial), conditions.value(id));
        conditions.and(&format!("(i.serial, d.id) > ({serial}, {id})"));
    }
    page(session, conditions, "i.serial, d.id", limit).await
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
    if filter.verdict.as_deref().is_some_and(|verdict| ["failed", "refused"].contains(&verdict)) {
        // The condition of the index events_failed, in its words.
        conditions.and("verdict IN ('failed', 'refused')");
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
