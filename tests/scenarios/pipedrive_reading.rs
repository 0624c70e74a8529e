//! Who could be missed, doubled or let go by the reading of a Pipedrive company: each as a story over the whole stack.

use std::time::Duration;

use propsync::sandbox::people::Person;
use propsync::sandbox::propstreet::contact::ExternalRef;
use propsync::sandbox::upstream::Crm;
use propsync::sync::engine::OnDelete;
use propsync::sync::report::SourceReport;

use crate::support::{Firm, in_virtual_time, person, sync_one};

const HOUR: Duration = Duration::from_secs(3600);

/// A firm with nobody in it yet.
fn company() -> Firm {
    Firm::new(60, |settings| settings.contacts = 0)
}

async fn sync(firm: &Firm) -> SourceReport {
    sync_to(firm, OnDelete::Keep).await
}

/// One sync, with this to become of those who left.
async fn sync_to(firm: &Firm, on_delete: OnDelete) -> SourceReport {
    let mut parts = firm.start().await;
    for source in parts.sources.iter_mut().filter(|source| source.name == "pipedrive") {
        source.on_delete = on_delete;
    }
    let report = sync_one(&parts, "pipedrive").await;
    parts.engine.ledger.close().await;
    assert!(report.complete && report.counts.balanced(), "{report:?}");
    report
}

fn add(firm: &Firm, person: &Person) -> ExternalRef {
    let reference = firm.sandbox.plant(Crm::Pipedrive, person);
    ExternalRef::new("pipedrive", &reference.id)
}

/// Each live contact by the ids it carries.
fn refs(firm: &Firm) -> Vec<Vec<String>> {
    firm.contacts().into_iter().map(|contact| contact.refs.into_iter().map(|r| r.id).collect()).collect()
}

/// Pipedrive tells pollers nothing of a merge: the one disappears, and the other shows its address.
#[test]
fn who_survives_a_merge_joins_the_contact_of_who_disappeared() {
    in_virtual_time(async {
        for on_delete in [OnDelete::Keep, OnDelete::Tag, OnDelete::Delete] {
            let firm = company();
            let anna = person("Anna", "Berg", "anna@berg.example");
            let gone = add(&firm, &anna);
            sync(&firm).await;
            assert_eq!(refs(&firm), [[gone.id.clone()]]);
            // Entered twice: the second has no address yet, and is merged before anything read it.
            let survivor = add(&firm, &Person { email: None, ..anna.clone() });
            assert!(firm.sandbox.pipedrive.merge(&gone.id, &survivor.id));
            for hours in [1, 25, 1, 25] {
                firm.wait(hours * HOUR).await;
                sync_to(&firm, on_delete).await;
            }
            let both = vec![gone.id.clone(), survivor.id.clone()];
            let history = firm.history(&format!("pipedrive:{}", survivor.id)).await;
            assert_eq!(refs(&firm), [both], "{on_delete:?}: {history}");
            assert_eq!(firm.ending(&survivor).await, "linked", "{on_delete:?}: {history}");
        }
    });
}

#[test]
fn whom_pipedrive_deleted_leaves_and_whom_it_deleted_for_good_too() {
    in_virtual_time(async {
        for on_delete in [OnDelete::Keep, OnDelete::Tag, OnDelete::Delete] {
            let firm = company();
            let some = |n: usize| person("Anna", &format!("Berg{n}"), &format!("a{n}@berg.example"));
            let people: Vec<ExternalRef> = (0..3).map(|n| add(&firm, &some(n))).collect();
            sync(&firm).await;
            assert!(firm.sandbox.pipedrive.delete(&people[0].id));
            assert!(firm.sandbox.pipedrive.purge(&people[1].id));
            firm.wait(25 * HOUR).await;
            let report = sync_to(&firm, on_delete).await;
            assert_eq!((report.gone.gone(), report.gone.held), (2, 0), "{report:?}");
            let left = if on_delete == OnDelete::Delete { 1 } else { 3 };
            assert_eq!(firm.contacts().len(), left, "{report:?}");
            firm.wait(25 * HOUR).await;
            assert_eq!(sync_to(&firm, on_delete).await.gone.gone(), 0, "known already");
        }
    });
}
