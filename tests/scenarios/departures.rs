//! Who leaves a CRM: on positive evidence only, never many at once unseen, and never more than was configured.

use std::sync::Arc;
use std::time::Duration;

use propsync::assembly::Parts;
use propsync::domain::departure::{Evidence, Fate, TAG};
use propsync::domain::plan::Standing;
use propsync::ledger::passes::PassId;
use propsync::sandbox::faults::{Fault, Rule};
use propsync::sandbox::propstreet::contact::{Contact, ExternalRef};
use propsync::sandbox::propstreet::knobs::{Knobs, StaleTag};
use propsync::sandbox::upstream::Crm;
use propsync::sync::engine::OnDelete;
use propsync::sync::report::SourceReport;

use crate::scenarios::answers::{creating, firm_with};
use crate::scenarios::restarts::die_after;
use crate::support::book::Book;
use crate::support::{Firm, held, in_virtual_time, person, sync};

pub(super) const HOUR: Duration = Duration::from_secs(3600);

pub(super) struct Story {
    pub(super) firm: Firm,
    pub(super) book: Arc<Book>,
    on_delete: OnDelete,
    pub(super) guard: Option<u32>,
}

impl Story {
    pub(super) fn new(on_delete: OnDelete) -> Self {
        Self::with(Knobs::default(), on_delete)
    }

    fn with(knobs: Knobs, on_delete: OnDelete) -> Self {
        let firm = firm_with(knobs);
        Self { book: Book::new(&firm), firm, on_delete, guard: None }
    }

    /// The same, with another word on who is deleted.
    pub(super) fn with_on_delete(self, on_delete: OnDelete) -> Self {
        Self { on_delete, ..self }
    }

    pub(super) async fn start(&self) -> Parts {
        let decide = |source: &mut propsync::sync::engine::Source| {
            (source.on_delete, source.guard) = (self.on_delete, self.guard);
        };
        self.book.start(&self.firm, decide).await
    }

    /// So many hours later, one sync.
    pub(super) async fn sync_after(&self, hours: u32) -> SourceReport {
        self.firm.wait(hours * HOUR).await;
        let parts = self.start().await;
        let report = sync(&parts).await.remove(0);
        parts.engine.ledger.close().await;
        assert!(report.complete && report.counts.balanced(), "{report:?}");
        report
    }

    /// People who are in Propstreet already.
    pub(super) async fn people(&self, count: usize) -> Vec<ExternalRef> {
        let add = |n| self.book.add(&person("Anna", &format!("Berg{n}"), &format!("a{n}@berg.example")));
        let people = (0..count).map(add).collect();
        self.sync_after(1).await;
        people
    }

    pub(super) async fn fate(&self, reference: &ExternalRef) -> Option<(Fate, Evidence)> {
        self.firm.row(reference).await.and_then(|row| row.gone).map(|gone| (gone.fate, gone.evidence))
    }

    fn contact(&self, reference: &ExternalRef) -> Contact {
        self.firm.sandbox.propstreet.find("salesforce", &reference.id).remove(0)
    }
}

#[test]
fn who_the_crm_calls_deleted_has_left_and_the_contact_stays() {
    in_virtual_time(async {
        let story = Story::new(OnDelete::Keep);
        let people = story.people(2).await;
        let stranger = story.book.add(&person("Bo", "Lund", ""));
        let before = story.firm.sandbox.propstreet.contacts();
        story.book.delete(&people[0]);
        story.book.delete(&stranger);
        let report = story.sync_after(1).await;
        assert_eq!((report.gone.kept, report.gone.gone(), report.counts.read), (1, 1, 0), "{report:?}");
        assert!(report.is_green());
        assert_eq!(story.fate(&people[0]).await, Some((Fate::Kept, Evidence::Feed)));
        assert!(story.firm.row(&stranger).await.is_none(), "whom the ledger does not know is nobody");
        for hours in [0, 1, 25] {
            let report = story.sync_after(hours).await;
            assert_eq!(report.gone.gone(), 0, "known already: {report:?}");
        }
        assert_eq!(story.firm.sandbox.propstreet.contacts(), before);
    });
}

#[test]
fn a_tag_is_added_to_those_there_are() {
    in_virtual_time(async {
        for (weather, stale_tag) in [
            ("fair", StaleTag::Conflict),
            ("stale", StaleTag::Conflict),
            ("stale", StaleTag::PreconditionFailed),
            ("lost", StaleTag::Conflict),
        ] {
            let story = Story::with(Knobs { stale_tag, ..Knobs::default() }, OnDelete::Tag);
            let people = story.people(2).await;
            let contact = story.contact(&people[0]).id;
            story.firm.sandbox.propstreet.edit(contact, |contact| contact.tags = vec!["vip".to_owned()]);
            story.book.delete(&people[0]);
            let patch = |fault| Rule::new(fault).on(http::Method::PATCH).times(1);
            match weather {
                "lost" => story.firm.sandbox.propstreet.faults().add(patch(Fault::Garbage)),
                "stale" => {
                    let wait = Fault::Status { code: 429, retry_after: Some(5) };
                    story.firm.sandbox.propstreet.faults().add(patch(wait));
                }
                _ => {}
            }
            let colleague = async {
                while story.firm.sandbox.propstreet.requests().of("PATCH contact") == 0 {
                    tokio::task::yield_now().await;
                }
                if weather == "stale" {
                    story.firm.sandbox.propstreet.edit(contact, |contact| contact.tags.push("new".to_owned()));
                }
            };
            // Whoever yields without end lets no time pass.
            story.firm.wait(HOUR).await;
            let (report, ()) = tokio::join!(story.sync_after(0), colleague);
            assert_eq!((report.gone.tagged, report.gone.gone()), (1, 1), "{weather}: {report:?}");
            let mut tags = story.contact(&people[0]).tags;
            tags.sort();
            let expected = if weather == "stale" { vec![TAG, "new", "vip"] } else { vec![TAG, "vip"] };
            assert_eq!(tags, expected, "{weather}");
            assert!(story.contact(&people[1]).tags.is_empty());
        }
    });
}

#[test]
fn a_contact_is_deleted_only_if_nobody_stands_behind_it_and_nobody_has_touched_it() {
    in_virtual_time(async {
        for (what, fate) in [
            ("nothing", Fate::Deleted),
            ("somebody changed it", Fate::Kept),
            ("a reference of others", Fate::Kept),
            ("our reference was taken away", Fate::Kept),
            ("deleted before", Fate::Kept),
            ("the answer is lost", Fate::Deleted),
        ] {
            let story = Story::new(OnDelete::Delete);
            let people = story.people(1).await;
            let (propstreet, id) = (&story.firm.sandbox.propstreet, story.contact(&people[0]).id);
            match what {
                "somebody changed it" => assert!(propstreet.edit(id, |contact| contact.tags.push("vip".to_owned()))),
                "a reference of others" => {
                    let other = ExternalRef::new("csv-import", "1");
                    assert!(propstreet.edit(id, |contact| contact.refs.push(other)));
                }
                "our reference was taken away" => assert!(propstreet.edit(id, |contact| contact.refs.clear())),
                "deleted before" => assert!(propstreet.delete(id)),
                "the answer is lost" => {
                    propstreet.faults().add(Rule::new(Fault::Garbage).on(http::Method::DELETE).times(1));
                }
                _ => {}
            }
            story.book.delete(&people[0]);
            let report = story.sync_after(1).await;
            let is_live = propstreet.contact(id).is_some_and(|contact| contact.is_live());
            assert_eq!(is_live, fate == Fate::Kept && what != "deleted before", "{what}: {report:?}");
            if what == "deleted before" {
                assert_eq!((report.gone.gone(), propstreet.requests().of("DELETE contact")), (0, 0), "{report:?}");
            } else {
                assert_eq!((report.gone.of(fate), report.gone.gone()), (1, 1), "{what}: {report:?}");
                assert_eq!(story.fate(&people[0]).await, Some((fate, Evidence::Feed)), "{what}");
            }
        }
    });
}

#[test]
fn a_contact_that_somebody_made_in_propstreet_outlives_the_record_that_joined_it() {
    in_virtual_time(async {
        for interrupted in [false, true] {
            let story = Story::new(OnDelete::Delete);
            let anna = person("Anna", "Berg", "anna@berg.example");
            story.firm.sandbox.propstreet.plant(held(&anna, &[]));
            let record = story.book.add(&anna);
            if interrupted {
                let slow = Rule::new(Fault::Late(Duration::from_secs(30))).on(http::Method::PATCH).times(1);
                story.firm.sandbox.propstreet.faults().add(slow);
                story.firm.wait(HOUR).await;
                let parts = story.start().await;
                assert!(tokio::time::timeout(Duration::from_secs(20), sync(&parts)).await.is_err());
                drop(parts);
            }
            story.sync_after(1).await;
            assert_eq!(story.firm.ending(&record).await, "linked");
            story.book.delete(&record);
            let report = story.sync_after(1).await;
            assert_eq!((report.gone.kept, story.firm.contacts().len()), (1, 1), "{interrupted}: {report:?}");
        }
    });
}

#[test]
fn the_last_of_two_who_share_a_contact_takes_it_along() {
    in_virtual_time(async {
        let story = Story::new(OnDelete::Delete);
        let people = story.people(1).await;
        let other = story.book.add(&person("Bo", "Lund", "bo@lund.example"));
        story.book.merge(&other, &people[0]);
        story.sync_after(1).await;
        assert_eq!(story.firm.contacts()[0].refs.len(), 2);
        // The merged one left long ago: only the survivor stands behind the contact.
        story.book.delete(&other);
        let report = story.sync_after(1).await;
        assert_eq!((report.gone.deleted, story.firm.contacts().len()), (1, 0), "{report:?}");
    });
}

#[test]
fn a_contact_that_two_stand_behind_goes_with_the_last_of_them() {
    in_virtual_time(async {
        for at_once in [false, true] {
            let story = Story::new(OnDelete::Delete);
            let people = story.people(1).await;
            let other = story.book.add(&person("Bo", "Lund", "bo@lund.example"));
            story.book.merge(&other, &people[0]);
            story.sync_after(1).await;
            story.book.undelete(&people[0]);
            story.sync_after(1).await;
            story.book.delete(&other);
            if !at_once {
                let report = story.sync_after(1).await;
                assert_eq!((report.gone.kept, story.firm.contacts().len()), (1, 1), "{report:?}");
            }
            story.book.delete(&people[0]);
            let report = story.sync_after(1).await;
            assert_eq!((report.gone.deleted, story.firm.contacts().len()), (1, 0), "{report:?}");
        }
    });
}

#[test]
fn a_permission_taken_away_is_not_a_thousand_deletions() {
    in_virtual_time(async {
        for on_delete in [OnDelete::Keep, OnDelete::Tag, OnDelete::Delete] {
            let mut story = Story::new(on_delete);
            let people = story.people(60).await;
            let before = story.firm.sandbox.propstreet.contacts();
            story.book.hide(true);
            for hours in [25, 1, 25] {
                let report = story.sync_after(hours).await;
                assert_eq!((report.gone.held, report.gone.gone()), (60, 60), "{report:?}");
                let guard = report.guard.expect("the guard");
                assert_eq!((guard.allowed, guard.needed), (10, 60));
                assert!(!report.is_green());
            }
            assert_eq!(story.firm.sandbox.propstreet.contacts(), before);
            assert_eq!(story.firm.ending(&people[0]).await, "created", "nobody has ended");
            // Given back, they are free without anybody's word.
            story.book.hide(false);
            let report = story.sync_after(25).await;
            assert_eq!((report.gone.gone(), report.counts.unchanged), (0, 60), "{report:?}");
            assert!(report.is_green() && story.fate(&people[0]).await.is_none());
            assert_eq!(story.firm.sandbox.propstreet.contacts(), before);
            // Really gone, a person's word lets them go: at once, but for one who is back by then.
            story.book.hide(true);
            story.sync_after(25).await;
            story.guard = Some(60);
            story.book.hide(false);
            people[1..].iter().for_each(|person| story.book.purge(person));
            let report = story.sync_after(1).await;
            assert_eq!((report.gone.gone(), report.gone.held), (59, 0), "{report:?}");
            assert!(report.is_green());
            let deleted = if on_delete == OnDelete::Delete { 59 } else { 0 };
            assert_eq!(story.firm.contacts().len(), 60 - deleted);
        }
    });
}

#[test]
fn the_guard_counts_a_day_and_not_a_sync() {
    in_virtual_time(async {
        let story = Story::new(OnDelete::Delete);
        let people = story.people(30).await;
        people[..8].iter().for_each(|person| story.book.delete(person));
        assert_eq!(story.sync_after(1).await.gone.deleted, 8);
        people[8..14].iter().for_each(|person| story.book.delete(person));
        assert_eq!(story.sync_after(1).await.gone.held, 6, "14 within a day");
        let report = story.sync_after(24).await;
        assert_eq!((report.gone.deleted, report.gone.held), (6, 0), "a day later: {report:?}");
        assert_eq!(story.firm.contacts().len(), 16);
    });
}

#[test]
fn whom_another_pass_holds_meanwhile_waits_for_the_next_count() {
    in_virtual_time(async {
        let story = Story::new(OnDelete::Delete);
        let people = story.people(20).await;
        people[..8].iter().for_each(|person| story.book.delete(person));
        story.firm.wait(HOUR).await;
        let parts = story.start().await;
        let (propstreet, ledger) = (&story.firm.sandbox.propstreet, parts.engine.ledger.clone());
        let another = async {
            while propstreet.requests().of("DELETE contact") == 0 {
                tokio::task::yield_now().await;
            }
            people[8..].iter().for_each(|person| story.book.purge(person));
            let gone = people[8..].iter().map(|person| (story.firm.key(person), None)).collect();
            ledger.hold(PassId(1), Evidence::Sweep, gone, story.firm.clock.now()).await.expect("held");
        };
        let (reports, ()) = tokio::join!(sync(&parts), another);
        assert_eq!((reports[0].gone.deleted, reports[0].gone.held), (8, 12), "{reports:?}");
        assert_eq!(story.firm.contacts().len(), 12, "8 were counted");
    });
}

#[test]
fn who_could_not_be_seen_off_is_told_as_held() {
    in_virtual_time(async {
        let story = Story::new(OnDelete::Tag);
        let people = story.people(2).await;
        story.book.delete(&people[0]);
        let contended = Rule::new(Fault::Status { code: 412, retry_after: None }).on(http::Method::PATCH).times(5);
        story.firm.sandbox.propstreet.faults().add(contended);
        let report = story.sync_after(1).await;
        assert_eq!((report.gone.held, report.gone.gone(), report.is_green()), (1, 1, false), "{report:?}");
        let report = story.sync_after(1).await;
        assert_eq!((report.gone.tagged, report.gone.gone(), report.is_green()), (1, 1, true), "{report:?}");
    });
}

#[test]
fn who_is_out_of_the_bin_is_back_and_an_echo_is_not() {
    in_virtual_time(async {
        let story = Story::new(OnDelete::Keep);
        let people = story.people(1).await;
        let before = story.firm.row(&people[0]).await.and_then(|row| row.modified).expect("a stamp");
        story.book.delete(&people[0]);
        story.sync_after(1).await;
        story.book.haunt(&people[0], before);
        story.sync_after(25).await;
        assert!(story.fate(&people[0]).await.is_some(), "an echo");
        let writes = story.firm.sandbox.propstreet.writes();
        story.book.undelete(&people[0]);
        let report = story.sync_after(1).await;
        assert_eq!((report.counts.unchanged, story.fate(&people[0]).await), (1, None), "{report:?}");
        let history = story.firm.history(&format!("salesforce:{}", people[0].id)).await;
        assert!(
            history.contains("gone: kept, as the CRM calls it deleted") && history.contains("returned"),
            "{history}"
        );
        assert_eq!(story.firm.sandbox.propstreet.writes(), writes);
    });
}

#[test]
fn who_leaves_with_a_create_under_way_is_looked_up_first() {
    in_virtual_time(async {
        let story = Story::new(OnDelete::Delete);
        let anna = story.book.add(&person("Anna", "Berg", "anna@berg.example"));
        story.firm.sandbox.propstreet.faults().add(creating(Fault::Late(Duration::from_secs(30))).times(1));
        story.firm.wait(HOUR).await;
        let parts = story.start().await;
        assert!(tokio::time::timeout(Duration::from_secs(20), sync(&parts)).await.is_err());
        drop(parts);
        story.book.delete(&anna);
        story.sync_after(1).await;
        assert!(story.firm.contacts().is_empty(), "{:?}", story.fate(&anna).await);
        assert_eq!(story.fate(&anna).await.map(|(fate, _)| fate), Some(Fate::Deleted));
    });
}

#[test]
fn who_was_entered_anew_joins_the_contact_of_the_record_that_left() {
    in_virtual_time(async {
        let story = Story::new(OnDelete::Keep);
        let people = story.people(1).await;
        story.book.delete(&people[0]);
        story.sync_after(1).await;
        let anew = story.book.add(&person("Anna", "Berg0", "a0@berg.example"));
        story.sync_after(1).await;
        assert_eq!((story.firm.ending(&anew).await.as_str(), story.firm.contacts().len()), ("linked", 1));
    });
}

/// The same through the real adapters: each CRM purges somebody, and its next sweep finds out.
#[test]
fn whom_a_crm_has_purged_the_sweep_finds_gone() {
    in_virtual_time(async {
        let firm = firm_with(Knobs::default());
        let plant = |crm: Crm| firm.sandbox.plant(crm, &person("Anna", &format!("{crm:?}"), ""));
        let people = Crm::ALL.map(plant);
        firm.sync().await;
        assert!(firm.sandbox.salesforce.purge(&people[0].id));
        assert!(firm.sandbox.hubspot.purge(&people[1].id));
        assert!(firm.sandbox.pipedrive.purge(&people[2].id));
        firm.wait(25 * HOUR).await;
        let reports = firm.sync().await;
        for report in &reports {
            assert_eq!((report.gone.kept, report.gone.gone()), (1, 1), "{report:?}");
            assert!(report.is_green(), "{report:?}");
        }
        assert_eq!(firm.contacts().len(), 3, "on_delete is keep");
    });
}

#[test]
fn a_departure_that_dies_anywhere_is_finished_once() {
    in_virtual_time(async {
        for on_delete in [OnDelete::Tag, OnDelete::Delete] {
            for polls in 1.. {
                let story = Story::new(on_delete);
                let people = story.people(2).await;
                story.book.delete(&people[0]);
                story.firm.wait(HOUR).await;
                let parts = story.start().await;
                let finished = die_after(polls, sync(&parts)).await.is_some();
                drop(parts);
                story.sync_after(1).await;
                story.sync_after(1).await;
                let told = format!("{on_delete:?}, dead after {polls} polls");
                let row = story.firm.row(&people[0]).await.expect("a row");
                assert!(row.has_left() && matches!(row.standing, Standing::Gone { .. }), "{told}: {row:?}");
                let contact = story.contact(&people[0]);
                assert_eq!(contact.is_live(), on_delete == OnDelete::Tag, "{told}");
                assert_eq!(contact.tags.len(), usize::from(on_delete == OnDelete::Tag), "{told}");
                assert!(story.contact(&people[1]).is_live(), "{told}");
                if finished {
                    break;
                }
                assert!(polls < 400, "the sync never ended");
            }
        }
    });
}
