//! The contract of the event log, the same for every implementation: in memory, on one server, and on a cluster of three.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

/// Hands the list of all cases to a macro.
macro_rules! with_cases {
    ($then:ident $(, $argument:tt)*) => {
        $then!(
            $($argument,)*
            events_are_stored_and_read_back,
            what_was_never_written_does_not_exist,
            an_append_on_another_state_is_a_conflict,
            a_store_with_an_old_cache_catches_up,
            concurrent_commands_all_take_effect_once,
            a_command_sent_again_gives_its_first_outcome,
            a_command_id_with_another_body_is_refused,
            commands_are_remembered_up_to_a_bound,
            a_lost_acknowledgement_is_found,
            an_append_that_never_arrived_is_sent_again,
            nothing_is_refused_on_an_old_state,
            a_check_stores_nothing,
            the_past_can_be_loaded,
            history_is_listed_in_pages,
            a_subscription_gives_everything_in_order,
            a_subscription_starts_in_the_middle,
            a_record_that_is_too_large_is_refused,
            tenants_do_not_meet,
            what_follows_carries_the_correlation_of_its_thread,
            events_of_other_threads_keep_their_own,
            a_given_correlation_is_its_records_alone,
            a_clock_names_the_record_that_set_it,
            forgotten_threads_take_no_room,
        );
    };
}
use with_cases;

mod cases;
mod cluster;
mod crash;
mod feed;
mod frozen;
mod lossy;
mod on_server;
mod servers;
mod tally;
mod threads;

/// One test per case, each on a log of its own.
macro_rules! contract {
    ($implementation:ident, $($case:ident),+ $(,)?) => {
        mod $implementation {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let (log, _running) = super::servers::$implementation().await;
                    super::cases::$case(log).await;
                }
            )+
        }
    };
}

with_cases!(contract, memory);
with_cases!(contract, one_server);
