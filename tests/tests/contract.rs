//! The contract of the event log, the same for every implementation: in memory, on one server, and on a cluster of three.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

/// Passes the list of all cases to a macro.
macro_rules! with_cases {
    ($then:ident $(, $argument:tt)*) => {
        $then!(
            $($argument,)*
            events_are_stored_and_read_back,
            an_aggregate_without_events_does_not_exist,
            an_append_on_an_old_state_is_a_conflict,
            a_store_with_an_old_cache_catches_up,
            concurrent_commands_all_take_effect_once,
            a_command_repeated_with_its_id_gives_its_first_outcome,
            a_command_id_with_another_body_is_refused,
            only_the_latest_commands_are_remembered,
            a_lost_acknowledgement_is_found,
            an_append_that_never_arrived_is_sent_again,
            no_command_is_refused_on_an_old_state,
            a_check_stores_nothing,
            the_past_can_be_loaded,
            history_is_listed_in_pages,
            a_subscription_gives_everything_in_order,
            a_subscription_starts_in_the_middle,
            one_type_is_subscribed_to_alone,
            the_next_record_of_a_type_is_found,
            aggregates_of_one_type_are_followed,
            a_record_that_is_too_large_is_refused,
            tenants_share_no_events,
            later_events_carry_the_correlation_of_their_thread,
            events_of_other_threads_keep_their_own_correlation,
            a_given_correlation_applies_to_its_record_only,
            a_clock_names_the_record_that_set_it,
            ended_threads_are_removed,
        );
    };
}
use with_cases;

mod cases;
mod cluster;
mod crash;
mod feed;
mod followed;
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
