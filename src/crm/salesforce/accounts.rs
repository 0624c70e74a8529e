//! The people of Accounts that changed. An Account's fields stand in its contacts' records and a change of them does not
//! move the contacts' stamps, so they are read again by `AccountId`.

use crate::crm::salesforce::id::Id;
use crate::crm::salesforce::objects::Objects;
use crate::crm::salesforce::place::InWindow;
use crate::crm::salesforce::query::{LIMIT, Query, Since};
use crate::crm::salesforce::reader::{Halt, Reader};
use crate::crm::salesforce::wire::{self, Shown};
use crate::domain::Timestamp;
use crate::domain::failure::Trouble;
use crate::domain::record::Sighting;

/// Accounts taken up at once: their ids are part of a place.
const AT_ONCE: usize = 200;

/// Some people of changed Accounts.
pub(super) struct Touched {
    /// Who.
    pub people: Vec<Shown>,
    /// Where it goes on.
    pub next: Option<InWindow>,
}

/// The people of Accounts changed from this place up to `hi`, in a window that ends at `end`.
///
/// Who changed at its end or later is left to the next window, where a merge or a conversion is seen with its survivor.
pub(super) async fn touched(
    reader: &Reader,
    objects: &Objects,
    since: &Since,
    hi: Timestamp,
    end: Timestamp,
) -> Result<Touched, Halt> {
    let most = people(objects, end).room_for_ids().min(AT_ONCE);
    let accounts = reader.rows(&Query::living("Id,SystemModstamp", "Account").stamped(since, hi), most).await?;
    let Some(last) = accounts.rows.last() else { return Ok(Touched { people: Vec::new(), next: None }) };
    let since = wire::after(last)?;
    let of = accounts.rows.iter().map(|row| Ok(Shown::read(row, &[])?.id)).collect::<Result<Vec<_>, Trouble>>()?;
    let touched = people_of(reader, objects, &since, of, None, end).await?;
    // Without more Accounts than these, the end of their people is the end.
    let at_end = !accounts.more && matches!(&touched.next, Some(InWindow::Accounts { of, .. }) if of.is_empty());
    Ok(if at_end { Touched { next: None, ..touched } } else { touched })
}

/// The people of these Accounts after one of them; then it goes on with the Accounts of `since`.
pub(super) async fn people_of(
    reader: &Reader,
    objects: &Objects,
    since: &Since,
    of: Vec<Id>,
    after: Option<&Id>,
    end: Timestamp,
) -> Result<Touched, Trouble> {
    let rows = reader.rows(&people(objects, end).after(after).among("AccountId", &of), LIMIT).await?;
    let read = rows.rows.iter().map(|row| Shown::read(row, &objects.contact.columns));
    let people: Vec<Shown> = read.collect::<Result<_, _>>()?;
    let since = since.clone();
    let next = match people.last().filter(|_| rows.more) {
        Some(last) => InWindow::Accounts { since, of, after: Some(last.id.clone()) },
        None => InWindow::Accounts { since, of: Vec::new(), after: None },
    };
    Ok(Touched { people, next: Some(next) })
}

/// A sighting that shows no stamp, so that a known stamp of its own does not pass the record off as unchanged.
pub(super) fn sighting(person: Shown) -> Sighting {
    Sighting { modified: None, ..person.sighting() }
}

fn people(objects: &Objects, end: Timestamp) -> Query {
    objects.contact.alive().before(end)
}
