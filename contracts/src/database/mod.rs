//! The pipeline's database: rows and the checkpoint they stand for change together or not at all (INV-06), a checkpoint
//! that is elsewhere is a conflict and changes nothing, projections are written once and in order (INV-07, INV-08), and
//! what is set aside stays until it is released (INV-11).
//!
//! Each statement wants an empty database. `database_contract!` makes a test of each:
//!
//! ```ignore
//! wallex_contracts::database_contract!(#[tokio::test] { MyDatabase::empty().await });
//! wallex_contracts::database_contract!(run = my_world::block_on, { MyDatabase::empty().await });
//! ```
//!
//! The expression may be of any type that is a [`crate::Port`]; whatever has to live as long as the database is part of it.

mod ask;
mod log;
mod outbox;
mod projections;

pub use log::{Log, at, changes, entries, id};
pub use outbox::*;
pub use projections::*;

/// Makes a test of each statement; see the module.
#[macro_export]
macro_rules! database_contract {
    (#[$attribute:meta] $port:block) => {
        $crate::database_contract! { @each (#[$attribute]) $port }
    };
    (run = $run:path, $port:block) => {
        $crate::database_contract! { @each (run $run) $port }
    };
    (@each $how:tt $port:block) => {
        $crate::statements! { database $how $port
            a_new_database_is_at_the_beginning
            outbox_rows_and_their_checkpoint_are_written_together
            a_checkpoint_moves_without_rows
            a_repeated_write_of_the_outbox_is_a_conflict
            a_version_that_the_outbox_has_refuses_the_whole_write
            the_outbox_is_read_in_order_and_within_the_limit
            what_is_published_is_marked_once
            a_conflict_of_the_relay_changes_nothing_that_is_held
            what_the_relay_sets_aside_stays_until_it_is_released
            a_projector_begins_at_zero_in_every_partition
            rows_and_their_checkpoints_are_written_together
            versions_come_in_the_order_asked_for
            a_checkpoint_that_is_elsewhere_is_a_conflict_and_changes_nothing
            a_repeated_step_is_a_conflict_and_changes_nothing
            a_projection_goes_on_from_where_it_is
            a_row_at_another_version_refuses_the_whole_transaction
            an_entry_that_the_ledger_has_refuses_the_whole_transaction
            held_events_are_loaded_in_version_order
            what_is_released_is_applied_in_the_same_transaction
            an_event_that_is_held_again_takes_the_newer_reason
            a_large_batch_is_written_whole
        }
    };
}

/// Makes tests of statements of a module of this crate, on tokio or with a runner of one's own.
#[doc(hidden)]
#[macro_export]
macro_rules! statements {
    ($module:ident $how:tt $port:block $($statement:ident)*) => {
        $($crate::statements! { @test $module $how $port $statement })*
    };
    (@test $module:ident (#[$attribute:meta]) $port:block $statement:ident) => {
        #[$attribute]
        async fn $statement() {
            let port = $port;
            $crate::$module::$statement(&port).await;
        }
    };
    (@test $module:ident (run $run:path) $port:block $statement:ident) => {
        #[test]
        fn $statement() {
            $run(async {
                let port = $port;
                $crate::$module::$statement(&port).await;
            });
        }
    };
}
