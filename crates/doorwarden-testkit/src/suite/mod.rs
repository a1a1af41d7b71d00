//! What every store must do: each behaviour is a function that takes a [`TestStore`] and panics if the store
//! behaves differently. [`store_suite!`](crate::store_suite) generates the tests.

#![expect(clippy::unwrap_used, reason = "these are tests: what must not fail ends the test with its line")]

use crate::TestStore;

#[doc(hidden)]
pub mod attempts;
#[doc(hidden)]
pub mod audit;
#[doc(hidden)]
pub mod by_hand;
#[doc(hidden)]
pub mod challenges;
#[doc(hidden)]
pub mod changes;
#[doc(hidden)]
pub mod factors;
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
pub mod mails;
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
pub mod seals;
#[doc(hidden)]
pub mod session_ends;
#[doc(hidden)]
pub mod sessions;
#[doc(hidden)]
pub mod users;
#[doc(hidden)]
pub mod webhooks;

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
            an_open_store_responds_and_describes_itself
            a_closed_store_is_unavailable
            a_missing_table_or_column_makes_the_database_unavailable
            a_restore_revokes_what_was_issued_since_the_backup
        );
        $crate::store_suite!(@ $open webhooks:
            an_event_has_a_delivery_for_each_endpoint_that_gets_it
            a_change_that_does_not_happen_is_not_delivered
            a_failing_delivery_holds_back_only_later_ones_of_its_account_and_endpoint
            events_of_an_account_are_taken_one_by_one_in_their_order
            a_delivery_is_claimed_by_one_and_again_when_the_lease_is_over
            an_endpoint_fails_since_its_first_failure_after_a_success
            a_paused_endpoint_keeps_what_happens_and_gets_it_when_it_is_enabled
            a_redelivered_message_has_its_id_and_waits_for_nobody
            an_endpoint_is_added_changed_and_removed_once
            old_deliveries_are_purged_whatever_became_of_them
            what_is_to_be_sent_outlives_its_user_and_says_who_it_was
        );
        $crate::store_suite!(@ $open users:
            a_created_user_is_returned_as_it_is_stored
            an_unknown_user_is_none
            an_email_is_unique_regardless_of_case
            a_username_is_unique_in_its_folded_form
            a_user_is_found_by_email_and_username_regardless_of_case
            an_id_is_never_reused
            an_id_assigned_by_sql_is_never_reused
            taken_reports_values_of_other_users
            an_update_changes_what_it_names_and_nothing_else
            a_changed_email_and_username_are_found_and_the_old_ones_are_free
            an_update_of_an_unknown_user_returns_none
            an_update_to_a_taken_value_changes_nothing
            a_user_may_change_the_case_of_their_email_and_username
            deactivation_ends_every_session
            deletion_removes_the_user_and_ends_the_sessions
        );
        $crate::store_suite!(@ $open metadata:
            a_patch_sets_and_removes_members_at_the_top_level
            names_of_members_are_taken_literally
            metadata_is_limited_to_16_kib
            patched_metadata_is_limited_to_16_kib
        );
        $crate::store_suite!(@ $open listing:
            pages_follow_each_other_by_id
            flags_filter_and_combine
            a_filter_applies_to_every_page
            a_permission_filters_like_djangos_with_perm
            a_group_filters_its_members
            a_prefix_filters_usernames_and_emails_regardless_of_case
            users_are_counted_by_algorithm
        );
        $crate::store_suite!(@ $open passwords:
            a_new_password_is_stored_and_revokes_older_tokens
            a_new_password_ends_every_session_but_the_kept_one
            a_new_password_requires_the_expected_current_one
            changing_the_password_of_an_unknown_user_returns_none
            a_new_password_is_untrimmed
            as_many_earlier_passwords_are_kept_as_the_change_says
            no_password_is_missing_after_simultaneous_changes
            a_login_can_mark_the_password_as_untrimmed
            a_new_password_opens_a_session_only_while_it_is_stored
            an_upgraded_hash_of_a_trimmed_password_stays_trimmed
            signing_out_ends_the_sessions_and_revokes_older_tokens
            signing_out_counts_the_ended_sessions
            a_revoked_token_stays_revoked_on_an_instance_with_a_slow_clock
        );
        $crate::store_suite!(@ $open challenges:
            a_challenge_is_found_by_its_key_and_its_token_until_it_expires
            a_challenge_ends_with_what_ends_the_sessions_and_with_its_address
            a_write_that_spends_a_challenge_happens_once_and_with_everything_else
            a_write_that_does_not_take_place_spends_and_mails_nothing
            drill_of_32_redemptions_of_one_link_one_succeeds
            of_100_guesses_at_once_five_are_compared_and_new_requests_go_on_counting
            a_link_is_renewed_at_most_every_half_minute
            an_address_has_at_most_twenty_open_challenges_or_one
            a_registration_reserves_its_username_until_it_expires
            a_login_without_a_password_is_one_and_proves_the_address
            a_live_session_is_authenticated_again_while_the_password_is_the_stored_one
            another_address_is_not_verified_whoever_writes_it
            the_life_of_an_account_is_read_as_it_was_written
            expired_challenges_are_deleted_in_batches
            a_challenge_among_many_takes_no_longer
        );
        $crate::store_suite!(@ $open attempts:
            there_is_a_wait_after_the_free_attempts_which_doubles
            work_takes_the_place_of_the_wait_and_of_nothing_else
            devices_and_strangers_count_apart
            a_right_password_begins_its_own_count_anew
            an_attempt_that_was_not_compared_does_not_count
            whatever_logs_in_or_sets_the_password_begins_every_count_anew
            the_count_of_strangers_begins_anew_for_an_operator_who_says_so
            of_many_attempts_at_once_only_the_free_ones_are_allowed
            a_user_is_told_of_failures_once_a_day
            a_proof_of_work_counts_once
            old_attempts_at_nobody_are_deleted_and_those_at_users_stay
            attempts_go_with_their_user
        );
        $crate::store_suite!(@ $open factors:
            a_factor_counts_once_it_is_confirmed
            factors_are_listed_oldest_first_and_the_recovery_codes_last
            the_first_factor_ends_every_session_but_the_kept_one
            of_first_factors_at_once_one_is_the_first
            a_user_has_at_most_twenty_factors
            a_credential_is_registered_once
            drill_of_32_uses_of_one_step_one_succeeds
            wrong_codes_are_counted_until_a_right_one_and_disable_the_apps
            drill_of_32_uses_of_one_recovery_code_one_succeeds
            drill_of_32_answers_to_one_challenge_one_succeeds
            a_factor_is_renamed_by_its_user_alone
            a_removed_factor_ends_the_other_sessions_and_the_last_one_the_codes
            drill_of_two_last_factors_removed_at_once_one_stays
            whether_there_is_a_factor_is_known_whoever_writes_it
            factors_go_with_their_user
            what_is_sealed_is_read_in_pages_and_replaced_if_it_is_the_same
            no_session_of_one_factor_is_opened_for_a_user_who_has_two
            drill_a_login_racing_with_the_first_factor_leaves_no_session_of_one
            a_change_of_factors_is_an_event_only_if_it_takes_place
            the_first_and_the_last_factor_are_notified
        );
        $crate::store_suite!(@ $open mails:
            a_mail_is_claimed_once_and_first_attempts_apart_from_others
            a_claimed_mail_is_as_it_was_queued
            a_mail_that_was_sent_is_not_sent_again_and_says_nothing_more
            a_failed_attempt_is_repeated_when_it_is_due_or_given_up
            of_many_claims_at_once_each_mail_goes_to_one
            a_decoy_is_never_sent_nor_shown_and_goes_with_the_old_ones
            mails_go_with_their_user_and_one_of_a_new_user_has_its_id
        );
        $crate::store_suite!(@ $open groups:
            declared_permissions_exist_once_with_the_latest_label
            permissions_and_groups_are_sorted_by_code_point
            a_deleted_permission_is_revoked_from_every_user_and_group
            a_group_has_permissions_and_members
            a_deleted_group_loses_memberships_and_grants
            a_repeated_grant_changes_nothing
            grants_of_unknown_users_groups_and_permissions_are_refused
            an_account_has_the_effective_permissions
            accounts_do_not_mix
        );
        $crate::store_suite!(@ $open import:
            an_imported_account_is_stored_unchanged
            an_imported_account_comes_with_its_factors
            an_account_with_the_passkey_of_another_is_not_imported
            an_imported_account_with_a_taken_id_username_or_email_is_skipped
            importing_again_changes_nothing
            a_reserved_or_imported_id_is_never_reused
            a_failed_or_uncommitted_import_step_leaves_nothing
        );
        $crate::store_suite!(@ $open sessions:
            an_opened_session_is_read_as_it_was
            a_login_is_recorded_with_the_session
            the_authentication_of_a_session_is_read_as_stored
            a_login_stores_the_upgraded_hash_and_ends_no_token
            a_login_with_an_outdated_password_opens_no_session
            an_inactive_user_opens_no_session
            a_deleted_user_opens_no_session
            active_sessions_of_a_user_are_listed_newest_first
            a_session_ends_once_and_for_its_user_only
            every_reason_for_an_end_is_kept
            all_sessions_but_one_end_together
            the_last_use_of_a_session_never_moves_back
            revocations_since_a_time_are_listed_in_order
            sessions_ended_by_deactivation_and_deletion_are_revocations
            purging_deletes_only_sessions_that_ended_or_expired_before
            purging_respects_its_limit
        );
        $crate::store_suite!(@ $open session_ends:
            drill_ending_all_sessions_takes_constant_time
            a_session_that_ended_with_the_others_is_refused_everywhere
            one_of_two_sessions_that_end_the_others_concurrently_continues
            sql_by_hand_ends_all_sessions_by_the_generation
            a_session_whose_address_is_none_is_read_without_it
            a_reinserted_user_does_not_regain_sessions
            rows_of_ended_sessions_are_settled_in_batches_without_notification
            only_sessions_with_refresh_tokens_are_listed_as_revocations
            older_revocations_beyond_the_list_limit_become_a_time
            everybody_is_signed_out_in_batches
            exceeding_the_session_limit_ends_the_least_recently_used
            opening_a_session_ends_at_most_ten_and_the_rest_later
            concurrent_logins_keep_the_session_limit
            the_list_of_sessions_continues_after_a_cursor
            expiry_before_1970_and_never_are_read_correctly
            the_change_log_is_purged_in_batches
        );
        $crate::store_suite!(@ $open refresh:
            the_newest_token_rotates
            the_previous_token_returns_the_newest
            a_late_repeat_is_counted_and_the_third_ends_the_session
            a_repeat_is_late_after_the_given_grace
            late_repeats_are_forgiven_after_a_generation_without_any_repeat
            a_rotation_of_unknown_time_has_no_grace
            an_older_token_ends_the_session
            a_counter_that_was_never_issued_is_refused_and_ends_nothing
            a_session_that_does_not_exist_is_unknown
            an_ended_session_refuses
            an_expired_session_refuses
            an_idle_session_refuses
            a_rotation_never_moves_back_the_last_use
            the_idle_limit_is_exact_to_the_second
            a_session_of_an_inactive_or_deleted_user_refuses
            an_active_session_of_an_inactive_user_refuses
            every_renewal_gives_a_newer_token
            a_renewal_narrows_the_limits_and_never_widens_them
            only_an_active_session_is_renewed
        );
        $crate::store_suite!(@ $open refresh_model:
            drill_every_short_sequence_of_steps_matches_the_model
            drill_random_sequences_of_steps_match_the_model
        );
        $crate::store_suite!(@ $open keys:
            keys_are_listed_in_signing_order
            a_key_has_at_most_one_successor
            a_key_is_revoked_once
            chains_of_two_algorithms_are_independent
            a_key_is_rescheduled_only_from_its_known_schedule
            a_key_is_resealed_once
            all_keys_are_revoked_at_once
            only_a_key_that_no_longer_signs_is_deleted
            a_key_is_deleted_once
        );
        $crate::store_suite!(@ $open audit:
            an_event_without_a_change_is_recorded
            events_are_listed_by_id_after_a_cursor
            events_are_found_by_what_they_are_newest_first
            the_events_of_a_user_are_found_among_many_in_the_same_time
            the_clients_of_old_events_are_forgotten_in_portions
            creating_a_user_is_an_event_only_if_it_succeeds
            opening_a_session_is_an_event_only_if_it_succeeds
            sessions_ended_by_the_session_limit_are_events
            updating_a_user_is_an_event_only_if_the_user_exists
            storing_a_password_is_an_event_only_if_it_succeeds
            ending_sessions_is_an_event_with_their_number
            each_batch_of_signed_out_users_is_an_event
            surplus_sessions_that_end_later_are_events
            a_refresh_is_an_event_only_if_late_or_reused
            changing_permissions_or_groups_is_an_event_only_if_something_changes
            changing_signing_keys_is_an_event_only_if_it_succeeds
            each_step_of_an_import_and_a_restore_is_an_event
            each_success_of_concurrent_changes_is_one_event
        );
        $crate::store_suite!(@ $open changes:
            every_change_of_a_user_is_notified
            a_change_of_a_groups_permissions_is_notified_for_all_users
            every_end_of_a_session_is_notified
            changed_keys_are_notified
            changes_by_sql_are_notified
            a_statement_notifies_of_every_user_it_changes
            no_change_of_a_burst_is_missed
            changes_that_concern_no_cache_are_not_notified
            rolled_back_changes_are_not_notified
            a_feed_continues_after_its_log_was_purged
            a_change_is_notified_within_100_ms
        );
        $crate::store_suite!(@ $open by_hand:
            a_row_without_keys_is_found_by_email_and_username
            a_row_with_every_column_is_read_as_written
            a_row_without_keys_is_unique_regardless_of_case
            an_email_changed_by_sql_is_found_and_the_old_one_is_free
            deactivation_and_deletion_end_the_sessions
            memberships_take_effect_immediately
            a_password_changed_by_sql_ends_the_sessions_and_tokens
            an_upgraded_hash_of_the_same_password_ends_nothing
            a_password_change_by_the_store_has_the_callers_time
            a_row_with_non_ascii_characters_by_sql_is_found_immediately
            the_email_of_a_row_by_sql_cannot_be_taken
            the_older_of_two_rows_with_one_key_keeps_it
            wrong_keys_by_sql_are_repaired_when_all_are_recomputed
            a_session_deleted_by_hand_stays_in_the_feed
            a_fast_clock_deletes_no_active_session
        );
        $crate::store_suite!(@ $open seals:
            the_database_refuses_to_change_or_delete_events
            every_event_is_sealed_once
            one_of_several_instances_seals
            an_altered_or_removed_event_is_found_and_named
            reordered_events_are_found_and_named
            an_inserted_event_is_found_and_named
            a_truncated_end_is_found
            a_log_without_its_chain_is_found
            altered_or_removed_seals_are_found_and_named
            forgotten_clients_leave_the_proof_valid
            a_chain_survives_another_secret_key
            a_chain_goes_on_after_the_secret_key_was_lost
            what_is_left_of_old_events_can_be_verified
            a_checkpoint_shows_that_the_end_was_removed_with_everything
        );
        $crate::store_suite!(@ $open races:
            drill_exactly_one_of_32_registrations_of_one_email_succeeds
            drill_exactly_one_of_32_registrations_of_one_username_succeeds
            drill_exactly_one_of_16_changes_to_one_email_succeeds
            drill_exactly_one_of_16_refreshes_rotates_and_the_session_stays_active
            drill_concurrent_rotations_of_sessions_are_independent
            drill_a_login_racing_with_a_password_change_leaves_no_session
            drill_opening_a_session_racing_with_a_deactivation_or_deletion_leaves_no_session
            drill_exactly_one_of_8_concurrent_password_changes_succeeds
            drill_no_concurrent_metadata_patch_is_lost
            exactly_one_concurrent_successor_of_a_key_is_added
            exactly_one_concurrent_end_of_a_session_succeeds
            exactly_one_concurrent_grant_succeeds
            concurrent_renewals_of_a_session_return_distinct_tokens
            every_concurrent_late_repeat_is_counted
        );
        $crate::store_suite!(@ $open round_trip:
            drill_any_user_is_read_as_written
            drill_any_session_is_read_as_written
            drill_any_key_is_read_as_written
            drill_any_group_and_label_are_read_as_written
            drill_any_factor_is_read_as_written
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
