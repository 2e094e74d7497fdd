//! What may happen, as plain values: a run is a list of these, and a failure prints as one.

use brski_registrar::policy::rules::Ruling;
use proptest::prelude::*;

use super::site::{KEYS, PLEDGES, PRINTER};

/// How a client proves itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// With its IDevID; the client that has none, with its credential.
    Own,
    /// With the newest certificate that it has of this registrar.
    Issued,
}

/// Which name a CSR asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// The one that the registrar gave.
    Own,
    /// Another pledge's.
    Foreign,
}

/// What a MASA answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Voucher,
    WrongNonce,
    WrongSerial,
    Refuses,
    NotYet,
    Away,
    Lost,
}

/// What the CA does with an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Placed,
    Finalizing,
    Issues,
    Refuses,
    Fails,
}

/// What an operator does with a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Retire,
    RetireAndFree,
    Block,
    Restore,
    Rename,
    Replace,
    Revoke,
}

/// One thing that happens. `node`: 0 or 1. `pace`: how often a request gets at the store before it is held.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    RequestVoucher {
        pledge: usize,
        nonce: u8,
        node: usize,
        pace: u8,
    },
    VoucherStatus {
        pledge: usize,
        accept: bool,
        node: usize,
        pace: u8,
    },
    CsrAttributes {
        pledge: usize,
        proof: Proof,
        node: usize,
    },
    Enroll {
        pledge: usize,
        key: usize,
        proof: Proof,
        name: Name,
        node: usize,
        pace: u8,
    },
    Reenroll {
        pledge: usize,
        key: usize,
        node: usize,
        pace: u8,
    },
    EnrollStatus {
        pledge: usize,
        proof: Proof,
        ok: bool,
        node: usize,
    },
    /// Lets a held request go on.
    Go {
        request: usize,
        pace: u8,
    },
    /// The client of a held request goes away.
    HangUp {
        request: usize,
    },
    /// A MASA answers a call, an old one perhaps whose caller is gone.
    Masa {
        call: usize,
        answer: Answer,
    },
    /// The CA and a node's bridge do something with an order, one that has ended perhaps.
    Ca {
        order: usize,
        outcome: Outcome,
        node: usize,
        pace: u8,
    },
    Clock {
        seconds: i64,
    },
    /// A node dies and begins again: what it had not committed is lost.
    Crash {
        node: usize,
    },
    /// The database fails a node's next accesses.
    Fail {
        node: usize,
        accesses: u8,
    },
    /// The configuration says anew what becomes of devices that nobody expects.
    Policy {
        unexpected: Ruling,
    },
    Import {
        pledge: usize,
        named: bool,
        lab: bool,
    },
    Approve {
        question: usize,
        pace: u8,
    },
    Disapprove {
        question: usize,
    },
    Operate {
        pledge: usize,
        other: usize,
        act: Act,
        pace: u8,
    },
    RetryOrder {
        order: usize,
    },
    CancelOrder {
        order: usize,
    },
    RevokeCredential,
}

impl Op {
    /// The word that it is counted by.
    pub(super) fn word(&self) -> String {
        let text = match self {
            Self::Masa { answer, .. } => format!("Masa {answer:?}"),
            Self::Ca { outcome, .. } => format!("Ca {outcome:?}"),
            Self::Operate { act, .. } => format!("Operate {act:?}"),
            Self::Enroll { proof, name, .. } => format!("Enroll {proof:?} {name:?}"),
            other => format!("{other:?}"),
        };
        text.split('{').next().unwrap_or_default().trim().to_owned()
    }
}

impl Op {
    /// The word of each operation.
    pub(super) fn words() -> Vec<String> {
        let (pledge, node, pace, order) = (0, 0, 0, 0);
        let mut all = vec![
            Self::RequestVoucher { pledge, nonce: 0, node, pace },
            Self::VoucherStatus { pledge, accept: true, node, pace },
            Self::CsrAttributes { pledge, proof: Proof::Own, node },
            Self::Reenroll { pledge, key: 0, node, pace },
            Self::EnrollStatus { pledge, proof: Proof::Own, ok: true, node },
            Self::Go { request: 0, pace },
            Self::HangUp { request: 0 },
            Self::Clock { seconds: 0 },
            Self::Crash { node },
            Self::Fail { node, accesses: 1 },
            Self::Policy { unexpected: Ruling::Ask },
            Self::Import { pledge, named: true, lab: true },
            Self::Approve { question: 0, pace },
            Self::Disapprove { question: 0 },
            Self::RetryOrder { order },
            Self::CancelOrder { order },
            Self::RevokeCredential,
        ];
        for proof in [Proof::Own, Proof::Issued] {
            for name in [Name::Own, Name::Foreign] {
                all.push(Self::Enroll { pledge, key: 0, proof, name, node, pace });
            }
        }
        all.extend(ANSWERS.map(|answer| Self::Masa { call: 0, answer }));
        all.extend(OUTCOMES.map(|outcome| Self::Ca { order, outcome, node, pace }));
        all.extend(ACTS.map(|act| Self::Operate { pledge, other: 0, act, pace }));
        all.iter().map(Self::word).collect()
    }
}

const OUTCOMES: [Outcome; 5] =
    [Outcome::Placed, Outcome::Finalizing, Outcome::Issues, Outcome::Refuses, Outcome::Fails];
const UNEXPECTED: [Ruling; 3] = [Ruling::Admit, Ruling::Ask, Ruling::Refuse];
const ACTS: [Act; 7] = [
    Act::Retire,
    Act::RetireAndFree,
    Act::Block,
    Act::Restore,
    Act::Rename,
    Act::Replace,
    Act::Revoke,
];
const ANSWERS: [Answer; 7] = [
    Answer::Voucher,
    Answer::WrongNonce,
    Answer::WrongSerial,
    Answer::Refuses,
    Answer::NotYet,
    Answer::Away,
    Answer::Lost,
];

/// What comes between: seconds to months, and back.
const JUMPS: [i64; 7] = [1, 5, 61, 660, 61 * 86_400, 100 * 86_400, -300];

fn pace() -> impl Strategy<Value = u8> {
    // Most requests run through; the others stop somewhere in between.
    prop_oneof![3 => Just(u8::MAX), 2 => 0..16_u8]
}

fn pledge() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 0..PLEDGES.len(), 1 => Just(PRINTER)]
}

fn device() -> impl Strategy<Value = usize> {
    // The same device again and again is where things meet.
    prop_oneof![3 => Just(0_usize), 4 => 0..PLEDGES.len()]
}

fn node() -> impl Strategy<Value = usize> {
    prop_oneof![3 => Just(0_usize), 1 => Just(1_usize)]
}

fn proof() -> impl Strategy<Value = Proof> {
    prop_oneof![3 => Just(Proof::Own), 1 => Just(Proof::Issued)]
}

fn requests() -> impl Strategy<Value = Op> {
    let name = || prop_oneof![8 => Just(Name::Own), 1 => Just(Name::Foreign)];
    prop_oneof![
        6 => (device(), 0..3_u8, node(), pace())
            .prop_map(|(pledge, nonce, node, pace)| Op::RequestVoucher { pledge, nonce, node, pace }),
        3 => (device(), prop::bool::weighted(0.7), node(), pace())
            .prop_map(|(pledge, accept, node, pace)| Op::VoucherStatus { pledge, accept, node, pace }),
        1 => (pledge(), proof(), node())
            .prop_map(|(pledge, proof, node)| Op::CsrAttributes { pledge, proof, node }),
        9 => (pledge(), 0..KEYS, proof(), name(), node(), pace()).prop_map(
            |(pledge, key, proof, name, node, pace)| Op::Enroll { pledge, key, proof, name, node, pace }
        ),
        3 => (pledge(), 0..KEYS, node(), pace())
            .prop_map(|(pledge, key, node, pace)| Op::Reenroll { pledge, key, node, pace }),
        1 => (pledge(), proof(), any::<bool>(), node())
            .prop_map(|(pledge, proof, ok, node)| Op::EnrollStatus { pledge, proof, ok, node }),
    ]
}

fn world() -> impl Strategy<Value = Op> {
    let answer = prop_oneof![5 => Just(Answer::Voucher), 3 => prop::sample::select(&ANSWERS[1..])];
    // A device that leaves while the CA issues is where certificates come that nobody wants.
    let outcome = prop_oneof![
        2 => Just(Outcome::Issues),
        1 => Just(Outcome::Finalizing),
        3 => prop::sample::select(&OUTCOMES[..]),
    ];
    prop_oneof![
        6 => (0..8_usize, pace()).prop_map(|(request, pace)| Op::Go { request, pace }),
        3 => (0..8_usize).prop_map(|request| Op::HangUp { request }),
        9 => (0..8_usize, answer).prop_map(|(call, answer)| Op::Masa { call, answer }),
        8 => (0..8_usize, outcome, node(), pace())
            .prop_map(|(order, outcome, node, pace)| Op::Ca { order, outcome, node, pace }),
        3 => prop::sample::select(&JUMPS[..]).prop_map(|seconds| Op::Clock { seconds }),
        2 => (0..2_usize).prop_map(|node| Op::Crash { node }),
        1 => (0..2_usize, 1..4_u8).prop_map(|(node, accesses)| Op::Fail { node, accesses }),
    ]
}

fn operators() -> impl Strategy<Value = Op> {
    prop_oneof![
        1 => prop::sample::select(&UNEXPECTED[..])
            .prop_map(|unexpected| Op::Policy { unexpected }),
        3 => (device(), prop::bool::weighted(0.3), any::<bool>())
            .prop_map(|(pledge, named, lab)| Op::Import { pledge, named, lab }),
        3 => (0..4_usize, pace()).prop_map(|(question, pace)| Op::Approve { question, pace }),
        1 => (0..4_usize).prop_map(|question| Op::Disapprove { question }),
        5 => (pledge(), device(), prop::sample::select(&ACTS[..]), pace())
            .prop_map(|(pledge, other, act, pace)| Op::Operate { pledge, other, act, pace }),
        1 => (0..4_usize).prop_map(|order| Op::RetryOrder { order }),
        1 => (0..4_usize).prop_map(|order| Op::CancelOrder { order }),
        1 => Just(Op::RevokeCredential),
    ]
}

/// The first device, to where the CA has its order.
fn up_to_an_order() -> Vec<Op> {
    let (pledge, node, pace) = (0, 0, u8::MAX);
    let (proof, name) = (Proof::Own, Name::Own);
    vec![
        Op::RequestVoucher { pledge, nonce: 0, node, pace },
        Op::Masa { call: 0, answer: Answer::Voucher },
        Op::VoucherStatus { pledge, accept: true, node, pace },
        Op::Enroll { pledge, key: 0, proof, name, node, pace },
    ]
}

/// A run of operations.
pub(super) fn operations() -> impl Strategy<Value = Vec<Op>> {
    let one = prop_oneof![9 => requests(), 9 => world(), 4 => operators()];
    // Much begins only when a device has come as far as an order.
    (prop::bool::weighted(0.4), prop::collection::vec(one, 1..70)).prop_map(|(has_order, rest)| {
        let before = if has_order { up_to_an_order() } else { Vec::new() };
        before.into_iter().chain(rest).collect()
    })
}
