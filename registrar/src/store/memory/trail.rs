//! Events and checkpoints.

use std::collections::BTreeMap;

use super::Result;
use super::rows::conflict;
use super::tables::{Tables, at_most};
use crate::policy::timekeeping;
use crate::store::chain;
use crate::store::model::{
    Checkpoint, CheckpointKind, Event, EventFilter, EventPlace, EventTally, Head, Millis,
    StoredEvent,
};
use crate::store::sql::session::storable;
use crate::store::{Change, Conflict};

/// How many statements about newest events are kept: each vouches for all before it.
const HEADS: usize = 100;

impl Tables {
    /// The newest event of a node; after a pruning that left none, what the checkpoint says of it.
    pub(super) fn head(&self, node: &str) -> Head {
        let newest = self.chain(node).next_back().map(|row| (row.seq, row.hash));
        let checkpoint = || {
            let mut of_node = self.rows.checkpoints.values().filter(|row| row.node == node);
            of_node.next_back().map(|row| (row.seq, row.hash))
        };
        newest.or_else(checkpoint).map_or(Head::START, |(seq, hash)| Head { seq, hash })
    }

    /// The events of a node in the order of their numbers.
    pub(super) fn chain(&self, node: &str) -> impl DoubleEndedIterator<Item = &StoredEvent> {
        let (first, last) = ((node.to_owned(), i64::MIN), (node.to_owned(), i64::MAX));
        self.events.range(first..=last).map(|(_, row)| row)
    }

    /// How many events of these kinds there were in each stretch of time since `since`.
    pub(super) fn event_tally(
        &self,
        kinds: &[&str],
        since: Millis,
        stretch: Millis,
    ) -> Vec<EventTally> {
        let mut tally: BTreeMap<(u32, &str), u64> = BTreeMap::new();
        let fits = |row: &&StoredEvent| row.time >= since && kinds.contains(&row.kind.as_str());
        for row in self.events.values().filter(fits) {
            let number = row.time.0.saturating_sub(since.0) / stretch.0.max(1);
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            *tally.entry((number, row.kind.as_str())).or_default() += 1;
        }
        let told = |((stretch, kind), events): ((u32, &str), u64)| EventTally {
            stretch,
            kind: kind.to_owned(),
            events,
        };
        tally.into_iter().map(told).collect()
    }

    /// Appends an event to the chain of its node.
    pub(super) fn append(&mut self, node: &str, head: Head, event: &Event) -> Head {
        let event = Event {
            peer: storable(&event.peer).into_owned(),
            detail: storable(&event.detail).into_owned(),
            correlation: storable(&event.correlation).into_owned(),
            ..event.clone()
        };
        let next = chain::extend(head, node, &event);
        let row = StoredEvent {
            node: node.to_owned(),
            seq: next.seq,
            time: event.time,
            kind: event.kind.to_owned(),
            verdict: event.verdict.as_str().to_owned(),
            device: event.device,
            peer: event.peer,
            clause: event.clause.to_owned(),
            detail: event.detail,
            correlation: event.correlation,
            previous: head.hash,
            hash: next.hash,
        };
        self.events.insert((node.to_owned(), next.seq), row);
        next
    }

    pub(super) fn apply_to_trail(&mut self, change: Change) -> Result<()> {
        match change {
            Change::AddCheckpoint(checkpoint) => self.add_checkpoint(checkpoint),
            Change::PruneEvents(checkpoint) => {
                let (node, last) = (checkpoint.node.clone(), checkpoint.seq);
                let row = self.events.get(&(node.clone(), last));
                // Another node may have pruned it already.
                if row.is_none_or(|row| row.hash != checkpoint.hash) {
                    return Err(conflict(Conflict::Missing));
                }
                self.events.retain(|(of, seq), _| *of != node || *seq > last);
                self.rows.checkpoints.retain(|(of, seq, _), _| *of != node || *seq > last);
                self.add_checkpoint(checkpoint);
            }
            Change::SetCursor { reader, node, seq } => {
                self.rows.cursors.insert((reader, node), seq);
            }
            _ => {}
        }
        Ok(())
    }

    fn add_checkpoint(&mut self, checkpoint: Checkpoint) {
        let is_head =
            |row: &&Checkpoint| row.node == checkpoint.node && row.kind == CheckpointKind::Head;
        let heads: Vec<i64> =
            self.rows.checkpoints.values().filter(is_head).map(|row| row.seq).collect();
        if let Some(oldest) = heads.iter().rev().nth(HEADS - 2) {
            let (node, oldest) = (checkpoint.node.clone(), *oldest);
            self.rows.checkpoints.retain(|(of, seq, kind), _| {
                *of != node || *kind != CheckpointKind::Head || *seq >= oldest
            });
        }
        let key = (checkpoint.node.clone(), checkpoint.seq, checkpoint.kind);
        self.rows.checkpoints.entry(key).or_insert(checkpoint);
    }

    pub(super) fn nodes(&self) -> Vec<String> {
        let events = self.events.keys().map(|(node, _)| node.clone());
        let checkpoints = self.rows.checkpoints.keys().map(|(node, ..)| node.clone());
        let mut nodes: Vec<String> = events.chain(checkpoints).collect();
        nodes.sort();
        nodes.dedup();
        nodes
    }

    /// When the newest event was that counts for the clock.
    pub(super) fn newest_time(&self) -> Option<Millis> {
        let counts = |row: &&StoredEvent| {
            let cursor = self.rows.cursors.get(&(timekeeping::READER.to_owned(), row.node.clone()));
            cursor.is_none_or(|seq| *seq < row.seq)
        };
        self.events.values().filter(counts).map(|row| row.time).max()
    }

    /// The last of a node's oldest events, at most `limit` of them, that are older than `before`.
    pub(super) fn prunable(&self, node: &str, before: Millis, limit: u32) -> Option<Head> {
        let newest = self.head(node);
        self.chain(node)
            .take(at_most(limit))
            .take_while(|row| row.time < before && row.seq < newest.seq)
            .last()
            .map(|row| Head { seq: row.seq, hash: row.hash })
    }

    /// The events that fit a filter, the oldest first: after a place, or else the newest.
    pub(super) fn events_page(
        &self,
        filter: &EventFilter,
        after: Option<&EventPlace>,
        limit: u32,
    ) -> Vec<StoredEvent> {
        let place = |row: &StoredEvent| (row.time, row.node.clone(), row.seq);
        let fits = |row: &&StoredEvent| {
            filter.device.as_ref().is_none_or(|device| row.device.as_ref() == Some(device))
                && filter.kind.as_deref().is_none_or(|kind| row.kind == kind)
                && filter.verdict.as_deref().is_none_or(|verdict| row.verdict == verdict)
                && filter.since.is_none_or(|since| row.time >= since)
                && after
                    .is_none_or(|after| place(row) > (after.time, after.node.clone(), after.seq))
        };
        let mut rows: Vec<&StoredEvent> = self.events.values().filter(fits).collect();
        rows.sort_by_key(|row| place(row));
        let is_newest = filter.since.is_none() && after.is_none();
        if is_newest {
            rows.drain(..rows.len().saturating_sub(at_most(limit)));
        }
        rows.into_iter().take(at_most(limit)).cloned().collect()
    }
}
