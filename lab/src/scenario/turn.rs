//! Turns at somebody who lies on demand, a MASA or a CA: it does so to all who ask it, so whoever has it lie is alone
//! with it, and all others wait until it is honest again.

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The turns at one of them.
#[derive(Default)]
pub(super) struct Turns(RwLock<()>);

/// A turn, until it is dropped.
#[allow(dead_code, reason = "what is held is the lock")]
pub(super) enum Turn<'a> {
    /// It may be made to lie.
    Alone(RwLockWriteGuard<'a, ()>),
    /// It is honest.
    AmongOthers(RwLockReadGuard<'a, ()>),
}

impl Turns {
    /// Waits until nobody else is here, and has others wait.
    pub(super) async fn alone(&self) -> Turn<'_> {
        Turn::Alone(self.0.write().await)
    }

    /// Waits until nobody has it lie.
    pub(super) async fn among_others(&self) -> Turn<'_> {
        Turn::AmongOthers(self.0.read().await)
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<T>(future: impl Future<Output = T>) -> Poll<T> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn whoever_has_it_lie_is_alone() {
        let turns = Turns::default();
        let Poll::Ready(first) = poll(turns.among_others()) else { panic!("nobody is here") };
        let Poll::Ready(second) = poll(turns.among_others()) else { panic!("all are honest") };
        assert!(poll(turns.alone()).is_pending());
        drop((first, second));
        let Poll::Ready(liar) = poll(turns.alone()) else { panic!("nobody is here") };
        assert!(poll(turns.among_others()).is_pending() && poll(turns.alone()).is_pending());
        drop(liar);
        assert!(poll(turns.among_others()).is_ready());
    }
}
