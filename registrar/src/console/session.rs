//! Who is logged in: sessions and one-time links, in memory alone, so that a restart ends them all.
//!
//! A cookie holds 256 random bits; here only its SHA-256 is kept. A session remembers what its owner proved, not what
//! they may do: that is looked up at each request, so that whoever is taken out of the configuration is out at once.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use rustls_pki_types::CertificateDer;

use crate::admin::actor::Actor;
use crate::entropy::random_bytes;
use crate::store::model::{Millis, Sha256};

/// How long a session lasts without a request.
const IDLE_MILLIS: i64 = 30 * 60_000;
/// How long a session lasts.
const LIFE_MILLIS: i64 = 12 * 3_600_000;
/// How long a link is good.
const LINK_MILLIS: i64 = 10 * 60_000;
/// How many sessions, and how many links, there may be; above it the oldest is forgotten.
const MOST: usize = 1000;

/// What somebody proved when they logged in.
#[derive(Clone, Debug)]
pub enum Proof {
    /// That they know the token with this SHA-256.
    Token(Sha256),
    /// That they hold the key of the first of these certificates.
    Certificate(Arc<[CertificateDer<'static>]>),
    /// That an operator on this machine gave them a link.
    Link(Actor),
    /// What an OpenID Connect provider says of them.
    Openid {
        /// How the trail names them.
        name: String,
        /// The values of the claim that gives roles.
        values: Arc<[String]>,
    },
}

/// A session that is open.
#[derive(Clone, Debug)]
pub struct Session {
    /// What was proven.
    pub proof: Proof,
    /// What each form carries, so that no other site can send one.
    pub form_token: String,
    began: Millis,
    used: Millis,
}

impl Session {
    fn is_over(&self, now: Millis) -> bool {
        now.0.saturating_sub(self.began.0) >= LIFE_MILLIS
            || now.0.saturating_sub(self.used.0) >= IDLE_MILLIS
    }
}

#[derive(Debug)]
struct Link {
    actor: Actor,
    made: Millis,
}

/// All sessions and links of this process.
#[derive(Debug, Default)]
pub struct Sessions {
    open: Mutex<HashMap<Sha256, Session>>,
    links: Mutex<HashMap<Sha256, Link>>,
}

impl Sessions {
    /// Opens a session, and gives the secret of its cookie: 64 hexadecimal digits.
    #[must_use]
    pub fn open(&self, proof: Proof, now: Millis) -> String {
        let secret = secret();
        let session = Session { proof, form_token: self::secret(), began: now, used: now };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, each| !each.is_over(now));
        make_room(&mut open, |each| each.used);
        open.insert(Sha256::of(secret.as_bytes()), session);
        secret
    }

    /// The session of a cookie, which counts as used now.
    #[must_use]
    pub fn find(&self, secret: &str, now: Millis) -> Option<Session> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let key = Sha256::of(secret.as_bytes());
        let session = open.get_mut(&key)?;
        if session.is_over(now) {
            open.remove(&key);
            return None;
        }
        session.used = now;
        Some(session.clone())
    }

    /// Ends the session of a cookie.
    pub fn close(&self, secret: &str) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(&Sha256::of(secret.as_bytes()));
    }

    /// Makes a link for one log-in within ten minutes, and gives its secret: 64 hexadecimal digits.
    #[must_use]
    pub fn invite(&self, actor: Actor, now: Millis) -> String {
        let secret = secret();
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|_, each| now.0.saturating_sub(each.made.0) < LINK_MILLIS);
        make_room(&mut links, |each| each.made);
        links.insert(Sha256::of(secret.as_bytes()), Link { actor, made: now });
        secret
    }

    /// Whose link this is; it is good once.
    #[must_use]
    pub fn accept(&self, secret: &str, now: Millis) -> Option<Actor> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let link = links.remove(&Sha256::of(secret.as_bytes()))?;
        (now.0.saturating_sub(link.made.0) < LINK_MILLIS).then_some(link.actor)
    }
}

fn secret() -> String {
    Sha256(random_bytes()).to_string()
}

/// Forgets the oldest where there are too many.
fn make_room<K: Eq + Hash + Clone, V>(all: &mut HashMap<K, V>, age: impl Fn(&V) -> Millis) {
    if all.len() >= MOST {
        let oldest = all.iter().min_by_key(|(_, each)| age(each)).map(|(key, _)| key.clone());
        if let Some(key) = oldest {
            all.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::actor::Role;

    fn actor() -> Actor {
        Actor { name: "token ci".to_owned(), role: Role::Viewer }
    }

    #[test]
    fn a_session_ends_when_nobody_uses_it_and_at_the_latest_after_half_a_day() {
        let sessions = Sessions::default();
        let cookie = sessions.open(Proof::Link(actor()), Millis(0));
        assert!(sessions.find("another", Millis(1)).is_none());
        let mut now = 0;
        while now < LIFE_MILLIS {
            assert!(sessions.find(&cookie, Millis(now)).is_some(), "after {now} ms");
            now += IDLE_MILLIS - 1;
        }
        assert!(sessions.find(&cookie, Millis(now)).is_none());
        let cookie = sessions.open(Proof::Link(actor()), Millis(0));
        assert!(sessions.find(&cookie, Millis(IDLE_MILLIS)).is_none());
        assert!(sessions.find(&cookie, Millis(1)).is_none(), "what ended stays so");
    }

    #[test]
    fn whoever_logs_out_is_out() {
        let sessions = Sessions::default();
        let (mine, other) = (
            sessions.open(Proof::Link(actor()), Millis(0)),
            sessions.open(Proof::Link(actor()), Millis(0)),
        );
        sessions.close(&mine);
        assert!(sessions.find(&mine, Millis(1)).is_none());
        assert!(sessions.find(&other, Millis(1)).is_some());
    }

    #[test]
    fn a_link_is_good_once_and_for_ten_minutes() {
        let sessions = Sessions::default();
        let link = sessions.invite(actor(), Millis(0));
        assert_eq!(sessions.accept(&link, Millis(LINK_MILLIS - 1)), Some(actor()));
        assert_eq!(sessions.accept(&link, Millis(1)), None);
        let late = sessions.invite(actor(), Millis(0));
        assert_eq!(sessions.accept(&late, Millis(LINK_MILLIS)), None);
    }

    #[test]
    fn the_oldest_goes_where_there_are_too_many() {
        let sessions = Sessions::default();
        let first = sessions.open(Proof::Link(actor()), Millis(0));
        let second = sessions.open(Proof::Link(actor()), Millis(1));
        for _ in 0..MOST - 1 {
            let _ = sessions.open(Proof::Link(actor()), Millis(2));
        }
        assert!(sessions.find(&first, Millis(3)).is_none());
        assert!(sessions.find(&second, Millis(3)).is_some());
    }
}
