//! The people who work in Propstreet: they edit, delete and employ the contacts there, and give companies other names.

use propsync::sandbox::propstreet::contact::{Contact, ExternalRef};

use crate::simulation::city::{Act, Card, City, EMPLOYER, Firm, LAST_NAME, PHONE, STRATEGY, TITLE};

impl City {
    /// One thing by chance.
    pub fn somebody_acts(&mut self) {
        let live: Vec<Contact> = self.sandbox.propstreet.contacts().into_iter().filter(Contact::is_live).collect();
        let Some(contact) = live.get(self.rng.usize(0..live.len().max(1))) else { return };
        let (id, propstreet) = (contact.id, self.sandbox.propstreet.clone());
        match self.rng.u8(0..12) {
            0..4 => {
                let phone = format!("+46709{:06}", self.rng.u32(0..1_000_000));
                propstreet.edit(id, |contact| contact.set_phone(Some(phone.clone())));
                self.log.push(Act::Set(id, PHONE, Some(phone)));
            }
            4..7 => {
                let strategy = self.word("Theirs");
                propstreet.edit(id, |contact| contact.strategy = Some(strategy.clone()));
                self.log.push(Act::Set(id, STRATEGY, Some(strategy)));
            }
            7..9 => {
                let tag = self.word("theirs");
                propstreet.edit(id, |contact| contact.tags.push(tag.clone()));
                self.log.push(Act::Tagged(id, tag));
            }
            9 | 10 if self.is_whole(contact) => {
                let name = self.word("Gift");
                propstreet.edit(id, |contact| contact.last_name = Some(name.clone()));
                self.log.push(Act::Set(id, LAST_NAME, Some(name)));
            }
            11 if self.is_whole(contact) && self.rng.u8(0..3) == 0 => {
                propstreet.delete(id);
                let human =
                    self.cards.iter().find(|card| contact.has_ref(&card.reference.key())).map(|card| card.human);
                self.erased.extend(human);
                self.log.push(Act::Erased(id));
            }
            _ if self.laws.companies => self.somebody_employs(id),
            _ => {}
        }
    }

    /// Somebody gives a contact another title or one more employer, or a company another name.
    fn somebody_employs(&mut self, contact: u64) {
        let propstreet = self.sandbox.propstreet.clone();
        let links = propstreet.employments(contact);
        let Some(primary) = links.iter().find(|link| link.primary) else { return };
        let title = self.word("Their title");
        let companies: Vec<u64> = propstreet.companies().iter().filter(|it| it.is_live()).map(|it| it.id).collect();
        let company = companies[self.rng.usize(0..companies.len())];
        let known = links.iter().any(|link| link.company == company);
        match self.rng.u8(0..4) {
            0 => {
                propstreet.edit_link(primary.id, |link| link.job_title = Some(title.clone()));
                self.log.push(Act::Set(contact, TITLE, Some(title)));
            }
            1 if !known => {
                propstreet.add_employment(contact, company, Some(&title), false);
                self.log.push(Act::Employed(contact, company));
            }
            2 if !known => {
                propstreet.add_employment(contact, company, Some(&title), true);
                let firm = self.firm_of(company).map(|firm| firm.to_string());
                self.log.push(Act::Employed(contact, company));
                self.log.push(Act::Set(contact, TITLE, Some(title)));
                self.log.push(Act::Set(contact, EMPLOYER, firm));
            }
            _ => {
                let name = self.word("Their firm");
                propstreet.edit_company(company, |company| company.name.clone_from(&name));
                self.log.push(Act::Renamed(company, name));
            }
        }
    }

    /// Whether it carries all the records of one human, who will be met nowhere else.
    fn is_whole(&self, contact: &Contact) -> bool {
        let on_it = |card: &Card| contact.has_ref(&card.reference.key());
        let Some(one) = self.cards.iter().find(|card| on_it(card)) else { return false };
        let all: Vec<&Card> = self.cards.iter().filter(|card| card.human == one.human).collect();
        (self.alone[one.human] || all.len() == 3) && all.into_iter().all(on_it)
    }

    /// Whether somebody works for a firm.
    pub fn works_at(&self, card: &Card, firm: usize) -> bool {
        self.person(card).and_then(|person| person.company).as_ref() == Some(&self.firms[firm].company)
    }

    /// Which firm a company of Propstreet is, by its references, its domain or any name that it ever had.
    pub fn firm_of(&self, company: u64) -> Option<usize> {
        let company = self.sandbox.propstreet.company(company)?;
        let domain = |reference: &ExternalRef| {
            let firms = self.sandbox.companies(self.sandbox.crm_of(reference)?);
            firms.into_iter().find(|firm| firm.id == reference.id).map(|firm| firm.company.domain)
        };
        if let Some(domain) = company.refs.iter().find_map(domain) {
            return self.firms.iter().position(|firm| firm.company.domain == domain);
        }
        let is_called = |firm: &usize| {
            let Firm { company: at_first, .. } = &self.firms[*firm];
            let later = |act: &Act| matches!(act, Act::FirmIs(of, name) if of == firm && *name == company.name);
            company.domain.as_ref() == Some(&at_first.domain)
                || company.name == at_first.name
                || self.log.iter().any(later)
        };
        (0..self.firms.len()).find(is_called)
    }
}
