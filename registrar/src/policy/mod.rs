//! What the operator's rules say: which devices may join, under which names, with which CSRs. Pure.

pub mod admission;
pub mod attempts;
pub mod audit;
pub mod manufacturers;
pub mod name;
pub mod profile;
pub mod quota;
pub mod rules;
pub mod timekeeping;
pub mod told;
pub mod waiting;
