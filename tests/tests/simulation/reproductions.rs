//! Runs that failed once. Each says what was wrong.

use super::op::Op::{self, *};
use super::op::{Act, Answer, Name, Outcome, Proof};
use super::simulate;
use super::tally::Tally;

const ALL: u8 = u8::MAX;

fn holds(ops: &[Op]) {
    simulate(ops, &Tally::default()).unwrap();
}

fn enroll(pledge: usize, node: usize, pace: u8) -> Op {
    Enroll { pledge, key: 0, proof: Proof::Own, name: Name::Own, node, pace }
}

/// Both nodes handed one enrollment to the local issuer, and both stored what came of it.
#[test]
fn an_enrollment_that_two_nodes_submit_gets_one_certificate() {
    let (pledge, key, node) = (6, 0, 0);
    for pace in 4..9 {
        holds(&[
            enroll(pledge, node, ALL),
            Reenroll { pledge, key, node, pace },
            Crash { node: 1 },
        ]);
    }
}

/// A node that had seen no enrollment for a wish ordered it, although the other node had begun and ended it meanwhile.
#[test]
fn a_wish_that_another_node_fulfilled_is_not_ordered_again() {
    for pace in 0..18 {
        holds(&[
            enroll(4, 0, ALL),
            Approve { question: 0, pace: ALL },
            enroll(4, 1, pace),
            enroll(4, 0, ALL),
            Ca { order: 0, outcome: Outcome::Issues, node: 0, pace: ALL },
            Go { request: 0, pace: ALL },
        ]);
    }
}

/// A MASA was slow, and what it said at last opened what the pledge had closed by rejecting the same voucher.
#[test]
fn a_voucher_that_the_pledge_rejected_stays_rejected() {
    let (pledge, nonce) = (0, 0);
    for pace in 0..18 {
        holds(&[
            RequestVoucher { pledge, nonce, node: 0, pace: ALL },
            RequestVoucher { pledge, nonce, node: 1, pace },
            Masa { call: 0, answer: Answer::Voucher },
            VoucherStatus { pledge, accept: false, node: 0, pace: ALL },
            Go { request: 0, pace: ALL },
            Masa { call: 0, answer: Answer::Voucher },
        ]);
    }
}

/// A device was retired, which freed its name, and restored, while its MASA was asked: its voucher then let it in again,
/// without a name, and nothing led anywhere from there.
#[test]
fn a_voucher_does_not_let_in_a_device_that_was_retired_and_restored_meanwhile() {
    let (pledge, other) = (0, 0);
    holds(&[
        RequestVoucher { pledge, nonce: 0, node: 0, pace: ALL },
        Operate { pledge, other, act: Act::RetireAndFree, pace: ALL },
        Operate { pledge, other, act: Act::Restore, pace: ALL },
    ]);
}

/// An operator had an order tried again while the certificate of its first life came, which nobody wanted by then:
/// the order ended with that, and its enrollment waited for ever.
#[test]
fn an_order_that_is_tried_again_while_its_certificate_comes_reaches_an_end() {
    for pace in 0..10 {
        holds(&[
            RequestVoucher { pledge: 0, nonce: 0, node: 0, pace: ALL },
            Masa { call: 0, answer: Answer::Voucher },
            enroll(0, 0, ALL),
            Operate { pledge: 0, other: 0, act: Act::Retire, pace: ALL },
            Ca { order: 0, outcome: Outcome::Issues, node: 0, pace },
            RetryOrder { order: 0 },
        ]);
    }
}

/// The clock went back between an enrollment that was cancelled and the next one, which then never counted as the newest:
/// what it had got was ordered again and again.
#[test]
fn an_enrollment_is_the_newest_of_its_wish_though_the_clock_went_back() {
    holds(&[
        RequestVoucher { pledge: 0, nonce: 0, node: 0, pace: ALL },
        Masa { call: 0, answer: Answer::Voucher },
        enroll(0, 0, ALL),
        CancelOrder { order: 0 },
        Clock { seconds: -9 },
        enroll(0, 0, ALL),
    ]);
}

/// A node placed an order that the other node had placed meanwhile and the CA had refused: the enrollment counted as
/// ordered from then on, and nobody drove it.
#[test]
fn an_order_that_ended_while_another_node_placed_it_stays_ended() {
    for pace in 0..18 {
        holds(&[
            enroll(5, 0, ALL),
            Approve { question: 0, pace: ALL },
            enroll(5, 0, pace),
            Crash { node: 1 },
            Ca { order: 0, outcome: Outcome::Refuses, node: 0, pace: ALL },
            Go { request: 0, pace: ALL },
        ]);
    }
}

/// An operator retired a device that began an enrollment while the operator's decision was under way: it was not
/// cancelled, and nobody drove it.
#[test]
fn what_begins_while_its_device_is_retired_is_not_forgotten() {
    let (pledge, other) = (5, 0);
    for act in [Act::Retire, Act::Block, Act::Rename] {
        for pace in 0..10 {
            holds(&[
                Import { pledge, named: false, lab: true },
                Operate { pledge, other, act, pace },
                enroll(pledge, 0, 9),
                Go { request: 0, pace: ALL },
            ]);
        }
    }
}

/// What was issued is given again, and nothing new is issued, while the clock is earlier than what has happened.
#[test]
fn nothing_is_issued_while_the_clock_is_wrong() {
    let (pledge, proof, name, node, pace) = (6, Proof::Own, Name::Own, 0, ALL);
    let enroll = |key| Enroll { pledge, key, proof, name, node, pace };
    let ops = [
        enroll(0),
        Clock { seconds: -300 },
        enroll(1),
        enroll(0),
        Reenroll { pledge, key: 0, node, pace },
        Clock { seconds: 290 },
        enroll(1),
    ];
    let answers = simulate(&ops, &Tally::default()).unwrap();
    assert_eq!(answers[..5], [200, 503, 200, 503, 200]);
}
