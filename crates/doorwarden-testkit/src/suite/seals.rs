//! Whatever is done to the audit log by SQL is refused, or shows.

use crate::{NOON, SeededRandom, TestStore, no_effects, seconds};
use doorwarden_core::audit::seal::{AuditVault, Mark, MarkKind, Seal};
use doorwarden_core::audit::{Actor, Effects, Origin};
use doorwarden_core::event::Event;
use doorwarden_core::flow::seal_events::{EventSealer, SealError, renew_audit_key};
use doorwarden_core::flow::verify_audit::{Finding, Verified, verify_audit};
use doorwarden_core::random::RandomSource;
use doorwarden_core::session::ClientInfo;
use doorwarden_core::time::Timestamp;
use doorwarden_core::token::SecretKey;
use doorwarden_core::token::checkpoint::Checkpoint;
use doorwarden_core::user::UserId;
use std::collections::BTreeSet;
use std::fmt::Write as _;

fn secret(name: &str) -> SecretKey {
    SecretKey::new(format!("{name}: a secret key of at least 32 bytes")).unwrap()
}

/// An instance that seals.
struct Instance<'a> {
    t: &'a TestStore,
    vault: AuditVault,
    sealer: EventSealer,
    random: SeededRandom,
}

impl<'a> Instance<'a> {
    fn new(t: &'a TestStore, seed: u64) -> Self {
        Self::with(t, seed, AuditVault::new(&secret("one"), &[]))
    }

    fn with(t: &'a TestStore, seed: u64, vault: AuditVault) -> Self {
        let random = SeededRandom::new(seed);
        Self { t, vault, sealer: EventSealer::new(NOON, &random), random }
    }

    async fn try_seal(&mut self, at: Timestamp) -> Result<u32, SealError> {
        self.sealer.seal(self.t.store.as_ref(), &self.vault, at, &self.random).await
    }

    async fn seal(&mut self, at: Timestamp) -> u32 {
        self.try_seal(at).await.unwrap()
    }

    async fn verified(&self) -> Verified {
        self.verified_with(&[]).await
    }

    async fn verified_with(&self, checkpoints: &[Checkpoint]) -> Verified {
        verify_audit(self.t.store.as_ref(), &self.vault, checkpoints, |_| {}).await.unwrap()
    }

    /// Asserts that exactly this is found.
    async fn finds(&self, findings: &[Finding], what: &str) {
        assert_eq!(self.verified().await.findings, findings, "{what}");
    }

    /// Three seals with three events each: 1 to 9.
    async fn filled(t: &'a TestStore) -> Self {
        let mut instance = Self::new(t, 1);
        for seal in 0..3 {
            for event in 0..3 {
                log(t, 3 * seal + event + 1).await;
            }
            assert_eq!(instance.seal(NOON.after(seconds(seal.unsigned_abs()))).await, 3);
        }
        instance.finds(&[], "nothing was done").await;
        instance
    }
}

/// One more event, of this user.
async fn log(t: &TestStore, user: i64) {
    let client = ClientInfo {
        address: format!("192.0.2.{user}").parse().ok(),
        user_agent: Some("Tést/1".to_owned()),
        request_id: Some(format!("request-{user}")),
        ..ClientInfo::default()
    };
    let origin = Origin::new(Actor::User(UserId(user)), client);
    let event = Event::PasswordChanged { user: UserId(user) };
    t.store.record(Effects::new(NOON, &origin, [event])).await.unwrap();
}

async fn sql(t: &TestStore, sql: &str) {
    t.sql.execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// Takes the guards away, as whoever owns the database can.
async fn without_guards(t: &TestStore) {
    if t.store.kind() == "sqlite" {
        for trigger in [
            "audit_not_updated",
            "audit_not_deleted",
            "audit_not_replaced",
            "audit_clients_not_updated",
            "audit_clients_not_replaced",
            "audit_seals_not_updated",
            "audit_seals_not_deleted",
            "audit_seals_not_replaced",
        ] {
            sql(t, &format!("DROP TRIGGER doorwarden_{trigger}")).await;
        }
    } else {
        for table in ["audit", "audit_clients", "audit_seals"] {
            sql(t, &format!("ALTER TABLE doorwarden_{table} DISABLE TRIGGER ALL")).await;
        }
    }
}

/// A row with this number.
fn row(t: &TestStore, id: i64) -> String {
    let (overriding, at) = match t.store.kind() {
        "sqlite" => ("", "1795435200000000"),
        _ => ("OVERRIDING SYSTEM VALUE", "'2026-11-23T12:00:00Z'"),
    };
    format!(
        "INSERT INTO doorwarden_audit (id, at, kind, actor, user_id, result, data) {overriding} \
         VALUES ({id}, {at}, 'password_changed', 'operator', 5, 'success', '{{}}')"
    )
}

pub async fn the_database_refuses_to_change_or_delete_events(t: &TestStore) {
    let instance = Instance::filled(t).await;
    log(t, 10).await;
    for table in ["doorwarden_audit", "doorwarden_audit_clients", "doorwarden_audit_seals"] {
        let column = if table == "doorwarden_audit_seals" { "number" } else { "id" };
        for change in
            ["UPDATE {} SET at = at", "DELETE FROM {}", "DELETE FROM {} WHERE {id} = 2", "TRUNCATE {}"]
        {
            let change = change.replace("{id}", column).replace("{}", table);
            let change = change.replace("seals SET at = at", "seals SET hash = hash");
            let may = change.starts_with("DELETE") && table == "doorwarden_audit_clients";
            if !may {
                let refused = t.sql.execute(&change).await;
                assert!(refused.is_err(), "{change}");
            }
        }
    }
    if t.store.kind() == "sqlite" {
        for change in [
            "REPLACE INTO doorwarden_audit SELECT * FROM doorwarden_audit WHERE id = 2",
            "UPDATE OR REPLACE doorwarden_audit SET id = 2 WHERE id = 10",
            "REPLACE INTO doorwarden_audit_seals SELECT * FROM doorwarden_audit_seals",
            "REPLACE INTO doorwarden_audit_clients SELECT * FROM doorwarden_audit_clients",
        ] {
            assert!(t.sql.execute(change).await.is_err(), "{change}");
        }
    }
    let verified = instance.verified().await;
    assert_eq!((verified.events, verified.seals, verified.unsealed), (9, 3, 1));
    assert!(verified.is_genuine(), "{verified:?}");
}

pub async fn every_event_is_sealed_once(t: &TestStore) {
    let mut instance = Instance::new(t, 1);
    assert_eq!(instance.seal(NOON).await, 0, "there is nothing to seal");
    assert!(t.store.audit_keys().await.unwrap().is_empty(), "and nothing was written");
    instance.finds(&[], "an empty log").await;
    log(t, 1).await;
    let verified = instance.verified().await;
    assert_eq!((verified.events, verified.unsealed, verified.unsealed_since), (0, 1, Some(NOON)));
    assert!(verified.is_genuine());
    t.store.record_all(vec![no_effects()]).await.unwrap();
    for user in 2..=5 {
        log(t, user).await;
    }
    assert_eq!((instance.seal(NOON).await, instance.seal(NOON).await), (5, 0));
    log(t, 6).await;
    // The lease has run out and is taken again.
    assert_eq!(instance.seal(NOON.after(seconds(60))).await, 1);
    let seals = t.store.seals(0, 10).await.unwrap();
    let ids: Vec<i64> = seals.iter().flat_map(Seal::records).map(|(id, _)| id).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5, 6]);
    let verified = instance.verified().await;
    assert_eq!((verified.events, verified.seals, verified.unsealed), (6, 2, 0));
    assert!(verified.is_genuine(), "{verified:?}");
}

pub async fn one_of_several_instances_seals(t: &TestStore) {
    let (mut one, mut two) = (Instance::new(t, 1), Instance::new(t, 2));
    log(t, 1).await;
    assert_eq!((one.seal(NOON).await, two.seal(NOON).await), (1, 0));
    log(t, 2).await;
    assert_eq!(two.seal(NOON.after(seconds(5))).await, 0, "the other one has the lease");
    assert_eq!(two.seal(NOON.after(seconds(11))).await, 1, "which has run out");
    log(t, 3).await;
    // It believes that it still may, as after a pause; where the chain is says otherwise.
    assert_eq!(one.seal(NOON.after(seconds(2))).await, 0);
    assert_eq!(two.seal(NOON.after(seconds(12))).await, 1);

    let writing = async {
        for user in 4..=60 {
            log(t, user).await;
        }
    };
    let sealing = async |instance: &mut Instance<'_>| {
        let mut sealed = 0;
        for second in 0..40 {
            // Each time, both leases have run out.
            sealed += instance.seal(NOON.after(seconds(100 + 20 * second))).await;
            tokio::task::yield_now().await;
        }
        sealed
    };
    let ((), by_one, by_two) = tokio::join!(writing, sealing(&mut one), sealing(&mut two));
    let mut last = Instance::new(t, 3);
    let rest = last.seal(NOON.after(seconds(5_000))).await;
    assert_eq!(by_one + by_two + rest, 57, "each event was sealed once");
    let verified = last.verified().await;
    assert_eq!((verified.events, verified.unsealed), (60, 0));
    assert!(verified.is_genuine(), "{verified:?}");
}

pub async fn an_altered_or_removed_event_is_found_and_named(t: &TestStore) {
    let instance = Instance::filled(t).await;
    without_guards(t).await;
    sql(t, "UPDATE doorwarden_audit SET user_id = 8 WHERE id = 5").await;
    instance.finds(&[Finding::Altered { id: 5 }], "the user of an event").await;
    sql(t, "UPDATE doorwarden_audit SET user_id = 5 WHERE id = 5").await;
    instance.finds(&[], "as it was").await;
    sql(t, "UPDATE doorwarden_audit SET request_id = 'other' WHERE id = 1").await;
    instance.finds(&[Finding::Altered { id: 1 }], "the request of an event").await;
    sql(t, "UPDATE doorwarden_audit SET request_id = 'request-1' WHERE id = 1").await;
    sql(t, "UPDATE doorwarden_audit_clients SET address = '198.51.100.1' WHERE id = 9").await;
    instance.finds(&[Finding::ClientAltered { id: 9 }], "an address").await;
    sql(t, "UPDATE doorwarden_audit_clients SET address = '192.0.2.9' WHERE id = 9").await;
    instance.finds(&[], "as it was").await;

    // Two events that exchange what they say.
    sql(
        t,
        "UPDATE doorwarden_audit SET user_id = 11 - user_id, actor_id = 11 - user_id, \
            request_id = 'request-' || (11 - user_id) WHERE id IN (5, 6)",
    )
    .await;
    sql(
        t,
        "UPDATE doorwarden_audit SET client = CASE id \
            WHEN 5 THEN (SELECT client FROM doorwarden_audit WHERE id = 6) \
            ELSE (SELECT client FROM doorwarden_audit WHERE id = 5) END WHERE id IN (5, 6)",
    )
    .await;
    sql(t, "DELETE FROM doorwarden_audit_clients WHERE id IN (5, 6)").await;
    let moved = [Finding::Moved { id: 5, from: 6 }, Finding::Moved { id: 6, from: 5 }];
    if t.store.kind() == "sqlite" {
        // Its UPDATE sees its own changes; what is left of the exchange shows all the same.
        assert!(!instance.verified().await.is_genuine());
    } else {
        instance.finds(&moved, "reordered").await;
    }
    sql(t, "DELETE FROM doorwarden_audit WHERE id IN (5, 6)").await;
    let removed = [Finding::Removed { id: 5, seal: 2 }, Finding::Removed { id: 6, seal: 2 }];
    instance.finds(&removed, "removed").await;
}

pub async fn reordered_events_are_found_and_named(t: &TestStore) {
    let instance = Instance::filled(t).await;
    without_guards(t).await;
    for (from, to) in [(5, 100), (6, 5), (100, 6)] {
        sql(t, &renumber(t, from, to)).await;
        sql(t, &format!("UPDATE doorwarden_audit_clients SET id = {to} WHERE id = {from}")).await;
    }
    let moved = [Finding::Moved { id: 5, from: 6 }, Finding::Moved { id: 6, from: 5 }];
    instance.finds(&moved, "with their clients").await;
    for (from, to) in [(5, 100), (6, 5), (100, 6)] {
        sql(t, &renumber(t, from, to)).await;
        sql(t, &format!("UPDATE doorwarden_audit_clients SET id = {to} WHERE id = {from}")).await;
    }
    instance.finds(&[], "as it was").await;
    sql(t, &renumber(t, 5, 0)).await;
    let moved_away = [Finding::Removed { id: 5, seal: 2 }, Finding::Inserted { id: 0 }];
    instance.finds(&moved_away, "under another number").await;
}

/// An identity column cannot be updated, so the row is copied.
fn renumber(t: &TestStore, from: i64, to: i64) -> String {
    let overriding = if t.store.kind() == "sqlite" { "" } else { "OVERRIDING SYSTEM VALUE" };
    let columns = "at, kind, actor, actor_id, user_id, session_id, request_id, client, result, data";
    format!(
        "INSERT INTO doorwarden_audit (id, {columns}) {overriding} SELECT {to}, {columns} FROM doorwarden_audit \
         WHERE id = {from}; DELETE FROM doorwarden_audit WHERE id = {from}"
    )
}

pub async fn an_inserted_event_is_found_and_named(t: &TestStore) {
    let instance = Instance::filled(t).await;
    without_guards(t).await;
    sql(t, "DELETE FROM doorwarden_audit WHERE id = 2").await;
    sql(t, &row(t, -4)).await;
    sql(t, &row(t, 2)).await;
    instance.finds(&[Finding::Altered { id: 2 }, Finding::Inserted { id: -4 }], "in two places").await;
}

pub async fn a_truncated_end_is_found(t: &TestStore) {
    let mut instance = Instance::filled(t).await;
    without_guards(t).await;
    sql(t, "DELETE FROM doorwarden_audit WHERE id > 6").await;
    let removed: Vec<_> = (7..=9).map(|id| Finding::Removed { id, seal: 3 }).collect();
    instance.finds(&removed, "only the events").await;
    sql(t, "DELETE FROM doorwarden_audit_seals WHERE number = 3").await;
    instance.finds(&[Finding::SealsRemoved { from: 3, to: 3 }], "and their seal").await;

    // And the head, without the key.
    set_head_to_seal(t, 2).await;
    instance.finds(&[Finding::HeadAltered { seal: 2 }], "and the head").await;
    log(t, 10).await;
    let mut restarted = Instance::new(t, 2);
    let refused = restarted.try_seal(NOON.after(seconds(60))).await;
    assert!(matches!(refused, Err(SealError::Forged)), "nothing is sealed on top of it: {refused:?}");
    let refused = instance.try_seal(NOON.after(seconds(120))).await;
    assert!(matches!(refused, Err(SealError::SetBack { found: 2, known: 3 })), "{refused:?}");
    instance.finds(&[Finding::HeadAltered { seal: 2 }], "still").await;
}

async fn set_head_to_seal(t: &TestStore, number: i64) {
    sql(
        t,
        &format!(
            "UPDATE doorwarden_audit_marks SET number = {number}, \
             total = (SELECT total FROM doorwarden_audit_seals WHERE number = {number}), \
             last_id = (SELECT last_id FROM doorwarden_audit_seals WHERE number = {number}), \
             hash = (SELECT hash FROM doorwarden_audit_seals WHERE number = {number}), \
             mac = (SELECT mac FROM doorwarden_audit_seals WHERE number = {number}) WHERE kind = 'head'"
        ),
    )
    .await;
}

pub async fn a_log_without_its_chain_is_found(t: &TestStore) {
    let instance = Instance::filled(t).await;
    without_guards(t).await;
    sql(t, "DELETE FROM doorwarden_audit_seals").await;
    let gone = instance.verified().await;
    assert_eq!(gone.findings[0], Finding::SealsRemoved { from: 1, to: 3 });
    assert_eq!(gone.findings.len(), 10, "and each event is in no seal: {gone:?}");
    let epoch = if t.store.kind() == "sqlite" { "0" } else { "'epoch'" };
    let zeros = if t.store.kind() == "sqlite" { "zeroblob(32)" } else { "decode(repeat('00', 32), 'hex')" };
    let none = if t.store.kind() == "sqlite" { "x''" } else { "''::bytea" };
    sql(
        t,
        &format!(
            "UPDATE doorwarden_audit_marks SET number = 0, at = {epoch}, last_id = 0, total = 0, hash = {zeros}, \
             key_id = '', mac = {none}"
        ),
    )
    .await;
    assert!(instance.verified().await.findings.contains(&Finding::ChainRemoved));
    log(t, 10).await;
    let refused = Instance::new(t, 2).try_seal(NOON.after(seconds(60))).await;
    assert!(matches!(refused, Err(SealError::Forged)), "no new chain hides the loss: {refused:?}");
}

pub async fn altered_or_removed_seals_are_found_and_named(t: &TestStore) {
    let instance = Instance::filled(t).await;
    without_guards(t).await;
    sql(t, "UPDATE doorwarden_audit_seals SET total = 7 WHERE number = 2").await;
    let found = instance.verified().await.findings;
    assert_eq!(found[0], Finding::SealAltered { seal: 2 }, "{found:?}");
    sql(t, "UPDATE doorwarden_audit_seals SET total = 6 WHERE number = 2").await;
    instance.finds(&[], "as it was").await;

    // A seal that is right in itself, and made without the key.
    let mut forged = t.store.seals(1, 1).await.unwrap().remove(0);
    forged.at = NOON.after(seconds(77));
    let (at, hash) = match t.store.kind() {
        "sqlite" => (forged.at.as_micros().to_string(), format!("x'{}'", hex(&forged.computed_hash()))),
        _ => (format!("'{}'", forged.at), format!("'\\x{}'", hex(&forged.computed_hash()))),
    };
    sql(t, &format!("UPDATE doorwarden_audit_seals SET sealed_at = {at}, hash = {hash} WHERE number = 2"))
        .await;
    let found = [Finding::SealAltered { seal: 2 }, Finding::SealDetached { seal: 3 }];
    instance.finds(&found, "a seal that was made without the key").await;

    sql(t, "DELETE FROM doorwarden_audit_seals WHERE number = 2").await;
    let found = instance.verified().await.findings;
    let inserted = (4..=6).map(|id| Finding::Inserted { id });
    let expected: Vec<_> = [Finding::SealsRemoved { from: 2, to: 2 }].into_iter().chain(inserted).collect();
    assert_eq!(found, expected);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub async fn forgotten_clients_leave_the_proof_valid(t: &TestStore) {
    let mut instance = Instance::filled(t).await;
    assert_eq!(t.store.forget_clients(NOON.after(seconds(1)), 4).await.unwrap(), 4);
    let verified = instance.verified().await;
    assert!(verified.is_genuine(), "{verified:?}");
    assert_eq!((verified.events, verified.forgotten), (9, 4));
    log(t, 10).await;
    assert_eq!(
        t.store.forget_clients(NOON.after(seconds(1)), 100).await.unwrap(),
        6,
        "of unsealed events, too"
    );
    assert_eq!(instance.seal(NOON.after(seconds(9))).await, 1);
    let verified = instance.verified().await;
    assert_eq!((verified.events, verified.forgotten, verified.is_genuine()), (10, 10, true));
    let records = t.store.audit_records(None, 100).await.unwrap();
    assert!(
        records.iter().all(|record| record.client.address.is_none() && record.client.user_agent.is_none())
    );
    // The same client has another hash in each event, so that it cannot be told from them.
    let hashes: BTreeSet<_> = t
        .store
        .stored_events(0, 100, 100)
        .await
        .unwrap()
        .into_iter()
        .filter_map(|event| event.client)
        .collect();
    assert_eq!(hashes.len(), 10);
}

pub async fn a_chain_survives_another_secret_key(t: &TestStore) {
    Instance::filled(t).await;
    let vault = AuditVault::new(&secret("two"), &[secret("one")]);
    let mut rotated = Instance::with(t, 2, vault);
    log(t, 10).await;
    assert_eq!(rotated.seal(NOON.after(seconds(60))).await, 1);
    rotated.finds(&[], "both keys are known").await;
    // The key of the chain is encrypted under the new secret key now, and the old one is not needed any more.
    let mut later = Instance::with(t, 3, AuditVault::new(&secret("two"), &[]));
    log(t, 11).await;
    assert_eq!(later.seal(NOON.after(seconds(120))).await, 1);
    let verified = later.verified().await;
    assert_eq!((verified.events, verified.is_genuine()), (11, true));

    let key = t.store.audit_keys().await.unwrap()[0].id.clone();
    let mut stranger = Instance::with(t, 4, AuditVault::new(&secret("three"), &[]));
    stranger.finds(&[Finding::Unproven { key }], "without the secret key").await;
    log(t, 12).await;
    let refused = stranger.try_seal(NOON.after(seconds(180))).await;
    assert!(matches!(refused, Err(SealError::UnknownKey(_))), "{refused:?}");
}

pub async fn a_chain_goes_on_after_the_secret_key_was_lost(t: &TestStore) {
    Instance::filled(t).await;
    let vault = AuditVault::new(&secret("two"), &[]);
    let random: &dyn RandomSource = &SeededRandom::new(9);
    renew_audit_key(t.store.as_ref(), &vault, NOON, random).await.unwrap();
    let mut renewed = Instance::with(t, 2, vault);
    renewed.finds(&[], "the head proves what is before it").await;
    log(t, 10).await;
    assert_eq!(renewed.seal(NOON.after(seconds(60))).await, 1);
    let verified = renewed.verified().await;
    assert_eq!((verified.events, verified.is_genuine()), (10, true), "{verified:?}");
    let keys = t.store.audit_keys().await.unwrap();
    assert_eq!(keys.iter().filter(|key| key.retired_at.is_none()).count(), 1);
    without_guards(t).await;
    sql(t, "UPDATE doorwarden_audit SET result = 'failure' WHERE id = 2").await;
    renewed.finds(&[Finding::Altered { id: 2 }], "under the lost key").await;
}

/// Cuts off the first `seals` seals, as the background task does.
async fn cut(instance: &Instance<'_>, seals: u32) -> bool {
    let store = instance.t.store.as_ref();
    let state = store.audit_state().await.unwrap();
    let keys = store.audit_keys().await.unwrap();
    let key = keys.iter().find_map(|key| instance.vault.open(key)).unwrap();
    let (mut cut, mut ids) = (state.cut.clone(), Vec::new());
    for seal in store.seals(state.cut.number, seals).await.unwrap() {
        ids.extend(seal.records().map(|(id, _)| id));
        cut = Mark::after(&cut, &seal, MarkKind::Cut, NOON, &key);
    }
    let count = ids.len() as u64;
    let effects = Effects::new(NOON, &Actor::System.into(), [Event::EventsDeleted { count }]);
    store.cut_events(state.cut.number, cut, &ids, effects).await.unwrap()
}

pub async fn what_is_left_of_old_events_can_be_verified(t: &TestStore) {
    let mut instance = Instance::filled(t).await;
    let former = t.store.audit_state().await.unwrap().cut;
    assert!(cut(&instance, 2).await);
    let left: Vec<i64> =
        t.store.audit_records(None, 100).await.unwrap().iter().map(|event| event.id).collect();
    assert_eq!(left, [7, 8, 9, 10], "and the event of the deletion");
    let verified = instance.verified().await;
    assert!(verified.is_genuine(), "{verified:?}");
    assert_eq!((verified.events, verified.cut, verified.cut_seal, verified.unsealed), (3, 6, 2, 1));
    assert_eq!(instance.seal(NOON.after(seconds(60))).await, 1);
    instance.finds(&[], "the chain goes on").await;
    let again = t.store.cut_events(0, former.clone(), &[7], no_effects()).await.unwrap();
    assert!(!again, "another instance has moved the cut");
    assert!(t.sql.execute("DELETE FROM doorwarden_audit WHERE id = 8").await.is_err());

    assert!(cut(&instance, 2).await, "everything");
    assert_eq!(instance.verified().await.findings, []);
    log(t, 12).await;
    assert_eq!(instance.seal(NOON.after(seconds(120))).await, 2);
    instance.finds(&[], "the chain still goes on").await;

    // A cut that is moved by hand lets events be deleted, and shows.
    sql(t, "UPDATE doorwarden_audit_marks SET last_id = 1000, number = 5 WHERE kind = 'cut'").await;
    sql(t, "DELETE FROM doorwarden_audit").await;
    sql(t, "DELETE FROM doorwarden_audit_seals").await;
    let found = instance.verified().await.findings;
    assert_eq!(found[0], Finding::CutAltered { seal: 5 }, "{found:?}");
}

pub async fn a_checkpoint_shows_that_the_end_was_removed_with_everything(t: &TestStore) {
    let mut instance = Instance::new(t, 1);
    log(t, 1).await;
    instance.seal(NOON).await;
    let earlier = t.store.audit_state().await.unwrap().head;
    log(t, 2).await;
    instance.seal(NOON.after(seconds(1))).await;
    let later = t.store.audit_state().await.unwrap().head;
    let point = |mark: &Mark| Checkpoint {
        iss: String::new(),
        iat: 0,
        seal: mark.number,
        records: mark.total,
        hash: hex(&mark.hash),
    };
    let (first, second) = (point(&earlier), point(&later));
    let verified = instance.verified_with(&[first.clone(), second.clone()]).await;
    assert_eq!((verified.checkpoints, verified.is_genuine()), (2, true), "{verified:?}");

    // Whoever has an older copy of the database puts all of it back.
    without_guards(t).await;
    sql(t, "DELETE FROM doorwarden_audit WHERE id = 2").await;
    sql(t, "DELETE FROM doorwarden_audit_seals WHERE number = 2").await;
    let literal = |bytes: &[u8]| match t.store.kind() {
        "sqlite" => format!("x'{}'", hex(bytes)),
        _ => format!("'\\x{}'", hex(bytes)),
    };
    let at = match t.store.kind() {
        "sqlite" => earlier.at.as_micros().to_string(),
        _ => format!("'{}'", earlier.at),
    };
    sql(
        t,
        &format!(
            "UPDATE doorwarden_audit_marks SET number = 1, at = {at}, last_id = 1, total = 1, hash = {}, mac = {} \
             WHERE kind = 'head'",
            literal(&earlier.hash),
            literal(&earlier.mac)
        ),
    )
    .await;
    instance.finds(&[], "which the database alone does not show").await;
    let verified = instance.verified_with(&[first, second]).await;
    assert_eq!(verified.findings, [Finding::CheckpointMissed { seal: 2 }]);
    log(t, 3).await;
    let refused = instance.try_seal(NOON.after(seconds(60))).await;
    assert!(matches!(refused, Err(SealError::SetBack { found: 1, known: 2 })), "{refused:?}");
}
