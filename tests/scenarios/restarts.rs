//! What a process that died, a server that forgot, or a person who changed their mind leaves behind.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use propsync::sandbox::faults::{Fault, Rule};
use propsync::sandbox::propstreet::contact::ExternalRef;
use propsync::sandbox::propstreet::knobs::{Knobs, TakenEmail};
use propsync::sandbox::upstream::Crm;

use crate::scenarios::answers::{creating, firm_with, one_anna, sync_while_a_colleague_plants};
use crate::support::{Firm, all_green, held, in_virtual_time, person, sync};

const HOUR: Duration = Duration::from_secs(3600);

/// Runs a future until it has been polled this often, then drops it at whatever it awaits.
pub async fn die_after<T>(polls: u32, story: impl Future<Output = T>) -> Option<T> {
    let mut story = pin!(story);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        story.as_mut().poll(context).map(Some)
    })
    .await
}

/// A sync that dies while the answer to its first create is on its way: the contact is there, and nobody was told.
async fn sync_and_die_with_a_create_under_way(firm: &Firm) {
    firm.sandbox.propstreet.faults().add(creating(Fault::Late(Duration::from_secs(30))).times(1));
    let parts = firm.start().await;
    let died = tokio::time::timeout(Duration::from_secs(20), sync(&parts)).await;
    assert!(died.is_err(), "it waits for the answer");
    drop(parts);
    assert_eq!(firm.contacts().len(), 1, "the server has it");
}

#[test]
fn from_now_holds_wherever_the_first_sync_dies() {
    in_virtual_time(async {
        for polls in 1..60 {
            let mut firm = Firm::new(70, |settings| settings.contacts = 0);
            firm.from_now = true;
            for crm in Crm::ALL {
                firm.sandbox.plant(crm, &person("Anna", "Berg", "anna@berg.example"));
            }
            firm.wait(48 * HOUR).await;
            let parts = firm.start().await;
            let finished = die_after(polls, sync(&parts)).await.is_some();
            drop(parts);
            firm.wait(HOUR).await;
            firm.sync().await;
            assert!(firm.contacts().is_empty(), "dead after {polls} polls");
            if finished {
                return;
            }
        }
        panic!("the first sync never ended");
    });
}

#[test]
fn a_first_listing_whose_cursor_died_begins_anew() {
    in_virtual_time(async {
        let firm = firm_with(Knobs::default());
        for n in 0..600 {
            firm.sandbox.propstreet.plant(held(&person("Nils", "Dahl", &format!("nils{n}@dahl.example")), &[]));
        }
        let anna = one_anna(&firm);
        // The second page never comes, and by the next sync the server has forgotten the cursor.
        let second_page = |code| Rule::new(Fault::Status { code, retry_after: None }).path("cursor=");
        firm.sandbox.propstreet.faults().add(second_page(503));
        let reports = firm.sync().await;
        assert!(reports.iter().all(|report| !report.complete), "{reports:?}");
        firm.sandbox.propstreet.faults().clear();
        firm.sandbox.propstreet.faults().add(second_page(400).times(1));
        let reports = firm.sync().await;
        assert!(all_green(&reports), "{reports:?}");
        assert!(firm.ending(&anna).await.starts_with("created"));
    });
}

#[test]
fn an_owner_who_is_no_more_blocks_nobody() {
    in_virtual_time(async {
        for by_ref in [false, true] {
            let firm = firm_with(Knobs::default());
            let anna = one_anna(&firm);
            let other = if by_ref { "nils@dahl.example" } else { "anna@berg.example" };
            let refs = [("hubspot", anna.id.as_str())];
            let refs = if by_ref { &refs[..] } else { &[] };
            let id = firm.sandbox.propstreet.plant(held(&person("Nils", "Dahl", other), refs));
            // Erased for good: the list said it was there, and nothing will ever say that it has gone.
            let gone = Rule::new(Fault::Status { code: 404, retry_after: None });
            firm.sandbox.propstreet.faults().add(gone.path(&format!("/network/contacts/{id}")));
            let created = Rule::new(Fault::Status { code: 409, retry_after: None }).on(http::Method::POST);
            firm.sandbox.propstreet.faults().add(created.path("/network/contacts"));
            firm.sync().await;
            let tried = firm.sandbox.propstreet.requests().of("POST contacts");
            assert!(tried > 0, "by_ref {by_ref}: nobody asked whether it is free: {}", firm.ending(&anna).await);
        }
    });
}

#[test]
fn without_email_holds_also_when_the_index_was_late() {
    in_virtual_time(async {
        for taken_email in [TakenEmail::Conflict, TakenEmail::Invalid] {
            let mut firm = firm_with(Knobs { taken_email, ..Knobs::default() });
            firm.extra.insert("propstreet", "email_conflict = \"without_email\"".to_owned());
            let anna = one_anna(&firm);
            sync_while_a_colleague_plants(&firm, held(&person("Nils", "Dahl", "anna@berg.example"), &[])).await;
            assert!(firm.ending(&anna).await.starts_with("created"), "{taken_email:?}: {}", firm.ending(&anna).await);
            let created = firm.contacts().into_iter().find(|c| c.has_ref(&anna.key())).expect("it is there");
            assert_eq!(created.email, None);
        }
    });
}

#[test]
fn a_create_that_was_under_way_is_known_although_the_record_has_gone_since() {
    in_virtual_time(async {
        let firm = firm_with(Knobs::default());
        let anna = one_anna(&firm);
        sync_and_die_with_a_create_under_way(&firm).await;
        firm.sandbox.hubspot.delete(&anna.id);
        firm.wait(HOUR).await;
        let reports = firm.sync().await;
        assert!(all_green(&reports), "{reports:?}");
        let row = firm.row(&anna).await.expect("a row");
        assert_eq!(row.propstreet_id, Some(firm.contacts()[0].id.to_string()), "{row:?}");
    });
}

#[test]
fn a_create_that_was_under_way_is_remembered_as_it_was_sent() {
    in_virtual_time(async {
        let firm = firm_with(Knobs::default());
        let anna = one_anna(&firm);
        sync_and_die_with_a_create_under_way(&firm).await;
        firm.sandbox.hubspot.edit(&anna.id, |person| person.last = "Lund".to_owned());
        for hours in [1, 25] {
            firm.wait(hours * HOUR).await;
            firm.sync().await;
        }
        let row = firm.row(&anna).await.expect("a row");
        assert!(row.drifted, "Propstreet has the name of before: {row:?}");
    });
}

#[test]
fn who_is_restored_in_propstreet_is_adopted_though_never_settled_before() {
    in_virtual_time(async {
        let firm = firm_with(Knobs { lookup_finds_deleted: true, ..Knobs::default() });
        let anna = one_anna(&firm);
        let parts = firm.start().await;
        firm.sandbox.propstreet.faults().add(creating(Fault::Status { code: 429, retry_after: Some(5) }).times(1));
        let colleague = async {
            while firm.sandbox.propstreet.requests().of("POST contacts") == 0 {
                tokio::task::yield_now().await;
            }
            let contact = held(&person("Anna", "Berg", "anna@berg.example"), &[("hubspot", &anna.id)]);
            let id = firm.sandbox.propstreet.plant(contact);
            firm.sandbox.propstreet.delete(id);
            id
        };
        let (_, id) = tokio::join!(sync(&parts), colleague);
        parts.engine.ledger.close().await;
        assert_eq!(firm.ending(&anna).await, "skipped: deleted_in_propstreet");
        firm.sandbox.propstreet.edit(id, |contact| contact.deleted = None);
        firm.wait(25 * HOUR).await;
        firm.sync().await;
        assert!(firm.ending(&anna).await.starts_with("adopted"), "{}", firm.ending(&anna).await);
    });
}

#[test]
fn a_link_under_way_is_not_taken_for_whoever_has_the_ref_now() {
    in_virtual_time(async {
        let firm = firm_with(Knobs::default());
        firm.sandbox.propstreet.plant(held(&person("Anna", "Berg", "anna@berg.example"), &[]));
        let anna = one_anna(&firm);
        let slow = Rule::new(Fault::Delay(Duration::from_secs(30))).on(http::Method::PATCH).times(1);
        firm.sandbox.propstreet.faults().add(slow);
        let parts = firm.start().await;
        assert!(tokio::time::timeout(Duration::from_secs(20), sync(&parts)).await.is_err());
        drop(parts);
        let taken: ExternalRef = anna.clone();
        let nils = person("Nils", "Dahl", "nils@dahl.example");
        firm.sandbox.propstreet.plant(held(&nils, &[("hubspot", taken.id.as_str())]));
        firm.wait(HOUR).await;
        firm.sync().await;
        assert_eq!(firm.ending(&anna).await, "quarantined: ref_conflict");
    });
}
