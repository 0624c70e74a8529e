//! A first reading through the Bulk API and one through REST come to the same ledger.

use std::collections::BTreeMap;

use propsync::domain::identity::RefKey;
use propsync::ledger::rows::Row;
use propsync::sandbox::people::Crowd;
use propsync::sandbox::propstreet::contact::ExternalRef;

use crate::scenarios::salesforce::org;
use crate::support::{Firm, all_green, in_virtual_time};

/// `PROPSYNC_PEOPLE=50000` reads a large org.
fn people() -> usize {
    std::env::var("PROPSYNC_PEOPLE").ok().and_then(|number| number.parse().ok()).unwrap_or(2_500)
}

#[test]
fn bulk_and_rest_give_the_same_ledger() {
    let [rest, bulk] = ["bulk_above = 1000000", "bulk_above = 100"].map(|lines| in_virtual_time(read(lines)));
    assert_eq!(rest.rows.len(), people());
    assert!(rest.rows == bulk.rows, "{:?}", rest.rows.iter().zip(&bulk.rows).find(|(one, other)| one != other));
    assert_eq!((rest.jobs, bulk.jobs), (0, 1));
    assert!(bulk.requests > 0);
}

struct Read {
    rows: BTreeMap<RefKey, Kept>,
    jobs: u64,
    requests: u64,
}

/// What must be the same; ids that Propstreet gives depend on the order of arrival.
type Kept = (String, Option<String>, Option<i64>, [bool; 2], Option<propsync::domain::Timestamp>);

async fn read(lines: &str) -> Read {
    let lines = format!(
        "{lines}\n[sources.salesforce.map]\nstrategy = {{ from = \"Investor_Strategy__c\" }}\ntags = {{ from = \"Rating__c\" }}\n\
         linkedin_url = {{ from = \"LinkedIn__c\" }}\nprimary_language = {{ from = \"Preferred_Language__c\", as = \"language\" }}"
    );
    let firm = org(&lines);
    let mut crowd = Crowd::new(7);
    for _ in 0..people() {
        firm.sandbox.salesforce.add(&crowd.person());
    }
    let reports = firm.sync().await;
    assert!(all_green(&reports), "{reports:?}");
    let rows = rows(&firm).await;
    let counted = firm.sandbox.salesforce.requests();
    Read { rows, jobs: counted.of("POST job"), requests: counted.of("GET results") }
}

async fn rows(firm: &Firm) -> BTreeMap<RefKey, Kept> {
    let references: Vec<ExternalRef> =
        firm.sandbox.salesforce.ids().iter().map(|id| ExternalRef::new("salesforce", id)).collect();
    firm.rows(&references).await.into_iter().map(|(key, row)| (key, kept(&row))).collect()
}

fn kept(row: &Row) -> Kept {
    let Row { standing, outcome, reason, mapping, name, email, modified, .. } = row;
    // Hashes of names and addresses are made with a key of each ledger's own; the fingerprint is not, and covers both.
    let hashed = [name.is_some(), email.is_some()];
    (format!("{standing:?} {outcome:?}"), reason.clone(), *mapping, hashed, *modified)
}
