//! A pure model of the refresh token protocol, against which the store is checked, and the consequences of
//! the protocol for clients: lost responses, several tabs, a sleeping laptop, and a thief with any timing.

use super::property::{at_once, for_all};
use crate::{NOON, TestStore, drill, issued, new_session, new_user, no_effects, presented, seconds, with};
use doorwarden_core::refresh::Repeat;
use doorwarden_core::session::{EndReason, SessionId};
use doorwarden_core::store::{Rotation, Store};
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::{UserChange, UserId};
use proptest::prelude::*;
use std::sync::Arc;
use tokio::task::JoinSet;

const IDLE: u64 = 3600;
const PAUSE: u64 = 2400;
const GRACE: u64 = 60;
/// Two of these are within the grace, three are not.
const MOMENT: u64 = 25;
const LIFETIME: u64 = 14 * 24 * 3600;

/// A step in the life of a session and its refresh tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The newest token is presented.
    Newest,
    /// The token before it is presented: its response was lost.
    Previous,
    /// The grace passes, and the token before it is presented.
    PreviousLate,
    /// An older token is presented: it was copied.
    Older,
    /// A token that was never issued is presented.
    Never,
    /// The newest token is presented this many times concurrently.
    AtOnce(usize),
    /// A short time passes.
    Moment,
    /// 40 minutes pass; the session may be idle for an hour.
    Pause,
    /// The session expires.
    Expire,
    /// The user logs out.
    End,
    /// The user is deactivated.
    Deactivate,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    Rotated(i64),
    Repeated(i64),
    RepeatedLate(i64),
    Reused,
    Refused,
}

#[derive(Debug, Clone, Default)]
struct Model {
    newest: i64,
    now: u64,
    seen: u64,
    rotated: u64,
    /// Whether the current generation had a repeat.
    is_repeated: bool,
    late: u8,
    ended: Option<EndReason>,
}

impl Model {
    fn is_dead(&self) -> bool {
        self.ended.is_some() || self.now >= LIFETIME || self.now - self.seen > IDLE
    }

    fn present(&mut self, counter: i64) -> Answer {
        if self.is_dead() || counter > self.newest {
            Answer::Refused
        } else if counter == self.newest {
            if !self.is_repeated {
                self.late = 0;
            }
            (self.is_repeated, self.rotated, self.seen) = (false, self.now, self.now);
            self.newest += 1;
            Answer::Rotated(self.newest)
        } else if counter == self.newest - 1 {
            self.is_repeated = true;
            if self.now - self.rotated <= GRACE {
                return Answer::Repeated(self.newest);
            }
            self.late += 1;
            if self.late < 3 { Answer::RepeatedLate(self.newest) } else { self.theft() }
        } else {
            self.theft()
        }
    }

    fn theft(&mut self) -> Answer {
        self.ended = Some(EndReason::RefreshReused);
        Answer::Reused
    }

    /// The counters that a step presents.
    fn counters(&self, step: Step) -> Vec<i64> {
        match step {
            Step::Newest => vec![self.newest],
            Step::Previous | Step::PreviousLate => vec![self.newest - 1],
            Step::Older => vec![self.newest - 2],
            Step::Never => vec![self.newest + 1],
            Step::AtOnce(times) => vec![self.newest; times],
            Step::Moment | Step::Pause | Step::Expire | Step::End | Step::Deactivate => vec![],
        }
    }

    /// Takes a step; returns the sorted responses. `None` if the step is impossible because no token is that
    /// old.
    fn take(&mut self, step: Step) -> Option<Vec<Answer>> {
        let counters = self.counters(step);
        if counters.iter().any(|c| *c < 0) {
            return None;
        }
        match step {
            Step::PreviousLate => self.now += GRACE + 1,
            Step::Moment => self.now += MOMENT,
            Step::Pause => self.now += PAUSE,
            Step::Expire => self.now = self.now.max(LIFETIME),
            Step::End => self.ended = self.ended.or(Some(EndReason::LoggedOut)),
            Step::Deactivate => self.ended = self.ended.or(Some(EndReason::Deactivated)),
            _ => {}
        }
        let mut answers: Vec<_> = counters.into_iter().map(|c| self.present(c)).collect();
        answers.sort();
        Some(answers)
    }
}

fn instant(after: u64) -> Timestamp {
    NOON.after(seconds(after))
}

/// The store with one user and one session, on which the model's steps are repeated.
struct Driven {
    store: Arc<dyn Store>,
    user: UserId,
    session: SessionId,
}

impl Driven {
    async fn new(store: Arc<dyn Store>) -> Self {
        let session = new_session(UserId(0), NOON);
        let id = session.id;
        let user = store.create_user(new_user(&id.to_string()), no_effects()).await.unwrap().id;
        let idle_seconds = Some(i64::try_from(IDLE).unwrap());
        let session = with(session, |s| {
            s.user = user;
            s.idle_seconds = idle_seconds;
            s.expires_at = instant(LIFETIME);
        });
        assert!(store.open_session(issued(session), no_effects()).await.unwrap().is_some());
        Self { store, user, session: id }
    }

    async fn take(&self, step: Step, counters: Vec<i64>, now: Timestamp) -> Vec<Answer> {
        match step {
            Step::End => {
                self.store
                    .end_session(self.session, self.user, EndReason::LoggedOut, now, no_effects())
                    .await
                    .unwrap();
            }
            Step::Deactivate => {
                let off = UserChange { is_active: Some(false), ..UserChange::default() };
                self.store.update_user(self.user, off, no_effects()).await.unwrap();
            }
            _ => {}
        }
        let id = self.session;
        let calls = counters.into_iter().map(|counter| {
            let store = self.store.clone();
            async move { store.rotate_refresh(presented(id, counter, now), no_effects()).await.unwrap() }
        });
        let mut answers: Vec<_> = at_once(calls).await.into_iter().map(answer).collect();
        answers.sort();
        answers
    }
}

fn answer(rotation: Rotation) -> Answer {
    match rotation {
        Rotation::Rotated(s) => Answer::Rotated(s.refresh_counter.unwrap()),
        Rotation::Repeated(s, Repeat::InGrace) => Answer::Repeated(s.refresh_counter.unwrap()),
        Rotation::Repeated(s, Repeat::Late) => Answer::RepeatedLate(s.refresh_counter.unwrap()),
        Rotation::Reused(_) => Answer::Reused,
        Rotation::Refused => Answer::Refused,
        Rotation::Unknown => panic!("the session exists"),
    }
}

/// Takes the steps in the model and the store; responses and state must be equal after each.
async fn compare(store: Arc<dyn Store>, steps: Vec<Step>) {
    let driven = Driven::new(store).await;
    let mut model = Model::default();
    for (n, &step) in steps.iter().enumerate() {
        let counters = model.counters(step);
        let Some(expected) = model.take(step) else { continue };
        let late = if model.ended.is_some() { None } else { Some(model.late) };
        let answers = driven.take(step, counters, instant(model.now)).await;
        assert_eq!(answers, expected, "step {n} of {steps:?}");
        let stored = driven.store.session(driven.session).await.unwrap().unwrap();
        assert_eq!(stored.refresh_counter, Some(model.newest), "step {n} of {steps:?}");
        assert_eq!(stored.last_seen_at, instant(model.seen), "step {n} of {steps:?}");
        assert_eq!(late.unwrap_or(stored.repeats.late), stored.repeats.late, "step {n} of {steps:?}");
        assert_eq!(stored.ended.map(|(_, reason)| reason), model.ended, "step {n} of {steps:?}");
    }
}

/// Every sequence of this many possible steps; after the end of a session, two more steps are enough.
fn sequences(length: usize) -> Vec<Vec<Step>> {
    const STEPS: [Step; 11] = [
        Step::Newest,
        Step::Previous,
        Step::PreviousLate,
        Step::Older,
        Step::Never,
        Step::AtOnce(2),
        Step::Moment,
        Step::Pause,
        Step::Expire,
        Step::End,
        Step::Deactivate,
    ];
    let mut done = Vec::new();
    let mut open = vec![(Vec::new(), Model::default(), 0)];
    while let Some((steps, model, dead_steps)) = open.pop() {
        if steps.len() == length || dead_steps == 2 {
            done.push(steps);
            continue;
        }
        for step in STEPS {
            let mut model = model.clone();
            let dead_steps = dead_steps + usize::from(model.is_dead());
            if model.take(step).is_some() {
                let steps = steps.iter().copied().chain([step]).collect();
                open.push((steps, model, dead_steps));
            }
        }
    }
    done
}

pub async fn drill_every_short_sequence_of_steps_matches_the_model(t: &TestStore) {
    let sequences = sequences(drill().rounds(3, 5));
    for chunk in sequences.chunks(64) {
        let mut running = JoinSet::new();
        for steps in chunk {
            running.spawn(compare(t.store.clone(), steps.clone()));
        }
        running.join_all().await;
    }
}

pub async fn drill_random_sequences_of_steps_match_the_model(t: &TestStore) {
    let step = prop_oneof![
        8 => Just(Step::Newest),
        6 => Just(Step::Previous),
        3 => Just(Step::PreviousLate),
        3 => Just(Step::Moment),
        4 => (2..12_usize).prop_map(Step::AtOnce),
        3 => Just(Step::Pause),
        1 => Just(Step::Older),
        1 => Just(Step::Never),
        1 => prop_oneof![Just(Step::Expire), Just(Step::End), Just(Step::Deactivate)],
    ];
    let cases = drill().rounds(24, 2000);
    for_all(cases, prop::collection::vec(step, 1..20), async |steps| compare(t.store.clone(), steps).await)
        .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A party that holds a copy of the refresh token.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Who {
        Owner,
        Thief,
    }

    /// An act of one of the two parties. Each refresh presents the party's own token.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Act {
        /// This many seconds pass.
        Wait(u64),
        /// A refresh whose response arrives.
        Refresh(Who),
        /// A refresh by the owner whose response is lost: the network fails, or the laptop sleeps.
        Lost,
        /// This many tabs of the owner refresh at the same moment, with the token from their shared storage.
        Tabs(usize),
    }

    /// The outcome of a scenario.
    #[derive(Debug, Default)]
    struct Seen {
        /// Whether the session ended as stolen.
        is_noticed: bool,
        /// The number of late repeats, each of which the owner can see.
        late: usize,
        /// The number of refreshes by the thief that returned a newer token.
        loot: usize,
    }

    /// Plays a scenario on a new session, whose token both parties hold from the start. The owner has one
    /// copy.
    fn tell(acts: &[Act]) -> Seen {
        let (mut model, mut seen) = (Model::default(), Seen::default());
        let (mut owner, mut thief) = (0, 0);
        for act in acts {
            let mut refresh = |held: i64| {
                let answer = model.present(held);
                seen.late += usize::from(matches!(answer, Answer::RepeatedLate(_)));
                seen.is_noticed |= answer == Answer::Reused;
                match answer {
                    Answer::Rotated(newest) | Answer::Repeated(newest) | Answer::RepeatedLate(newest) => {
                        newest
                    }
                    Answer::Reused | Answer::Refused => held,
                }
            };
            match *act {
                Act::Wait(seconds) => model.now += seconds,
                Act::Refresh(Who::Owner) => owner = refresh(owner),
                Act::Refresh(Who::Thief) => {
                    let held = thief;
                    thief = refresh(thief);
                    seen.loot += usize::from(thief > held);
                }
                Act::Lost => _ = refresh(owner),
                Act::Tabs(tabs) => {
                    let read = owner;
                    for _ in 0..tabs {
                        owner = refresh(read);
                    }
                }
            }
        }
        seen
    }

    /// Calls `check` with every scenario of this many acts.
    fn every(acts: &[Act], length: usize, check: &mut impl FnMut(&[Act])) {
        fn longer(acts: &[Act], left: usize, story: &mut Vec<Act>, check: &mut impl FnMut(&[Act])) {
            check(story);
            if left > 0 {
                for act in acts {
                    story.push(*act);
                    longer(acts, left - 1, story, check);
                    story.pop();
                }
            }
        }
        longer(acts, length, &mut Vec::new(), check);
    }

    const OWNER: Act = Act::Refresh(Who::Owner);
    const THIEF: Act = Act::Refresh(Who::Thief);

    #[test]
    fn tabs_with_one_place_and_answers_lost_for_a_moment_log_nobody_out() {
        // The refresh is repeated within the grace after a lost response.
        let acts = [OWNER, Act::Tabs(3), Act::Lost, Act::Wait(20)];
        every(&acts, 7, &mut |story| {
            let mut lost_since = None;
            let mut now = 0;
            let is_prompt = story.iter().all(|act| {
                match act {
                    Act::Wait(seconds) => now += seconds,
                    Act::Lost => _ = lost_since.get_or_insert(now),
                    _ => lost_since = None,
                }
                lost_since.is_none_or(|since| now - since <= GRACE)
            });
            let seen = tell(story);
            assert!(!is_prompt || (!seen.is_noticed && seen.late == 0), "{story:?}");
        });
    }

    #[test]
    fn a_laptop_that_wakes_up_late_twice_is_not_logged_out() {
        // The laptop slept while a response was on its way.
        let acts = [OWNER, Act::Lost, Act::Wait(3 * GRACE / 2)];
        every(&acts, 9, &mut |story| {
            let seen = tell(story);
            assert!(!seen.is_noticed || seen.late >= 2, "only a third one ends it: {story:?}");
        });
        let night = [Act::Lost, Act::Wait(2000), OWNER];
        let quiet = [OWNER, OWNER];
        for nights in 1..50 {
            let forgiven: Vec<_> = [night.as_slice(), &quiet].concat().repeat(nights);
            assert!(!tell(&forgiven).is_noticed, "{nights} nights with a quiet generation between");
        }
        assert!(!tell(&night.repeat(2)).is_noticed, "two in a row");
        assert!(tell(&night.repeat(3)).is_noticed, "three in a row: the price");
    }

    #[test]
    fn a_thief_is_noticed_whatever_his_timing_unless_he_keeps_within_the_grace() {
        // Both refresh repeatedly; between two rounds they may do anything.
        let acts = [OWNER, THIEF, Act::Wait(20), Act::Wait(GRACE + 1)];
        every(&acts, 6, &mut |habit| {
            let refreshes = |who| habit.iter().filter(|act| **act == Act::Refresh(who)).count();
            if refreshes(Who::Owner) == 0 || refreshes(Who::Thief) == 0 {
                return;
            }
            let seen = tell(&habit.repeat(8));
            assert!(seen.is_noticed || keeps_within_the_grace(habit), "{habit:?}: {seen:?}");
        });
    }

    /// Whether every refresh with a token that the other party has already used falls within the grace,
    /// forever.
    fn keeps_within_the_grace(habit: &[Act]) -> bool {
        let (mut model, mut held) = (Model::default(), [0, 0]);
        let mut late = 0;
        for (n, act) in habit.repeat(8).iter().enumerate() {
            match act {
                Act::Wait(seconds) => model.now += seconds,
                Act::Refresh(who) => match model.present(held[*who as usize]) {
                    Answer::Rotated(newest) | Answer::Repeated(newest) => held[*who as usize] = newest,
                    Answer::RepeatedLate(newest) => {
                        held[*who as usize] = newest;
                        // At the start they synchronise.
                        late += usize::from(n >= 2 * habit.len());
                    }
                    Answer::Reused | Answer::Refused => return false,
                },
                Act::Lost | Act::Tabs(_) => {}
            }
        }
        late == 0
    }

    #[test]
    fn a_thief_in_step_is_noticed_by_the_third_late_repeat_and_every_one_before_can_be_seen() {
        let pause = Act::Wait(300);
        for habit in [[OWNER, pause, THIEF, pause], [THIEF, pause, OWNER, pause]] {
            let rounds = |n| tell(&habit.repeat(n));
            assert!(!rounds(2).is_noticed && rounds(2).late > 0, "{habit:?}");
            let seen = rounds(4);
            assert!(seen.is_noticed && seen.loot <= 3, "{habit:?}: {seen:?}");
        }
        // Being within the grace sometimes does not help: every generation has a repeat.
        let quick = [OWNER, Act::Wait(20), THIEF, pause];
        let slow = [OWNER, pause, THIEF, pause];
        for quick_rounds in 0..20 {
            let habit = [slow.to_vec(), quick.repeat(quick_rounds)].concat();
            assert!(tell(&habit.repeat(4)).is_noticed, "{quick_rounds}");
        }
    }

    #[test]
    fn who_is_two_ahead_of_the_other_shows_him_at_once() {
        for wait in [0, 20, 300] {
            for (ahead, behind) in [(OWNER, THIEF), (THIEF, OWNER)] {
                assert!(tell(&[ahead, Act::Wait(wait), ahead, Act::Wait(wait), behind]).is_noticed, "{wait}");
            }
        }
    }

    #[test]
    fn a_thief_whose_every_refresh_falls_within_the_grace_of_the_owners_is_not_noticed() {
        let seen = tell(&[OWNER, Act::Wait(20), THIEF, Act::Wait(300)].repeat(200));
        assert!(!seen.is_noticed);
        assert_eq!((seen.late, seen.loot), (0, 200));
    }
}
