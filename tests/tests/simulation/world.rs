//! The world: two registrars on one store, and everybody who talks to them, one step at a time.
//!
//! Nothing runs by itself. A request is a future that is polled when an operation says so, and gets so far as the
//! gate before the store lets it; so requests, operators, MASAs, the CA and crashes interleave as a run wants them to.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use acme_bridge::Clock as _;
use brski_registrar::admin::actor::{Actor, Role};
use brski_registrar::issue::resume;
use brski_registrar::store::memory::{MemoryDatabase, MemoryStore};
use brski_registrar::store::model::{Credential, Millis, Sha256};
use brski_registrar::store::{Change, Store as _};
use rustls_pki_types::CertificateDer;

use super::check::Checked;
use super::gate::{HandClock, Masas};
use super::node::Node;
use super::op::{Answer, Op, Outcome};
use super::site::{BEGIN, PRINTER, SITE};
use super::snapshot::{Closed, Snapshot};
use super::tally::{Premise, Tally};
use super::{ca, client, masa, operator};

/// The secret of the one credential.
pub(super) const SECRET: &str = "a secret of the lab";
/// How many enrollments it is good for.
pub(super) const USES: u32 = 3;
/// How often the world goes round before it must have come to rest.
const ROUNDS: usize = 200;

/// What comes of a request.
pub(super) enum Done {
    /// An answer.
    Answer { status: u16, body: Vec<u8> },
    /// Nothing that anybody sees.
    Quiet,
}

pub(super) type Work = Pin<Box<dyn Future<Output = Done>>>;

/// What a request asks for.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    Voucher { pledge: usize, nonce: u8 },
    Certificate { pledge: usize, key: usize, name: String, is_own: bool },
    Other,
    Inside,
}

/// A request under way.
pub(super) struct Task {
    node: usize,
    work: Work,
    pub(super) asked: Asked,
    /// Why nothing may come of it, as long as that was so since it came.
    pub(super) closed: Option<Closed>,
    /// The certificate that it shows, or none.
    pub(super) shown: Option<Sha256>,
    /// Whether it stands before the gate, and goes on when it is told to; else it waits for somebody else.
    is_held: bool,
}

/// See the module.
pub(super) struct World<'a> {
    pub(super) clock: Arc<HandClock>,
    /// The latest that the clock ever was.
    pub(super) latest: Millis,
    database: MemoryDatabase,
    pub(super) observer: MemoryStore,
    nodes: Vec<Node>,
    tasks: Vec<Task>,
    pub(super) masas: Arc<Masas>,
    /// The certificates that each pledge got.
    pub(super) issued: Vec<Vec<CertificateDer<'static>>>,
    pub(super) before: Snapshot,
    pub(super) checked: Checked,
    pub(super) tally: &'a Tally,
    /// What each request was answered, in order.
    pub(super) trace: Vec<u16>,
}

pub(super) fn actor() -> Actor {
    Actor { name: "uid 1000".to_owned(), role: Role::Operator }
}

impl<'a> World<'a> {
    pub(super) async fn begin(tally: &'a Tally) -> Self {
        let database = MemoryDatabase::default();
        let observer = database.open("observer").unwrap();
        let mut changes: Vec<Change> =
            SITE.makers.iter().map(|maker| Change::AddManufacturer(maker.row.clone())).collect();
        changes.push(Change::AddCredential(Credential {
            name: "printer".to_owned(),
            secret: Sha256::of(SECRET.as_bytes()),
            profile: "lab".to_owned(),
            uses: USES,
            used: 0,
            created_at: Millis(BEGIN),
            expires_at: None,
            revoked_at: None,
        }));
        observer.commit(changes, Vec::new()).await.unwrap();
        let (clock, masas) = (Arc::new(HandClock::new()), Arc::new(Masas::default()));
        let nodes = (0..2).map(|node| Node::start(node, &database, &clock, &masas)).collect();
        Self {
            before: Snapshot::take(&observer).await,
            nodes,
            tasks: Vec::new(),
            issued: vec![Vec::new(); PRINTER + 1],
            checked: Checked::default(),
            trace: Vec::new(),
            latest: Millis(BEGIN),
            clock,
            database,
            observer,
            masas,
            tally,
        }
    }

    pub(super) fn now(&self) -> Millis {
        Millis(self.clock.now())
    }

    /// Does one thing, and checks everything.
    pub(super) async fn step(&mut self, op: &Op) -> Result<(), String> {
        // No two steps have one time, so that nothing depends on how random identifiers are ordered.
        self.clock.add(1);
        if self.perform(op).await? {
            self.tally.count(&op.word());
        }
        self.latest = self.latest.max(self.now());
        self.check().await
    }

    /// Whether the operation found what it is about.
    async fn perform(&mut self, op: &Op) -> Result<bool, String> {
        match *op {
            Op::Go { request, pace } => {
                let held: Vec<usize> =
                    (0..self.tasks.len()).filter(|task| self.tasks[*task].is_held).collect();
                let Some(task) = pick(&held, request) else { return Ok(false) };
                self.poll(*task, pace).await?;
            }
            Op::HangUp { request } => {
                if self.tasks.is_empty() {
                    return Ok(false);
                }
                self.tasks.remove(request % self.tasks.len());
            }
            Op::Masa { call, answer } => {
                if !masa::answer(self, call, answer)? {
                    return Ok(false);
                }
                self.poll_waiting().await?;
            }
            Op::Ca { order, outcome, node, pace } => {
                let Some(work) = ca::drive(self, node, order, outcome) else { return Ok(false) };
                self.spawn(node, Asked::Inside, None, None, work, pace).await?;
                self.poll_waiting().await?;
            }
            Op::Clock { seconds } => {
                self.clock.add(seconds * 1000);
                if seconds > 0 {
                    let seconds = u64::try_from(seconds).unwrap_or(0).min(3600);
                    tokio::time::advance(Duration::from_secs(seconds)).await;
                }
                self.poll_waiting().await?;
            }
            Op::Crash { node } => self.crash(node).await?,
            Op::Policy { unexpected } => {
                for node in &self.nodes {
                    let mut config = SITE.config.clone();
                    config.policy.rules.unexpected = unexpected;
                    node.app.config.store(Arc::new(config));
                }
            }
            Op::Fail { node, accesses } => self.nodes[node].gate.fail(accesses),
            _ => return self.ask(op).await,
        }
        Ok(true)
    }

    /// What a pledge or an operator begins.
    async fn ask(&mut self, op: &Op) -> Result<bool, String> {
        if let Some(request) = client::request(self, op) {
            let client::Request { node, pace, asked, shown, closed, work } = request;
            self.spawn(node, asked, closed, shown, work, pace).await?;
            return Ok(true);
        }
        let Some((work, pace)) = operator::act(self, op).await else { return Ok(false) };
        self.spawn(0, Asked::Inside, None, None, work, pace).await?;
        Ok(true)
    }

    pub(super) fn node(&self, node: usize) -> &Node {
        &self.nodes[node]
    }

    async fn spawn(
        &mut self,
        node: usize,
        asked: Asked,
        closed: Option<Closed>,
        shown: Option<Sha256>,
        work: Work,
        pace: u8,
    ) -> Result<(), String> {
        self.tasks.push(Task { node, work, asked, closed, shown, is_held: false });
        self.poll(self.tasks.len() - 1, pace).await
    }

    /// Lets a request go on, so far.
    async fn poll(&mut self, number: usize, pace: u8) -> Result<(), String> {
        let gate = Arc::clone(&self.nodes[self.tasks[number].node].gate);
        gate.allow(pace);
        let task = &mut self.tasks[number];
        let polled = {
            let mut context = Context::from_waker(Waker::noop());
            // The simulation decides who runs, not tokio's budget.
            let mut work = std::pin::pin!(tokio::task::unconstrained(task.work.as_mut()));
            work.as_mut().poll(&mut context)
        };
        match polled {
            std::task::Poll::Pending => {
                task.is_held = gate.is_shut();
                Ok(())
            }
            std::task::Poll::Ready(done) => {
                let task = self.tasks.remove(number);
                self.finished(&task, done).await
            }
        }
    }

    /// Lets everybody go on who does not stand before the gate: what they wait for may have come.
    async fn poll_waiting(&mut self) -> Result<(), String> {
        let mut number = 0;
        while number < self.tasks.len() {
            let count = self.tasks.len();
            if !self.tasks[number].is_held {
                self.poll(number, u8::MAX).await?;
            }
            if self.tasks.len() == count {
                number += 1;
            }
        }
        Ok(())
    }

    /// A node dies with all that it was about, and begins again.
    async fn crash(&mut self, node: usize) -> Result<(), String> {
        if self.tasks.iter().any(|task| task.node == node) {
            self.tally.premise(Premise::CrashInside);
        }
        self.tasks.retain(|task| task.node != node);
        // The store of a node is open once: the old one must be gone first.
        let old = self.nodes.remove(node);
        drop(old);
        let new = Node::start(node, &self.database, &self.clock, &self.masas);
        self.nodes.insert(node, new);
        let (app, orders) =
            (Arc::clone(&self.nodes[node].app), Arc::clone(&self.nodes[node].orders));
        let name = self.nodes[node].name.clone();
        let work = Box::pin(async move {
            ca::release(&orders, &name).await;
            resume::approved(&app).await;
            Done::Quiet
        });
        self.spawn(node, Asked::Inside, None, None, work, u8::MAX).await
    }

    /// Lets everything come to rest: whoever waits is answered, and every order is driven to its end.
    pub(super) async fn settle(&mut self) -> Result<(), String> {
        for node in &self.nodes {
            node.gate.fail(0);
        }
        // While the clock is wrong nothing is issued, and nothing comes to rest.
        let back = self.latest.0 - self.now().0;
        if back > 0 {
            self.step(&Op::Clock { seconds: back / 1000 + 1 }).await?;
        }
        for _ in 0..ROUNDS {
            while masa::answer(self, 0, Answer::Voucher)? {}
            for task in &mut self.tasks {
                task.is_held = false;
            }
            self.poll_waiting().await?;
            self.step(&Op::Clock { seconds: 1 }).await?;
            if self.tasks.is_empty() {
                let Some(order) = self.before.open_order() else { return Ok(()) };
                // A lease of a node that fell silent must end first.
                self.step(&Op::Clock { seconds: 61 }).await?;
                self.step(&Op::Ca { order, outcome: Outcome::Issues, node: 0, pace: u8::MAX })
                    .await?;
                self.tally.premise(Premise::OrderDriven);
            }
        }
        Err(format!("the world does not come to rest: {} requests are open", self.tasks.len()))
    }

    /// What a run ends with: rest, a restart, rest again, and then whoever may enroll gets a certificate.
    pub(super) async fn end(&mut self) -> Result<(), String> {
        self.settle().await?;
        let waiting = self.before.approved();
        for node in 0..self.nodes.len() {
            self.step(&Op::Crash { node }).await?;
        }
        self.settle().await?;
        for _ in 0..waiting {
            self.tally.premise(Premise::EnrollmentResumed);
        }
        self.at_rest().await?;
        self.come_back().await
    }

    pub(super) fn closed_requests(&mut self, now: &Snapshot) {
        for task in &mut self.tasks {
            if let Asked::Voucher { pledge, .. } | Asked::Certificate { pledge, .. } = task.asked {
                let still = now.closed(&task.asked, pledge, task.shown);
                if still != task.closed {
                    task.closed = None;
                }
            }
        }
    }
}

/// One of several, if there are any.
pub(super) fn pick<T>(all: &[T], number: usize) -> Option<&T> {
    match all.len() {
        0 => None,
        length => all.get(number % length),
    }
}
