//! Records that a CRM makes one: nobody is created twice, nothing is merged in Propstreet, and who must look is told.

use std::sync::Arc;
use std::time::Duration;

use propsync::assembly::Parts;
use propsync::domain::plan::Standing;
use propsync::sandbox::faults::{Fault, Rule};
use propsync::sandbox::people::Person;
use propsync::sandbox::propstreet::contact::ExternalRef;
use propsync::sandbox::propstreet::knobs::Knobs;
use propsync::sandbox::upstream::Crm;
use propsync::sync::report::SourceReport;

use crate::scenarios::answers::{creating, firm_with};
use crate::scenarios::restarts::die_after;
use crate::support::book::Book;
use crate::support::{Firm, held, in_virtual_time, person, sync};

const HOUR: Duration = Duration::from_secs(3600);

struct Story {
    firm: Firm,
    book: Arc<Book>,
}

impl Story {
    fn new(knobs: Knobs) -> Self {
        let firm = firm_with(knobs);
        Self { book: Book::new(&firm), firm }
    }

    async fn start(&self) -> Parts {
        self.book.start(&self.firm, |_| ()).await
    }

    /// An hour later, one sync; it must be complete and balanced.
    async fn sync(&self) -> SourceReport {
        self.firm.wait(HOUR).await;
        let parts = self.start().await;
        let report = sync(&parts).await.remove(0);
        parts.engine.ledger.close().await;
        assert!(report.complete && report.counts.balanced(), "{report:?}");
        report
    }

    async fn anna_and(&self, other: &Person) -> [ExternalRef; 2] {
        let anna = self.book.add(&person("Anna", "Berg", "anna@berg.example"));
        self.sync().await;
        [self.book.add(other), anna]
    }

    /// How two references ended, and how many contacts there are.
    async fn ends(&self, survivor: &ExternalRef, loser: &ExternalRef) -> (String, String, usize) {
        (self.firm.ending(survivor).await, self.firm.ending(loser).await, self.firm.contacts().len())
    }

    async fn is_moved(&self, loser: &ExternalRef, survivor: &ExternalRef) -> bool {
        let row = self.firm.row(loser).await.expect("a row");
        matches!(&row.standing, Standing::Moved(alias) if alias.survivor == self.firm.key(survivor))
    }
}

fn nils() -> Person {
    person("Nils", "Dahl", "info@dahl.example")
}

#[test]
fn a_new_survivor_joins_the_losers_contact_whatever_its_name() {
    in_virtual_time(async {
        let story = Story::new(Knobs::default());
        let [new, anna] = story.anna_and(&nils()).await;
        story.book.merge(&new, &anna);
        let report = story.sync().await;
        assert_eq!((report.counts.read, report.counts.linked, report.gone.moved, report.gone.gone()), (1, 1, 1, 1));
        let contacts = story.firm.contacts();
        assert_eq!(contacts.len(), 1);
        assert!(contacts[0].has_ref(&new.key()) && contacts[0].has_ref(&anna.key()), "no reference is taken away");
        assert_eq!(contacts[0].first_name.as_deref(), Some("Anna"), "nothing but the reference is written");
        assert!(story.is_moved(&anna, &new).await);
        let history = story.firm.history(&format!("salesforce:{}", anna.id)).await;
        assert!(history.contains(&format!("merged_into:salesforce:{}", new.id)), "{history}");
        let writes = story.firm.sandbox.propstreet.writes();
        for hours in [1, 25] {
            story.firm.wait(hours * HOUR).await;
            let report = story.sync().await;
            assert_eq!(report.gone.gone(), 0, "{report:?}");
        }
        assert_eq!(story.firm.sandbox.propstreet.writes(), writes);
    });
}

#[test]
fn two_on_one_contact_are_only_noted() {
    in_virtual_time(async {
        let story = Story::new(Knobs::default());
        let anna = person("Anna", "Berg", "anna@berg.example");
        let refs = [story.book.add(&anna), story.book.add(&anna)];
        let both = [("salesforce", refs[0].id.as_str()), ("salesforce", refs[1].id.as_str())];
        story.firm.sandbox.propstreet.plant(held(&anna, &both));
        story.sync().await;
        let writes = story.firm.sandbox.propstreet.writes();
        story.book.merge(&refs[0], &refs[1]);
        let report = story.sync().await;
        assert_eq!((report.gone.moved, report.newly_quarantined), (1, 0));
        assert!(story.is_moved(&refs[1], &refs[0]).await);
        assert_eq!(story.firm.sandbox.propstreet.writes(), writes);
    });
}

#[test]
fn two_contacts_stay_two_until_a_person_has_looked() {
    in_virtual_time(async {
        for way_out in ["delete the loser's", "delete the survivor's", "move the reference", "add the survivor's"] {
            let story = Story::new(Knobs::default());
            let [survivor, loser] = story.anna_and(&nils()).await;
            story.sync().await;
            let before = story.firm.sandbox.propstreet.contacts();
            story.book.merge(&survivor, &loser);
            let report = story.sync().await;
            assert_eq!((report.gone.moved, report.newly_quarantined), (1, 1));
            let apart = ("created".to_owned(), "quarantined: merged_in_crm".to_owned(), 2);
            assert_eq!(story.ends(&survivor, &loser).await, apart);
            assert_eq!(story.firm.sandbox.propstreet.contacts(), before, "nothing is touched");
            let complaint = story.firm.row(&loser).await.and_then(|row| row.complaint).expect("a complaint");
            for word in [&survivor.id, &loser.id, &before[0].id.to_string(), &before[1].id.to_string()] {
                assert!(complaint.detail.contains(word.as_str()), "{}", complaint.detail);
            }
            // A day later it is looked at again, and still stands.
            story.firm.wait(25 * HOUR).await;
            story.sync().await;
            assert_eq!(story.ends(&survivor, &loser).await, apart, "the CRM does not show it, and it has not left");
            let contact = |reference: &ExternalRef| {
                let all = story.firm.contacts().into_iter();
                all.filter(|c| c.has_ref(&reference.key())).map(|c| c.id).next().expect("a contact")
            };
            let propstreet = &story.firm.sandbox.propstreet;
            match way_out {
                "delete the loser's" => assert!(propstreet.delete(contact(&loser))),
                "delete the survivor's" => assert!(propstreet.delete(contact(&survivor))),
                _ => {
                    propstreet.edit(contact(&loser), |contact| contact.refs.clear());
                    propstreet.edit(contact(&survivor), |contact| contact.refs.push(loser.clone()));
                }
            }
            story.firm.wait(25 * HOUR).await;
            story.sync().await;
            assert!(story.is_moved(&loser, &survivor).await, "{way_out}");
            assert!(story.firm.ending(&loser).await.starts_with("skipped: merged_into"), "{way_out}");
        }
    });
}

#[test]
fn who_was_never_in_propstreet_is_not_created_once_merged() {
    in_virtual_time(async {
        let story = Story::new(Knobs::default());
        // One is put aside, another was never read.
        let [aside, survivor] = [story.book.add(&person("", "", "")), story.book.add(&nils())];
        story.sync().await;
        assert!(story.firm.ending(&aside).await.starts_with("quarantined"));
        let unread = story.book.add(&person("Bo", "Lund", "bo@lund.example"));
        let stamp = story.firm.clock.now();
        story.firm.wait(HOUR).await;
        story.book.merge(&survivor, &aside);
        story.book.merge(&survivor, &unread);
        let report = story.sync().await;
        assert_eq!((report.gone.moved, report.newly_quarantined), (2, 0));
        assert!(story.is_moved(&aside, &survivor).await && story.is_moved(&unread, &survivor).await);
        // A listing that is behind shows one of them as it was before.
        story.book.haunt(&unread, stamp);
        story.firm.wait(25 * HOUR).await;
        story.sync().await;
        assert_eq!(story.firm.contacts().len(), 1, "{}", story.firm.ending(&unread).await);
    });
}

#[test]
fn a_person_deleted_in_propstreet_stays_deleted_when_records_merge() {
    in_virtual_time(async {
        for (lookup_finds_deleted, erased) in [(true, false), (false, false), (false, true)] {
            let story = Story::new(Knobs { lookup_finds_deleted, ..Knobs::default() });
            let [new, anna] = story.anna_and(&nils()).await;
            let id = story.firm.contacts()[0].id;
            if erased {
                let gone = Rule::new(Fault::Status { code: 404, retry_after: None });
                story.firm.sandbox.propstreet.faults().add(gone.path(&format!("/network/contacts/{id}")));
                let gone = Rule::new(Fault::Status { code: 404, retry_after: None });
                story.firm.sandbox.propstreet.faults().add(gone.path("/external/"));
            } else {
                story.firm.sandbox.propstreet.delete(id);
            }
            story.book.merge(&new, &anna);
            story.sync().await;
            assert_eq!(story.firm.ending(&new).await, "skipped: deleted_in_propstreet", "erased {erased}");
            assert!(story.is_moved(&anna, &new).await);
            assert_eq!(story.firm.sandbox.propstreet.writes().created, 1);
        }
    });
}

#[test]
fn a_losers_own_write_is_settled_first_however_late_it_shows() {
    in_virtual_time(async {
        let seconds = Duration::from_secs;
        for (lag, fault) in
            [(0, Fault::Late(seconds(30))), (30, Fault::Late(seconds(30))), (0, Fault::CommitLate(seconds(60)))]
        {
            let story = Story::new(Knobs { lookup_lag: Duration::from_secs(lag), ..Knobs::default() });
            story.sync().await;
            let anna = story.book.add(&person("Anna", "Berg", "anna@berg.example"));
            // A sync dies with the create of the later loser under way.
            story.firm.sandbox.propstreet.faults().add(creating(fault).times(1));
            story.firm.wait(HOUR).await;
            let parts = story.start().await;
            assert!(tokio::time::timeout(Duration::from_secs(20), sync(&parts)).await.is_err());
            drop(parts);
            let new = story.book.add(&nils());
            story.book.merge(&new, &anna);
            story.firm.wait(Duration::from_secs(1)).await;
            let parts = story.start().await;
            sync(&parts).await;
            parts.engine.ledger.close().await;
            story.sync().await;
            story.sync().await;
            let contacts = story.firm.contacts();
            assert_eq!(contacts.len(), 1, "lag {lag}: {:?}", story.ends(&new, &anna).await);
            assert!(contacts[0].has_ref(&new.key()), "lag {lag}: {:?}", story.ends(&new, &anna).await);
            assert!(story.is_moved(&anna, &new).await, "lag {lag}");
        }
    });
}

#[test]
fn a_losers_write_that_shows_late_is_told_apart_from_a_survivor_in_propstreet() {
    in_virtual_time(async {
        let story = Story::new(Knobs::default());
        let survivor = story.book.add(&nils());
        story.sync().await;
        let loser = story.book.add(&person("Anna", "Berg", "anna@berg.example"));
        let late = Fault::CommitLate(Duration::from_secs(60));
        story.firm.sandbox.propstreet.faults().add(creating(late).times(1));
        story.firm.wait(HOUR).await;
        let parts = story.start().await;
        assert!(tokio::time::timeout(Duration::from_secs(20), sync(&parts)).await.is_err());
        drop(parts);
        story.book.merge(&survivor, &loser);
        story.firm.wait(Duration::from_secs(1)).await;
        let parts = story.start().await;
        sync(&parts).await;
        parts.engine.ledger.close().await;
        story.firm.wait(2 * HOUR).await;
        story.sync().await;
        let (_, ended, contacts) = story.ends(&survivor, &loser).await;
        assert_eq!((ended.as_str(), contacts), ("quarantined: merged_in_crm", 2));
        assert!(story.is_moved(&loser, &survivor).await);
        let settled = story.firm.row(&survivor).await.expect("a row");
        assert!(matches!(settled.standing, Standing::Settled { .. }), "{settled:?}");
    });
}

#[test]
fn a_merge_is_remembered_while_the_survivor_cannot_be_sent() {
    in_virtual_time(async {
        let story = Story::new(Knobs::default());
        let [new, anna] = story.anna_and(&person("", "", "")).await;
        story.book.merge(&new, &anna);
        story.sync().await;
        assert!(story.firm.ending(&new).await.starts_with("quarantined"));
        // Long after, when the CRM names the loser no longer.
        story.firm.wait(25 * HOUR).await;
        story.book.edit(&new, |person| *person = nils());
        story.sync().await;
        assert_eq!(story.ends(&new, &anna).await.0, "linked");
        assert_eq!(story.firm.contacts().len(), 1);
    });
}

#[test]
fn two_contacts_are_told_of_although_the_survivor_cannot_be_sent_and_they_came_one_by_one() {
    in_virtual_time(async {
        let story = Story::new(Knobs::default());
        let [bo, anna] = story.anna_and(&person("Bo", "Lund", "bo@lund.example")).await;
        let new = story.book.add(&person("", "", ""));
        story.sync().await;
        // The later reference first, so that no order of ids hides it.
        for (loser, quarantined) in [(&bo, 0), (&anna, 1)] {
            story.book.merge(&new, loser);
            story.book.edit(&new, |_| ());
            assert_eq!(story.sync().await.newly_quarantined, quarantined);
        }
        story.firm.wait(25 * HOUR).await;
        story.sync().await;
        assert_eq!(story.firm.ending(&anna).await, "quarantined: merged_in_crm", "looked at again");
        story.book.edit(&new, |person| *person = nils());
        story.sync().await;
        assert_eq!(story.ends(&new, &anna).await, ("linked".to_owned(), "quarantined: merged_in_crm".to_owned(), 2));
        let joined = story.firm.contacts().into_iter().find(|contact| contact.has_ref(&new.key())).expect("a contact");
        assert!(joined.has_ref(&bo.key()), "the complaint names the contact that it joined");
    });
}

#[test]
fn two_of_one_address_that_the_crm_merges_leave_quarantine() {
    in_virtual_time(async {
        let story = Story::new(Knobs::default());
        let [second, first] = story.anna_and(&person("Anna", "Berg", "anna@berg.example")).await;
        story.sync().await;
        assert_eq!(story.firm.ending(&second).await, "quarantined: same_source_email");
        story.book.merge(&second, &first);
        story.sync().await;
        assert_eq!(story.firm.ending(&second).await, "linked");
        assert_eq!(story.firm.contacts().len(), 1);
    });
}

#[test]
fn who_stands_apart_leads_nobody_to_its_contact() {
    in_virtual_time(async {
        for first_is_apart in [true, false] {
            let story = Story::new(Knobs::default());
            let [second, first] = story.anna_and(&person("Bo", "Lund", "bo@lund.example")).await;
            story.sync().await;
            let [apart, middle] = if first_is_apart { [&first, &second] } else { [&second, &first] };
            story.book.merge(middle, apart);
            story.sync().await;
            let last = story.book.add(&nils());
            story.book.merge(&last, middle);
            story.sync().await;
            assert_eq!(story.firm.ending(&last).await, "linked", "{first_is_apart}");
            assert_eq!(story.firm.ending(apart).await, "quarantined: merged_in_crm", "{first_is_apart}");
            let joined = story.firm.contacts().into_iter().find(|c| c.has_ref(&last.key())).expect("a contact");
            assert!(joined.has_ref(&middle.key()), "{first_is_apart}");
        }
    });
}

#[test]
fn a_chain_of_merges_leads_to_the_last() {
    in_virtual_time(async {
        for at_once in [false, true] {
            let story = Story::new(Knobs::default());
            let [second, first] = story.anna_and(&nils()).await;
            let third = story.book.add(&person("Bo", "Lund", "bo@lund.example"));
            story.book.merge(&second, &first);
            if !at_once {
                story.book.edit(&third, |person| *person = Person::default());
                story.sync().await;
                story.firm.wait(HOUR).await;
                story.book.edit(&third, |person| person.last = "Lund".to_owned());
            }
            story.book.merge(&third, &second);
            story.sync().await;
            let contacts = story.firm.contacts();
            assert_eq!(contacts.len(), 1, "{at_once}");
            assert!(contacts[0].has_ref(&third.key()), "{at_once}");
            let parts = story.start().await;
            let last = parts.engine.ledger.survivor(story.firm.key(&first)).await.expect("a survivor");
            assert_eq!(last, story.firm.key(&third));
            parts.engine.ledger.close().await;
        }
    });
}

#[test]
fn a_loser_out_of_the_bin_lives_again_and_an_echo_does_not() {
    in_virtual_time(async {
        let story = Story::new(Knobs::default());
        let [new, anna] = story.anna_and(&nils()).await;
        let before = story.firm.row(&anna).await.and_then(|row| row.modified).expect("a stamp");
        story.book.merge(&new, &anna);
        story.sync().await;
        story.book.haunt(&anna, before);
        story.firm.wait(25 * HOUR).await;
        story.sync().await;
        assert!(story.is_moved(&anna, &new).await, "an echo");
        let writes = story.firm.sandbox.propstreet.writes();
        story.book.undelete(&anna);
        let report = story.sync().await;
        assert_eq!(report.counts.adopted, 1, "{report:?}");
        assert!(story.firm.history(&format!("salesforce:{}", anna.id)).await.contains("returned"));
        assert_eq!((story.firm.sandbox.propstreet.writes(), story.firm.contacts().len()), (writes, 1));
        // Its own deletion is one again.
        story.book.delete(&anna);
        assert_eq!(story.sync().await.gone.kept, 1);
    });
}

#[test]
fn a_reference_that_was_being_added_is_known_by_the_contact_it_was_added_to() {
    in_virtual_time(async {
        let story = Story::new(Knobs::default());
        let [new, anna] = story.anna_and(&nils()).await;
        story.book.merge(&new, &anna);
        let slow = Rule::new(Fault::Late(Duration::from_secs(30))).on(http::Method::PATCH).times(1);
        story.firm.sandbox.propstreet.faults().add(slow);
        story.firm.wait(HOUR).await;
        let parts = story.start().await;
        assert!(tokio::time::timeout(Duration::from_secs(20), sync(&parts)).await.is_err());
        drop(parts);
        story.sync().await;
        let (ended, _, contacts) = story.ends(&new, &anna).await;
        assert_eq!((ended.as_str(), contacts), ("linked", 1), "no name and no address speaks for the two");
        assert!(story.is_moved(&anna, &new).await);
    });
}

/// The same through a real adapter, in the manner of HubSpot: both old records become a new one, and who asks for an old
/// id is shown the new.
#[test]
fn hubspots_merges_join_one_contact_and_tell_of_the_other() {
    in_virtual_time(async {
        let firm = firm_with(Knobs::default());
        let two = [person("Anna", "Berg", "anna@berg.example"), nils()].map(|p| firm.sandbox.plant(Crm::HubSpot, &p));
        firm.sync().await;
        let merged = firm.sandbox.hubspot.merge(&two[0].id, &two[1].id).expect("both are there");
        let merged = firm.sandbox.reference(Crm::HubSpot, &merged);
        firm.wait(HOUR).await;
        let reports = firm.sync().await;
        let report = reports.iter().find(|report| report.name == "hubspot").expect("hubspot");
        assert_eq!((report.gone.moved, report.newly_quarantined, report.counts.linked), (2, 1, 1), "{report:?}");
        assert_eq!((firm.ending(&merged).await.as_str(), firm.contacts().len()), ("linked", 2));
        let mut endings = [firm.ending(&two[0]).await, firm.ending(&two[1]).await];
        endings.sort();
        assert_eq!(endings[0], "quarantined: merged_in_crm");
        assert!(endings[1].starts_with("skipped: merged_into:hubspot:"));
        let alone = firm.contacts().into_iter().find(|contact| contact.refs.len() == 1).expect("the other's");
        firm.sandbox.propstreet.delete(alone.id);
        firm.wait(25 * HOUR).await;
        firm.sync().await;
        for old in &two {
            assert!(firm.ending(old).await.starts_with("skipped: merged_into:hubspot:"), "{}", firm.ending(old).await);
        }
        let writes = firm.sandbox.propstreet.writes();
        firm.wait(25 * HOUR).await;
        let reports = firm.sync().await;
        assert!(reports.iter().all(|report| report.is_green() && report.gone.gone() == 0), "{reports:?}");
        assert_eq!(firm.sandbox.propstreet.writes(), writes);
    });
}

/// To be switched on with the adapter that reads Salesforce's bin.
#[test]
fn salesforces_merges_join_the_losers_contact() {
    in_virtual_time(async {
        let firm = firm_with(Knobs::default());
        let anna = firm.sandbox.plant(Crm::Salesforce, &person("Anna", "Berg", "anna@berg.example"));
        firm.sync().await;
        let new = firm.sandbox.plant(Crm::Salesforce, &nils());
        firm.sandbox.salesforce.merge(&new.id, &anna.id);
        firm.wait(HOUR).await;
        firm.sync().await;
        assert_eq!((firm.ending(&new).await.as_str(), firm.contacts().len()), ("linked", 1));
        firm.sandbox.salesforce.undelete(&anna.id);
        firm.wait(HOUR).await;
        firm.sync().await;
        firm.sandbox.salesforce.delete(&new.id);
        firm.wait(HOUR).await;
        let reports = firm.sync().await;
        assert_eq!(reports.iter().map(|report| report.gone.kept).sum::<u64>(), 1, "{reports:?}");
        assert_eq!(firm.contacts().len(), 1);
    });
}

#[test]
fn a_merge_that_dies_anywhere_never_doubles() {
    in_virtual_time(async {
        for polls in 1..400 {
            let story = Story::new(Knobs::default());
            let [new, anna] = story.anna_and(&nils()).await;
            story.book.merge(&new, &anna);
            story.firm.wait(HOUR).await;
            let parts = story.start().await;
            let finished = die_after(polls, sync(&parts)).await.is_some();
            drop(parts);
            story.sync().await;
            let contacts = story.firm.contacts();
            assert_eq!(contacts.len(), 1, "dead after {polls} polls");
            assert!(contacts[0].has_ref(&new.key()) && contacts[0].has_ref(&anna.key()), "dead after {polls} polls");
            assert!(story.is_moved(&anna, &new).await, "dead after {polls} polls");
            let settled = story.firm.row(&new).await.expect("a row");
            assert!(matches!(settled.standing, Standing::Settled { .. }), "dead after {polls} polls: {settled:?}");
            if finished {
                return;
            }
        }
        panic!("the sync never ended");
    });
}
