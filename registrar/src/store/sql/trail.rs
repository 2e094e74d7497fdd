//! Events and checkpoints as rows.

use super::session::{Result, Row, Session, Value, all, corrupt, one, storable};
use crate::policy::timekeeping;
use crate::store::chain;
use crate::store::model::{
    Checkpoint, CheckpointKind, Event, Head, Id, Millis, NodeSettings, Sha256, StoredEvent,
};
use crate::store::{Conflict, StoreError};

/// The newest event of a node; after a pruning that left none, what the checkpoint says of it.
pub(super) async fn head(session: &mut dyn Session, node: &str) -> Result<Head> {
    let read = |row: &mut Row| Ok(Head { seq: row.integer("seq")?, hash: row.sha256("hash")? });
    for sql in [
        "SELECT seq, hash FROM events WHERE node = $1 ORDER BY seq DESC LIMIT 1",
        "SELECT seq, hash FROM checkpoints WHERE node = $1 ORDER BY seq DESC LIMIT 1",
    ] {
        if let Some(head) = one(session, sql, &[node.into()], read).await? {
            return Ok(head);
        }
    }
    Ok(Head::START)
}

/// Appends an event to the chain of its node.
pub(super) async fn append(
    session: &mut dyn Session,
    node: &str,
    head: Head,
    event: &Event,
) -> Result<Head> {
    let event = Event {
        peer: storable(&event.peer).into_owned(),
        detail: storable(&event.detail).into_owned(),
        correlation: storable(&event.correlation).into_owned(),
        ..event.clone()
    };
    let next = chain::extend(head, node, &event);
    let sql = "INSERT INTO events (node, seq, time, kind, verdict, device, peer, clause, detail, \
               correlation, previous, hash) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    let values = [
        node.into(),
        next.seq.into(),
        event.time.into(),
        event.kind.into(),
        event.verdict.as_str().into(),
        event.device.as_ref().map(Id::as_str).into(),
        Value::from(&event.peer),
        event.clause.into(),
        Value::from(&event.detail),
        Value::from(&event.correlation),
        Value::from(&head.hash),
        Value::from(&next.hash),
    ];
    session.execute(sql, &values).await?;
    Ok(next)
}

pub(super) fn event(row: &mut Row) -> Result<StoredEvent> {
    Ok(StoredEvent {
        node: row.text("node")?,
        seq: row.integer("seq")?,
        time: row.millis("time")?,
        kind: row.text("kind")?,
        verdict: row.text("verdict")?,
        device: row.optional_text("device")?.map(Id::from_stored),
        peer: row.text("peer")?,
        clause: row.text("clause")?,
        detail: row.text("detail")?,
        correlation: row.text("correlation")?,
        previous: row.sha256("previous")?,
        hash: row.sha256("hash")?,
    })
}

fn checkpoint(row: &mut Row) -> Result<Checkpoint> {
    let kind = row.text("kind")?;
    Ok(Checkpoint {
        node: row.text("node")?,
        seq: row.integer("seq")?,
        kind: CheckpointKind::parse(&kind).ok_or_else(|| corrupt("kind", &kind))?,
        hash: row.sha256("hash")?,
        time: row.millis("time")?,
        spki: row.sha256("spki")?,
        signature: row.blob("signature")?,
    })
}

/// How many statements about newest events are kept: each vouches for all before it.
const HEADS: i64 = 100;

/// Keeps a checkpoint; the same one twice is kept once, and of the oldest ones some leave.
pub(super) async fn add_checkpoint(
    session: &mut dyn Session,
    checkpoint: &Checkpoint,
) -> Result<()> {
    let sql = "DELETE FROM checkpoints WHERE node = $1 AND kind = 'head' AND seq < \
               (SELECT seq FROM checkpoints WHERE node = $1 AND kind = 'head' \
               ORDER BY seq DESC LIMIT 1 OFFSET $2)";
    session.execute(sql, &[Value::from(&checkpoint.node), (HEADS - 2).into()]).await?;
    let sql = "INSERT INTO checkpoints (node, seq, kind, hash, time, spki, signature) \
               VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
    let values = [
        Value::from(&checkpoint.node),
        checkpoint.seq.into(),
        checkpoint.kind.as_str().into(),
        Value::from(&checkpoint.hash),
        checkpoint.time.into(),
        Value::from(&checkpoint.spki),
        Value::from(&checkpoint.signature),
    ];
    session.execute(sql, &values).await?;
    Ok(())
}

/// Removes the events up to a checkpoint, which takes their place, and the checkpoints that it makes needless.
pub(super) async fn prune(session: &mut dyn Session, checkpoint: &Checkpoint) -> Result<()> {
    let sql = "SELECT hash FROM events WHERE node = $1 AND seq = $2";
    let place = [Value::from(&checkpoint.node), checkpoint.seq.into()];
    let hash: Option<Sha256> = one(session, sql, &place, |row| row.sha256("hash")).await?;
    // Another node may have pruned it already.
    if hash != Some(checkpoint.hash) {
        return Err(StoreError::Conflict(Conflict::Missing));
    }
    session.execute("DELETE FROM events WHERE node = $1 AND seq <= $2", &place).await?;
    session.execute("DELETE FROM checkpoints WHERE node = $1 AND seq <= $2", &place).await?;
    add_checkpoint(session, checkpoint).await
}

pub(super) async fn checkpoints(session: &mut dyn Session, node: &str) -> Result<Vec<Checkpoint>> {
    let sql = "SELECT node, seq, kind, hash, time, spki, signature FROM checkpoints \
               WHERE node = $1 ORDER BY seq";
    all(session, sql, &[node.into()], checkpoint).await
}

/// The nodes that have a chain.
pub(super) async fn nodes(session: &mut dyn Session) -> Result<Vec<String>> {
    // A loose index scan by hand: a chain may have millions of rows.
    let mut nodes: Vec<String> = Vec::new();
    for table in ["events", "checkpoints"] {
        let sql = format!("SELECT node FROM {table} WHERE node > $1 ORDER BY node LIMIT 1");
        let mut last = String::new();
        while let Some(node) =
            one(session, &sql, &[Value::from(&last)], |row| row.text("node")).await?
        {
            last.clone_from(&node);
            nodes.push(node);
        }
    }
    nodes.sort();
    nodes.dedup();
    Ok(nodes)
}

/// When the newest event was that counts for the clock.
pub(super) async fn newest_time(session: &mut dyn Session) -> Result<Option<Millis>> {
    let sql = "SELECT time FROM events AS e WHERE NOT EXISTS (SELECT 1 FROM cursors AS c \
               WHERE c.reader = $1 AND c.node = e.node AND c.seq >= e.seq) \
               ORDER BY time DESC, node DESC, seq DESC LIMIT 1";
    one(session, sql, &[timekeeping::READER.into()], |row| row.millis("time")).await
}

/// The events of a node after a number, in the order of their numbers.
pub(super) async fn chain_rows(
    session: &mut dyn Session,
    node: &str,
    after: i64,
    limit: u32,
) -> Result<Vec<StoredEvent>> {
    let sql = "SELECT * FROM events WHERE node = $1 AND seq > $2 ORDER BY seq LIMIT $3";
    all(session, sql, &[node.into(), after.into(), limit.into()], event).await
}

/// The last of a node's oldest events, at most `limit` of them, that are older than `before`.
pub(super) async fn prunable(
    session: &mut dyn Session,
    node: &str,
    before: Millis,
    limit: u32,
) -> Result<Option<Head>> {
    let sql = "SELECT seq, hash, time FROM events WHERE node = $1 ORDER BY seq LIMIT $2";
    let rows = all(session, sql, &[node.into(), limit.into()], |row| {
        let head = Head { seq: row.integer("seq")?, hash: row.sha256("hash")? };
        Ok((row.millis("time")?, head))
    })
    .await?;
    // The newest event stays, so that the chain keeps its head.
    let newest = head(session, node).await?;
    let old = rows.into_iter().take_while(|(time, head)| *time < before && head.seq < newest.seq);
    Ok(old.last().map(|(_, head)| head))
}

/// What each node said of its settings last.
pub(in crate::store) async fn node_settings(
    session: &mut dyn Session,
) -> Result<Vec<NodeSettings>> {
    let sql = "SELECT node, at, settings FROM node_settings ORDER BY node";
    let read = |row: &mut Row| {
        let settings = row.text("settings")?;
        let settings =
            serde_json::from_str(&settings).map_err(|_| corrupt("settings", &settings))?;
        Ok(NodeSettings { node: row.text("node")?, at: row.millis("at")?, settings })
    };
    all(session, sql, &[], read).await
}

pub(super) async fn tell_settings(session: &mut dyn Session, row: &NodeSettings) -> Result<()> {
    let sql = "INSERT INTO node_settings (node, at, settings) VALUES ($1, $2, $3) \
               ON CONFLICT (node) DO UPDATE SET at = $2, settings = $3";
    let settings = serde_json::json!(row.settings).to_string();
    let values = [Value::from(&row.node), row.at.into(), settings.as_str().into()];
    session.execute(sql, &values).await?;
    Ok(())
}

pub(super) async fn cursor(session: &mut dyn Session, reader: &str) -> Result<Vec<(String, i64)>> {
    let sql = "SELECT node, seq FROM cursors WHERE reader = $1";
    all(session, sql, &[reader.into()], |row| Ok((row.text("node")?, row.integer("seq")?))).await
}
