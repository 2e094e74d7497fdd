//! Watches this node's clock: while it is earlier than the newest event of any node, nothing is issued, and somebody is
//! told; when it is right again, what waited goes on.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{error, info};

use crate::entropy::random_id;
use crate::http::app::App;
use crate::issue::resume;
use crate::policy::timekeeping::{ClockBehind, judge};
use crate::store::StoreError;
use crate::store::model::{Event, Verdict};

/// How often the clock is compared.
const LOOK: Duration = Duration::from_secs(1);

/// How the clock was when it was looked at last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Right,
    Behind,
}

/// The task that compares.
pub(super) struct Timekeeper {
    app: Arc<App>,
    standing: Standing,
}

impl Timekeeper {
    pub(super) fn new(app: &Arc<App>) -> Self {
        Self { app: Arc::clone(app), standing: Standing::Right }
    }

    /// Compares until `shutdown` turns true.
    pub(super) async fn run(mut self, mut shutdown: watch::Receiver<bool>) {
        loop {
            // A store that is away is noticed by those who have something to do there.
            let _ = self.look().await;
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                _ = shutdown.wait_for(|stop| *stop) => return,
            }
        }
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        let newest = self.app.store.newest_event_time().await?;
        let found = judge(self.app.now(), newest);
        self.app.metrics.set_clock_behind(found.map_or_else(|behind| behind.seconds(), |()| 0));
        match (self.standing, found) {
            (Standing::Right, Err(behind)) => self.stop(behind).await,
            (Standing::Behind, Ok(())) => self.go_on().await,
            _ => Ok(()),
        }
    }

    async fn stop(&mut self, behind: ClockBehind) -> Result<(), StoreError> {
        error!("{behind}: nothing is issued until the clock is right");
        self.tell("clock-behind", Verdict::Failed, behind.to_string()).await?;
        self.standing = Standing::Behind;
        Ok(())
    }

    async fn go_on(&mut self) -> Result<(), StoreError> {
        self.tell("clock-right", Verdict::Done, String::new()).await?;
        self.standing = Standing::Right;
        info!("the clock is right again: certificates are issued");
        // What was approved and could not be submitted meanwhile.
        resume::approved(&self.app).await;
        Ok(())
    }

    async fn tell(
        &self,
        kind: &'static str,
        verdict: Verdict,
        detail: String,
    ) -> Result<(), StoreError> {
        let event = Event {
            time: self.app.now(),
            kind,
            verdict,
            device: None,
            peer: "registrar".to_owned(),
            clause: "",
            detail,
            correlation: random_id().to_string(),
        };
        self.app.store.commit(Vec::new(), vec![event]).await
    }
}
