//! What a person may decide about one record by hand, and where it fits. Pure.

use crate::domain::failure::Reason;

/// What stands decided about a record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// It goes to Propstreet without its address.
    pub without_email: bool,
    /// It is the person of this contact, whatever their names are.
    pub same_as: Option<String>,
    /// Its reference is to be taken off this contact, and is not yet.
    pub detach: Option<String>,
    /// Its contact, deleted in Propstreet, is to be brought back, and is not yet.
    pub revive: bool,
}

/// What a person asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wish {
    /// Its reference leaves the contact it is on, and never joins it again.
    pub detach: bool,
    /// It joins the contact that has its address.
    pub link: bool,
    /// It is created without its address.
    pub without_email: bool,
    /// Its contact is brought back.
    pub revive: bool,
}

/// How a record stands, as far as a decision depends on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Case {
    /// Why it is in quarantine, and the contact in its way.
    pub complaint: Option<(Reason, Option<String>)>,
    /// The contact it stands on.
    pub contact: Option<String>,
    /// Somebody deleted that contact in Propstreet.
    pub deleted: bool,
}

/// What is decided, or why the wish does not fit and what does.
///
/// # Errors
/// A sentence that says what fits instead.
pub fn decide(wish: Wish, case: &Case) -> Result<Decision, String> {
    let reason = case.complaint.as_ref().map(|(reason, _)| *reason);
    let blocker = case.complaint.as_ref().and_then(|(_, blocker)| blocker.clone());
    let mut decision = Decision::default();
    if wish.detach {
        let holder = match reason {
            Some(Reason::RefConflict) => blocker.clone(),
            _ => case.contact.clone().filter(|_| !case.deleted),
        };
        decision.detach = Some(holder.ok_or("its reference is on no contact: there is nothing to detach")?);
    }
    if wish.link {
        if let Some(contact) = case.contact.as_ref().filter(|_| !case.deleted) {
            return Err(format!("it has contact {contact} already: merge the two in Propstreet by hand"));
        }
        let taken = blocker.filter(|_| reason == Some(Reason::EmailTaken));
        decision.same_as = Some(taken.ok_or("only a record in quarantine as email_taken can be linked by hand")?);
    }
    if wish.without_email {
        if !wish.detach && !reason.is_some_and(is_about_the_address) {
            return Err("its address stands in nobody's way: it is in quarantine for no such reason".to_owned());
        }
        decision.without_email = true;
    }
    if wish.revive {
        if !case.deleted {
            return Err(match reason {
                Some(Reason::EmailHeldByDeleted) => {
                    "the deleted contact is not its own: bring back the record that it stood for, or restore it in \
                     Propstreet; this one is then tried again by itself"
                }
                _ => "its contact was not deleted in Propstreet: there is nothing to bring back",
            }
            .to_owned());
        }
        decision.revive = true;
    }
    Ok(decision)
}

fn is_about_the_address(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::EmailTaken | Reason::SameSourceEmail | Reason::EmailHeldByDeleted | Reason::EmailTakenByUnknown
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The wish, why the record is in quarantine, its contact (`!` deleted), and what is decided.
    const CASES: &str = "\
        detach               | -                      | c1  | detach c1
        detach               | -                      | !c1 | refused
        detach               | -                      | -   | refused
        detach               | ref_conflict           | -   | detach b1
        detach               | identity_changed       | c1  | detach c1
        detach without_email | -                      | c1  | detach c1 without_email
        link                 | email_taken            | -   | same as b1
        link                 | email_taken            | c1  | refused
        link                 | same_source_email      | -   | refused
        link                 | -                      | c1  | refused
        without_email        | email_taken            | -   | without_email
        without_email        | same_source_email      | -   | without_email
        without_email        | email_held_by_deleted  | -   | without_email
        without_email        | email_taken_by_unknown | -   | without_email
        without_email        | rejected               | -   | refused
        without_email        | -                      | c1  | refused
        revive               | -                      | !c1 | revive
        revive               | -                      | c1  | refused
        revive               | email_held_by_deleted  | -   | refused";

    #[test]
    fn every_wish_fits_or_is_refused() {
        for row in CASES.lines() {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let [wish, reason, contact, expected] = cells[..] else { panic!("{row}") };
            let wish = Wish {
                detach: wish.contains("detach"),
                link: wish.contains("link"),
                without_email: wish.contains("without_email"),
                revive: wish.contains("revive"),
            };
            let case = Case {
                complaint: Reason::parse(reason).map(|reason| (reason, Some("b1".to_owned()))),
                contact: Some(contact.trim_start_matches('!').to_owned()).filter(|contact| contact != "-"),
                deleted: contact.starts_with('!'),
            };
            let told = decide(wish, &case).map_or("refused".to_owned(), |decision| {
                let detach = decision.detach.map(|contact| format!("detach {contact}"));
                let same_as = decision.same_as.map(|contact| format!("same as {contact}"));
                let flag = |set: bool, word: &str| set.then(|| word.to_owned());
                let parts =
                    [detach, same_as, flag(decision.without_email, "without_email"), flag(decision.revive, "revive")];
                parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
            });
            assert_eq!(told, expected, "{row}");
        }
    }
}
