//! The generator: connections spread over threads, each thread with a runtime of its own, so that none waits for another.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::Instant;

use super::LoadError;
use super::client::{LoadClient, Question};
use super::measure::{Failed, Tally};
use super::pace::{Arrival, End, Pace};
use super::process_time::{self, MachineTime, ProcessTime};
use super::target::Target;
use crate::http::{Connection, HttpError};
use crate::pki::Credential;
use crate::pledge::Pledge;
use crate::pledge::journey::{self, Label};

/// How long requests that are under way have after the end of the time.
const GRACE: Duration = Duration::from_secs(10);
/// How often it is looked at what came, for the picture over time.
const INTERVAL: Duration = Duration::from_secs(1);
/// How many connections are opened at once before the run.
const OPENED_AT_ONCE: usize = 256;
/// How many times in a row no connection may come about, at least, before the server counts as gone.
const GONE_LEAST: u64 = 50;

/// What a connection is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// One request after the other.
    Kept,
    /// One request, so that each has its TLS handshake.
    OneRequest,
}

/// What is done over and over.
pub enum Work {
    /// Requests of these clients.
    Questions(Question, Vec<LoadClient>),
    /// Whole onboardings of these pledges, from the voucher to the report of the enrollment.
    Onboardings(Vec<Pledge>),
}

/// How it is done.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many connections, or onboardings, at once.
    pub connections: usize,
    /// What connections are used for.
    pub reuse: Connections,
    /// How requests come.
    pub arrival: Arrival,
    /// When it ends.
    pub end: End,
    /// How many threads.
    pub threads: usize,
    /// The server's process, if it is to be measured.
    pub server_pid: Option<u32>,
}

/// What came within a part of the run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// How long after the beginning that part ended.
    pub at: Duration,
    /// How long it was.
    pub length: Duration,
    /// How many requests succeeded in it.
    pub succeeded: u64,
    /// How many failed.
    pub failed: u64,
    /// The median of what those took that succeeded, in microseconds.
    pub p50_micros: u64,
    /// The 99th percentile of it.
    pub p99_micros: u64,
    /// The most of it.
    pub most_micros: u64,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// As it was meant to.
    Done,
    /// Somebody stopped it.
    Stopped,
    /// The server was gone.
    Gone {
        /// What was tried last.
        tried: String,
    },
}

/// What a run came to.
pub struct Outcome {
    /// What was measured.
    pub tally: Tally,
    /// The same, over time.
    pub moments: Vec<Moment>,
    /// How long it took.
    pub took: Duration,
    /// How many requests were due that no connection was free for until the end.
    pub missed: u64,
    /// How it ended.
    pub ended: Ended,
    /// Processor time of the generator.
    pub own_time: Duration,
    /// The share of the machine's processors that anybody used, from 0 to 1.
    pub machine_share: Option<f64>,
    /// Processor time of the server's process.
    pub server_time: Option<Duration>,
    /// How many requests carried a CSR or voucher request that had been sent before.
    pub sent_again: usize,
    /// The certificates of the onboardings.
    pub credentials: Vec<(String, Credential)>,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Preparing,
    Running,
    /// What is under way is given up.
    Over,
}

struct Shared {
    target: Target,
    work: Work,
    label: Label,
    reuse: Connections,
    pace: OnceLock<Pace>,
    phase: watch::Receiver<Phase>,
    opening: Semaphore,
    unreached: AtomicU64,
    gone_after: u64,
    is_gone: AtomicBool,
    last_unreached: Mutex<String>,
    credentials: Mutex<Vec<(String, Credential)>>,
}

/// Runs a load until its end, until `stop` comes, or until the server is gone.
///
/// `look`: gets what came, about once a second.
///
/// # Errors
/// [`LoadError::NoClients`], [`LoadError::Thread`], [`LoadError::ProcessTime`]; what goes wrong with requests stands in
/// the outcome.
pub async fn run(
    target: &Target,
    work: Work,
    plan: &Plan,
    stop: impl Future<Output = ()>,
    look: impl FnMut(&Moment),
) -> Result<Outcome, LoadError> {
    let is_nobody = match &work {
        Work::Questions(_, clients) => clients.is_empty(),
        Work::Onboardings(pledges) => pledges.is_empty(),
    };
    if is_nobody {
        return Err(LoadError::NoClients);
    }
    let (change_phase, phase) = watch::channel(Phase::Preparing);
    let shared = Arc::new(Shared {
        label: Label::new(target.label().cloned()),
        target: target.clone(),
        work,
        reuse: plan.reuse,
        pace: OnceLock::new(),
        phase,
        opening: Semaphore::new(OPENED_AT_ONCE),
        unreached: AtomicU64::new(0),
        gone_after: GONE_LEAST.max(u64::try_from(plan.connections).unwrap_or(u64::MAX)),
        is_gone: AtomicBool::new(false),
        last_unreached: Mutex::default(),
        credentials: Mutex::default(),
    });
    // Each worker says once that it is ready, and by dropping its end that it is done.
    let (ready, readiness) = mpsc::channel(plan.connections.max(1));
    let threads = Threads::start(&shared, plan, &ready)?;
    drop(ready);
    let conductor =
        Conductor { shared: Arc::clone(&shared), change_phase, readiness, parts: &threads.parts };
    let outcome = conductor.conduct(plan, stop, look).await;
    threads.join();
    let mut outcome = outcome?;
    let mut credentials = shared.credentials.lock().unwrap_or_else(PoisonError::into_inner);
    outcome.credentials = std::mem::take(&mut credentials);
    Ok(outcome)
}

/// The threads of a run, and where each of them notes what it measures.
struct Threads {
    handles: Vec<std::thread::JoinHandle<()>>,
    parts: Vec<Arc<Mutex<Tally>>>,
}

impl Threads {
    fn start(
        shared: &Arc<Shared>,
        plan: &Plan,
        ready: &mpsc::Sender<()>,
    ) -> Result<Self, LoadError> {
        let number = plan.threads.clamp(1, plan.connections.max(1));
        let mut threads = Self { handles: Vec::new(), parts: Vec::new() };
        for thread in 0..number {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(LoadError::Thread)?;
            let part = Arc::new(Mutex::new(Tally::new()));
            threads.parts.push(Arc::clone(&part));
            let workers = (thread..plan.connections).step_by(number);
            let workers: Vec<Worker> = workers
                .map(|number| Worker::new(number, Arc::clone(shared), Arc::clone(&part)))
                .collect();
            let ready = ready.clone();
            let work = async move {
                let mut tasks = tokio::task::JoinSet::new();
                for worker in workers {
                    tasks.spawn(worker.work(ready.clone()));
                }
                drop(ready);
                while tasks.join_next().await.is_some() {}
            };
            let builder = std::thread::Builder::new().name(format!("load-{thread}"));
            let handle = builder.spawn(move || runtime.block_on(work));
            threads.handles.push(handle.map_err(LoadError::Thread)?);
        }
        Ok(threads)
    }

    fn join(self) {
        for handle in self.handles {
            // A worker that panicked has said so on stderr; what the others measured counts.
            let _ = handle.join();
        }
    }
}

/// Gives the workers their signals, and gathers what they measure.
struct Conductor<'a> {
    shared: Arc<Shared>,
    change_phase: watch::Sender<Phase>,
    readiness: mpsc::Receiver<()>,
    parts: &'a [Arc<Mutex<Tally>>],
}

impl Conductor<'_> {
    async fn conduct(
        mut self,
        plan: &Plan,
        stop: impl Future<Output = ()>,
        look: impl FnMut(&Moment),
    ) -> Result<Outcome, LoadError> {
        let mut stop = std::pin::pin!(stop);
        let mut is_stopped = false;
        for _ in 0..plan.connections {
            tokio::select! {
                _ = self.readiness.recv() => {}
                () = &mut stop => { is_stopped = true; break }
            }
        }
        let server = plan.server_pid.map(ProcessTime::of).transpose()?;
        let (machine, own) = (MachineTime::now(), process_time::own());
        let begin = Instant::now();
        let pace = self.shared.pace.get_or_init(|| Pace::new(begin, plan.arrival, plan.end));
        let phase = if is_stopped { Phase::Over } else { Phase::Running };
        self.change_phase.send_replace(phase);
        let mut deadline = pace.last().map(|last| last + GRACE);
        let mut gathered = Gathered { begin, look, all: Tally::new(), moments: Vec::new() };
        let mut tick = tokio::time::interval_at(begin + INTERVAL, INTERVAL);
        loop {
            tokio::select! {
                // All ends of the channel are dropped when all workers are done.
                left = self.readiness.recv() => if left.is_none() { break },
                _ = tick.tick() => gathered.gather(self.parts),
                () = &mut stop, if !is_stopped => {
                    is_stopped = true;
                    pace.stop();
                    self.change_phase.send_replace(Phase::Over);
                }
                () = tokio::time::sleep_until(deadline.unwrap_or(begin)), if deadline.is_some() => {
                    deadline = None;
                    self.change_phase.send_replace(Phase::Over);
                }
            }
        }
        let now = Instant::now();
        gathered.gather(self.parts);
        let machine_share = machine.zip(MachineTime::now()).map(|(from, to)| to.share_since(from));
        let server_time = server.map(|server| server.until_now()).transpose();
        Ok(Outcome {
            took: now - begin,
            missed: pace.missed(now),
            ended: self.shared.ended(is_stopped),
            own_time: process_time::own().saturating_sub(own),
            machine_share,
            // A server that is gone took nothing that could be read.
            server_time: server_time.unwrap_or(None),
            sent_again: self.shared.sent_again(),
            tally: gathered.all,
            moments: gathered.moments,
            credentials: Vec::new(),
        })
    }
}

/// What was gathered of all threads.
struct Gathered<L> {
    begin: Instant,
    look: L,
    all: Tally,
    moments: Vec<Moment>,
}

impl<L: FnMut(&Moment)> Gathered<L> {
    fn gather(&mut self, parts: &[Arc<Mutex<Tally>>]) {
        let mut new = Tally::new();
        for part in parts {
            new.drain(&mut part.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let at = self.begin.elapsed();
        let since = self.moments.last().map_or(Duration::ZERO, |moment| moment.at);
        if new.ended() > 0 || self.moments.last().is_none_or(|_| at - since >= INTERVAL / 2) {
            let moment = Moment {
                at,
                length: at.saturating_sub(since),
                succeeded: new.latencies.len(),
                failed: new.failed_times(),
                p50_micros: new.latencies.value_at_quantile(0.5),
                p99_micros: new.latencies.value_at_quantile(0.99),
                most_micros: new.latencies.max(),
            };
            (self.look)(&moment);
            self.moments.push(moment);
        }
        self.all.drain(&mut new);
    }
}

impl Shared {
    fn sent_again(&self) -> usize {
        match &self.work {
            Work::Questions(Question::CaCertificates | Question::CsrAttributes, _) => 0,
            Work::Questions(_, clients) => clients.iter().map(LoadClient::sent_again).sum(),
            Work::Onboardings(_) => 0,
        }
    }

    fn ended(&self, is_stopped: bool) -> Ended {
        if self.is_gone.load(Ordering::Relaxed) {
            let tried = self.last_unreached.lock().unwrap_or_else(PoisonError::into_inner).clone();
            return Ended::Gone { tried };
        }
        if is_stopped { Ended::Stopped } else { Ended::Done }
    }

    /// Notes whether the server was reached: when nobody reaches it any more, the run ends.
    fn note(&self, outcome: &Result<(), Failed>) {
        let unreachable = outcome.as_ref().err().filter(|failed| failed.kind.is_unreachable());
        let Some(failed) = unreachable else {
            if self.unreached.load(Ordering::Relaxed) > 0 {
                self.unreached.store(0, Ordering::Relaxed);
            }
            return;
        };
        if self.unreached.fetch_add(1, Ordering::Relaxed) + 1 >= self.gone_after {
            let mut last = self.last_unreached.lock().unwrap_or_else(PoisonError::into_inner);
            last.clone_from(&failed.said);
            self.is_gone.store(true, Ordering::Relaxed);
            if let Some(pace) = self.pace.get() {
                pace.stop();
            }
        }
    }
}

/// What uses one connection.
struct Worker {
    number: usize,
    shared: Arc<Shared>,
    tally: Arc<Mutex<Tally>>,
    connection: Option<Connection>,
}

impl Worker {
    fn new(number: usize, shared: Arc<Shared>, tally: Arc<Mutex<Tally>>) -> Self {
        Self { number, shared, tally, connection: None }
    }

    async fn work(mut self, ready: mpsc::Sender<()>) {
        let mut phase = self.shared.phase.clone();
        tokio::select! {
            () = self.open_before() => {}
            _ = phase.wait_for(|phase| *phase == Phase::Over) => return,
        }
        // Whoever counts has gone only if the run was stopped.
        let _ = ready.send(()).await;
        let Ok(Phase::Running) = phase.wait_for(|phase| *phase >= Phase::Running).await.map(|p| *p)
        else {
            return;
        };
        let shared = Arc::clone(&self.shared);
        let Some(pace) = shared.pace.get() else { return };
        let mut over = std::pin::pin!(async move {
            let _ = phase.wait_for(|phase| *phase == Phase::Over).await;
        });
        while let Some((number, due)) = pace.take(Instant::now()) {
            if due > Instant::now() {
                tokio::select! {
                    () = tokio::time::sleep_until(due) => self.tally().lagged(due.elapsed()),
                    () = &mut over => return,
                }
            }
            let outcome = tokio::select! {
                outcome = self.once(number) => outcome,
                () = &mut over => {
                    self.tally().unfinished += 1;
                    return;
                }
            };
            shared.note(&outcome);
            match outcome {
                Ok(()) => self.tally().succeeded(due.elapsed()),
                Err(failed) => self.tally().failed(failed),
            }
        }
    }

    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a connection that is kept before the clock runs; if that fails, the first request tries again and says why.
    async fn open_before(&mut self) {
        let shared = Arc::clone(&self.shared);
        let Work::Questions(_, clients) = &shared.work else { return };
        let client = clients.get(self.number % clients.len().max(1));
        let (Connections::Kept, Some(client)) = (shared.reuse, client) else { return };
        let _permit = shared.opening.acquire().await;
        self.connection = shared.target.connect(&client.tls).await.ok();
    }

    /// Does it once. `number`: the how manieth of the run it is.
    async fn once(&mut self, number: u64) -> Result<(), Failed> {
        let shared = Arc::clone(&self.shared);
        let position = usize::try_from(number).unwrap_or_default();
        match &shared.work {
            Work::Questions(question, clients) => {
                // A kept connection belongs to one client.
                let position = match shared.reuse {
                    Connections::Kept => self.number,
                    Connections::OneRequest => position,
                };
                match clients.get(position % clients.len().max(1)) {
                    Some(client) => self.ask(*question, client).await,
                    None => Ok(()),
                }
            }
            Work::Onboardings(pledges) => {
                let Some(pledge) = pledges.get(position % pledges.len().max(1)) else {
                    return Ok(());
                };
                let run = journey::run(pledge, shared.target.address(), &shared.label).await;
                let enrolled = run.map_err(|error| Failed::from(&error))?;
                if position < pledges.len() {
                    let mut all = shared.credentials.lock().unwrap_or_else(PoisonError::into_inner);
                    all.push((enrolled.serial, enrolled.credential));
                }
                Ok(())
            }
        }
    }

    async fn ask(&mut self, question: Question, client: &LoadClient) -> Result<(), Failed> {
        let kept = self.connection.take().filter(|connection| !connection.is_closed());
        let is_kept = kept.is_some();
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.shared.target.connect(&client.tls).await?,
        };
        let mut answer = connection.exchange(client.request()).await;
        if is_kept && matches!(answer, Err(HttpError::Http(_))) {
            // A server may close a kept connection just when the request is on its way.
            connection = self.shared.target.connect(&client.tls).await?;
            answer = connection.exchange(client.request()).await;
        }
        let answer = answer.map_err(|error| Failed::from(&error))?;
        if self.shared.reuse == Connections::Kept {
            self.connection = Some(connection);
        }
        question.check(&answer)
    }
}
