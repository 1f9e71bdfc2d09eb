//! The event store: appends that check versions and are recognised when they are repeated (INV-03, INV-04, INV-05), all
//! or nothing over several wallets (INV-01), and reads that miss nothing and give nothing twice (INV-06).
//!
//! Each statement wants an empty store. `event_store_contract!` makes a test of each:
//!
//! ```ignore
//! wallex_contracts::event_store_contract!(#[tokio::test] { MyStore::empty().await });
//! wallex_contracts::event_store_contract!(run = my_world::block_on, { MyStore::empty().await });
//! ```
//!
//! The expression may be of any type that is a [`crate::Port`]; whatever has to live as long as the store is part of it.

mod appending;
mod ask;
mod reading;

pub use appending::*;
pub use reading::*;

/// Makes a test of each statement; see the module.
#[macro_export]
macro_rules! event_store_contract {
    (#[$attribute:meta] $store:block) => {
        $crate::event_store_contract! { @each (#[$attribute]) (async) $store }
    };
    (run = $run:path, $store:block) => {
        $crate::event_store_contract! { @each (run $run) (sync) $store }
    };
    (@each $how:tt $kind:tt $store:block) => {
        $crate::event_store_contract! { @tests $how $kind $store
            what_was_appended_is_loaded
            version_zero_means_that_the_wallet_must_not_exist
            an_append_at_another_version_is_a_conflict_and_writes_nothing
            a_repeated_append_is_done_and_writes_nothing
            a_repeat_with_other_ids_is_a_conflict
            a_repeat_at_another_place_is_a_conflict
            an_append_that_is_there_in_part_is_a_conflict
            several_wallets_are_written_all_or_nothing
            many_events_of_a_wallet_go_in_one_append
            an_append_of_nothing_is_done
            a_load_gives_what_is_new_since_the_known_version
            a_load_of_an_unknown_wallet_gives_nothing
            many_wallets_are_loaded_in_the_order_asked_for
            the_log_gives_every_event_once_and_in_order
            the_log_is_read_on_from_every_position
            the_log_gives_no_more_than_the_limit
            a_wallet_whose_name_begins_like_another_is_not_mixed_up_with_it
            a_stream_is_read_from_version_to_version
            a_command_is_found_in_its_wallets_and_nowhere_else
            a_search_for_a_command_need_not_go_back_further_than_asked
        }
    };
    (@tests $how:tt $kind:tt $store:block $($statement:ident)*) => {
        $($crate::event_store_contract! { @test $how $kind $store $statement })*
    };
    (@test (#[$attribute:meta]) (async) $store:block $statement:ident) => {
        #[$attribute]
        async fn $statement() {
            let store = $store;
            $crate::event_store::$statement(&store).await;
        }
    };
    (@test (run $run:path) (sync) $store:block $statement:ident) => {
        #[test]
        fn $statement() {
            $run(async {
                let store = $store;
                $crate::event_store::$statement(&store).await;
            });
        }
    };
}
