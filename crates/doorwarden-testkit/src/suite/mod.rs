//! What every store must do: each behaviour is a function that takes a [`TestStore`] and panics if the store
//! behaves differently. [`store_suite!`](crate::store_suite) generates the tests.

#![expect(clippy::unwrap_used, reason = "these are tests: what must not fail ends the test with its line")]

use crate::TestStore;

#[doc(hidden)]
pub mod audit;
#[doc(hidden)]
pub mod by_hand;
#[doc(hidden)]
pub mod changes;
#[doc(hidden)]
pub mod groups;
#[doc(hidden)]
pub mod import;
#[doc(hidden)]
pub mod keys;
#[doc(hidden)]
pub mod lifecycle;
#[doc(hidden)]
pub mod listing;
#[doc(hidden)]
pub mod metadata;
#[doc(hidden)]
pub mod passwords;
mod property;
#[doc(hidden)]
pub mod races;
#[doc(hidden)]
pub mod refresh;
#[doc(hidden)]
pub mod refresh_model;
#[doc(hidden)]
pub mod round_trip;
#[doc(hidden)]
pub mod session_ends;
#[doc(hidden)]
pub mod sessions;
#[doc(hidden)]
pub mod users;

/// Runs one behaviour on a fresh store in a runtime of its own, then closes the store. Does nothing if `open`
/// returns `None`.
pub fn run(open: impl AsyncFnOnce() -> Option<TestStore>, behaviour: impl AsyncFnOnce(&TestStore)) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime with two threads can be started");
    runtime.block_on(async {
        if let Some(t) = open().await {
            behaviour(&t).await;
            t.store.close().await;
        }
    });
}

/// Every behaviour as a test of its own, in modules by subject. `open` is the name of an `async fn() ->
/// Option<TestStore>` in the module that calls this: a fresh, migrated store, or `None` (and a line through
/// [`skip`](crate::skip)) if there is no database.
///
/// ```no_run
/// use doorwarden_testkit::{TestStore, postgres_database};
///
/// # fn main() {}
/// async fn open() -> Option<TestStore> {
///     let database = postgres_database().await?;
/// #   async fn connect(url: &str) -> std::sync::Arc<dyn doorwarden_core::store::Store> { unimplemented!() }
///     let store = connect(&database.url).await;
///     store.migrate().await.unwrap();
///     let sql = database.sql();
///     Some(TestStore::new(store, sql, database))
/// }
///
/// doorwarden_testkit::store_suite!(open);
/// ```
#[macro_export]
macro_rules! store_suite {
    ($open:ident) => {
        $crate::store_suite!(@ $open lifecycle:
            migrating_again_changes_nothing
            an_open_store_answers_and_says_what_it_is
            a_closed_store_is_unavailable
            what_is_missing_in_the_database_makes_it_unavailable
            after_a_restore_nothing_of_the_time_in_between_counts
        );
        $crate::store_suite!(@ $open users:
            a_created_user_is_returned_as_it_is_stored
            nobody_is_found_where_nobody_was_created
            an_address_is_unique_without_regard_to_case
            a_user_name_is_unique_in_its_folded_form
            a_user_is_found_by_address_and_name_without_regard_to_case
            an_id_is_never_used_again
            an_id_that_was_given_by_hand_is_never_used_again
            taken_tells_what_another_user_has
            an_update_changes_what_it_names_and_nothing_else
            a_changed_address_and_name_are_found_and_the_old_ones_are_free
            an_update_of_nobody_returns_none
            an_update_that_takes_what_another_has_changes_nothing
            a_user_may_change_the_case_of_his_address_and_name
            deactivation_ends_every_session
            deletion_takes_the_user_and_ends_the_sessions
        );
        $crate::store_suite!(@ $open metadata:
            a_patch_sets_and_removes_members_at_the_top_level
            names_of_members_are_taken_literally
            metadata_may_take_16_kib_and_not_a_byte_more
            a_patch_may_fill_16_kib_and_not_a_byte_more
        );
        $crate::store_suite!(@ $open listing:
            pages_follow_each_other_by_id
            flags_filter_and_combine
            a_filter_holds_on_every_page
            a_permission_filters_like_djangos_with_perm
            a_group_filters_its_members
            a_beginning_filters_names_and_addresses_without_regard_to_case
            users_are_counted_by_algorithm
        );
        $crate::store_suite!(@ $open passwords:
            a_new_password_is_stored_and_dates_the_tokens
            a_new_password_ends_the_sessions_but_the_kept_one
            a_new_password_needs_the_expected_one
            nobody_has_no_password_to_change
            a_new_password_is_not_a_trimmed_one
            a_login_that_shows_that_a_password_was_not_trimmed_is_remembered
            a_new_password_opens_a_session_while_it_is_the_stored_one
            a_better_hash_of_a_trimmed_password_is_a_trimmed_one
            signing_out_ends_the_sessions_and_dates_the_tokens
            signing_out_counts_what_it_ended
            a_revoked_token_stays_revoked_whatever_clock_comes_next
        );
        $crate::store_suite!(@ $open groups:
            declared_permissions_exist_once_with_the_latest_label
            permissions_and_groups_are_sorted_by_code_point
            a_deleted_permission_is_gone_from_everybody
            a_group_has_permissions_and_members
            a_deleted_group_takes_memberships_and_grants_with_it
            what_is_given_twice_is_had_once
            nothing_is_given_to_or_from_what_does_not_exist
            an_account_has_what_the_user_may_do
            accounts_do_not_mix
        );
        $crate::store_suite!(@ $open import:
            an_imported_account_is_stored_as_it_was
            an_imported_account_whose_id_name_or_address_is_taken_is_left_out_whole
            importing_again_changes_nothing
            an_id_that_is_reserved_or_imported_is_never_used_again
            a_step_of_an_import_that_fails_or_is_not_committed_leaves_nothing
        );
        $crate::store_suite!(@ $open sessions:
            an_opened_session_is_read_as_it_was
            a_login_is_recorded_with_the_session
            how_a_session_was_authenticated_is_read_as_it_is_stored
            a_login_stores_the_better_hash_and_ends_no_token
            a_login_with_another_password_than_the_stored_one_opens_nothing
            an_inactive_user_opens_no_session
            a_deleted_user_opens_no_session
            the_living_sessions_of_a_user_are_listed_newest_first
            a_session_ends_once_and_for_its_user_only
            every_reason_for_an_end_is_kept
            all_sessions_but_one_end_together
            when_a_session_was_seen_never_moves_back
            revocations_are_told_from_an_instant_on_in_their_order
            the_end_by_deactivation_and_deletion_is_among_the_revocations
            purging_deletes_what_ended_or_expired_before_and_nothing_else
            purging_deletes_no_more_than_it_may
        );
        $crate::store_suite!(@ $open session_ends:
            drill_no_end_of_all_sessions_takes_longer_because_there_are_many
            what_ended_with_all_others_is_refused_by_everything
            of_two_that_end_the_others_at_once_one_goes_on
            sql_by_hand_ends_all_sessions_by_the_generation
            an_id_that_comes_back_does_not_bring_its_sessions_back
            rows_of_ended_sessions_are_settled_in_portions_and_silently
            only_sessions_with_refresh_tokens_are_revoked_one_by_one
            of_more_revocations_than_a_list_may_have_the_older_ones_become_an_instant
            everybody_is_signed_out_in_portions
            one_session_too_many_ends_those_that_were_not_used_for_the_longest_time
            at_most_ten_sessions_end_when_one_is_opened_and_the_rest_later
            logins_that_come_together_keep_the_limit
            the_list_of_sessions_goes_on_behind_a_place
            an_expiry_before_1970_or_never_is_what_it_says
            the_log_of_changes_is_purged_in_portions
        );
        $crate::store_suite!(@ $open refresh:
            the_newest_token_rotates
            the_token_before_the_newest_gets_the_newest_again
            a_late_repeat_is_counted_and_the_third_ends_the_session
            a_repeat_is_late_after_the_grace_that_is_asked_for
            late_repeats_are_forgiven_after_a_generation_without_any_repeat
            a_rotation_of_unknown_date_has_no_grace
            an_older_token_ends_the_session
            a_counter_that_was_never_given_is_refused_and_ends_nothing
            a_session_that_does_not_exist_is_unknown
            an_ended_session_refuses
            an_expired_session_refuses
            a_session_that_was_idle_too_long_refuses
            a_rotation_never_moves_back_when_a_session_was_seen
            a_session_is_idle_too_long_when_its_time_is_up_to_the_second
            a_session_of_an_inactive_or_deleted_user_refuses
            a_living_session_of_an_inactive_user_refuses
            every_renewal_gives_a_newer_token
            a_renewal_narrows_the_limits_and_never_widens_them
            nothing_is_renewed_where_no_session_lives
        );
        $crate::store_suite!(@ $open refresh_model:
            drill_every_short_story_of_a_session_ends_as_the_protocol_says
            drill_random_stories_of_a_session_end_as_the_protocol_says
        );
        $crate::store_suite!(@ $open keys:
            keys_are_listed_by_when_they_sign
            a_key_has_at_most_one_successor
            a_key_is_revoked_once
            chains_of_two_algorithms_begin_beside_each_other
            when_a_key_signs_is_changed_by_who_knows_it
            a_key_is_sealed_anew_once
            all_keys_are_revoked_at_once
            only_a_key_that_signs_no_more_is_deleted
            a_key_is_deleted_once
        );
        $crate::store_suite!(@ $open audit:
            what_happened_without_a_change_is_recorded_as_it_was
            events_are_listed_by_number_behind_a_place
            a_user_who_is_created_is_an_event_and_one_who_is_refused_is_none
            a_session_that_is_opened_is_an_event_and_one_that_is_refused_is_none
            sessions_that_end_because_there_are_too_many_are_events
            a_user_who_is_changed_is_an_event_and_one_who_is_not_there_is_none
            a_password_that_is_stored_is_an_event_and_one_that_is_refused_is_none
            an_end_of_sessions_is_an_event_and_says_how_many
            each_portion_of_those_who_are_signed_out_is_an_event
            surplus_sessions_that_end_later_are_events
            a_refresh_is_an_event_only_if_something_is_wrong
            a_change_of_rights_is_an_event_and_what_is_so_already_is_none
            a_change_of_the_signing_keys_is_an_event_and_what_is_refused_is_none
            each_step_of_an_import_and_a_restore_is_an_event
            of_many_who_change_the_same_each_success_is_one_event
        );
        $crate::store_suite!(@ $open changes:
            whatever_changes_a_user_is_told
            whatever_changes_what_a_group_may_do_is_told_for_all_users
            every_end_of_a_session_is_told
            changed_keys_are_told
            what_sql_by_hand_changes_is_told
            one_statement_tells_every_user_that_it_changes
            no_change_of_a_burst_is_missed
            what_concerns_no_view_is_not_told
            what_is_rolled_back_is_not_told
            a_feed_goes_on_after_its_log_was_purged
            a_change_is_told_within_100_ms
        );
        $crate::store_suite!(@ $open by_hand:
            a_row_without_keys_is_found_by_address_and_name
            a_row_with_every_column_is_read_as_written
            a_row_without_keys_is_unique_without_regard_to_case
            a_new_address_by_hand_is_found_and_the_old_one_is_free
            deactivation_and_deletion_end_the_sessions
            memberships_count_at_once
            a_password_by_hand_ends_the_sessions_and_the_tokens
            a_better_hash_of_the_same_password_ends_nothing
            a_password_change_of_the_store_is_dated_by_its_caller
            a_row_by_hand_beyond_ascii_is_found_at_once
            nobody_gets_the_address_of_a_row_by_hand
            of_two_with_one_key_the_older_keeps_it
            wrong_keys_by_hand_are_put_right_when_all_are_looked_at
            a_session_deleted_by_hand_stays_in_the_feed
            a_clock_that_is_ahead_deletes_no_session_that_lives
        );
        $crate::store_suite!(@ $open races:
            drill_of_32_registrations_of_one_address_exactly_one_succeeds
            drill_of_32_registrations_of_one_name_exactly_one_succeeds
            drill_of_16_who_change_to_one_address_exactly_one_succeeds
            drill_of_16_rotations_of_one_token_exactly_one_rotates_and_the_session_lives
            drill_rotations_of_many_sessions_do_not_mix
            drill_no_session_outlives_a_login_that_raced_with_a_password_change
            drill_no_session_outlives_an_opening_that_raced_with_a_deactivation_or_deletion
            drill_of_8_password_changes_that_expect_the_same_exactly_one_succeeds
            drill_no_simultaneous_patch_of_metadata_is_lost
            of_simultaneous_successors_of_a_key_exactly_one_is_added
            of_simultaneous_ends_of_a_session_exactly_one_succeeds
            of_simultaneous_grants_exactly_one_succeeds
            simultaneous_renewals_of_a_session_give_no_token_twice
            of_simultaneous_late_repeats_each_is_counted
        );
        $crate::store_suite!(@ $open round_trip:
            drill_any_user_is_read_as_written
            drill_any_session_is_read_as_written
            drill_any_key_is_read_as_written
            drill_any_group_and_label_are_read_as_written
        );
    };
    (@ $open:ident $module:ident: $($behaviour:ident)+) => {
        mod $module {
            $(
                #[test]
                fn $behaviour() {
                    $crate::suite::run(super::$open, $crate::suite::$module::$behaviour);
                }
            )+
        }
    };
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    /// A behaviour that is not listed would never run.
    #[test]
    fn every_behaviour_is_in_the_macro() {
        let listed = listed(include_str!("mod.rs"));
        let mut written = BTreeSet::new();
        for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/suite")).unwrap() {
            let file = file.unwrap().path();
            let module = file.file_stem().unwrap().to_str().unwrap().to_owned();
            for line in fs::read_to_string(&file).unwrap().lines() {
                if let Some(rest) = line.strip_prefix("pub async fn ") {
                    let name = rest.split('(').next().unwrap();
                    written.insert(format!("{module}::{name}"));
                }
            }
        }
        assert!(written.len() > 100, "the modules were not found");
        assert_eq!(written.difference(&listed).collect::<Vec<_>>(), [""; 0], "not in store_suite!");
    }

    /// The behaviours listed in the macro, as `module::behaviour`.
    fn listed(text: &str) -> BTreeSet<String> {
        let mut module = "";
        let mut listed = BTreeSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("        $crate::store_suite!(@ $open ") {
                module = rest.trim_end_matches(':');
            } else if let Some(name) = line.strip_prefix("            ") {
                listed.insert(format!("{module}::{name}"));
            }
        }
        listed
    }
}
