//! What is done by hand, while answers are lost, processes die, and Propstreet reads the rules in its other way.

use std::time::Duration;

use propsync::domain::decision::Wish;
use propsync::domain::request::Chosen;
use propsync::sandbox::faults::{Fault, Rule};
use propsync::sandbox::people::{Person, Phone};
use propsync::sandbox::propstreet::contact::{Contact, ExternalRef};
use propsync::sandbox::propstreet::knobs::{Arrays, Idempotency, Knobs};
use propsync::sandbox::upstream::Crm;

use crate::scenarios::answers::{creating, firm_with, one_anna};
use crate::scenarios::hand::{DETACH, REVIVE, resolve, resync};
use crate::scenarios::restarts::die_after;
use crate::support::{Firm, held, in_virtual_time, person, sync, sync_one};

const HOUR: Duration = Duration::from_secs(3600);

fn patching(fault: Fault) -> Rule {
    Rule::new(fault).on(http::Method::PATCH).path("/network/contacts")
}

fn carried(firm: &Firm, reference: &ExternalRef) -> Vec<Contact> {
    firm.contacts().into_iter().filter(|contact| contact.has_ref(&reference.key())).collect()
}

/// Anna of HubSpot, joined to a contact that stands for another CRM's record too.
async fn joined(knobs: Knobs) -> (Firm, ExternalRef) {
    let firm = firm_with(knobs);
    firm.sandbox.propstreet.plant(held(&person("Anna", "Berg", "anna@berg.example"), &[("pipedrive", "77")]));
    let reference = one_anna(&firm);
    firm.sync().await;
    assert_eq!(firm.ending(&reference).await, "linked");
    (firm, reference)
}

/// Anna of HubSpot, whose contact somebody deleted.
async fn deleted(knobs: Knobs) -> (Firm, ExternalRef) {
    let firm = firm_with(knobs);
    let reference = one_anna(&firm);
    firm.sync().await;
    firm.sandbox.propstreet.delete(firm.contacts()[0].id);
    firm.wait(HOUR).await;
    firm.sync().await;
    assert_eq!(firm.ending(&reference).await, "skipped: deleted_in_propstreet");
    (firm, reference)
}

async fn syncs(firm: &Firm, times: u32) {
    for _ in 0..times {
        firm.wait(HOUR).await;
        firm.sync().await;
    }
}

#[test]
fn a_detachment_whose_answer_is_lost_leads_nobody_back() {
    in_virtual_time(async {
        for fault in [Fault::LostAfter, Fault::LostBefore] {
            let (firm, reference) = joined(Knobs::default()).await;
            firm.sandbox.propstreet.faults().add(patching(fault.clone()).times(1));
            assert_eq!(resolve(&firm, &reference, DETACH).await.expect("it fits"), "quarantined: email_taken");
            assert!(carried(&firm, &reference).is_empty(), "{fault:?}");
            assert_eq!(firm.contacts().len(), 1, "{fault:?}");
        }
    });
}

#[test]
fn a_detachment_that_propstreet_does_not_make_is_told_and_nobody_doubled() {
    in_virtual_time(async {
        let (firm, reference) = joined(Knobs { arrays: Arrays::Merge, ..Knobs::default() }).await;
        assert_eq!(resolve(&firm, &reference, DETACH).await.expect("it fits"), "quarantined: ref_conflict");
        syncs(&firm, 30).await;
        assert_eq!((carried(&firm, &reference).len(), firm.contacts().len()), (1, 1));
        assert_eq!(firm.ending(&reference).await, "quarantined: ref_conflict");
    });
}

#[test]
fn a_detachment_takes_off_nothing_that_a_colleague_has_just_put_on() {
    in_virtual_time(async {
        let (firm, reference) = joined(Knobs::default()).await;
        firm.sandbox.propstreet.reset_counts();
        firm.sandbox.propstreet.faults().add(patching(Fault::Status { code: 429, retry_after: Some(5) }).times(1));
        let contact = firm.contacts()[0].id;
        let adds = async {
            while firm.sandbox.propstreet.requests().of("PATCH contact") == 0 {
                tokio::task::yield_now().await;
            }
            let theirs = ExternalRef::new("salesforce", "003000000000001AAA");
            firm.sandbox.propstreet.edit(contact, |contact| contact.refs.push(theirs));
        };
        let (resolved, ()) = tokio::join!(resolve(&firm, &reference, DETACH), adds);
        resolved.expect("it fits");
        let refs: Vec<_> = firm.contacts()[0].refs.iter().map(|reference| reference.namespace.clone()).collect();
        assert_eq!(refs, ["pipedrive", "salesforce"]);
    });
}

/// Dies at each poll of what a word by hand brings about, in turn; what then stands after more syncs.
async fn dying_at_each_poll(
    wish: Wish,
    begin: impl AsyncFn() -> (Firm, ExternalRef),
    end: impl AsyncFn(&Firm, &ExternalRef, u32),
) {
    for polls in (1..).step_by(7) {
        let (firm, reference) = begin().await;
        let parts = firm.start().await;
        parts.engine.resolve(&firm.key(&reference), wish).await.expect("a ledger").expect("it fits");
        let ids = Chosen::Ids(vec![reference.id.clone()]);
        let whole = die_after(polls, resync(&parts, "hubspot", ids.clone(), false)).await;
        drop(parts);
        firm.wait(HOUR).await;
        let parts = firm.start().await;
        sync(&parts).await;
        resync(&parts, "hubspot", ids, false).await;
        parts.close().await;
        end(&firm, &reference, polls).await;
        if whole.is_some() {
            assert!(polls > 10, "it died {polls} times on the way");
            return;
        }
    }
}

#[test]
fn a_detachment_is_made_wherever_the_process_dies() {
    in_virtual_time(async {
        let begin = async || joined(Knobs::default()).await;
        dying_at_each_poll(DETACH, begin, async |firm: &Firm, reference: &ExternalRef, polls| {
            assert!(carried(firm, reference).is_empty(), "died at poll {polls}");
            assert_eq!(firm.ending(reference).await, "quarantined: email_taken", "died at poll {polls}");
        })
        .await;
    });
}

#[test]
fn a_contact_comes_back_wherever_the_process_dies() {
    in_virtual_time(async {
        for (lookup_finds_deleted, refs_free_after_delete) in [(true, false), (false, true)] {
            let knobs = Knobs { lookup_finds_deleted, refs_free_after_delete, ..Knobs::default() };
            let begin = async || deleted(knobs.clone()).await;
            dying_at_each_poll(REVIVE, begin, async |firm: &Firm, reference: &ExternalRef, polls| {
                assert_eq!(carried(firm, reference).len(), 1, "died at poll {polls}");
                assert_eq!(firm.contacts().len(), 1, "died at poll {polls}");
                let row = firm.row(reference).await.expect("a row");
                assert_eq!(row.propstreet_id, Some(firm.contacts()[0].id.to_string()), "died at poll {polls}");
            })
            .await;
        }
    });
}

#[test]
fn a_contact_comes_back_once_however_many_answers_are_lost() {
    in_virtual_time(async {
        for fault in [Fault::LostAfter, Fault::LostBefore] {
            for (times, lag) in [(1, 90), (3, 0)] {
                for (lookup_finds_deleted, free) in [(true, false), (false, false), (false, true), (true, true)] {
                    let lookup_lag = Duration::from_secs(lag);
                    let knobs = Knobs { lookup_finds_deleted, lookup_lag, ..Knobs::default() };
                    let (firm, reference) = deleted(Knobs { refs_free_after_delete: free, ..knobs }).await;
                    firm.sandbox.propstreet.faults().add(patching(fault.clone()).times(times));
                    resolve(&firm, &reference, REVIVE).await.expect("it fits");
                    syncs(&firm, 4).await;
                    let story = format!("{fault:?} {times} times, lag {lag}, {lookup_finds_deleted}, {free}");
                    assert_eq!((carried(&firm, &reference).len(), firm.contacts().len()), (1, 1), "{story}");
                    let row = firm.row(&reference).await.expect("a row");
                    assert_eq!(row.propstreet_id, Some(firm.contacts()[0].id.to_string()), "{story}");
                    firm.sandbox.propstreet.delete(firm.contacts()[0].id);
                    syncs(&firm, 2).await;
                    assert!(firm.contacts().is_empty(), "one word brings back once: {story}");
                }
            }
        }
    });
}

#[test]
fn an_answer_that_was_kept_for_a_key_makes_nobodys_contact_theirs_again() {
    in_virtual_time(async {
        let mut firm = firm_with(Knobs { idempotency: Idempotency::Replayed, ..Knobs::default() });
        firm.extra.insert("hubspot", "on_change = \"update\"".to_owned());
        let phone = Some(Phone::new("070-123 45 67", "+46701234567"));
        let reference = firm.sandbox.plant(Crm::HubSpot, &Person { mobile: phone, ..person("Anna", "Berg", "") });
        firm.sync().await;
        let before = firm.contacts()[0].id;
        firm.sandbox.propstreet.edit(before, |contact| contact.refs = vec![ExternalRef::new("pipedrive", "77")]);
        firm.wait(HOUR).await;
        let parts = firm.start().await;
        resync(&parts, "hubspot", Chosen::Ids(vec![reference.id.clone()]), false).await;
        parts.close().await;
        assert_eq!(firm.ending(&reference).await, "quarantined: ref_conflict");
        assert_eq!(resolve(&firm, &reference, DETACH).await.expect("it fits"), "created");
        let own = carried(&firm, &reference);
        assert_eq!((own.len(), firm.contacts().len()), (1, 2));
        let row = firm.row(&reference).await.expect("a row");
        assert_eq!(row.propstreet_id, Some(own[0].id.to_string()), "and not contact {before}");
    });
}

#[test]
fn a_reference_that_a_person_took_off_since_the_index_was_read_adopts_nobody() {
    in_virtual_time(async {
        let mut firm = firm_with(Knobs::default());
        firm.extra.insert("hubspot", "on_change = \"update\"".to_owned());
        let reference = firm.sandbox.plant(Crm::HubSpot, &person("Anna", "Berg", ""));
        let spelled = [(reference.namespace.as_str(), reference.id.as_str())];
        let contact = firm.sandbox.propstreet.plant(held(&person("Anna", "Berg", ""), &spelled));
        let parts = firm.start().await;
        sync_one(&parts, "pipedrive").await;
        firm.sandbox.propstreet.edit(contact, |contact| contact.refs.clear());
        firm.wait(Duration::from_secs(60)).await;
        sync_one(&parts, "hubspot").await;
        parts.close().await;
        assert_eq!(firm.ending(&reference).await, "created");
        assert_eq!((carried(&firm, &reference).len(), firm.contacts().len()), (1, 2));
    });
}

#[test]
fn a_contact_that_is_there_unseen_is_waited_for_by_whoever_has_its_address_in_another_spelling() {
    in_virtual_time(async {
        let lookup_lag = Duration::from_secs(90);
        let firm = firm_with(Knobs { email_case_matters: true, lookup_lag, ..Knobs::default() });
        let one = one_anna(&firm);
        let other = firm.sandbox.plant(Crm::Pipedrive, &person("Anna", "Berg", "Anna@Berg.example"));
        let faults = firm.sandbox.propstreet.faults();
        faults.add(creating(Fault::LostAfter).times(1));
        faults.add(creating(Fault::LostBefore).times(2));
        let parts = firm.start().await;
        sync_one(&parts, "hubspot").await;
        assert!(firm.ending(&one).await.starts_with("deferred"), "{}", firm.ending(&one).await);
        sync_one(&parts, "pipedrive").await;
        assert_eq!(firm.contacts().len(), 1, "{}", firm.ending(&other).await);
        parts.close().await;
        syncs(&firm, 3).await;
        assert_eq!((firm.contacts().len(), firm.contacts()[0].refs.len()), (1, 2));
    });
}
