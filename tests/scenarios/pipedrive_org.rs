//! What a company does to whoever reads it: its logins, its fields, what it takes back and what it takes away, over the
//! whole stack.

use std::time::Duration;

use ::http::Method;
use propsync::sandbox::faults::Rule;
use propsync::sandbox::pipedrive::access::Rotation;
use propsync::sandbox::pipedrive::fields::{Absent, Bare};
use propsync::sandbox::pipedrive::troubles;
use propsync::sync::report::SourceReport;
use serde_json::json;

use crate::support::{Firm, in_virtual_time, person, sync_one};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const WRITE_BACK: &str = "write_back = { field = \"Propstreet id\" }";

/// A company with these people that is configured with these lines, and their ids.
fn company(people: usize, lines: &str) -> (Firm, Vec<String>) {
    let mut firm = Firm::new(7, |settings| settings.contacts = 0);
    firm.extra.insert("pipedrive", lines.to_owned());
    let add = |n| firm.sandbox.pipedrive.add(&person("Anna", &format!("Berg{n}"), &format!("a{n}@berg.example")));
    let ids = (0..people).map(add).collect();
    (firm, ids)
}

/// One sync, with a fresh start and a clean end.
async fn sync(firm: &Firm) -> SourceReport {
    let parts = firm.start().await;
    let report = sync_one(&parts, "pipedrive").await;
    parts.engine.ledger.close().await;
    report
}

/// The same by an app's login.
async fn sync_by_oauth(firm: &Firm) -> SourceReport {
    let parts = firm.start_by_oauth().await;
    let report = sync_one(&parts, "pipedrive").await;
    parts.engine.ledger.close().await;
    report
}

fn stopped(report: SourceReport) -> String {
    report.error.expect("it stops").to_string()
}

#[test]
fn a_login_goes_on_for_days_whatever_becomes_of_its_refresh_tokens() {
    for rotation in [Rotation::Never, Rotation::OldLives, Rotation::OldDies] {
        in_virtual_time(async {
            let (firm, _) = company(30, "");
            let pipedrive = &firm.sandbox.pipedrive;
            pipedrive.set_rotation(rotation);
            for n in 1..=3 {
                let parts = firm.start_by_oauth().await;
                for hour in 0..3 {
                    pipedrive.add(&person("Nils", &format!("Dahl{n}{hour}"), &format!("n{n}{hour}@dahl.example")));
                    firm.wait(HOUR).await;
                    let report = sync_one(&parts, "pipedrive").await;
                    assert!(report.is_green(), "{rotation:?}: {report:?}");
                }
                assert_eq!(firm.contacts().len(), 30 + 3 * n, "{rotation:?}");
                parts.engine.ledger.close().await;
            }
        });
    }
}

#[test]
fn a_token_that_ends_amid_a_backfill_is_renewed_once_and_nobody_is_lost() {
    in_virtual_time(async {
        let (firm, _) = company(100, "");
        let pipedrive = &firm.sandbox.pipedrive;
        pipedrive.set_rotation(Rotation::OldDies);
        pipedrive.set_page_size_cap(1);
        pipedrive.with_rates(|rates| rates.burst = Some(4));
        let (report, ()) = futures_util::join!(sync_by_oauth(&firm), async {
            firm.wait(Duration::from_secs(4)).await;
            assert!((1..100).contains(&firm.contacts().len()), "amid it");
            pipedrive.expire_tokens();
        });
        assert!(report.is_green(), "{report:?}");
        assert_eq!(firm.contacts().len(), 100);
    });
}

#[test]
fn an_app_that_was_revoked_says_so_and_is_not_asked_for_again_and_again() {
    in_virtual_time(async {
        let (firm, _) = company(3, "");
        let pipedrive = &firm.sandbox.pipedrive;
        let parts = firm.start_by_oauth().await;
        assert!(sync_one(&parts, "pipedrive").await.is_green());
        pipedrive.revoke_app();
        pipedrive.reset_counts();
        for _ in 0..5 {
            firm.wait(10 * MINUTE).await;
            let words = stopped(sync_one(&parts, "pipedrive").await);
            assert!(words.contains("authorise the app again"), "{words}");
        }
        assert!(pipedrive.requests().total <= 6, "one login a sync: {:?}", pipedrive.requests());
        parts.engine.ledger.close().await;
    });
}

#[test]
fn a_scope_that_is_missing_is_named_and_the_one_for_writing_stops_no_reading() {
    in_virtual_time(async {
        let (firm, _) = company(3, WRITE_BACK);
        let pipedrive = &firm.sandbox.pipedrive;
        pipedrive.take_scope("contacts:full");
        let report = sync_by_oauth(&firm).await;
        assert!(report.complete && firm.contacts().len() == 3, "{report:?}");
        let words = stopped(report);
        assert!(words.contains("contacts:full"), "{words}");
        pipedrive.take_scope("contacts:read");
        firm.wait(HOUR).await;
        let words = stopped(sync_by_oauth(&firm).await);
        assert!(words.contains("contacts:read"), "{words}");
        pipedrive.give_scope("contacts:full");
        firm.wait(HOUR).await;
        let report = sync_by_oauth(&firm).await;
        assert_eq!((report.is_green(), report.written_back), (true, 3), "{report:?}");
    });
}

#[test]
fn ids_go_back_once_and_their_echo_costs_propstreet_nothing() {
    for idle in [true, false] {
        in_virtual_time(async {
            let (firm, ids) = company(30, WRITE_BACK);
            let pipedrive = &firm.sandbox.pipedrive;
            pipedrive.idle_patch_moves_stamp(idle);
            let report = sync(&firm).await;
            assert_eq!((report.is_green(), report.written_back), (true, 30), "{report:?}");
            for contact in firm.contacts() {
                let id = contact.id.to_string();
                assert_eq!(pipedrive.written_back(&contact.refs[0].id), Some(id));
            }
            for _ in 0..3 {
                firm.wait(10 * MINUTE).await;
                let report = sync(&firm).await;
                let cost = (report.is_green(), report.written_back, report.propstreet_requests);
                assert_eq!(cost, (true, 0, 0), "{report:?}");
            }
            // Somebody cleared it, and it stays theirs to clear.
            assert!(pipedrive.set(&ids[0], "label_ids", json!([1])));
            firm.wait(HOUR).await;
            assert_eq!(sync(&firm).await.written_back, 0);
        });
    }
}

#[test]
fn one_person_whom_pipedrive_will_not_change_keeps_nobody_elses_id() {
    in_virtual_time(async {
        let (firm, ids) = company(30, WRITE_BACK);
        let pipedrive = &firm.sandbox.pipedrive;
        let path = format!("/persons/{}", ids[4]);
        pipedrive.faults().add(Rule::new(troubles::forbidden()).on(Method::PATCH).path(&path));
        let report = sync(&firm).await;
        assert!(report.is_green() && report.written_back == 29, "{report:?}");
        assert!(firm.history(&format!("pipedrive:{}", ids[4])).await.contains("write_back_refused"));
        pipedrive.faults().clear();
        firm.wait(25 * HOUR).await;
        assert_eq!(sync(&firm).await.written_back, 1);
    });
}

#[test]
fn a_field_for_ids_that_is_not_there_is_told_before_anybody_is_read() {
    in_virtual_time(async {
        let (firm, _) = company(3, "write_back = { field = \"Propstret id\" }");
        let words = stopped(sync(&firm).await);
        assert!(
            words.contains("write_back names Propstret id") && words.contains("did you mean Propstreet id"),
            "{words}"
        );
        assert_eq!(firm.contacts().len(), 0);
    });
}

/// More ids than the day's tokens write: people are read, who left is found, the rest is owed, and nothing is red.
#[test]
fn ids_that_wait_for_the_days_tokens_are_no_trouble_and_all_go_back_in_time() {
    in_virtual_time(async {
        let (firm, ids) = company(400, WRITE_BACK);
        let pipedrive = &firm.sandbox.pipedrive;
        pipedrive.with_rates(|rates| rates.daily = Some(12_000));
        let written = || ids.iter().filter(|id| pipedrive.written_back(id).is_some()).count();
        let report = sync(&firm).await;
        assert!(report.is_green(), "{report:?}");
        let before = written();
        assert!((20..100).contains(&before), "{before}");
        firm.wait(10 * MINUTE).await;
        let report = sync(&firm).await;
        assert!(report.is_green() && written() == before, "{report:?}");
        assert!(pipedrive.delete(&ids[399]));
        for day in 0..8 {
            firm.wait(25 * HOUR).await;
            let report = sync(&firm).await;
            assert!(report.is_green(), "{report:?}");
            assert_eq!(report.gone.gone(), u64::from(day == 0), "the sweep does not wait for all of them");
        }
        assert_eq!(written(), 399);
    });
}

/// A custom field that is read by the name people gave it.
#[test]
fn a_field_that_is_renamed_or_deleted_amid_use_stops_the_source_by_its_name() {
    for rename in [true, false] {
        in_virtual_time(async {
            let (firm, ids) = company(3, "[sources.pipedrive.map]\nstrategy = { from = \"custom_fields.Focus\" }");
            let pipedrive = &firm.sandbox.pipedrive;
            let key = pipedrive.add_person_field("Focus", "varchar");
            assert!(pipedrive.set(&ids[0], &key, json!("Offices")));
            let parts = firm.start().await;
            assert!(sync_one(&parts, "pipedrive").await.is_green());
            let found = firm.contacts().into_iter().find(|contact| contact.refs[0].id == ids[0]).expect("Anna");
            assert_eq!(found.strategy.as_deref(), Some("Offices"));
            assert!(if rename { pipedrive.rename_field(&key, "Angle") } else { pipedrive.remove_field(&key) });
            pipedrive.add(&person("Nils", "Dahl", "nils@dahl.example"));
            firm.wait(7 * HOUR).await;
            let words = stopped(sync_one(&parts, "pipedrive").await);
            assert!(words.contains("custom_fields.Focus"), "{words}");
            assert_eq!(firm.contacts().len(), 3, "nobody is sent without it");
            parts.engine.ledger.close().await;
        });
    }
}

#[test]
fn all_spellings_of_nothing_read_the_same() {
    for (bare, absent, sync_contacts) in
        [(Bare::Null, Absent::Empty, true), (Bare::Empty, Absent::Blank, false), (Bare::Nulls, Absent::Mixed, true)]
    {
        in_virtual_time(async {
            let (firm, ids) = company(4, "[sources.pipedrive.map]\nstrategy = { from = \"custom_fields.Focus\" }");
            let pipedrive = &firm.sandbox.pipedrive;
            pipedrive.add_person_field("Focus", "varchar");
            pipedrive.set_emptiness(bare, absent);
            pipedrive.set_contact_sync(sync_contacts);
            let blank = pipedrive.add(&person("Nils", "Dahl", ""));
            let report = sync(&firm).await;
            assert!(report.is_green() && report.counts.quarantined == 0, "{bare:?}: {report:?}");
            let contacts = firm.contacts();
            assert_eq!(contacts.len(), ids.len() + 1);
            assert!(contacts.iter().all(|contact| contact.strategy.is_none()));
            let nils = contacts.iter().find(|contact| contact.refs[0].id == blank).expect("Nils");
            assert_eq!((nils.email.as_deref(), nils.phone.as_deref()), (None, None));
        });
    }
}

#[test]
fn a_label_is_read_as_people_call_it_now_and_by_its_id_once_nobody_does() {
    in_virtual_time(async {
        let (firm, ids) = company(1, "");
        let pipedrive = &firm.sandbox.pipedrive;
        let hot = pipedrive.add_option("label_ids", "Hot").expect("an option");
        let cold = pipedrive.add_option("label_ids", "Cold").expect("an option");
        assert!(
            pipedrive.rename_option("label_ids", hot, "Warm")
                && pipedrive.set(&ids[0], "label_ids", json!([hot, cold]))
        );
        assert!(pipedrive.remove_option("label_ids", cold));
        assert!(sync(&firm).await.is_green());
        assert_eq!(firm.contacts()[0].tags, ["Warm".to_owned(), cold.to_string()]);
    });
}
