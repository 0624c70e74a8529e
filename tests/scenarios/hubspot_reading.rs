//! Who could be missed, doubled or let go by the reading of a HubSpot portal: each as a story over the whole stack.

use std::time::Duration;

use propsync::assembly::Parts;
use propsync::domain::pass::PassKind;
use propsync::domain::record::{Resume, Window};
use propsync::ledger::Ledger;
use propsync::ledger::cursors::{Cursor, OpenWindow};
use propsync::sandbox::faults::{Fault, Rule};
use propsync::sandbox::hubspot::model::HubSpot;
use propsync::sandbox::hubspot::state::MergedRead;
use propsync::sandbox::people::Company;
use propsync::sync::engine::OnDelete;
use propsync::sync::report::SourceReport;

use crate::scenarios::hubspot::{portal, reference, sync};
use crate::scenarios::restarts::die_after;
use crate::support::{Firm, in_virtual_time, person, sync_one};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const READS: [MergedRead; 3] = [MergedRead::Survivor, MergedRead::NotFound, MergedRead::Silence];

/// A day and more later, one sync, with this to become of those who left.
async fn sweep(firm: &Firm, on_delete: OnDelete) -> SourceReport {
    firm.wait(25 * HOUR).await;
    let parts = start(firm, on_delete).await;
    let report = sync_one(&parts, "hubspot").await;
    parts.engine.ledger.close().await;
    report
}

async fn start(firm: &Firm, on_delete: OnDelete) -> Parts {
    let mut parts = firm.start().await;
    for source in parts.sources.iter_mut().filter(|source| source.name == "hubspot") {
        source.on_delete = on_delete;
    }
    parts
}

/// A sweep that deletes, during which this happens: while a request whose address has this part is long in coming.
async fn sweep_while(firm: &Firm, asked: &str, happens: impl FnOnce()) -> SourceReport {
    let slow = Rule::new(Fault::Delay(MINUTE)).path(asked).times(1);
    firm.sandbox.hubspot.faults().add(slow);
    let half_a_minute_later = async {
        firm.wait(25 * HOUR + MINUTE / 2).await;
        happens();
    };
    tokio::join!(sweep(firm, OnDelete::Delete), half_a_minute_later).0
}

/// Syncs that die one after the other, each so many steps later than the one before, until one comes to its end.
async fn sync_through_deaths(firm: &Firm, later: u32) {
    for polls in (1..).step_by(later as usize) {
        let parts = firm.start().await;
        if die_after(polls, sync_one(&parts, "hubspot")).await.is_some() {
            return;
        }
    }
}

fn companies_read() -> Firm {
    portal(r#"map.job_title = { from = "company.name", optional = true }"#)
}

fn nord() -> Company {
    let text = str::to_owned;
    Company { name: text("Nord"), country: text("Sweden"), country_code: text("SE"), domain: text("nord.example") }
}

/// Somebody of this company.
fn employed(hubspot: &HubSpot, n: usize) -> String {
    let someone = person("Anna", &format!("Berg{n}"), &format!("a{n}@berg.example"));
    hubspot.add(&propsync::sandbox::people::Person { company: Some(nord()), ..someone })
}

fn refs(firm: &Firm) -> Vec<Vec<String>> {
    firm.contacts().into_iter().map(|contact| contact.refs.into_iter().map(|r| r.id).collect()).collect()
}

const DRIFTED: &str = "skipped: change_ignored";

#[test]
fn who_is_merged_behind_a_sweep_is_let_go_by_none_of_its_halves() {
    in_virtual_time(async {
        for (read, keeps, binned) in READS.into_iter().flat_map(|read| {
            [(false, false), (false, true), (true, false), (true, true)].map(|(keeps, binned)| (read, keeps, binned))
        }) {
            let firm = portal("");
            let hubspot = &firm.sandbox.hubspot;
            hubspot.set_merged_read(read);
            hubspot.merge_keeps_primary(keeps);
            hubspot.merged_in_bin(binned);
            let anna = hubspot.add(&person("Anna", "Berg", "anna@berg.example"));
            sync(&firm).await;
            // She who survives is new, or has no contact.
            let other = hubspot.add(&person("", "", ""));
            let mut survivor = None;
            let report = sweep_while(&firm, "archived=true", || survivor = hubspot.merge(&other, &anna)).await;
            let told = format!("{read:?} {keeps} {binned}: {report:?}");
            assert_eq!((report.gone.deleted, firm.contacts().len()), (0, 1), "{told}");
            firm.wait(HOUR).await;
            sync(&firm).await;
            let survivor = survivor.expect("a merge");
            assert_eq!(refs(&firm).len(), 1, "{told}");
            assert!(refs(&firm)[0].contains(&survivor), "{told}");
            assert_eq!(firm.ending(&reference(&anna)).await, format!("skipped: merged_into:hubspot:{survivor}"));
        }
    });
}

#[test]
fn who_is_restored_behind_the_bins_back_stays() {
    in_virtual_time(async {
        let firm = portal("");
        let hubspot = &firm.sandbox.hubspot;
        hubspot.set_page_size_cap(1);
        let ids = [0, 1].map(|n| hubspot.add(&person("Anna", &format!("Berg{n}"), &format!("a{n}@berg.example"))));
        sync(&firm).await;
        assert!(hubspot.delete(&ids[1]));
        // The first is seen alive, then in the bin, and is restored while the second page of that is read.
        let page = format!("archived=true&properties=lastmodifieddate&after={}", ids[1]);
        hubspot.faults().add(Rule::new(Fault::Delay(MINUTE)).path(&page).times(1));
        let restored = async {
            firm.wait(25 * HOUR + 3 * MINUTE / 2).await;
            assert!(hubspot.restore(&ids[0]));
        };
        let swept = sweep_while(&firm, "archived=true&properties=lastmodifieddate", || {
            assert!(hubspot.delete(&ids[0]));
        });
        let (report, ()) = tokio::join!(swept, restored);
        assert_eq!(report.gone.deleted, 1, "{report:?}");
        assert_eq!(refs(&firm), [[ids[0].clone()]]);
        let row = firm.row(&reference(&ids[0])).await.expect("a row");
        assert!(row.gone.is_none(), "{row:?}");
    });
}

#[test]
fn who_moves_between_the_halves_of_a_sweep_is_seen_once_and_rightly() {
    in_virtual_time(async {
        let firm = portal("");
        let hubspot = &firm.sandbox.hubspot;
        let ids = [0, 1].map(|n| hubspot.add(&person("Anna", &format!("Berg{n}"), &format!("a{n}@berg.example"))));
        sync(&firm).await;
        assert!(hubspot.delete(&ids[0]));
        let report = sweep_while(&firm, "archived=true", || {
            assert!(hubspot.restore(&ids[0]) && hubspot.delete(&ids[1]));
        })
        .await;
        assert_eq!((report.gone.deleted, report.gone.gone(), report.is_green()), (1, 1, true), "{report:?}");
        assert_eq!(refs(&firm), [[ids[0].clone()]]);
    });
}

#[test]
fn what_is_binned_or_purged_leaves_as_configured_and_a_crowd_waits_for_a_word() {
    in_virtual_time(async {
        for on_delete in [OnDelete::Keep, OnDelete::Tag, OnDelete::Delete] {
            let firm = portal("");
            let hubspot = &firm.sandbox.hubspot;
            let some = |n: usize| person("Anna", &format!("Berg{n}"), &format!("a{n}@berg.example"));
            let ids: Vec<String> = (0..40).map(|n| hubspot.add(&some(n))).collect();
            sync(&firm).await;
            assert!(hubspot.delete(&ids[0]) && hubspot.purge(&ids[1]));
            let gone = sweep(&firm, on_delete).await.gone;
            let expected = match on_delete {
                OnDelete::Keep => (2, 0, 0),
                OnDelete::Tag => (0, 2, 0),
                OnDelete::Delete => (0, 0, 2),
            };
            assert_eq!((gone.kept, gone.tagged, gone.deleted), expected);
            assert!(ids[2..22].iter().all(|id| hubspot.delete(id)));
            let gone = sweep(&firm, on_delete).await.gone;
            assert_eq!((gone.held, gone.gone()), (20, 20), "{gone:?}");
            assert!(ids[2..22].iter().all(|id| hubspot.restore(id)));
            let report = sweep(&firm, on_delete).await;
            assert_eq!((report.gone.gone(), report.is_green()), (0, true), "{report:?}");
            let left = if on_delete == OnDelete::Delete { 38 } else { 40 };
            assert_eq!(firm.contacts().len(), left);
        }
    });
}

#[test]
fn a_merge_that_moves_no_stamp_is_found_by_the_sweep_however_much_the_map_reads() {
    in_virtual_time(async {
        for (read, wide) in READS.into_iter().flat_map(|read| [(read, false), (read, true)]) {
            let names: Vec<String> = (0..220).map(|n| format!("a_property_with_a_long_name_{n}")).collect();
            let list = names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
            let lines = format!("map.strategy = {{ from = [{list}], optional = true }}");
            let firm = portal(if wide { &lines } else { "" });
            let hubspot = &firm.sandbox.hubspot;
            hubspot.set_merged_read(read);
            hubspot.merge_keeps_primary(true);
            hubspot.merge_moves_stamp(false);
            let ids = [0, 1].map(|n| hubspot.add(&person("Anna", &format!("Berg{n}"), &format!("a{n}@berg.example"))));
            sync(&firm).await;
            assert_eq!(hubspot.merge(&ids[0], &ids[1]).as_ref(), Some(&ids[0]));
            let report = sweep(&firm, OnDelete::Delete).await;
            assert_eq!((report.gone.moved, report.gone.deleted), (1, 0), "{read:?} {wide} {report:?}");
            assert_eq!(firm.ending(&reference(&ids[1])).await, "quarantined: merged_in_crm");
            assert_eq!(firm.contacts().len(), 2, "a person unites them in Propstreet");
        }
    });
}

#[test]
fn losers_that_stand_in_the_bin_are_merged_and_not_gone() {
    in_virtual_time(async {
        for (read, keeps, moves) in READS.into_iter().flat_map(|read| {
            [(false, false), (false, true), (true, false), (true, true)].map(|(keeps, moves)| (read, keeps, moves))
        }) {
            let firm = portal("");
            let hubspot = &firm.sandbox.hubspot;
            hubspot.set_merged_read(read);
            hubspot.merge_keeps_primary(keeps);
            hubspot.merge_moves_stamp(moves);
            hubspot.merged_in_bin(true);
            let anna = hubspot.add(&person("Anna", "Berg", "anna@berg.example"));
            sync(&firm).await;
            let other = hubspot.add(&person("Anna", "Lund", ""));
            let survivor = hubspot.merge(&other, &anna).expect("a merge");
            let report = sweep(&firm, OnDelete::Delete).await;
            let told = format!("{read:?} {keeps} {moves}: {report:?}");
            assert!(report.gone.moved > 0 && report.gone.moved == report.gone.gone(), "{told}");
            assert_eq!(refs(&firm).len(), 1, "{told}");
            assert!(refs(&firm)[0].contains(&survivor) && refs(&firm)[0].contains(&anna), "{told}");
        }
    });
}

#[test]
fn a_chain_of_merges_is_one_contact_in_every_order_of_sight() {
    in_virtual_time(async {
        // Which of the three is synced before which merge, and how a batch speaks of the merged.
        for (case, read) in (0..8).flat_map(|case: u8| READS.map(|read| (case, read))) {
            let firm = portal("");
            let hubspot = &firm.sandbox.hubspot;
            hubspot.set_merged_read(read);
            let anna = hubspot.add(&person("Anna", "Berg", "anna@berg.example"));
            if case & 1 > 0 {
                sync(&firm).await;
            }
            let lund = hubspot.add(&person("Anna", "Lund", ""));
            let first = hubspot.merge(&lund, &anna).expect("a merge");
            firm.wait(HOUR).await;
            if case & 2 > 0 {
                sync(&firm).await;
            }
            let holm = hubspot.add(&person("Anna", "Holm", ""));
            let last = hubspot.merge(&holm, &first).expect("a merge");
            if case & 4 > 0 {
                hubspot.set_search_lag(10 * MINUTE);
                hubspot.bump(&last);
            }
            for _ in 0..3 {
                firm.wait(20 * MINUTE).await;
                sync(&firm).await;
            }
            let refs = refs(&firm);
            assert_eq!(refs.len(), 1, "{case} {read:?} {refs:?}");
            assert!(refs[0].contains(&last), "{case} {read:?} {refs:?}");
        }
    });
}

#[test]
fn a_merge_between_the_pages_of_a_backfill_makes_no_second_contact() {
    in_virtual_time(async {
        for (address, read) in
            ["anna@berg.example", ""].into_iter().flat_map(|address| READS.map(|read| (address, read)))
        {
            let firm = portal("");
            let hubspot = &firm.sandbox.hubspot;
            hubspot.set_merged_read(read);
            hubspot.set_page_size_cap(1);
            let anna = hubspot.add(&person("Anna", "Berg", address));
            let lund = hubspot.add(&person("Anna", "Lund", ""));
            let holm = hubspot.add(&person("Nils", "Holm", ""));
            firm.wait(48 * HOUR).await;
            let slow = Rule::new(Fault::Delay(MINUTE)).path(&format!("after={holm}")).times(1);
            hubspot.faults().add(slow);
            let merged = async {
                firm.wait(MINUTE / 2).await;
                hubspot.merge(&lund, &anna).expect("a merge")
            };
            let (report, survivor) = tokio::join!(sync(&firm), merged);
            assert!(report.complete, "{report:?}");
            firm.wait(HOUR).await;
            sync(&firm).await;
            let carried = refs(&firm).iter().filter(|refs| refs.contains(&survivor)).count();
            assert_eq!(carried, 1, "{:?}", refs(&firm));
            // Anna and Lund were two when they were read: one of them got the survivor, and a person is told.
            let apart = [firm.ending(&reference(&anna)).await, firm.ending(&reference(&lund)).await];
            assert_eq!(firm.contacts().len(), 3, "{address} {apart:?}");
            assert!(apart.contains(&"quarantined: merged_in_crm".to_owned()), "{apart:?}");
        }
    });
}

#[test]
fn a_renamed_company_is_seen_at_the_next_poll_also_after_a_death_between_its_pages() {
    in_virtual_time(async {
        let firm = companies_read();
        let hubspot = &firm.sandbox.hubspot;
        let ids: Vec<String> = (0..5).map(|n| employed(hubspot, n)).collect();
        firm.wait(HOUR).await;
        sync(&firm).await;
        hubspot.set_association_page(2);
        // The index shows it half a minute late, which a poll at once would not see.
        hubspot.set_search_lag(MINUTE / 2);
        firm.wait(30 * MINUTE).await;
        assert!(hubspot.rename_company(&ids[0], "Syd"));
        firm.wait(MINUTE / 4).await;
        sync(&firm).await;
        firm.wait(5 * MINUTE).await;
        sync_through_deaths(&firm, 7).await;
        for id in &ids {
            assert_eq!(firm.ending(&reference(id)).await, DRIFTED, "{id}");
        }
        assert_eq!(firm.contacts().len(), 5);
    });
}

#[test]
fn a_company_that_changes_brings_in_nobody_older_than_from_now() {
    in_virtual_time(async {
        let mut firm = companies_read();
        firm.from_now = true;
        let hubspot = firm.sandbox.hubspot.clone();
        let old = employed(&hubspot, 1);
        firm.wait(48 * HOUR).await;
        sync(&firm).await;
        firm.wait(HOUR).await;
        assert!(hubspot.rename_company(&old, "Syd"));
        for hours in [1, 25] {
            firm.wait(hours * HOUR).await;
            assert!(sync(&firm).await.is_green());
        }
        assert_eq!(firm.contacts().len(), 0);
        let new = employed(&hubspot, 2);
        firm.wait(HOUR).await;
        sync(&firm).await;
        assert_eq!(refs(&firm), [[new]]);
    });
}

#[test]
fn another_primary_company_that_moves_no_stamp_is_seen_by_the_sweep_alone() {
    in_virtual_time(async {
        let firm = companies_read();
        let hubspot = &firm.sandbox.hubspot;
        hubspot.primary_company_moves_stamp(false);
        let anna = employed(hubspot, 1);
        let syd = hubspot.add_company(&Company { name: "Syd".to_owned(), ..nord() });
        firm.wait(HOUR).await;
        sync(&firm).await;
        firm.wait(HOUR).await;
        assert!(hubspot.set_primary_company(&anna, Some(&syd)));
        firm.wait(HOUR).await;
        sync(&firm).await;
        assert_eq!(firm.ending(&reference(&anna)).await, "created");
        sweep(&firm, OnDelete::Keep).await;
        assert_eq!(firm.ending(&reference(&anna)).await, DRIFTED);
    });
}

#[test]
fn a_sweep_without_companies_costs_its_pages_and_those_of_the_bin() {
    in_virtual_time(async {
        let firm = portal("");
        let hubspot = &firm.sandbox.hubspot;
        hubspot.set_page_size_cap(10);
        let some = |n: usize| person("Anna", &format!("Berg{n}"), &format!("a{n}@berg.example"));
        let ids: Vec<String> = (0..35).map(|n| hubspot.add(&some(n))).collect();
        sync(&firm).await;
        assert!(ids[..3].iter().all(|id| hubspot.delete(id)));
        sweep(&firm, OnDelete::Keep).await;
        firm.wait(25 * HOUR).await;
        hubspot.reset_counts();
        sync(&firm).await;
        let counts = hubspot.requests();
        assert_eq!(
            (counts.of("GET list"), counts.of("POST batch"), counts.of("GET record")),
            (4 + 1, 0, 0),
            "{counts:?}"
        );
    });
}

#[test]
fn a_trail_goes_on_where_it_died_and_after_a_weekend_and_where_it_never_was() {
    in_virtual_time(async {
        for absent in [HOUR, 62 * HOUR] {
            let firm = portal("");
            let hubspot = &firm.sandbox.hubspot;
            hubspot.set_page_size_cap(3);
            sync(&firm).await;
            firm.wait(absent + 2 * HOUR).await;
            let report = sync(&firm).await;
            assert!(report.is_green() && report.passes.iter().any(|pass| pass.kind == PassKind::Trail), "{report:?}");
            hubspot.set_search_lag(40 * MINUTE);
            let some = |n: usize| person("Anna", &format!("Berg{n}"), &format!("a{n}@berg.example"));
            let ids: Vec<String> = (0..10).map(|n| hubspot.add(&some(n))).collect();
            // The polls pass over them.
            for _ in 0..2 {
                firm.wait(19 * MINUTE).await;
                sync(&firm).await;
            }
            assert_eq!(firm.contacts().len(), 0);
            firm.wait(3 * HOUR).await;
            sync_through_deaths(&firm, 5).await;
            firm.wait(HOUR * 2).await;
            sync(&firm).await;
            assert_eq!(firm.contacts().len(), ids.len());
        }
    });
}

#[test]
fn a_ledger_of_the_version_before_goes_on() {
    in_virtual_time(async {
        let firm = portal("");
        let hubspot = &firm.sandbox.hubspot;
        let some = |n: usize| person("Anna", &format!("Berg{n}"), &format!("a{n}@berg.example"));
        sync(&firm).await;
        firm.wait(HOUR).await;
        let ids: Vec<String> = (0..4).map(|n| hubspot.add(&some(n))).collect();
        let now = firm.clock.now();
        firm.wait(MINUTE).await;
        let parts = firm.start().await;
        let ledger: &Ledger = &parts.engine.ledger;
        let window = Window { lo: now - HOUR, hi: now + MINUTE / 2 };
        let open = OpenWindow { window, resume: Some(Resume(ids[1].clone())) };
        let under_way = Cursor { watermark: Some(now - HOUR), window: Some(open) };
        ledger.move_cursor("hubspot", PassKind::Poll, under_way).await.expect("a cursor");
        ledger.move_cursor("hubspot", PassKind::Trail, Cursor::default()).await.expect("no cursor");
        let report = sync_one(&parts, "hubspot").await;
        parts.engine.ledger.close().await;
        assert!(report.is_green(), "{report:?}");
        assert_eq!(firm.contacts().len(), 4, "the rest of the window, and its overlap again");
        firm.wait(3 * HOUR).await;
        let report = sync(&firm).await;
        assert!(report.is_green() && report.passes.iter().any(|pass| pass.kind == PassKind::Trail), "{report:?}");
    });
}
