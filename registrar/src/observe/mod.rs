//! How the registrar does, for those who run it: the log, the metrics, and whether it is ready.
//!
//! The store tells a [`reporter`] what was written: one line in the [`log`] for each decision, and the [`metrics`].
//! A [`survey`] counts queues and certificates at intervals. [`routes`] shows what there is to whoever may see it.

pub mod decision;
pub mod health;
pub mod listener;
pub mod log;
pub mod metrics;
#[cfg(feature = "otlp")]
pub mod otlp;
pub mod reporter;
mod routes;
pub mod survey;

pub use self::routes::routes;
