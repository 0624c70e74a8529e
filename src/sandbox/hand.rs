//! What a test's hand does to people and companies of any CRM, by their references, and how they stand afterwards. Each
//! act is that of a person in the app: it moves the stamps that such an act moves there, and no others.

use std::collections::BTreeMap;

use crate::sandbox::Sandbox;
use crate::sandbox::people::{Company, Person};
use crate::sandbox::propstreet::contact::ExternalRef;
use crate::sandbox::roll::{Entry, Firm};
use crate::sandbox::upstream::Crm;

/// One record of a CRM, deleted and merged-away ones included.
#[derive(Debug, Clone, PartialEq)]
pub struct CrmPerson {
    /// Whose record it is.
    pub crm: Crm,
    /// The reference that Propstreet must carry for it.
    pub reference: ExternalRef,
    /// Who it is, with the company they work for now as that company stands now. Of a record that `HubSpot` merged away
    /// these are the survivor's values: it keeps no others.
    pub person: Person,
    /// The CRM's id of that company; of several the primary one. `None` where it is deleted.
    pub employer: Option<String>,
    /// Neither deleted nor merged away.
    pub alive: bool,
    /// The record that stands for this one in the end, whether that one is alive or not.
    pub merged_into: Option<ExternalRef>,
    /// Wants no mailings.
    pub opted_out: bool,
}

impl Sandbox {
    /// Whose record a reference names.
    #[must_use]
    pub fn crm_of(&self, reference: &ExternalRef) -> Option<Crm> {
        let namespace = reference.key().0;
        Crm::ALL.into_iter().find(|crm| self.namespaces[crm.index()].to_lowercase() == namespace)
    }

    /// Gives a living record this form; its employer stays, whatever the form says (see [`Sandbox::employ`]).
    pub fn edit(&self, reference: &ExternalRef, form: &Person) -> bool {
        let edit = |held: &mut Person| {
            let company = held.company.take();
            *held = Person { company, ..form.clone() };
        };
        let id = &reference.id;
        self.is_alive(reference)
            && match self.crm_of(reference) {
                Some(Crm::Salesforce) => self.salesforce.edit(id, edit),
                Some(Crm::HubSpot) => self.hubspot.edit(id, edit),
                Some(Crm::Pipedrive) => self.pipedrive.edit(id, edit),
                None => false,
            }
    }

    /// Puts a living record into its CRM's bin.
    pub fn delete(&self, reference: &ExternalRef) -> bool {
        let id = &reference.id;
        self.is_alive(reference)
            && match self.crm_of(reference) {
                Some(Crm::Salesforce) => self.salesforce.delete(id),
                Some(Crm::HubSpot) => self.hubspot.delete(id),
                Some(Crm::Pipedrive) => self.pipedrive.delete(id),
                None => false,
            }
    }

    /// Takes a deleted record out of the bin. False for one that was merged away, or is alive.
    pub fn restore(&self, reference: &ExternalRef) -> bool {
        let id = &reference.id;
        let Some(entry) = self.entry(reference).filter(|entry| !entry.alive && entry.merged_into.is_none()) else {
            return false;
        };
        match self.crm_of(reference) {
            Some(Crm::Salesforce) => self.salesforce.undelete(&entry.id),
            Some(Crm::HubSpot) => self.hubspot.restore(id),
            Some(Crm::Pipedrive) => self.pipedrive.restore(id),
            None => false,
        }
    }

    /// Merges two living records of one CRM. Answers the reference of what is left: in `HubSpot` a new record, unless
    /// [`crate::sandbox::hubspot::model::HubSpot::merge_keeps_primary`] says otherwise.
    pub fn merge(&self, survivor: &ExternalRef, loser: &ExternalRef) -> Option<ExternalRef> {
        let crm = self.crm_of(survivor).filter(|crm| self.crm_of(loser) == Some(*crm))?;
        if !self.is_alive(survivor) || !self.is_alive(loser) {
            return None;
        }
        let left = match crm {
            Crm::Salesforce => self.salesforce.merge(&survivor.id, &loser.id).then(|| survivor.id.clone()),
            Crm::HubSpot => self.hubspot.merge(&survivor.id, &loser.id),
            Crm::Pipedrive => self.pipedrive.merge(&loser.id, &survivor.id).then(|| survivor.id.clone()),
        };
        left.map(|id| self.reference(crm, &id))
    }

    /// Adds a company to a CRM, or finds the one of that name and domain; answers the CRM's id.
    pub fn add_company(&self, crm: Crm, company: &Company) -> String {
        let same =
            |firm: &&Firm| firm.alive && firm.company.name == company.name && firm.company.domain == company.domain;
        if let Some(known) = self.companies(crm).iter().find(same) {
            return known.id.clone();
        }
        match crm {
            Crm::Salesforce => self.salesforce.add_account(company),
            Crm::HubSpot => self.hubspot.add_company(company),
            Crm::Pipedrive => self.pipedrive.add_organization(company),
        }
    }

    /// Edits a company of a CRM by its id there.
    pub fn edit_company(&self, crm: Crm, id: &str, edit: impl FnOnce(&mut Company)) -> bool {
        match crm {
            Crm::Salesforce => self.salesforce.edit_account(id, edit),
            Crm::HubSpot => self.hubspot.edit_company(id, edit),
            Crm::Pipedrive => self.pipedrive.edit_organization(id, edit),
        }
    }

    /// Renames a company of a CRM by its id there; its people's stamps stay.
    pub fn rename_company(&self, crm: Crm, id: &str, name: &str) -> bool {
        self.edit_company(crm, id, |company| name.clone_into(&mut company.name))
    }

    /// Moves a living record to another company, by that company's id in the same CRM, or to none.
    pub fn employ(&self, reference: &ExternalRef, company: Option<&str>) -> bool {
        let id = &reference.id;
        self.is_alive(reference)
            && match self.crm_of(reference) {
                Some(Crm::Salesforce) => self.salesforce.set_account(id, company),
                Some(Crm::HubSpot) => self.hubspot.set_primary_company(id, company),
                Some(Crm::Pipedrive) => self.pipedrive.set_organization(id, company),
                None => false,
            }
    }

    /// A living person wants no more mailings, or wants them again: Salesforce's `HasOptedOutOfEmail`, `HubSpot`'s
    /// `hs_email_optout`, Pipedrive's `marketing_status`.
    pub fn opt_out(&self, reference: &ExternalRef, out: bool) -> bool {
        let id = &reference.id;
        self.is_alive(reference)
            && match self.crm_of(reference) {
                Some(Crm::Salesforce) => self.salesforce.opt_out(id, out),
                Some(Crm::HubSpot) => self.hubspot.opt_out(id, out),
                Some(Crm::Pipedrive) => self.pipedrive.opt_out(id, out),
                None => false,
            }
    }

    /// Every record of every CRM, in the order of [`Crm::ALL`] and of their ids.
    #[must_use]
    pub fn state(&self) -> Vec<CrmPerson> {
        Crm::ALL.into_iter().flat_map(|crm| self.people(crm)).collect()
    }

    /// The companies of a CRM, deleted ones included.
    #[must_use]
    pub fn companies(&self, crm: Crm) -> Vec<Firm> {
        match crm {
            Crm::Salesforce => self.salesforce.firms(),
            Crm::HubSpot => self.hubspot.firms(),
            Crm::Pipedrive => self.pipedrive.firms(),
        }
    }

    fn people(&self, crm: Crm) -> Vec<CrmPerson> {
        let roll = self.roll(crm);
        let into: BTreeMap<String, String> =
            roll.iter().filter_map(|entry| Some((entry.id.clone(), entry.merged_into.clone()?))).collect();
        let last = |id: String| std::iter::successors(Some(id), |id| into.get(id).cloned()).last();
        roll.into_iter()
            .map(|Entry { id, person, employer, alive, merged_into, opted_out }| CrmPerson {
                crm,
                reference: self.reference(crm, &id),
                person,
                employer,
                alive,
                merged_into: merged_into.and_then(last).map(|id| self.reference(crm, &id)),
                opted_out,
            })
            .collect()
    }

    fn roll(&self, crm: Crm) -> Vec<Entry> {
        match crm {
            Crm::Salesforce => self.salesforce.roll(),
            Crm::HubSpot => self.hubspot.roll(),
            Crm::Pipedrive => self.pipedrive.roll(),
        }
    }

    fn entry(&self, reference: &ExternalRef) -> Option<Entry> {
        self.roll(self.crm_of(reference)?).into_iter().find(|entry| entry.id == reference.id)
    }

    fn is_alive(&self, reference: &ExternalRef) -> bool {
        self.entry(reference).is_some_and(|entry| entry.alive)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::sandbox::Settings;
    use crate::sandbox::clock::Clock;

    fn sandbox() -> Sandbox {
        let clock = Clock::simulated(DateTime::from_timestamp(1_780_000_000, 0).unwrap());
        Sandbox::new(Settings { seed: 1, contacts: 0, clock, ..Settings::default() })
    }

    fn firm(name: &str) -> Company {
        let domain = format!("{}.example", name.to_lowercase());
        Company { name: name.to_owned(), country: "Sweden".to_owned(), country_code: "SE".to_owned(), domain }
    }

    fn person(last: &str) -> Person {
        let email = Some(format!("{}@x.example", last.to_lowercase()));
        Person {
            first: "Anna".to_owned(),
            last: last.to_owned(),
            email,
            company: Some(firm("Nord")),
            ..Person::default()
        }
    }

    fn one(sandbox: &Sandbox, reference: &ExternalRef) -> CrmPerson {
        sandbox.state().into_iter().find(|one| one.reference == *reference).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn people_are_edited_deleted_restored_and_opt_out_in_every_crm() {
        let sandbox = sandbox();
        for crm in Crm::ALL {
            let anna = sandbox.plant(crm, &person("Berg"));
            assert_eq!(one(&sandbox, &anna).person, person("Berg"));
            let form = Person { title: Some("CFO".to_owned()), company: None, ..person("Berg") };
            assert!(sandbox.edit(&anna, &form) && sandbox.opt_out(&anna, true));
            let seen = one(&sandbox, &anna);
            assert_eq!((seen.person.title.as_deref(), seen.person.company), (Some("CFO"), Some(firm("Nord"))));
            assert!(seen.opted_out && seen.alive && sandbox.opt_out(&anna, false));
            assert!(!sandbox.restore(&anna) && sandbox.delete(&anna) && !sandbox.delete(&anna));
            assert!(!sandbox.edit(&anna, &form) && !one(&sandbox, &anna).alive);
            assert!(sandbox.restore(&anna) && one(&sandbox, &anna).alive && !one(&sandbox, &anna).opted_out);
        }
        assert!(!sandbox.delete(&ExternalRef::new("unknown", "1")));
    }

    #[tokio::test(start_paused = true)]
    async fn companies_are_renamed_and_people_move_and_an_edit_leaves_them_there() {
        let sandbox = sandbox();
        for crm in Crm::ALL {
            let [anna, bo] = ["Berg", "Dahl"].map(|last| sandbox.plant(crm, &person(last)));
            let nord = one(&sandbox, &anna).employer.unwrap();
            assert_eq!(sandbox.add_company(crm, &firm("Nord")), nord);
            assert!(sandbox.rename_company(crm, &nord, "Norr"));
            let syd = sandbox.add_company(crm, &firm("Syd"));
            assert!(sandbox.employ(&bo, Some(&syd)) && !sandbox.employ(&bo, Some("no such id")));
            for reference in [&anna, &bo] {
                let form = Person { title: Some("VD".to_owned()), ..one(&sandbox, reference).person };
                assert!(sandbox.edit(reference, &form));
            }
            let employer = |reference| {
                let seen = one(&sandbox, reference);
                (seen.employer, seen.person.company.map(|company| company.name))
            };
            assert_eq!(employer(&anna), (Some(nord.clone()), Some("Norr".to_owned())));
            assert_eq!(employer(&bo), (Some(syd), Some("Syd".to_owned())));
            assert!(sandbox.employ(&bo, None));
            assert_eq!(employer(&bo), (None, None));
            assert_eq!(sandbox.companies(crm).len(), 2);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn merges_lead_to_whoever_is_left_in_the_end() {
        let sandbox = sandbox();
        for crm in Crm::ALL {
            let [a, b, c] = ["Berg", "Dahl", "Ek"].map(|last| sandbox.plant(crm, &person(last)));
            let first = sandbox.merge(&b, &a).unwrap();
            let last = sandbox.merge(&c, &first).unwrap();
            assert_eq!(sandbox.merge(&c, &a), None, "who is merged away cannot merge");
            for gone in [&a, &first] {
                let seen = one(&sandbox, gone);
                assert_eq!((seen.alive, seen.merged_into.as_ref()), (false, Some(&last)), "{crm:?}");
                assert!(!sandbox.restore(gone) && !sandbox.edit(gone, &person("X")));
            }
            assert!(one(&sandbox, &last).alive && one(&sandbox, &last).person.last == "Ek");
        }
        let [sf, hs] = [Crm::Salesforce, Crm::HubSpot].map(|crm| sandbox.plant(crm, &person("Alm")));
        assert_eq!(sandbox.merge(&sf, &hs), None);
    }
}
