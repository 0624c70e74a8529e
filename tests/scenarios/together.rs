//! Two people at one contact at once: one in the CRM, one in Propstreet, and the program between them.

use std::time::Duration;

use http::Method;
use propsync::sandbox::faults::{Fault, Rule};
use propsync::sandbox::people::Phone;
use propsync::sandbox::propstreet::contact::{Contact, ExternalRef};
use propsync::sandbox::propstreet::knobs::{Knobs, StaleTag};
use propsync::sandbox::upstream::Crm;

use crate::scenarios::answers::firm_with;
use crate::support::{Firm, all_green, in_virtual_time, person};

const HOUR: Duration = Duration::from_secs(3600);

/// Anna stands in HubSpot and, since an hour, in Propstreet.
async fn anna(knobs: Knobs, more: &str) -> (Firm, ExternalRef) {
    let mut firm = firm_with(knobs);
    let map = "map.strategy = { from = \"investor_strategy\" }";
    firm.extra.insert("hubspot", format!("on_change = \"update\"\n{map}\n{more}"));
    let anna = firm.sandbox.plant(Crm::HubSpot, &person("Anna", "Berg", "anna@berg.example"));
    assert!(all_green(&firm.sync().await));
    firm.wait(HOUR).await;
    (firm, anna)
}

fn contact(firm: &Firm, reference: &ExternalRef) -> Contact {
    firm.sandbox.propstreet.find(&reference.namespace, &reference.id).remove(0)
}

/// A sync in which somebody in Propstreet is faster: their change comes between the reading of the contact and the write.
async fn sync_and_be_overtaken(firm: &Firm, id: u64, change: impl FnOnce(&mut Contact)) {
    let propstreet = &firm.sandbox.propstreet;
    // The first try is told to wait for five seconds, as when the minute's requests are used up.
    let wait = Fault::Status { code: 429, retry_after: Some(5) };
    propstreet.faults().add(Rule::new(wait).on(Method::PATCH).times(1));
    let before = propstreet.requests().of("PATCH contact");
    let colleague = async {
        while propstreet.requests().of("PATCH contact") == before {
            firm.wait(Duration::from_millis(100)).await;
        }
        propstreet.edit(id, change);
    };
    let (reports, ()) = tokio::join!(firm.sync(), colleague);
    assert!(all_green(&reports), "{reports:?}");
}

/// Nothing is left to do, today and after the next sweep.
async fn nothing_moves(firm: &Firm) {
    let before = firm.sandbox.propstreet.writes();
    for hours in [1, 25] {
        firm.wait(hours * HOUR).await;
        assert!(all_green(&firm.sync().await));
        assert_eq!(firm.sandbox.propstreet.writes(), before);
    }
}

#[test]
fn the_broker_types_a_number_while_a_colleague_gives_a_tag_and_both_stand() {
    in_virtual_time(async {
        for stale_tag in [StaleTag::PreconditionFailed, StaleTag::Conflict] {
            let (firm, anna) = anna(Knobs { stale_tag, ..Knobs::default() }, "").await;
            let id = contact(&firm, &anna).id;
            // The broker types her number, and at last what she looks for.
            firm.sandbox.hubspot.edit(&anna.id, |anna| {
                anna.mobile = Some(Phone::new("070-123 45 67", "+46701234567"));
                anna.strategy = Some("Logistics".to_owned());
                anna.label = Some("lead".to_owned());
            });
            firm.wait(HOUR).await;
            // Between our reading and our writing the colleague marks her, and notes her LinkedIn page.
            sync_and_be_overtaken(&firm, id, |anna| {
                anna.tags.push("vip".to_owned());
                anna.linkedin_url = Some("https://www.linkedin.com/in/anna-berg".to_owned());
            })
            .await;
            let now = contact(&firm, &anna);
            assert_eq!(now.phone.as_deref(), Some("+46701234567"), "{stale_tag:?}");
            assert_eq!(now.strategy.as_deref(), Some("Logistics"));
            assert_eq!(now.linkedin_url.as_deref(), Some("https://www.linkedin.com/in/anna-berg"));
            assert!(["vip", "lead"].iter().all(|tag| now.tags.iter().any(|it| it == tag)), "{:?}", now.tags);
            nothing_moves(&firm).await;
        }
    });
}

#[test]
fn both_change_one_field_and_it_is_whose_it_was_said_to_be() {
    in_virtual_time(async {
        for (more, expected) in [
            ("", ["+46701234567", "Theirs"]),
            ("owner = { phone = \"propstreet\", strategy = \"crm\" }", ["+46709999999", "Ours"]),
        ] {
            let (firm, anna) = anna(Knobs::default(), more).await;
            let id = contact(&firm, &anna).id;
            firm.sandbox.hubspot.edit(&anna.id, |anna| {
                anna.mobile = Some(Phone::new("070-123 45 67", "+46701234567"));
                anna.strategy = Some("Ours".to_owned());
                anna.title = Some("CFO".to_owned());
            });
            firm.wait(HOUR).await;
            sync_and_be_overtaken(&firm, id, |anna| {
                anna.set_phone(Some("+46709999999".to_owned()));
                anna.strategy = Some("Theirs".to_owned());
            })
            .await;
            let fields = |now: Contact| [now.phone, now.strategy].map(Option::unwrap_or_default);
            assert_eq!(fields(contact(&firm, &anna)), expected, "{more}");
            nothing_moves(&firm).await;
            // Whoever comes later has the last word on a field of the CRM's, until the record changes again.
            firm.sandbox.propstreet.edit(id, |anna| anna.set_phone(Some("+46708888888".to_owned())));
            nothing_moves(&firm).await;
            assert_eq!(contact(&firm, &anna).phone.as_deref(), Some("+46708888888"), "{more}");
        }
    });
}
