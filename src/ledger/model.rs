//! The ledger against a model of it in a few maps: any run of intents, settlements, index pages and restarts.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::domain::pass::SkipReason;
use crate::domain::plan::Standing;
use crate::ledger::settlements::Ending;
use crate::ledger::stage::{at, contact, create, created, deferred, ended, filled, key, open, print, quarantined};

const REFS: [&str; 4] = ["r0", "r1", "r2", "r3"];
const CONTACTS: [&str; 2] = ["c0", "c1"];

#[derive(Debug, Clone)]
enum Move {
    Intend(usize),
    Sync(usize, usize),
    IgnoreChange(usize),
    Filter(usize),
    Quarantine(usize, Option<usize>),
    Defer(usize),
    Delete(usize),
    Show { contact: usize, deleted: bool },
    Restart,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let (r, c) = (0..REFS.len(), 0..CONTACTS.len());
    let one = prop_oneof![
        4 => r.clone().prop_map(Move::Intend),
        4 => (r.clone(), c.clone()).prop_map(|(r, c)| Move::Sync(r, c)),
        2 => r.clone().prop_map(Move::IgnoreChange),
        1 => r.clone().prop_map(Move::Filter),
        3 => (r.clone(), prop::option::of(c.clone())).prop_map(|(r, c)| Move::Quarantine(r, c)),
        3 => r.clone().prop_map(Move::Defer),
        1 => r.prop_map(Move::Delete),
        3 => (c, any::<bool>()).prop_map(|(contact, deleted)| Move::Show { contact, deleted }),
        1 => Just(Move::Restart),
    ];
    prop::collection::vec(one, 1..30)
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Unsettled,
    Settled,
    Quarantined { blocker: Option<usize>, woken: bool },
    Deferred { attempts: u32 },
    Deleted,
}

/// A reference as the model sees it.
#[derive(Debug, Clone)]
struct Figure {
    state: State,
    contact: Option<usize>,
    sent: bool,
    intended: bool,
    drifted: bool,
}

#[derive(Debug, Default)]
struct Model {
    figures: BTreeMap<usize, Figure>,
    shown: BTreeMap<usize, bool>,
    version: u32,
}

impl Model {
    fn figure(&mut self, r: usize) -> &mut Figure {
        let blank = Figure { state: State::Unsettled, contact: None, sent: false, intended: false, drifted: false };
        self.figures.entry(r).or_insert(blank)
    }

    fn end(&mut self, r: usize, state: impl FnOnce(&Figure) -> State) {
        let figure = self.figure(r);
        figure.state = state(figure);
        figure.intended = false;
    }

    fn skip(&mut self, r: usize) {
        self.end(r, |figure| match figure.state {
            State::Deleted => State::Deleted,
            _ if figure.sent => State::Settled,
            _ => State::Unsettled,
        });
    }

    fn show(&mut self, contact: usize, deleted: bool) {
        self.version += 1;
        let was_deleted = self.shown.insert(contact, deleted) == Some(true);
        for figure in self.figures.values_mut() {
            match &mut figure.state {
                State::Quarantined { blocker, woken } if *blocker == Some(contact) => *woken = true,
                state @ State::Settled if figure.contact == Some(contact) && deleted => *state = State::Deleted,
                state @ State::Deleted if figure.contact == Some(contact) && figure.sent && was_deleted && !deleted => {
                    *state = State::Settled;
                }
                _ => {}
            }
        }
    }

    fn standing(figure: &Figure) -> Standing {
        if figure.intended {
            return Standing::Intended;
        }
        match figure.state {
            State::Unsettled => Standing::Unknown,
            State::Settled => Standing::Settled { fingerprint: print(1) },
            State::Quarantined { woken, .. } => Standing::Quarantined { fingerprint: Some(print(2)), due: woken },
            State::Deferred { .. } => Standing::Deferred { due: false },
            State::Deleted => Standing::Deleted,
        }
    }
}

/// What a move settles, in the ledger's words; and the same in the model.
fn ending(model: &mut Model, step: &Move, now: i64) -> Option<(usize, Ending)> {
    let skipped = |reason: SkipReason, drifted: bool| Ending::Skipped { reason, drifted };
    match *step {
        Move::Sync(r, c) => {
            model.end(r, |_| State::Settled);
            let figure = model.figure(r);
            (figure.contact, figure.sent, figure.drifted) = (Some(c), true, false);
            Some((r, created(CONTACTS[c])))
        }
        Move::IgnoreChange(r) => {
            model.skip(r);
            model.figure(r).drifted = true;
            Some((r, skipped(SkipReason::ChangeIgnored, true)))
        }
        Move::Filter(r) => {
            model.skip(r);
            Some((r, skipped(SkipReason::Filtered, false)))
        }
        Move::Quarantine(r, blocker) => {
            model.end(r, |_| State::Quarantined { blocker, woken: false });
            Some((r, quarantined(blocker.map(|c| CONTACTS[c]))))
        }
        Move::Defer(r) => {
            model.end(r, |figure| match figure.state {
                State::Deferred { attempts } => State::Deferred { attempts: attempts + 1 },
                _ => State::Deferred { attempts: 1 },
            });
            Some((r, deferred("down", now + 1_000)))
        }
        Move::Delete(r) => {
            model.end(r, |_| State::Deleted);
            Some((r, Ending::Deleted { propstreet_id: None, note: "404".to_owned() }))
        }
        Move::Intend(_) | Move::Show { .. } | Move::Restart => None,
    }
}

async fn play(moves: Vec<Move>) {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = open(&folder).await;
    let (mut model, mut settled) = (Model::default(), 0);
    for (now, step) in (1..).zip(moves) {
        match step {
            Move::Intend(r) => {
                model.figure(r).intended = true;
                ledger.intend(create(REFS[r], None, now)).await.unwrap();
            }
            Move::Show { contact: c, deleted } => {
                model.show(c, deleted);
                let mut entry = contact(CONTACTS[c], "elsewhere", model.version);
                entry.indexed.deleted = deleted;
                ledger.index(vec![entry], filled()).await.unwrap();
            }
            Move::Restart => {
                drop(ledger);
                ledger = open(&folder).await;
            }
            _ => {
                if let Some((r, ending)) = ending(&mut model, &step, now) {
                    ledger.settle(ended(REFS[r], ending, now)).await.unwrap();
                    settled += 1;
                }
            }
        }
        for (r, id) in REFS.iter().enumerate() {
            let view = ledger.view(key(id), None, at(now)).await.unwrap();
            let Some(figure) = model.figures.get(&r) else {
                assert_eq!(view.row, None);
                continue;
            };
            let row = view.row.unwrap();
            assert_eq!(row.standing, Model::standing(figure), "{id} after {step:?}");
            assert_eq!(view.intent.is_some(), figure.intended);
            assert_eq!(
                (row.propstreet_id.as_deref(), row.drifted),
                (figure.contact.map(|c| CONTACTS[c]), figure.drifted)
            );
            if let State::Deferred { attempts } = figure.state {
                assert_eq!(row.attempts, attempts);
            }
        }
    }
    assert!(ledger.verify_chain().await.unwrap() >= settled);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, rng_seed: RngSeed::Fixed(7), ..ProptestConfig::default() })]

    #[test]
    fn the_ledger_does_what_its_model_does(moves in moves()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(play(moves));
    }
}
