//! Who could be missed, doubled or let go by the reading of a Pipedrive company: each as a story over the whole stack.

use std::time::Duration;

use http::Method;
use propsync::assembly::Parts;
use propsync::sandbox::faults::{Fault, Rule};
use propsync::sandbox::people::{Company, Person};
use propsync::sandbox::pipedrive::state::{DeletedRead, HiddenRead};
use propsync::sandbox::propstreet::contact::ExternalRef;
use propsync::sandbox::upstream::Crm;
use propsync::sync::engine::OnDelete;
use propsync::sync::report::SourceReport;

use crate::scenarios::restarts::die_after;
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
    let report = try_sync_to(firm, on_delete).await;
    assert!(report.complete && report.counts.balanced(), "{report:?}");
    report
}

async fn try_sync_to(firm: &Firm, on_delete: OnDelete) -> SourceReport {
    let parts = start(firm, on_delete).await;
    let report = sync_one(&parts, "pipedrive").await;
    parts.engine.ledger.close().await;
    report
}

async fn start(firm: &Firm, on_delete: OnDelete) -> Parts {
    let mut parts = firm.start().await;
    for source in parts.sources.iter_mut().filter(|source| source.name == "pipedrive") {
        source.on_delete = on_delete;
    }
    parts
}

/// A company with so many people in it.
fn company_of(people: usize) -> (Firm, Vec<ExternalRef>) {
    let firm = company();
    let some = |n: usize| person("Anna", &format!("Berg{n}"), &format!("a{n}@berg.example"));
    let people = (0..people).map(|n| add(&firm, &some(n))).collect();
    (firm, people)
}

/// No id stands on two contacts, and these have one each.
fn each_once(firm: &Firm, people: &[ExternalRef]) {
    let mut ids: Vec<String> = refs(firm).concat();
    let mut expected: Vec<String> = people.iter().map(|person| person.id.clone()).collect();
    ids.sort_unstable();
    expected.sort_unstable();
    assert_eq!(ids, expected);
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

/// The page of the survivor has passed when the other disappears: nobody is let go before it was looked at again.
#[test]
fn who_survives_a_merge_amid_a_sweep_joins_the_contact_too() {
    in_virtual_time(async {
        for on_delete in [OnDelete::Keep, OnDelete::Tag, OnDelete::Delete] {
            let firm = company();
            let pipedrive = &firm.sandbox.pipedrive;
            let survivor = add(&firm, &person("", "", ""));
            let other = add(&firm, &person("Bo", "Lund", "bo@lund.example"));
            let loser = add(&firm, &person("Anna", "Berg", "anna@berg.example"));
            pipedrive.set_page_size_cap(1);
            sync(&firm).await;
            assert_eq!(refs(&firm).len(), 2);
            firm.wait(25 * HOUR).await;
            let parts = start(&firm, on_delete).await;
            let slow = Rule::new(Fault::Delay(Duration::from_secs(5))).on(Method::GET).path("sort_by=id");
            pipedrive.faults().add(slow.times(3));
            let merge = async {
                // The survivor's page has come, and the next is awaited.
                firm.wait(Duration::from_secs(7)).await;
                assert!(pipedrive.merge(&loser.id, &survivor.id));
            };
            let (report, ()) = tokio::join!(sync_one(&parts, "pipedrive"), merge);
            parts.engine.ledger.close().await;
            assert_eq!((report.complete, report.gone.gone()), (true, 1), "{report:?}");
            for hours in [1, 25] {
                firm.wait(hours * HOUR).await;
                sync_to(&firm, on_delete).await;
            }
            each_once(&firm, &[survivor.clone(), other, loser]);
            assert_eq!(firm.ending(&survivor).await, "linked", "{on_delete:?}");
        }
    });
}

#[test]
fn two_with_one_address_who_both_leave_keep_no_contact_for_each_other() {
    in_virtual_time(async {
        let firm = company();
        let anna = person("Anna", "Berg", "anna@berg.example");
        let first = add(&firm, &anna);
        sync(&firm).await;
        // Put aside too late to be tried again beside the next sweep.
        firm.wait(12 * HOUR).await;
        let twins = [first, add(&firm, &anna)];
        firm.wait(HOUR).await;
        sync(&firm).await;
        assert_eq!(firm.ending(&twins[1]).await, "quarantined: same_source_email");
        twins.iter().for_each(|twin| assert!(firm.sandbox.pipedrive.delete(&twin.id)));
        firm.wait(12 * HOUR).await;
        assert_eq!(sync_to(&firm, OnDelete::Delete).await.gone.gone(), 2);
        assert_eq!(refs(&firm).len(), 0);
    });
}

#[test]
fn who_is_taken_out_of_the_bin_is_the_same_person_again() {
    in_virtual_time(async {
        for (on_delete, contacts) in [(OnDelete::Keep, 2), (OnDelete::Tag, 2), (OnDelete::Delete, 1)] {
            for (moves, read, listed) in [
                (true, DeletedRead::Shown, false),
                (false, DeletedRead::NotFound, false),
                (false, DeletedRead::Gone, true),
            ] {
                let (firm, people) = company_of(2);
                let pipedrive = &firm.sandbox.pipedrive;
                pipedrive.restore_moves_stamp(moves);
                pipedrive.set_deleted_read(read);
                pipedrive.set_deleted_in_lists(listed);
                sync(&firm).await;
                assert!(pipedrive.delete(&people[0].id));
                // Where lists show the deleted, the poll does; else the sweep notices.
                firm.wait(if listed { HOUR } else { 25 * HOUR }).await;
                assert_eq!(sync_to(&firm, on_delete).await.gone.gone(), 1, "{on_delete:?} {read:?}");
                assert!(pipedrive.restore(&people[0].id));
                for _ in 0..2 {
                    firm.wait(25 * HOUR).await;
                    assert_eq!(sync_to(&firm, on_delete).await.gone.gone(), 0, "{on_delete:?} {read:?}");
                }
                assert_eq!(refs(&firm).len(), contacts, "{on_delete:?} {read:?}");
                let row = firm.row(&people[0]).await.expect("a row");
                assert!(!row.has_left() || on_delete == OnDelete::Delete, "{on_delete:?} {read:?}: {row:?}");
            }
        }
    });
}

/// A 403 says that somebody is hidden; a 404 may say anything, and the guard is all there is.
#[test]
fn who_is_hidden_stays_where_pipedrive_says_so_and_comes_back_where_it_does_not() {
    in_virtual_time(async {
        for (read, hidden, gone, held) in [
            (HiddenRead::Forbidden, 3, 0, 0),
            (HiddenRead::Forbidden, 20, 0, 0),
            (HiddenRead::NotFound, 3, 3, 0),
            (HiddenRead::NotFound, 20, 0, 20),
        ] {
            let (firm, people) = company_of(30);
            let pipedrive = &firm.sandbox.pipedrive;
            pipedrive.set_hidden_read(read);
            sync(&firm).await;
            people[..hidden].iter().for_each(|person| assert!(pipedrive.hide(&person.id, true)));
            firm.wait(25 * HOUR).await;
            let report = sync_to(&firm, OnDelete::Tag).await;
            assert_eq!((report.gone.tagged, report.gone.held), (gone, held), "{read:?} {hidden}");
            people[..hidden].iter().for_each(|person| assert!(pipedrive.hide(&person.id, false)));
            firm.wait(25 * HOUR).await;
            let report = sync_to(&firm, OnDelete::Tag).await;
            assert_eq!((report.gone.gone(), report.gone.held), (0, 0), "{read:?} {hidden}");
            each_once(&firm, &people);
            assert!(firm.rows(&people).await.values().all(|row| !row.has_left()), "{read:?} {hidden}");
        }
    });
}

#[test]
fn a_cursor_that_dies_amid_a_backfill_or_a_sweep_loses_and_doubles_nobody() {
    in_virtual_time(async {
        for polls in [200, 400, 800, 1_600] {
            let (firm, mut people) = company_of(230);
            let pipedrive = &firm.sandbox.pipedrive;
            pipedrive.set_page_size_cap(20);
            pipedrive.set_cursor_life(Some(HOUR), None);
            // Old rows without a stamp, wherever they are sorted.
            pipedrive.set_nulls_last(polls > 400);
            let old =
                pipedrive.add_without_update_time(&person("Old", "Olsson", "old@olsson.example"), firm.clock.now());
            people.push(ExternalRef::new("pipedrive", &old));
            let died = async |on_delete| {
                let parts = start(&firm, on_delete).await;
                drop(die_after(polls, sync_one(&parts, "pipedrive")).await);
                parts.engine.ledger.close().await;
            };
            died(OnDelete::Delete).await;
            firm.wait(25 * HOUR).await;
            sync_to(&firm, OnDelete::Delete).await;
            each_once(&firm, &people);
            // The sweep dies, and goes on days later: some had left before, others since.
            let before = people.remove(5);
            assert!(pipedrive.delete(&before.id));
            firm.wait(25 * HOUR).await;
            died(OnDelete::Delete).await;
            let since = people.remove(7);
            assert!(pipedrive.delete(&since.id));
            people.push(add(&firm, &person("New", "Nilsson", "new@nilsson.example")));
            firm.wait(72 * HOUR).await;
            for _ in 0..2 {
                sync_to(&firm, OnDelete::Delete).await;
                firm.wait(HOUR).await;
            }
            each_once(&firm, &people);
        }
    });
}

#[test]
fn cursors_that_never_work_or_lead_in_a_circle_end_a_sync_and_lose_nobody() {
    in_virtual_time(async {
        for circle in [true, false] {
            let (firm, people) = company_of(50);
            let pipedrive = &firm.sandbox.pipedrive;
            pipedrive.set_page_size_cap(20);
            let break_them = |broken: bool| match circle {
                true => pipedrive.set_cursor_loop(broken),
                false => pipedrive.set_cursor_life(None, broken.then_some(0)),
            };
            break_them(true);
            assert!(!try_sync_to(&firm, OnDelete::Delete).await.complete);
            break_them(false);
            sync(&firm).await;
            each_once(&firm, &people);
            firm.wait(25 * HOUR).await;
            break_them(true);
            let report = try_sync_to(&firm, OnDelete::Delete).await;
            assert!(!report.complete && report.gone.gone() == 0, "{report:?}");
            break_them(false);
            firm.wait(HOUR).await;
            assert_eq!(sync_to(&firm, OnDelete::Delete).await.gone.gone(), 0);
            each_once(&firm, &people);
        }
    });
}

/// An organization's name that is too long keeps its people out, until it is renamed; no stamp of a person moves.
#[test]
fn the_people_of_a_renamed_organization_are_looked_at_within_the_hour() {
    in_virtual_time(async {
        for (dies, people) in [(false, 3), (true, 1_200)] {
            let mut firm = company();
            let map = "[sources.pipedrive.map]\njob_title = { from = \"org.name\" }\n";
            firm.extra.insert("pipedrive", map.to_owned());
            let company = Company {
                name: "Acme ".repeat(80),
                country: "Sweden".to_owned(),
                country_code: "SE".to_owned(),
                domain: "acme.example".to_owned(),
            };
            let employed = |n: usize| Person {
                company: Some(company.clone()),
                ..person("Anna", &format!("Berg{n}"), &format!("a{n}@berg.example"))
            };
            let people: Vec<ExternalRef> = (0..people).map(|n| add(&firm, &employed(n))).collect();
            sync(&firm).await;
            assert_eq!((refs(&firm).len(), firm.ending(&people[0]).await.as_str()), (0, "quarantined: invalid_field"));
            // No poll will show them for their own sake.
            firm.wait(HOUR).await;
            sync(&firm).await;
            assert!(firm.sandbox.pipedrive.rename_organization(&people[0].id, "Acme Nordic"));
            firm.wait(HOUR).await;
            if dies {
                let slow = Rule::new(Fault::Delay(Duration::from_secs(1))).on(Method::POST);
                firm.sandbox.propstreet.faults().add(slow);
                let parts = start(&firm, OnDelete::Keep).await;
                let dead = async {
                    while refs(&firm).len() < 600 {
                        firm.wait(Duration::from_secs(1)).await;
                    }
                };
                tokio::select! {
                    report = sync_one(&parts, "pipedrive") => panic!("it must die amid the trail: {report:?}"),
                    () = dead => {}
                }
                parts.engine.ledger.close().await;
                assert!(refs(&firm).len() < 1_200);
                firm.wait(Duration::from_secs(120)).await;
            }
            sync(&firm).await;
            each_once(&firm, &people);
            // What is known then rests, and an hour without a change costs one look at the organizations.
            firm.wait(2 * HOUR).await;
            let of = |name: &str| firm.sandbox.pipedrive.requests().of(name);
            let before = (of("GET persons"), of("GET organizations"), firm.sandbox.propstreet.writes());
            sync(&firm).await;
            let after = (of("GET persons"), of("GET organizations"), firm.sandbox.propstreet.writes());
            assert_eq!(after, (before.0 + 1, before.1 + 1, before.2));
        }
    });
}

#[test]
fn a_map_without_organizations_asks_for_none() {
    in_virtual_time(async {
        let mut firm = company();
        firm.extra.insert("pipedrive", "[sources.pipedrive.map]\ncompany = false\n".to_owned());
        add(&firm, &person("Anna", "Berg", "anna@berg.example"));
        for _ in 0..3 {
            sync(&firm).await;
            firm.wait(2 * HOUR).await;
        }
        assert_eq!(firm.sandbox.pipedrive.requests().of("GET organizations"), 0);
    });
}
