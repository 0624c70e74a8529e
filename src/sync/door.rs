//! What the filter makes of a record before it is dealt with.

use crate::domain::Timestamp;
use crate::domain::contact::Contact;
use crate::domain::failure::{Complaint, Reason};
use crate::domain::pass::SkipReason;
use crate::domain::plan::{Rest, Standing};
use crate::domain::record::Record;
use crate::ledger::rows::Row;
use crate::sync::desk::Desk;

/// What can be said of one who was kept out from the stamp alone.
pub(super) fn glance(row: Option<&Row>, shown: Option<Timestamp>, replaces: bool) -> Option<Rest> {
    let out = row.filter(|row| row.is_kept_out() && row.alias.is_none() && !replaces)?;
    let same = out.modified.is_some() && out.modified == shown;
    (same && out.standing != Standing::Intended).then_some(Rest::Skipped(SkipReason::Filtered))
}

/// What the map makes of a record; of one that is kept out nothing is sent, and of one that may be neither.
pub(super) fn mapped(
    desk: &Desk<'_>,
    record: &Record,
    admitted: &Result<bool, Complaint>,
) -> Result<Contact, Complaint> {
    match admitted {
        Ok(true) => desk.source.mapper.map(record),
        Ok(false) => Err(Complaint::new(Reason::NoIdentifier, "the filter keeps it out")),
        Err(complaint) => Err(complaint.clone()),
    }
}
