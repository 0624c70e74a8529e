//! Pipedrive tells of a merge by a webhook alone: what a sync makes of that word, and of one that is early, late, wrong or
//! missing.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, Method};
use propsync::assembly::{self, Parts};
use propsync::crm::webhook::Knock;
use propsync::domain::plan::Standing;
use propsync::sandbox::faults::{Fault, Rule};
use propsync::sandbox::people::Person;
use propsync::sandbox::propstreet::contact::ExternalRef;
use propsync::sandbox::propstreet::knobs::Knobs;
use propsync::sandbox::upstream::Crm;
use propsync::sync::engine::OnDelete;
use propsync::sync::report::SourceReport;
use serde_json::json;

use crate::scenarios::answers::firm_with;
use crate::scenarios::restarts::die_after;
use crate::support::{Firm, in_virtual_time, person, sync_one};

const HOUR: Duration = Duration::from_secs(3600);

struct Story {
    firm: Firm,
    on_delete: OnDelete,
}

impl Story {
    fn new() -> Self {
        Self::with(OnDelete::Keep)
    }

    fn with(on_delete: OnDelete) -> Self {
        let mut firm = firm_with(Knobs::default());
        let webhooks = "webhooks = { user = \"propsync\", password = \"secret\" }\n\
                        [webhooks]\nlisten = \"127.0.0.1:0\"\npublic_url = \"https://hooks.example.com\"\n";
        firm.extra.insert("pipedrive", webhooks.to_owned());
        Self { firm, on_delete }
    }

    async fn start(&self) -> Parts {
        let mut parts = self.firm.start().await;
        parts.sources.iter_mut().for_each(|source| source.on_delete = self.on_delete);
        parts
    }

    fn plant(&self, person: &Person) -> ExternalRef {
        self.firm.sandbox.plant(Crm::Pipedrive, person)
    }

    /// Merges in Pipedrive, which tells nobody yet.
    fn merge(&self, loser: &ExternalRef, survivor: &ExternalRef) {
        assert!(self.firm.sandbox.pipedrive.merge(&loser.id, &survivor.id));
    }

    /// An hour later, one sync; it must be complete and balanced.
    async fn sync(&self) -> SourceReport {
        self.firm.wait(HOUR).await;
        let parts = self.start().await;
        let report = sync_one(&parts, "pipedrive").await;
        parts.engine.ledger.close().await;
        assert!(report.complete && report.counts.balanced(), "{report:?}");
        report
    }

    /// A webhook tells of a merge while no sync runs.
    async fn tell(&self, loser: &ExternalRef, survivor: &ExternalRef) {
        let parts = self.firm.start().await;
        self.tell_to(&parts, loser, survivor).await;
        parts.engine.ledger.close().await;
    }

    /// A webhook comes, is let in, and what it tells is kept.
    async fn tell_to(&self, parts: &Parts, loser: &ExternalRef, survivor: &ExternalRef) {
        let meta = json!({
            "action": "delete", "entity": "person", "entity_id": loser.id, "merged_to_id": survivor.id, "version": "2.0",
        });
        self.hear(parts, &json!({ "meta": meta, "data": null, "previous": {} }).to_string()).await;
    }

    /// The body of a webhook's call comes, is let in, and what it tells is kept.
    async fn hear(&self, parts: &Parts, body: &str) {
        let config = self.firm.config();
        let source = config.sources.iter().find(|source| source.name == "pipedrive").expect("pipedrive");
        let keeper = assembly::doorkeeper(source).expect("webhooks");
        let pair = format!("Basic {}", BASE64_STANDARD.encode("propsync:secret"));
        let headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, pair.parse().expect("a header"))]);
        let (method, address, at) = (&Method::POST, "https://hooks.example.com", self.firm.clock.now());
        let heard = keeper.admit(&Knock { method, address, headers: &headers, body: body.as_bytes(), at });
        let merged = heard.expect("let in").merged;
        assembly::notebook(parts, "pipedrive").keep(merged).await.expect("kept");
    }

    async fn hints(&self) -> usize {
        let parts = self.firm.start().await;
        let hints = parts.engine.ledger.hints("pipedrive").await.expect("hints").len();
        parts.engine.ledger.close().await;
        hints
    }

    async fn is_moved(&self, loser: &ExternalRef, survivor: &ExternalRef) -> bool {
        let Some(row) = self.firm.row(loser).await else { return false };
        matches!(&row.standing, Standing::Moved(alias) if alias.survivor == self.firm.key(survivor))
    }

    /// One contact, which carries all of these.
    fn one_contact_has(&self, refs: &[&ExternalRef]) -> bool {
        let contacts = self.firm.contacts();
        contacts.len() == 1 && refs.iter().all(|reference| contacts[0].has_ref(&reference.key()))
    }
}

fn anna() -> Person {
    person("Anna", "Berg", "anna@berg.example")
}

fn nils() -> Person {
    person("Nils", "Dahl", "nils@dahl.example")
}

fn bo() -> Person {
    person("Bo", "Lund", "bo@lund.example")
}

#[test]
fn a_new_survivor_joins_the_losers_contact() {
    in_virtual_time(async {
        let story = Story::new();
        let loser = story.plant(&anna());
        story.sync().await;
        let survivor = story.plant(&nils());
        story.merge(&loser, &survivor);
        story.tell(&loser, &survivor).await;
        let report = story.sync().await;
        assert_eq!((report.counts.linked, report.gone.moved, report.gone.gone()), (1, 1, 1), "{report:?}");
        assert!(story.one_contact_has(&[&loser, &survivor]) && story.is_moved(&loser, &survivor).await);
        // The same once more, late, and two sweeps.
        let writes = story.firm.sandbox.propstreet.writes();
        story.tell(&loser, &survivor).await;
        let report = story.sync().await;
        assert_eq!((report.gone.gone(), story.hints().await), (0, 0), "{report:?}");
        for _ in 0..2 {
            story.firm.wait(25 * HOUR).await;
            assert!(story.sync().await.is_green());
        }
        assert_eq!(story.firm.sandbox.propstreet.writes(), writes);
    });
}

#[test]
fn two_contacts_stay_two_and_a_person_is_told() {
    in_virtual_time(async {
        for survivor_is_older in [true, false] {
            let story = Story::new();
            let mut two = [story.plant(&anna()), story.plant(&nils())];
            if survivor_is_older {
                two.reverse();
            }
            let [loser, survivor] = two;
            story.sync().await;
            let before = story.firm.sandbox.propstreet.contacts();
            story.merge(&loser, &survivor);
            story.tell(&loser, &survivor).await;
            let report = story.sync().await;
            assert_eq!((report.gone.moved, report.newly_quarantined), (1, 1), "{report:?}");
            assert_eq!(story.firm.ending(&loser).await, "quarantined: merged_in_crm");
            assert_eq!(story.firm.sandbox.propstreet.contacts(), before, "nothing is touched");
            story.firm.wait(25 * HOUR).await;
            assert_eq!(story.sync().await.gone.gone(), 0, "and nobody has left");
        }
    });
}

#[test]
fn who_was_merged_before_being_read_is_never_created() {
    in_virtual_time(async {
        for survivor_is_known in [true, false] {
            let story = Story::new();
            story.plant(&bo());
            let survivor = story.plant(&anna());
            if survivor_is_known {
                story.sync().await;
            }
            let loser = story.plant(&nils());
            story.merge(&loser, &survivor);
            story.tell(&loser, &survivor).await;
            story.sync().await;
            assert!(story.is_moved(&loser, &survivor).await, "{survivor_is_known}");
            assert_eq!((story.firm.contacts().len(), story.hints().await), (2, 0));
        }
    });
}

#[test]
fn a_chain_of_merges_leads_to_the_last_in_whatever_order_it_is_told() {
    in_virtual_time(async {
        for order in ["as it was", "the other way round", "a day apart", "the first a day late"] {
            let story = Story::new();
            let first = story.plant(&anna());
            story.sync().await;
            let [second, third] = [story.plant(&nils()), story.plant(&bo())];
            story.merge(&first, &second);
            if order == "a day apart" {
                story.tell(&first, &second).await;
                // The third is not of age yet.
                story.firm.sandbox.pipedrive.edit(&third.id, |person| *person = person_without_identity());
                story.sync().await;
                story.firm.sandbox.pipedrive.edit(&third.id, |person| *person = bo());
            }
            if order == "the first a day late" {
                // Nor will it be by the second, whose addresses a merge leaves it.
                story.firm.sandbox.pipedrive.edit(&second.id, |person| *person = person_without_identity());
            }
            story.merge(&second, &third);
            match order {
                "as it was" => {
                    story.tell(&first, &second).await;
                    story.tell(&second, &third).await;
                }
                "the other way round" => {
                    story.tell(&second, &third).await;
                    story.tell(&first, &second).await;
                }
                "a day apart" => story.tell(&second, &third).await,
                _ => {
                    // A merge leaves the survivor with the addresses of both.
                    let addresses = |shown| story.firm.sandbox.pipedrive.set(&third.id, "emails", shown);
                    let is = |someone: Person| story.firm.sandbox.pipedrive.edit(&third.id, |person| *person = someone);
                    assert!(is(person_without_identity()) && addresses(json!([])));
                    story.tell(&second, &third).await;
                    story.sync().await;
                    story.tell(&first, &second).await;
                    story.sync().await;
                    assert!(is(bo()) && addresses(json!([{"value": bo().email, "primary": true, "label": "work"}])));
                }
            }
            story.sync().await;
            assert!(story.one_contact_has(&[&first, &third]), "{order}: {:?}", story.firm.contacts());
            let parts = story.start().await;
            let last = parts.engine.ledger.survivor(story.firm.key(&first)).await.expect("a survivor");
            assert_eq!(last, story.firm.key(&third), "{order}");
            parts.engine.ledger.close().await;
            assert_eq!(story.hints().await, 0, "{order}");
        }
    });
}

fn person_without_identity() -> Person {
    person("", "", "")
}

#[test]
fn a_word_that_comes_before_the_deletion_shows_is_kept_until_it_does() {
    in_virtual_time(async {
        let story = Story::new();
        let loser = story.plant(&anna());
        story.sync().await;
        story.tell(&loser, &ExternalRef::new("pipedrive", "999")).await;
        let [survivor, other] = [story.plant(&person_without_identity()), story.plant(&nils())];
        story.tell(&loser, &survivor).await;
        story.sync().await;
        assert_eq!((story.hints().await, story.is_moved(&loser, &survivor).await), (1, false), "one word a loser");
        story.merge(&loser, &survivor);
        story.firm.sandbox.pipedrive.edit(&survivor.id, |person| *person = bo());
        // Twice as long after the word, and no sooner.
        for _ in 0..3 {
            story.sync().await;
        }
        assert_eq!((story.hints().await, story.is_moved(&loser, &survivor).await), (0, true));
        assert_eq!(story.firm.ending(&other).await, "created");
    });
}

#[test]
fn a_word_that_is_not_borne_out_is_forgotten_after_a_day() {
    in_virtual_time(async {
        let story = Story::new();
        let [loser, survivor] = [story.plant(&anna()), story.plant(&nils())];
        story.sync().await;
        story.merge(&loser, &survivor);
        story.firm.sandbox.pipedrive.restore(&loser.id);
        story.tell(&loser, &survivor).await;
        story.sync().await;
        let asked = |story: &Story| story.firm.sandbox.pipedrive.requests().of("GET persons");
        let before = asked(&story);
        for _ in 0..23 {
            assert_eq!(story.sync().await.gone.gone(), 0);
        }
        assert!(asked(&story) - before <= 23 + 6, "it is asked for ever more rarely");
        story.sync().await;
        assert_eq!(story.hints().await, 0);
        assert_eq!((story.firm.contacts().len(), story.is_moved(&loser, &survivor).await), (2, false));
        // Its own end is its own.
        story.firm.sandbox.pipedrive.delete(&loser.id);
        story.firm.wait(25 * HOUR).await;
        assert_eq!(story.sync().await.gone.kept, 1);
    });
}

#[test]
fn a_merge_that_dies_anywhere_is_neither_lost_nor_doubled() {
    in_virtual_time(async {
        for polls in 1..600 {
            let story = Story::new();
            let loser = story.plant(&anna());
            story.sync().await;
            let survivor = story.plant(&nils());
            story.merge(&loser, &survivor);
            let parts = story.start().await;
            story.tell_to(&parts, &loser, &survivor).await;
            drop(parts);
            story.firm.wait(HOUR).await;
            let parts = story.start().await;
            let finished = die_after(polls, sync_one(&parts, "pipedrive")).await.is_some();
            drop(parts);
            story.sync().await;
            assert!(
                story.one_contact_has(&[&loser, &survivor]),
                "dead after {polls} polls: {:?}",
                story.firm.contacts()
            );
            assert!(story.is_moved(&loser, &survivor).await, "dead after {polls} polls");
            if finished {
                assert_eq!(story.hints().await, 0);
                return;
            }
        }
        panic!("the sync never ended");
    });
}

#[test]
fn a_word_that_comes_after_the_sweep_still_counts_where_nothing_was_deleted() {
    in_virtual_time(async {
        for on_delete in [OnDelete::Keep, OnDelete::Tag, OnDelete::Delete] {
            let story = Story::with(on_delete);
            let loser = story.plant(&anna());
            story.sync().await;
            let survivor = story.plant(&person_without_identity());
            // Nothing of the loser's may fill it: it shall be sent later.
            story.firm.sandbox.pipedrive.delete(&loser.id);
            story.firm.wait(25 * HOUR).await;
            assert_eq!(story.sync().await.gone.gone(), 1, "{on_delete:?}");
            story.tell(&loser, &survivor).await;
            story.sync().await;
            story.firm.sandbox.pipedrive.edit(&survivor.id, |person| *person = nils());
            story.sync().await;
            let deleted = on_delete == OnDelete::Delete;
            assert_eq!(story.is_moved(&loser, &survivor).await, !deleted, "{on_delete:?}");
            let expected = if deleted { "created" } else { "linked" };
            assert_eq!(
                (story.firm.ending(&survivor).await.as_str(), story.hints().await),
                (expected, 0),
                "{on_delete:?}"
            );
            assert_eq!(story.firm.contacts().len(), 1, "{on_delete:?}");
        }
    });
}

#[test]
fn no_contact_is_deleted_that_a_survivor_may_inherit() {
    in_virtual_time(async {
        // The survivor is not shown, as where the token's user may not see it.
        for told in [true, false] {
            let story = Story::with(OnDelete::Delete);
            let loser = story.plant(&anna());
            story.sync().await;
            story.firm.sandbox.pipedrive.delete(&loser.id);
            story.firm.wait(25 * HOUR).await;
            if told {
                story.tell(&loser, &ExternalRef::new("pipedrive", "999")).await;
            }
            story.sync().await;
            assert_eq!(story.firm.contacts().len(), usize::from(told), "{told}");
            story.firm.wait(25 * HOUR).await;
            story.sync().await;
            story.sync().await;
            assert_eq!(story.firm.contacts().len(), 0, "{told}: in the end it has left");
        }
    });
}

#[test]
fn a_word_that_comes_during_a_sweep_saves_whom_it_has_not_deleted_yet() {
    in_virtual_time(async {
        let story = Story::with(OnDelete::Delete);
        let losers = [story.plant(&anna()), story.plant(&nils())];
        let survivor = story.plant(&person_without_identity());
        story.sync().await;
        losers.iter().for_each(|loser| assert!(story.firm.sandbox.pipedrive.delete(&loser.id)));
        story.firm.wait(25 * HOUR).await;
        let slow = Rule::new(Fault::Delay(Duration::from_secs(20))).on(Method::DELETE).times(1);
        story.firm.sandbox.propstreet.faults().add(slow);
        let parts = story.start().await;
        let word = async {
            while story.firm.sandbox.propstreet.requests().of("DELETE contact") == 0 {
                story.firm.wait(Duration::from_secs(1)).await;
            }
            story.tell_to(&parts, &losers[1], &survivor).await;
        };
        tokio::join!(sync_one(&parts, "pipedrive"), word);
        parts.engine.ledger.close().await;
        assert!(story.one_contact_has(&[&losers[1]]), "{:?}", story.firm.contacts());
        story.sync().await;
        story.firm.sandbox.pipedrive.edit(&survivor.id, |person| *person = bo());
        story.sync().await;
        assert!(story.one_contact_has(&[&losers[1], &survivor]), "{:?}", story.firm.contacts());
    });
}

#[test]
fn without_a_word_the_sweep_alone_speaks() {
    in_virtual_time(async {
        let story = Story::new();
        let loser = story.plant(&anna());
        story.sync().await;
        let survivor = story.plant(&nils());
        story.merge(&loser, &survivor);
        story.firm.wait(25 * HOUR).await;
        let report = story.sync().await;
        assert_eq!((report.gone.kept, report.gone.moved, story.firm.contacts().len()), (1, 0, 2), "{report:?}");
    });
}

#[test]
fn from_now_leaves_old_people_alone_whatever_is_told_of_them() {
    in_virtual_time(async {
        let mut story = Story::new();
        story.firm.from_now = true;
        let [loser, survivor] = [story.plant(&anna()), story.plant(&nils())];
        story.firm.wait(25 * HOUR).await;
        story.sync().await;
        story.firm.sandbox.pipedrive.purge(&loser.id);
        story.tell(&loser, &survivor).await;
        story.sync().await;
        assert_eq!((story.firm.contacts().len(), story.hints().await), (0, 1));
        story.firm.wait(25 * HOUR).await;
        story.sync().await;
        assert_eq!((story.firm.contacts().len(), story.hints().await), (0, 0));
    });
}

/// Pipedrive's own words, in whatever order and however often they come.
#[test]
fn what_pipedrive_itself_tells_of_a_merge_is_understood() {
    in_virtual_time(async {
        for (backwards, attempts) in [(false, 1), (true, 3)] {
            let story = Story::with(OnDelete::Delete);
            let pipedrive = &story.firm.sandbox.pipedrive;
            pipedrive.listen();
            pipedrive.set_event_attempts(attempts);
            let [loser, other] = [story.plant(&anna()), story.plant(&bo())];
            story.sync().await;
            let survivor = story.plant(&nils());
            story.merge(&loser, &survivor);
            let mut events = pipedrive.take_events();
            assert!(!events.is_empty());
            if backwards {
                events.reverse();
            }
            let parts = story.start().await;
            for event in &events {
                story.hear(&parts, event).await;
            }
            parts.engine.ledger.close().await;
            assert_eq!(story.hints().await, 1, "{events:?}");
            story.sync().await;
            story.firm.wait(25 * HOUR).await;
            story.sync().await;
            assert!(story.is_moved(&loser, &survivor).await && story.hints().await == 0);
            let contacts = story.firm.contacts();
            let carries = |reference: &ExternalRef| contacts.iter().position(|c| c.has_ref(&reference.key()));
            assert_eq!((contacts.len(), carries(&loser)), (2, carries(&survivor)), "{contacts:?}");
            assert_eq!(story.firm.ending(&other).await, "created");
        }
    });
}
