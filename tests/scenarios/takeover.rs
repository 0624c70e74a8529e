//! A firm that begins with a Propstreet somebody has filled before: by an import, by hand, by an earlier sync.

use propsync::sandbox::people::Person;
use propsync::sandbox::truth::Fate;
use propsync::sandbox::upstream::Crm;

use crate::support::{Firm, all_green, held, in_virtual_time, person};

#[test]
fn half_of_the_refs_and_some_of_the_addresses_are_there_already() {
    in_virtual_time(async {
        let firm = Firm::new(70, |settings| settings.contacts = 120);
        let (mut by_ref, mut by_address) = (0, 0);
        for (n, group) in firm.sandbox.truth().groups().into_iter().enumerate() {
            let Some(record) = group.records.first().filter(|_| group.fate == Fate::OneContact) else { continue };
            let Some(form) = record.forms.first() else { continue };
            let full = form.email.is_some() && !form.last.is_empty() && form.first.chars().count() > 2;
            let mut contact =
                held(&Person { email: form.email.as_deref().map(str::to_lowercase), ..form.clone() }, &[]);
            contact.phone = form.mobile.as_ref().or(form.phone.as_ref()).map(|phone| phone.e164.clone());
            contact.tags = form.label.iter().cloned().collect();
            match n % 4 {
                0 | 2 => {
                    contact.refs.push(record.reference.clone());
                    by_ref += 1;
                }
                1 if full => by_address += 1,
                _ => continue,
            }
            firm.sandbox.propstreet.plant(contact);
        }
        let reports = firm.sync().await;
        assert!(all_green(&reports), "{reports:?}");
        let adopted: u64 = reports.iter().map(|report| report.counts.adopted).sum();
        let linked: u64 = reports.iter().map(|report| report.counts.linked).sum();
        assert!(by_ref > 100 && by_address > 40, "{by_ref} {by_address}");
        assert_eq!(adopted, by_ref);
        // Those of the addresses, and the further records of people who stand in several CRMs.
        assert!(linked >= by_address, "{linked} of {by_address}");
        let report = firm.sandbox.check();
        assert!(report.is_clean(), "{report:?}");
        let writes = firm.sandbox.propstreet.writes();
        assert_eq!((writes.created + by_ref + by_address) as usize, report.expected);
        assert_eq!(writes.updated, linked);
    });
}

#[test]
fn whoever_must_not_be_guessed_is_put_aside_side_by_side() {
    in_virtual_time(async {
        let firm = Firm::new(71, |settings| settings.contacts = 0);
        let plant = |crm, first, last, email| firm.sandbox.plant(crm, &person(first, last, email));
        let contradicting = plant(Crm::HubSpot, "Anna", "Berg", "anna@berg.example");
        firm.sandbox
            .propstreet
            .plant(held(&person("Nils", "Dahl", "n@dahl.example"), &[("hubspot", &contradicting.id)]));
        let role = plant(Crm::HubSpot, "Maja", "Ek", "info@ek.example");
        firm.sandbox.propstreet.plant(held(&person("Maja", "Ek", "info@ek.example"), &[]));
        let second = plant(Crm::Pipedrive, "Lars", "Wallén", "lars@wallen.example");
        let first = [("pipedrive", "99999")];
        firm.sandbox.propstreet.plant(held(&person("Lars", "Wallén", "lars@wallen.example"), &first));
        let before = firm.sandbox.propstreet.writes();
        firm.sync().await;
        assert_eq!(firm.ending(&contradicting).await, "quarantined: ref_conflict");
        assert_eq!(firm.ending(&role).await, "quarantined: email_taken");
        assert_eq!(firm.ending(&second).await, "quarantined: same_source_email");
        assert_eq!(firm.sandbox.propstreet.writes(), before, "nothing was written on a guess");
    });
}
