//! The one source of random identifiers in this program; decisions are given what they need.

use crate::store::model::{Id, Millis};

/// Makes a new identifier from 16 random bytes.
///
/// # Panics
/// If the operating system has no random bytes to give, in which case nothing that this program does is safe.
#[must_use]
pub fn random_id() -> Id {
    Id::from_random(random_bytes())
}

/// Makes the identifier of a row that is made now.
///
/// # Panics
/// As [`random_id`].
#[must_use]
pub fn row_id(now: Millis) -> Id {
    Id::of_row(now, random_bytes())
}

/// Random bytes.
///
/// # Panics
/// As [`random_id`].
#[must_use]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Unwrap safety: aws-lc aborts the process itself rather than return bad randomness.
    #[allow(clippy::expect_used)]
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}
