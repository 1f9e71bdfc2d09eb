//! Runs that once failed, pinned by seed, preset and topology: none of them may fail again.
//!
//! The name of each test says what the run had shown. A change of the workload's making gives a seed another plan; then
//! the pin only proves that one more plan passes, and the unit tests of the core keep the case itself.

use wallex_sim::plan::{Preset, Topology, generate};
use wallex_sim::world::{Ending, run};

const COMMANDS: usize = 300;
/// As many as the command line runs when it is not told.
const MANY_COMMANDS: usize = 1_000;

fn assert_passes(seed: u64, preset: Preset, topology: Topology) {
    assert_passes_with(COMMANDS, seed, preset, topology);
}

fn assert_passes_with(commands: usize, seed: u64, preset: Preset, topology: Topology) {
    let outcome = run(&generate(seed, preset, topology, commands), false);
    let seen = (outcome.panic.as_ref(), outcome.violation());
    assert_eq!(outcome.ending(), Ending::Passed, "seed {seed}, {preset:?}, {topology:?}: {seen:?}");
    assert!(outcome.tally.events > 20, "seed {seed}: a workload that is mostly refused proves nothing");
}

#[test]
fn a_command_taken_over_by_an_instance_with_a_fast_clock_takes_effect_once() {
    assert_passes(131, Preset::Storm, Topology::Production);
    assert_passes(137, Preset::Default, Topology::Production);
    assert_passes(203, Preset::Storm, Topology::Production);
    assert_passes(241, Preset::Default, Topology::Production);
}

#[test]
fn an_embedded_service_whose_journal_has_stopped_converges_after_its_restart() {
    assert_passes(229, Preset::Default, Topology::Embedded);
    assert_passes(342, Preset::Default, Topology::Embedded);
    assert_passes(365, Preset::Default, Topology::Embedded);
}

#[test]
fn power_that_fails_while_the_journal_is_opened_loses_nothing() {
    assert_passes(1_058, Preset::Default, Topology::Embedded);
}

#[test]
fn an_answer_that_is_stored_late_does_not_contradict_whoever_took_the_key_over() {
    assert_passes_with(MANY_COMMANDS, 825, Preset::Default, Topology::Production);
    assert_passes(5_098, Preset::Default, Topology::Production);
}

#[test]
fn a_transaction_of_a_process_that_lost_its_power_does_not_happen_after_the_power_cut() {
    assert_passes_with(MANY_COMMANDS, 5_022, Preset::Default, Topology::Embedded);
}

#[test]
fn a_batch_is_refused_on_each_wallet_at_a_time_of_its_own() {
    assert_passes_with(MANY_COMMANDS, 27, Preset::Storm, Topology::Production);
    assert_passes_with(MANY_COMMANDS, 328, Preset::Calm, Topology::Production);
    assert_passes_with(MANY_COMMANDS, 401, Preset::Default, Topology::Production);
    assert_passes_with(MANY_COMMANDS, 513, Preset::Default, Topology::Production);
    assert_passes(16, Preset::Storm, Topology::Production);
    assert_passes(116, Preset::Calm, Topology::Production);
}

#[test]
fn a_key_whose_takeover_was_never_heard_of_stays_reserved() {
    assert_passes_with(MANY_COMMANDS, 331, Preset::Storm, Topology::Production);
    assert_passes_with(MANY_COMMANDS, 363, Preset::Storm, Topology::Production);
    assert_passes_with(MANY_COMMANDS, 511, Preset::Storm, Topology::Production);
    assert_passes_with(MANY_COMMANDS, 653, Preset::Default, Topology::Production);
}

#[test]
fn a_transfer_is_refused_on_what_held_of_both_wallets_at_one_moment() {
    assert_passes_with(MANY_COMMANDS, 463, Preset::Storm, Topology::Production);
    assert_passes_with(MANY_COMMANDS, 3_651, Preset::Storm, Topology::Production);
    assert_passes_with(MANY_COMMANDS, 3_740, Preset::Calm, Topology::Production);
    assert_passes_with(MANY_COMMANDS, 3_746, Preset::Default, Topology::Production);
}

#[test]
fn what_a_failed_sync_left_in_memory_alone_is_written_again_before_it_is_built_upon() {
    assert_passes_with(MANY_COMMANDS, 100_428, Preset::Storm, Topology::Embedded);
}

#[test]
fn a_batch_that_is_taken_over_names_the_wallet_that_was_missing_first() {
    assert_passes_with(MANY_COMMANDS, 112_080, Preset::Storm, Topology::Production);
}

#[test]
fn a_request_that_comes_twice_is_not_refused_while_the_other_one_may_be_heard() {
    assert_passes_with(MANY_COMMANDS, 101_436, Preset::Storm, Topology::Production);
}

#[test]
fn a_batch_that_is_taken_over_is_refused_on_what_held_at_one_moment() {
    assert_passes_with(MANY_COMMANDS, 35_763, Preset::Storm, Topology::Production);
}

#[test]
fn a_load_that_comes_after_a_newer_one_changes_nothing() {
    assert_passes_with(MANY_COMMANDS, 22_331, Preset::Storm, Topology::Production);
}

#[test]
fn what_was_accepted_beside_others_of_its_append_is_not_refused_by_who_takes_it_over() {
    assert_passes_with(MANY_COMMANDS, 216_930, Preset::Storm, Topology::Production);
}

#[test]
fn a_frame_that_was_taken_back_in_memory_alone_does_not_damage_the_next_one() {
    assert_passes_with(MANY_COMMANDS, 202_346, Preset::Storm, Topology::Embedded);
}

#[test]
fn rot_in_what_a_snapshot_covers_is_found_by_verification() {
    assert_passes_with(MANY_COMMANDS, 208_303, Preset::Default, Topology::Embedded);
}

#[test]
fn power_that_fails_at_once_fails_though_nothing_is_written() {
    assert_passes_with(MANY_COMMANDS, 309_705, Preset::Default, Topology::Embedded);
}

#[test]
fn a_batch_without_an_answer_has_its_place_where_all_of_it_is_done() {
    assert_passes_with(MANY_COMMANDS, 313_261, Preset::Default, Topology::Embedded);
}

#[test]
fn clocks_that_are_wrong_by_minutes_contradict_nobody() {
    assert_passes_with(MANY_COMMANDS, 137, Preset::Default, Topology::Production);
    assert_passes_with(MANY_COMMANDS, 235, Preset::Storm, Topology::Production);
}
