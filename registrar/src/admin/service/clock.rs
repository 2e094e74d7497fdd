//! The clock: what is asked of it before something is issued, and an operator's word against a trail of wrong times.

use super::Service;
use crate::admin::actor::Actor;
use crate::admin::api::clock::ClockConfirmed;
use crate::admin::api::moment;
use crate::admin::problem::{Kind, Problem};
use crate::policy::timekeeping::{READER, judge};
use crate::store::Change;

impl Service {
    /// Nothing is issued while the clock is earlier than what is known to have happened.
    ///
    /// # Errors
    /// [`Kind::Unavailable`], with both times.
    pub(super) async fn require_clock(&self) -> Result<(), Problem> {
        // Read before the clock, so that no event may come between.
        let newest = self.store.newest_event_time().await?;
        judge(self.now(), newest).map_err(|behind| {
            let hint =
                "set the clock; if it is right, and was ahead before: 'registrar clock confirm'";
            Problem::new(Kind::Unavailable, behind.to_string(), hint)
        })
    }

    /// Vouches for the clock: the times of the events that there are do not count against it any more.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn confirm_clock(&self, actor: &Actor) -> Result<ClockConfirmed, Problem> {
        let newest = self.store.newest_event_time().await?;
        let mut changes = Vec::new();
        for node in self.store.nodes().await? {
            let seq = self.store.head(&node).await?.seq;
            changes.push(Change::SetCursor { reader: READER.to_owned(), node, seq });
        }
        let operator = actor.operator(self.now());
        let newest = newest.map(moment);
        let detail = match &newest {
            Some(newest) => format!("the newest event that counted until now was of {newest}"),
            None => "no event counted until now".to_owned(),
        };
        let event = operator.event("clock-confirmed", "", None, detail);
        let now = moment(operator.now);
        self.store.commit(changes, vec![event]).await?;
        Ok(ClockConfirmed { now, newest_event: newest })
    }
}
