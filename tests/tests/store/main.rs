//! What every store must do, run in memory, on SQLite and on PostgreSQL; and what each does when its database fails.

// A panic is how a test fails.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod answers;
mod chain;
mod credentials;
mod keys;
mod nodes;
mod opening;
mod orders;
mod own;
mod pages;
mod place;
mod queue;
mod rows;
mod sqlite;
mod suite;
mod survey;
mod vouchers;
mod waiting;

use brski_tests::postgres::Cluster;

use self::place::Place;

/// Runs each behaviour in memory and on SQLite as a test of its own, and all of them on one PostgreSQL;
/// those that need somebody who writes past the store, on the databases alone.
macro_rules! behaviours {
    (
        everywhere: { $($module:ident::$name:ident),+ $(,)? }
        on_databases: { $($tampered:ident::$with:ident),+ $(,)? }
    ) => {
        mod in_memory {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$module::$name(super::Place::memory()).await;
                }
            )+
        }

        mod on_sqlite {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$module::$name(super::Place::sqlite()).await;
                }
            )+
            $(
                #[tokio::test]
                async fn $with() {
                    super::$tampered::$with(super::Place::sqlite()).await;
                }
            )+
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn all_behaviours_on_postgres() {
            let Some(cluster) = Cluster::start().unwrap() else {
                return;
            };
            let cluster = std::sync::Arc::new(cluster);
            $(
                println!("on PostgreSQL: {}", stringify!($name));
                $module::$name(Place::postgres(&cluster)).await;
            )+
            $(
                println!("on PostgreSQL: {}", stringify!($with));
                $tampered::$with(Place::postgres(&cluster)).await;
            )+
        }
    };
}

behaviours! {
    everywhere: {
        suite::gives_back_what_it_was_given,
        nodes::each_node_says_what_its_settings_are,
        nodes::the_newest_event_of_any_node_counts_until_an_operator_vouches_for_the_clock,
        suite::every_state_comes_back_as_it_was,
        suite::what_is_issued_or_cancelled_stays_so,
        suite::what_ended_is_not_ordered_and_what_a_pledge_rejected_stays_so,
        suite::what_a_decision_stands_on_is_looked_at_again,
        suite::a_conflict_leaves_nothing_of_its_commit_behind,
        suite::an_enrollment_that_ended_makes_room_for_another,
        queue::two_nodes_never_hold_one_order,
        queue::a_cancelled_order_ends_unless_the_ca_was_asked_to_issue,
        suite::answers_certificates_and_chains_are_kept_once,
        opening::what_was_committed_is_there_when_it_is_opened_again,
        opening::commits_that_come_together_are_all_kept_and_fail_alone,
        queue::a_thousand_jobs_are_claimed_once_by_many_workers,
        suite::hostile_texts_come_back_as_they_were,
        pages::devices_come_in_pages_that_neither_repeat_nor_hide,
        pages::devices_are_found_by_the_beginning_of_name_and_serial_number,
        pages::events_come_in_pages,
        suite::a_name_is_freed_and_given_to_another,
        suite::a_barred_device_is_not_moved,
        suite::questions_are_asked_once_and_answered_once,
        suite::a_manufacturer_is_changed_by_who_knows_it_as_it_is,
        waiting::no_more_wait_than_may_however_many_ask_at_once,
        waiting::who_is_silent_longest_is_known_by_manufacturer,
        waiting::a_silent_device_is_forgotten_unless_it_speaks,
        waiting::a_device_that_was_let_in_outlives_its_question,
        suite::credentials_are_unique_and_revoked_once,
        credentials::a_credential_is_spent_as_often_as_it_may,
        credentials::a_revoked_credential_is_not_spent,
        credentials::the_other_holder_of_a_key_is_found,
        suite::certificates_are_found_by_their_end_and_revoked_once,
        queue::ended_orders_are_pruned_and_open_ones_stay,
        opening::a_second_writer_of_one_name_is_refused,
        orders::everything_of_an_order_is_kept,
        orders::a_device_that_floods_the_queue_waits_for_the_others,
        orders::an_order_that_rested_comes_after_those_that_wait,
        orders::while_a_ca_is_down_those_with_a_fallback_are_claimed_alone,
        orders::orders_are_listed_and_counted,
        orders::an_operator_has_an_order_tried_again,
        orders::an_enrollment_is_not_reopened_beside_another,
        orders::a_limit_is_taken_from_once_by_many,
        orders::a_revocation_is_due_until_the_ca_did_it,
        orders::an_account_keeps_what_its_ca_was_told,
        own::of_two_who_renew_or_rotate_one_is_refused,
        own::somebody_is_warned_of_one_thing_once,
        own::exchanges_that_need_an_earlier_root_are_found,
        answers::an_answer_is_found_by_its_kind_and_owner_and_from_above,
        answers::an_answer_elsewhere_is_listed_until_it_was_taken_back,
        answers::an_answer_that_another_order_needs_is_in_force,
        answers::an_answer_whose_order_ended_or_is_gone_is_taken_back,
        chain::an_untouched_chain_is_proven_up_to_its_checkpoint,
        survey::what_waits_is_counted,
        survey::the_newest_certificate_of_each_device_is_counted_by_its_end,
        keys::one_key_is_kept_for_one_wish,
        keys::a_kept_key_is_removed_when_its_time_is_over,
        keys::ca_certificates_are_needed_while_a_live_certificate_is_below,
        vouchers::an_exchange_comes_back_in_its_encoding_and_with_its_audit_log,
        vouchers::a_voucher_fetched_ahead_is_asked_for_by_one_node,
        vouchers::a_voucher_fetched_ahead_stays_until_another_comes,
    }
    on_databases: {
        opening::a_newer_database_is_refused_and_left_as_it_is,
        chain::each_changed_column_is_found,
        chain::a_removed_row_is_named,
        chain::a_cut_tail_below_a_checkpoint_is_found,
        chain::exchanged_rows_are_found,
        chain::a_chain_computed_anew_is_found_by_its_checkpoint,
        chain::a_forged_checkpoint_is_found,
        survey::devices_are_counted_by_state_and_events_by_stretch,
        survey::a_watcher_hears_what_was_written_and_what_failed,
        chain::pruning_leaves_a_checkpoint_that_verifies,
    }
}
