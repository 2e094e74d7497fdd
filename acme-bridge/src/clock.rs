//! The time, which the bridge is told.

/// A clock; the program that links the bridge has the one that asks the operating system.
pub trait Clock: Send + Sync + 'static {
    /// Unix milliseconds, UTC.
    fn now(&self) -> i64;
}
