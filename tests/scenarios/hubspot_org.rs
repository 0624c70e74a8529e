//! What a portal does on a bad day: its logins, its limits, what it takes away and what it will not have written, over the
//! whole stack.

use std::path::Path;
use std::time::Duration;

use propsync::assembly;
use propsync::clock::Dice;
use propsync::sandbox::faults::{Fault, Rule};
use propsync::sandbox::hubspot::access::{Rotation, ScopeShape};
use propsync::sandbox::hubspot::properties::Kind;
use propsync::sandbox::hubspot::rates::Allowances;
use propsync::sandbox::hubspot::troubles;
use propsync::sandbox::people::Crowd;
use propsync::sync::report::SourceReport;

use crate::scenarios::hubspot::{portal, reference, sync};
use crate::support::{Firm, in_virtual_time, person, sync_one};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const PROPERTY: &str = "propstreet_contact_id";
const WRITE_BACK: &str = "write_back = { field = \"propstreet_contact_id\" }";

/// A portal with so many employed people, which takes ids back.
fn busy_portal(people: usize) -> (Firm, Vec<String>) {
    let firm = portal(&format!("{WRITE_BACK}\n[sources.hubspot.map]\ncompany = {{ from = \"company.name\" }}"));
    let hubspot = &firm.sandbox.hubspot;
    hubspot.add_property(PROPERTY, Kind::Text);
    let mut crowd = Crowd::new(3);
    let ids = (0..people).map(|_| hubspot.add(&crowd.person())).collect();
    (firm, ids)
}

/// One sync by an app's login, with a fresh start and a clean end.
async fn sync_by_oauth(firm: &Firm) -> SourceReport {
    let parts = firm.start_by_oauth().await;
    let report = sync_one(&parts, "hubspot").await;
    parts.engine.ledger.close().await;
    report
}

/// Everyone is in Propstreet once, and the portal knows of each as which contact.
fn assert_all_there(firm: &Firm, what: &str) {
    let hubspot = &firm.sandbox.hubspot;
    let ids = hubspot.ids();
    assert_eq!(firm.contacts().len(), ids.len(), "{what}");
    let without: Vec<&String> = ids.iter().filter(|id| hubspot.written_back(id).is_none()).collect();
    assert!(without.is_empty(), "{what}: {without:?}");
}

/// What each kind of call can meet, once and all in one sync.
#[test]
fn what_passes_costs_a_moment_and_nobody() {
    const CALLS: [&str; 9] = [
        "/account-info/",
        "/oauth/",
        "/crm/properties/",
        "/contacts?",
        "/contacts/search",
        "/companies/search",
        "/batch/read",
        "/crm/associations/",
        "/batch/update",
    ];
    for fault in [
        troubles::too_many("TEN_SECONDLY_ROLLING"),
        troubles::too_many("SECONDLY"),
        troubles::locked(),
        troubles::moving(10),
        troubles::page(502),
        troubles::bodyless(503),
        troubles::page(521),
        troubles::page(524),
        troubles::bare(500, "INTERNAL_ERROR"),
        Fault::Status { code: 503, retry_after: Some(3) },
        Fault::LostBefore,
        Fault::LostAfter,
        Fault::Truncated,
        Fault::Html(200),
    ] {
        in_virtual_time(async {
            let (firm, ids) = busy_portal(5);
            let hubspot = &firm.sandbox.hubspot;
            for path in CALLS {
                hubspot.faults().add(Rule::new(fault.clone()).path(path).times(1));
            }
            let first = sync_by_oauth(&firm).await;
            assert!(first.is_green() && first.error.is_none(), "{fault:?}: {first:?}");
            firm.wait(20 * MINUTE).await;
            hubspot.edit(&ids[0], |person| person.title = Some("Partner".to_owned()));
            firm.wait(HOUR).await;
            let second = sync_by_oauth(&firm).await;
            assert!(second.is_green() && second.error.is_none(), "{fault:?}: {second:?}");
            assert_all_there(&firm, &format!("{fault:?}"));
        });
    }
}

#[test]
fn a_login_goes_on_for_days_whatever_becomes_of_its_refresh_tokens() {
    for rotation in [Rotation::Never, Rotation::OldLives, Rotation::OldDies] {
        in_virtual_time(async {
            let (firm, ids) = busy_portal(3);
            let hubspot = &firm.sandbox.hubspot;
            hubspot.set_rotation(rotation);
            for day in 0..3 {
                // A process that stays for some hours, and others that look in and go.
                let parts = firm.start_by_oauth().await;
                for hour in 0..4 {
                    hubspot.edit(&ids[hour % 3], |person| person.title = Some(format!("{day} {hour}")));
                    firm.wait(HOUR).await;
                    let upstreams = assembly::connect(&firm.by_oauth(), &firm.network, &firm.clock, &Dice::seeded(2))
                        .expect("parts");
                    let beside = upstreams.sources.iter().find(|source| source.name == "hubspot").expect("it");
                    let (report, looked) = futures_util::join!(sync_one(&parts, "hubspot"), beside.crm.inspect());
                    assert!(report.is_green() && looked.is_ok(), "{rotation:?}: {report:?} {looked:?}");
                }
                parts.engine.ledger.close().await;
                firm.wait(20 * HOUR).await;
            }
            assert_all_there(&firm, &format!("{rotation:?}"));
        });
    }
}

#[test]
fn a_token_that_ends_in_the_middle_of_a_first_reading_is_renewed_and_nobody_notices() {
    in_virtual_time(async {
        let (firm, _) = busy_portal(12);
        let hubspot = &firm.sandbox.hubspot;
        hubspot.set_rotation(Rotation::OldDies);
        hubspot.set_page_size_cap(2);
        hubspot.faults().add(Rule::new(Fault::Delay(2 * MINUTE)).path("/contacts?"));
        let (report, ()) = futures_util::join!(sync_by_oauth(&firm), async {
            for _ in 0..2 {
                firm.wait(5 * MINUTE).await;
                hubspot.expire_tokens();
            }
        });
        assert!(report.is_green(), "{report:?}");
        let logins = hubspot.requests().of("POST token");
        assert_eq!(logins, 3, "{:?}", hubspot.requests());
        assert_all_there(&firm, "expired");
    });
}

#[test]
fn an_app_that_was_uninstalled_stops_the_source_and_knocks_seldom() {
    in_virtual_time(async {
        let (firm, _) = busy_portal(3);
        let hubspot = &firm.sandbox.hubspot;
        let parts = firm.start_by_oauth().await;
        assert!(sync_one(&parts, "hubspot").await.is_green());
        hubspot.revoke_app();
        hubspot.reset_counts();
        for _ in 0..36 {
            firm.wait(5 * MINUTE).await;
            let stopped = sync_one(&parts, "hubspot").await.error.expect("it is not let in");
            assert_eq!(stopped.code(), "credential", "{stopped}");
            assert!(stopped.to_string().contains("authorise the app again"), "{stopped}");
        }
        assert!(hubspot.requests().total <= 36, "one a sync: {:?}", hubspot.requests());
        parts.engine.ledger.close().await;
    });
}

#[test]
fn a_day_that_is_used_up_costs_one_request_a_process_and_goes_on_by_itself() {
    in_virtual_time(async {
        let (firm, _) = busy_portal(3);
        let hubspot = &firm.sandbox.hubspot;
        let parts = firm.start().await;
        assert!(sync_one(&parts, "hubspot").await.is_green());
        let newcomer = hubspot.add(&person("Nils", "Dahl", "nils@dahl.example"));
        let allowances = Allowances { searches_a_second: None, requests_in_ten_seconds: None, today: Some(0) };
        hubspot.set_allowances(allowances);
        hubspot.reset_counts();
        // The portal is in Stockholm: from nine in the morning in Greenwich to eleven at night.
        firm.wait(HOUR).await;
        for _ in 0..13 {
            let stopped = sync_one(&parts, "hubspot").await.error.expect("nothing is left").to_string();
            assert!(stopped.contains("until 2026-11-02T23:00Z"), "{stopped}");
            firm.wait(HOUR).await;
        }
        assert_eq!(hubspot.requests().total, 1, "{:?}", hubspot.requests());
        firm.wait(HOUR + MINUTE).await;
        assert!(sync_one(&parts, "hubspot").await.is_green());
        assert_eq!(firm.ending(&reference(&newcomer)).await, "created");
        parts.engine.ledger.close().await;

        hubspot.set_allowances(allowances);
        hubspot.reset_counts();
        for n in 1..=5 {
            firm.wait(5 * MINUTE).await;
            let stopped = sync(&firm).await.error.expect("nothing is left");
            assert_eq!(stopped.code(), "not_sent", "{stopped}");
            assert_eq!(hubspot.requests().total, n, "{:?}", hubspot.requests());
        }
    });
}

#[test]
fn a_portal_that_is_moved_for_hours_is_left_alone_for_as_long() {
    in_virtual_time(async {
        let (firm, _) = busy_portal(3);
        let hubspot = &firm.sandbox.hubspot;
        let parts = firm.start().await;
        assert!(sync_one(&parts, "hubspot").await.is_green());
        hubspot.faults().add(Rule::new(troubles::moving(3 * 3600)).times(1));
        hubspot.reset_counts();
        for _ in 0..6 {
            firm.wait(HOUR / 2).await;
            let stopped = sync_one(&parts, "hubspot").await.error.expect("it is away").to_string();
            assert!(stopped.contains("out of reach") || stopped.contains("pause until"), "{stopped}");
        }
        assert_eq!(hubspot.requests().total, 1);
        firm.wait(HOUR).await;
        assert!(sync_one(&parts, "hubspot").await.is_green());
        parts.engine.ledger.close().await;
    });
}

#[test]
fn searches_that_others_use_up_hold_up_nothing_but_searches() {
    in_virtual_time(async {
        let (firm, ids) = busy_portal(5);
        let hubspot = &firm.sandbox.hubspot;
        assert!(sync(&firm).await.is_green());
        hubspot.faults().add(Rule::new(troubles::too_many("SECONDLY")).path("/search").probability(0.7));
        for (n, id) in ids.iter().enumerate() {
            hubspot.edit(id, |person| person.title = Some(format!("Partner {n}")));
            firm.wait(20 * MINUTE).await;
            let report = sync(&firm).await;
            assert!(report.is_green() && report.took < MINUTE, "{report:?}");
        }
    });
}

#[test]
fn a_scope_that_is_taken_away_stops_the_source_by_its_name_and_nobody_is_gone() {
    for scope in ["crm.objects.contacts.read", "crm.objects.companies.read"] {
        for shape in [ScopeShape::InErrors, ScopeShape::InContext] {
            in_virtual_time(async {
                let (firm, ids) = busy_portal(8);
                let hubspot = &firm.sandbox.hubspot;
                hubspot.set_scope_shape(shape);
                let parts = firm.start().await;
                assert!(sync_one(&parts, "hubspot").await.is_green());
                // What is known of the portal is fresh, so that the reading itself meets the refusal.
                firm.wait(25 * HOUR).await;
                let source = parts.sources.iter().find(|source| source.name == "hubspot").expect("it");
                source.crm.inspect().await.expect("it is fit");
                hubspot.take_scope(scope);
                for wait in [Duration::ZERO, 25 * HOUR] {
                    firm.wait(wait).await;
                    let report = sync_one(&parts, "hubspot").await;
                    let stopped = report.error.as_ref().expect("it is not shown everything").to_string();
                    assert!(stopped.contains(scope), "{shape:?} {stopped}");
                    assert_eq!(report.gone.gone(), 0, "{report:?}");
                }
                hubspot.give_scope(scope);
                firm.wait(25 * HOUR).await;
                let report = sync_one(&parts, "hubspot").await;
                assert!(report.is_green() && report.gone.gone() == 0, "{report:?}");
                assert_eq!(firm.contacts().len(), ids.len());
                parts.engine.ledger.close().await;
            });
        }
    }
}

#[test]
fn a_crowd_is_written_back_though_one_of_it_is_refused() {
    in_virtual_time(async {
        let (firm, ids) = busy_portal(250);
        let hubspot = &firm.sandbox.hubspot;
        let unwritable = format!("\"{}\"", ids[7]);
        let invalid = Fault::Answer {
            code: 400,
            content_type: "application/json",
            body: r#"{"category": "VALIDATION_ERROR", "message": "a rule of this portal"}"#.to_owned(),
        };
        hubspot.faults().add(Rule::new(invalid).path("/batch/update").body(&unwritable));
        let report = sync(&firm).await;
        assert!(report.is_green(), "{report:?}");
        assert_eq!(report.written_back, 249);
        let updates = hubspot.requests().of("POST contacts/batch/update");
        assert!(updates <= 3 + 15, "{updates} {:?}", hubspot.requests());
        let people = firm.contacts().len();
        firm.sandbox.propstreet.reset_counts();
        for _ in 0..2 {
            firm.wait(20 * MINUTE).await;
            hubspot.reset_counts();
            let echo = sync(&firm).await;
            assert!(echo.is_green() && echo.written_back == 0, "{echo:?}");
            assert_eq!(hubspot.requests().of("POST contacts/batch/update"), 0, "{:?}", hubspot.requests());
        }
        let asked = firm.sandbox.propstreet.requests();
        assert_eq!((asked.of("POST contacts"), asked.of("PATCH contact")), (0, 0), "{asked:?}");
        assert_eq!(firm.contacts().len(), people);
    });
}

#[test]
fn a_process_that_is_ended_during_a_login_keeps_what_the_login_gives() {
    in_virtual_time(async {
        let (firm, _) = busy_portal(3);
        let hubspot = &firm.sandbox.hubspot;
        hubspot.set_rotation(Rotation::OldDies);
        hubspot.faults().add(Rule::new(Fault::Late(Duration::from_secs(4))).path("/oauth/").times(1));
        let parts = firm.start_by_oauth().await;
        let cut_off = tokio::time::timeout(Duration::from_secs(2), sync_one(&parts, "hubspot")).await;
        assert!(cut_off.is_err(), "the answer is still on its way");
        parts.close().await;
        // Nothing that runs in this process counts from here on.
        let mut kept = firm.ledger_path().into_os_string();
        kept.push(".tokens.hubspot");
        assert!(Path::new(&kept).exists(), "the only refresh token that works was lost");
        assert!(sync_by_oauth(&firm).await.is_green());
    });
}

#[test]
fn a_property_that_vanishes_is_missed_at_the_next_reading_or_within_the_hour() {
    for edited in [true, false] {
        in_virtual_time(async {
            let (firm, ids) = busy_portal(3);
            let hubspot = &firm.sandbox.hubspot;
            let parts = firm.start().await;
            assert!(sync_one(&parts, "hubspot").await.is_green());
            hubspot.archive_property("jobtitle");
            if edited {
                hubspot.edit(&ids[0], |person| person.email = Some("new@berg.example".to_owned()));
            }
            firm.wait(if edited { 5 * MINUTE } else { HOUR }).await;
            let report = sync_one(&parts, "hubspot").await;
            let stopped = report.error.as_ref().expect("a field of everyone would go empty").to_string();
            assert!(stopped.contains("jobtitle"), "{edited} {stopped}");
            assert_eq!(report.counts.updated, 0, "and nobody's was blanked: {report:?}");
            parts.engine.ledger.close().await;
        });
    }
}
